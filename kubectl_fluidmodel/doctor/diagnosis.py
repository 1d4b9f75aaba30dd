"""Running checks over a Snapshot: what each found, what was skipped, and which finding is the root.

A finding whose code another's check explains, of the same cache or of the whole cluster, is a
consequence: it is folded under its cause, and so on to the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kubectl_fluidmodel.doctor.check import Case, Check, Finding, Scope, Severity, Skip
from kubectl_fluidmodel.kube.kind import annotations_of
from kubectl_fluidmodel.overview.cached import Cached, link
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

SILENCE = "fluidmodel.io/silence"
"""Annotation on a Dataset: codes, by comma, that are shown as silenced and count for nothing."""


@dataclass
class Problem:
    """A finding in its place: which check, which cache, what it leads to."""

    check: Check
    finding: Finding
    cache: tuple[str, str] | None
    """(namespace, name); None for a finding about the cluster."""
    silenced: bool = False
    cause: Problem | None = None
    consequences: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """How one check went for one cache, or for the cluster (cache is None)."""

    check: Check
    cache: tuple[str, str] | None
    problems: tuple[Problem, ...] = ()
    skipped: str = ""
    """Why it could not judge; empty where it did."""

    @property
    def failed(self) -> bool:
        loud = [each for each in self.problems if not each.silenced]
        return bool(loud) and self.check.severity is Severity.ERROR


@dataclass
class Diagnosis:
    """All outcomes, and the findings that nothing else explains."""

    outcomes: list[Outcome]
    roots: list[Problem]

    @property
    def failed(self) -> bool:
        return any(outcome.failed for outcome in self.outcomes)


def diagnose(
    snapshot: Snapshot, checks: Sequence[Check], only: tuple[str, str] | None = None
) -> Diagnosis:
    """Run the checks: those of the cluster once, those of a cache for each (or for `only` one)."""
    caches = tuple(link(snapshot))
    about = [each for each in caches if only is None or (each.namespace, each.name) == only]
    outcomes = []
    for check in checks:
        if check.scope is Scope.CLUSTER:
            outcomes.append(_run(check, Case(snapshot, caches)))
        else:
            outcomes += [_run(check, Case(snapshot, caches, cache)) for cache in about]
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    _link(problems)
    return Diagnosis(outcomes, [problem for problem in problems if problem.cause is None])


def _run(check: Check, case: Case) -> Outcome:
    cache = case.cache
    key = (cache.namespace, cache.name) if cache else None
    for kind in check.needs:
        missing = case.snapshot.why_missing(kind)
        if missing is not None:
            why = f"no permission to list {kind.resource}" if missing.forbidden else str(missing)
            return Outcome(check, key, skipped=why)
    try:
        found = list(check.judge(case))
    except Skip as skip:
        return Outcome(check, key, skipped=str(skip))
    silenced = cache is not None and check.code in _silenced(cache)
    return Outcome(check, key, tuple(Problem(check, each, key, silenced) for each in found))


def _silenced(cache: Cached) -> set[str]:
    if cache.dataset is None:
        return set()
    text = annotations_of(cache.dataset).get(SILENCE, "")
    return {word.strip().upper() for word in text.split(",")}


def _link(problems: Iterable[Problem]) -> None:
    """Give each problem its cause: the first other that explains it and is not its consequence."""
    listed = list(problems)
    for problem in listed:
        for other in listed:
            near = other.cache is None or other.cache == problem.cache
            explains = problem.check.code in other.check.explains
            if near and explains and not other.silenced and not _leads_to(problem, other):
                problem.cause = other
                other.consequences.append(problem)
                break


def _leads_to(cause: Problem, effect: Problem) -> bool:
    here: Problem | None = effect
    while here is not None:
        if here is cause:
            return True
        here = here.cause
    return False
