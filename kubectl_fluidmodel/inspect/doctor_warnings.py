"""What `doctor` would warn of, for a view that has read less than `doctor` does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import kubectl_fluidmodel.doctor.checks  # noqa: F401 - registers the checks
from kubectl_fluidmodel.doctor.check import REGISTRY, Check, Need, Scope
from kubectl_fluidmodel.doctor.diagnosis import Problem, diagnose
from kubectl_fluidmodel.inspect.details import Warned
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.snapshot.snapshot import Snapshot


def warned(
    snapshot: Snapshot, *, namespace: str | None = None, name: str = ""
) -> Mapping[tuple[str, str], Sequence[Warned]]:
    """The roots of what is wrong with each cache, by (namespace, name).

    Only checks of a cache run, and only those whose kinds were asked for as a whole: another
    would take what was not read for absent.
    """
    checks = [check for check in REGISTRY.in_order() if _can(check, snapshot)]
    found: dict[tuple[str, str], list[Warned]] = {}
    for problem in diagnose(snapshot, checks, namespace=namespace, name=name).roots:
        if problem.cache is not None and not problem.silenced:
            found.setdefault(problem.cache, []).append(_warned(problem))
    return found


def _can(check: Check, snapshot: Snapshot) -> bool:
    asked = {*snapshot.objects, *(each.resource for each in snapshot.missing)}
    whole = asked - set(snapshot.selectors)
    of_fluid = k.DEPLOYMENTS.resource in asked  # nothing else of its own namespace is read for less
    return check.scope is Scope.CACHE and all(
        of_fluid if isinstance(need, Need) else need.resource in whole for need in check.needs
    )


def _warned(problem: Problem) -> Warned:
    check, finding = problem.check, problem.finding
    return Warned(
        code=check.code,
        severity=problem.severity.value,
        title=check.title,
        about=finding.about,
        cause=finding.cause,
        fix=finding.fix.text if finding.fix else "",
        fix_how=finding.fix.how if finding.fix else "",
    )
