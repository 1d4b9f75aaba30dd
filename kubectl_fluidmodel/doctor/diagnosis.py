"""Run checks over a Snapshot, and find the root causes among their findings.

A finding is a consequence if the check of another finding, of the same cache or of the cluster,
explains its code. The report shows it below its cause.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any

from kubectl_fluidmodel.doctor.check import (
    Check,
    CheckContext,
    CheckSkippedError,
    Finding,
    RequiredKind,
    Scope,
    Severity,
    read_failure_reason,
)
from kubectl_fluidmodel.doctor.coverage import Coverage, compute_coverage
from kubectl_fluidmodel.dynamo import resources as dynamo
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache, build_caches
from kubectl_fluidmodel.objects.access import annotations_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

SILENCE_ANNOTATION = "fluidmodel.io/silence"
"""Annotation on a Dataset: comma-separated codes whose findings are silenced."""
CHECK_CRASHED = "this check itself failed, please report it"
"""Skip reason of a check whose function raised an unexpected exception."""

FAILED, WARNED, SKIPPED, SILENCED, PASSED = "failed", "warned", "skipped", "silenced", "passed"
"""States of a check result."""
HEALTHY, WARNINGS, PARTIAL, UNHEALTHY, UNCHECKED = (
    "healthy",
    "warnings",
    "partial",
    "unhealthy",
    "unchecked",
)
"""Verdicts of a diagnosis."""


@dataclass
class Problem:
    """A finding with its check, its cache, its cause and its consequences."""

    check: Check
    finding: Finding
    cache: tuple[str, str] | None
    """(namespace, name); None for a finding about the cluster."""
    silenced: bool = False
    cause: Problem | None = None
    consequences: list[Problem] = field(default_factory=list)

    @property
    def severity(self) -> Severity:
        """Its own, or that of its worst consequence."""
        loud = [consequence for consequence in self.consequences if not consequence.silenced]
        if any(consequence.severity is Severity.ERROR for consequence in loud):
            return Severity.ERROR
        return self.finding.severity or self.check.severity


@dataclass(frozen=True)
class CheckResult:
    """The result of one check for one cache, or for the cluster (`cache` is None)."""

    check: Check
    cache: tuple[str, str] | None
    problems: tuple[Problem, ...] = ()
    skip_reason: str = ""
    """Why it was skipped; empty if it was not."""
    read_failed: bool = False
    """Whether that is because something could not be read."""

    @property
    def state(self) -> str:
        """`failed`, `warned`, `skipped`, `silenced` (all that it found) or `passed`."""
        if self.skip_reason:
            return SKIPPED
        loud = [problem.severity for problem in self.problems if not problem.silenced]
        if Severity.ERROR in loud:
            return FAILED
        if loud:
            return WARNED
        return SILENCED if self.problems else PASSED


@dataclass
class Diagnosis:
    """All check results, and the findings without a cause."""

    results: list[CheckResult]
    roots: list[Problem]
    caches: list[tuple[str, str]] = field(default_factory=list)
    """(namespace, name) of the checked caches."""
    coverage: Coverage = field(default_factory=Coverage)

    @property
    def failed(self) -> bool:
        """Whether a check failed or nothing was checked: the exit code is 1."""
        return self.verdict in (UNHEALTHY, UNCHECKED)

    @property
    def verdict(self) -> str:
        """HEALTHY and WARNINGS only if all essential kinds were read, else PARTIAL."""
        states = {outcome.state for outcome in self.results}
        if FAILED in states:
            return UNHEALTHY
        if self.coverage.nothing_checked:
            return UNCHECKED
        if self.coverage.unread_kinds:
            return PARTIAL
        return WARNINGS if WARNED in states else HEALTHY

    @property
    def problems(self) -> list[Problem]:
        """All problems, by code and then by cache."""
        return [problem for outcome in self.results for problem in outcome.problems]


def diagnose(
    snapshot: Snapshot,
    checks: Sequence[Check],
    *,
    namespace: str | None = None,
    name: str = "",
) -> Diagnosis:
    """Run the checks of the cluster once, and those of a cache for each cache.

    `namespace` and `name` narrow down which caches are checked; all of them are known to each.
    """
    caches = tuple(build_caches(snapshot))
    selected = [
        cache
        for cache in caches
        if namespace in (None, cache.namespace) and name in ("", cache.name)
    ]
    memo: dict[str, Any] = {}
    results = []
    for check in checks:
        if check.scope is Scope.CLUSTER:
            results.append(_run_check(check, CheckContext(snapshot, caches, None, memo)))
        else:
            results += [
                _run_check(check, CheckContext(snapshot, caches, cache, memo)) for cache in selected
            ]
    results = _drop_explained_fallbacks(results)
    problems = [problem for outcome in results for problem in outcome.problems]
    _assign_causes(problems)
    roots = [problem for problem in problems if problem.cause is None]
    read = compute_coverage(snapshot, namespace, (outcome.read_failed for outcome in results))
    return Diagnosis(results, roots, [(cache.namespace, cache.name) for cache in selected], read)


def _run_check(check: Check, context: CheckContext) -> CheckResult:
    cache = context.subject
    key = (cache.namespace, cache.name) if cache else None
    for need in check.needs:
        reason, unread = _unreadable(context, need)
        if reason:
            return CheckResult(check, key, skip_reason=reason, read_failed=unread)
    try:
        findings = list(check.run(context))
    except CheckSkippedError as skip:
        return CheckResult(check, key, skip_reason=str(skip), read_failed=skip.read_failed)
    except Exception as err:  # noqa: BLE001 - a bug in one check must not hide the findings of others
        return CheckResult(check, key, skip_reason=f"{CHECK_CRASHED}: {type(err).__name__}: {err}")
    if not findings:
        return CheckResult(check, key)
    from kubectl_fluidmodel.doctor.redaction import redact_finding  # most checks find nothing

    silenced = cache is not None and check.code in _silenced_codes(cache)
    return CheckResult(
        check,
        key,
        tuple(Problem(check, redact_finding(finding), key, silenced) for finding in findings),
    )


def _drop_explained_fallbacks(results: Sequence[CheckResult]) -> list[CheckResult]:
    """The results; fallback checks lose findings that another failure explains."""
    explained = {
        (problem.cache, code)
        for outcome in results
        for problem in outcome.problems
        if not outcome.check.fallback and not problem.silenced
        if (problem.finding.severity or outcome.check.severity) is Severity.ERROR
        for code in outcome.check.explains
    }
    return [
        replace(result, problems=())
        if result.check.fallback
        and explained & {(result.cache, result.check.code), (None, result.check.code)}
        else result
        for result in results
    ]


def _unreadable(context: CheckContext, need: Kind | RequiredKind) -> tuple[str, bool]:
    """Why a needed kind is not available.

    Returns:
        The reason, empty if the kind was read; and whether reading it failed.
    """
    kind, namespace = (need.kind, need.namespace) if isinstance(need, RequiredKind) else (need, "")
    if not namespace and context.subject is not None and kind.namespaced:
        namespace = context.subject.namespace
    missing = context.snapshot.read_failure(kind, namespace)
    if missing is not None:
        return read_failure_reason(missing), True
    if kind.group in (names.GROUP, dynamo.GROUP) and not context.snapshot.is_served(kind):
        return f"the cluster does not have {kind.resource}", False
    return "", False


def _silenced_codes(cache: Cache) -> set[str]:
    if cache.dataset is None:
        return set()
    text = str(annotations_of(cache.dataset).get(SILENCE_ANNOTATION, ""))
    return {word.strip().upper() for word in text.split(",")}


def _assign_causes(problems: Sequence[Problem]) -> None:
    """Set the cause of each problem: the first other that explains it and is not its consequence.

    Candidates are the problems of the same cache, of the cache that the finding names, and of the
    cluster, so the work grows with the number of problems, not with its square.
    """
    explaining: dict[tuple[tuple[str, str] | None, str], list[Problem]] = defaultdict(list)
    for candidate in problems:
        if not candidate.silenced:
            for code in candidate.check.explains:
                explaining[(candidate.cache, code)].append(candidate)
    for problem in problems:
        candidates = [*explaining.get((None, problem.check.code), ())]
        for cache in (problem.cache, problem.finding.other_cache):
            if cache is not None:
                candidates += explaining.get((cache, problem.check.code), ())
        for candidate in candidates:
            if candidate.check is not problem.check and not _is_cause_of(problem, candidate):
                problem.cause = candidate
                candidate.consequences.append(problem)
                break


def _is_cause_of(cause: Problem, effect: Problem) -> bool:
    problem: Problem | None = effect
    while problem is not None:
        if problem is cause:
            return True
        problem = problem.cause
    return False
