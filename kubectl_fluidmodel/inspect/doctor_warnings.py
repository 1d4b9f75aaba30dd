"""Returns `doctor`'s warnings for a view that has read less than `doctor` does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import kubectl_fluidmodel.doctor.checks  # noqa: F401 - registers the checks
from kubectl_fluidmodel.doctor.check import CACHE_NODES, REGISTRY, Check, RequiredKind, Scope
from kubectl_fluidmodel.doctor.diagnosis import Problem, diagnose
from kubectl_fluidmodel.inspect.details import CacheDetails, DoctorWarning, describe_caches
from kubectl_fluidmodel.inspect.summary import sort_caches
from kubectl_fluidmodel.inspect.view import ViewContext
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot.snapshot import Snapshot


def describe_with_warnings(context: ViewContext) -> list[CacheDetails]:
    """The caches of a view in depth, in the order in which they are shown."""
    options = context.options
    caches = describe_caches(
        context.snapshot,
        warnings=warnings_by_cache(
            context.snapshot, namespace=context.namespace, name=options.name or ""
        ),
        live=context.live,
        caches=context.caches,
    )
    return sort_caches(caches, options.sort_by)


def warnings_by_cache(
    snapshot: Snapshot, *, namespace: str | None = None, name: str = ""
) -> Mapping[tuple[str, str], Sequence[DoctorWarning]]:
    """Return the root causes of each cache's problems, by (namespace, name).

    Only checks of a cache run, and only those whose kinds were read completely: others would take
    objects that were not read for missing.
    """
    checks = [check for check in REGISTRY.in_code_order() if _was_fully_read(check, snapshot)]
    warnings: dict[tuple[str, str], list[DoctorWarning]] = {}
    for problem in diagnose(snapshot, checks, namespace=namespace, name=name).roots:
        if problem.cache is not None and not problem.silenced:
            warnings.setdefault(problem.cache, []).append(_to_warning(problem))
    return warnings


def _was_fully_read(check: Check, snapshot: Snapshot) -> bool:
    requested = {*snapshot.objects, *(failure.resource for failure in snapshot.read_failures)}
    complete = requested - set(snapshot.selectors)
    of_fluid = (
        k.DEPLOYMENTS.resource in requested
    )  # other kinds in its namespace are read completely

    def was_read(need: Kind | RequiredKind) -> bool:
        if need == CACHE_NODES:
            return k.NODES.resource in requested
        return of_fluid if isinstance(need, RequiredKind) else need.resource in complete

    return check.scope is Scope.CACHE and all(map(was_read, check.needs))


def _to_warning(problem: Problem) -> DoctorWarning:
    check, finding = problem.check, problem.finding
    return DoctorWarning(
        code=check.code,
        severity=problem.severity.value,
        title=check.title,
        about=finding.about,
        cause=finding.cause,
        fix=finding.fix.text if finding.fix else "",
        fix_kind=finding.fix.how if finding.fix else "",
    )
