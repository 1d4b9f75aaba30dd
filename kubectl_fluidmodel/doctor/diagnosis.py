"""Running checks over a Snapshot: what each found, what was skipped, and which finding is the root.

A finding whose code another's check explains, of the same cache or of the whole cluster, is a
consequence: it is folded under its cause, and so on to the root.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kubectl_fluidmodel.doctor.check import (
    Case,
    Check,
    Finding,
    Fix,
    Need,
    Scope,
    Severity,
    Skip,
    unread,
)
from kubectl_fluidmodel.doctor.coverage import Coverage, coverage
from kubectl_fluidmodel.dynamo import resources as dynamo
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cached, link
from kubectl_fluidmodel.objects.access import annotations_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.shell import Command
from kubectl_fluidmodel.snapshot import redact
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

SILENCE = "fluidmodel.io/silence"
"""Annotation on a Dataset: codes, by comma, that are shown as silenced and count for nothing."""
BROKEN = "this check itself failed, please report it"
"""How an outcome says that its judge raised; tests call judges outright, and nothing is caught."""

FAILED, WARNED, SKIPPED, SILENCED, PASSED = "failed", "warned", "skipped", "silenced", "passed"
"""How a check can have gone."""
HEALTHY, WARNINGS, PARTIAL, UNHEALTHY, UNCHECKED = (
    "healthy",
    "warnings",
    "partial",
    "unhealthy",
    "unchecked",
)
"""What a diagnosis comes to."""


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

    @property
    def severity(self) -> Severity:
        """Its own, or that of what it leads to: a cause is as bad as its worst consequence."""
        loud = [each for each in self.consequences if not each.silenced]
        if any(each.severity is Severity.ERROR for each in loud):
            return Severity.ERROR
        return self.finding.severity or self.check.severity


@dataclass(frozen=True)
class Outcome:
    """How one check went for one cache, or for the cluster (cache is None)."""

    check: Check
    cache: tuple[str, str] | None
    problems: tuple[Problem, ...] = ()
    skipped: str = ""
    """Why it could not judge; empty where it did."""
    unread: bool = False
    """Whether that is because something could not be read."""

    @property
    def state(self) -> str:
        """`failed`, `warned`, `skipped`, `silenced` (all that it found) or `passed`."""
        if self.skipped:
            return SKIPPED
        loud = [each.severity for each in self.problems if not each.silenced]
        if Severity.ERROR in loud:
            return FAILED
        if loud:
            return WARNED
        return SILENCED if self.problems else PASSED


@dataclass
class Diagnosis:
    """All outcomes, and the findings that nothing else explains."""

    outcomes: list[Outcome]
    roots: list[Problem]
    caches: list[tuple[str, str]] = field(default_factory=list)
    """(namespace, name) of those that were judged."""
    coverage: Coverage = field(default_factory=Coverage)

    @property
    def failed(self) -> bool:
        """Whether something is wrong, or nothing was judged: what an exit code is made of."""
        return self.verdict in (UNHEALTHY, UNCHECKED)

    @property
    def verdict(self) -> str:
        """HEALTHY and WARNINGS only where all that matters was read, else PARTIAL."""
        states = {outcome.state for outcome in self.outcomes}
        if FAILED in states:
            return UNHEALTHY
        if self.coverage.nothing:
            return UNCHECKED
        if self.coverage.unread:
            return PARTIAL
        return WARNINGS if WARNED in states else HEALTHY

    @property
    def problems(self) -> list[Problem]:
        """All of them, by code and then by cache."""
        return [problem for outcome in self.outcomes for problem in outcome.problems]


def diagnose(
    snapshot: Snapshot,
    checks: Sequence[Check],
    *,
    namespace: str | None = None,
    name: str = "",
) -> Diagnosis:
    """Run the checks: those of the cluster once, those of a cache for each.

    `namespace` and `name` narrow down which caches are judged; all of them are known to each.
    """
    caches = tuple(link(snapshot))
    about = [
        each for each in caches if namespace in (None, each.namespace) and name in ("", each.name)
    ]
    memo: dict[str, Any] = {}
    outcomes = []
    for check in checks:
        if check.scope is Scope.CLUSTER:
            outcomes.append(_run(check, Case(snapshot, caches, None, memo)))
        else:
            outcomes += [_run(check, Case(snapshot, caches, cache, memo)) for cache in about]
    outcomes = _needed(outcomes)
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    _link(problems)
    roots = [problem for problem in problems if problem.cause is None]
    seen = coverage(snapshot, namespace, (outcome.unread for outcome in outcomes))
    return Diagnosis(outcomes, roots, [(each.namespace, each.name) for each in about], seen)


def _run(check: Check, case: Case) -> Outcome:
    cache = case.cache
    key = (cache.namespace, cache.name) if cache else None
    for need in check.needs:
        why, unread = _out_of_sight(case, need)
        if why:
            return Outcome(check, key, skipped=why, unread=unread)
    try:
        found = list(check.judge(case))
    except Skip as skip:
        return Outcome(check, key, skipped=str(skip), unread=skip.unread)
    except Exception as err:  # noqa: BLE001 - one check's mistake must not hide what others found
        return Outcome(check, key, skipped=f"{BROKEN}: {type(err).__name__}: {err}")
    silenced = cache is not None and check.code in _silenced(cache)
    return Outcome(
        check, key, tuple(Problem(check, _redacted(each), key, silenced) for each in found)
    )


def _needed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, those of fallback checks without findings where a failure explains them."""
    told = {
        (problem.cache, code)
        for outcome in outcomes
        for problem in outcome.problems
        if not outcome.check.fallback and not problem.silenced
        if (problem.finding.severity or outcome.check.severity) is Severity.ERROR
        for code in outcome.check.explains
    }
    return [
        replace(each, problems=())
        if each.check.fallback and told & {(each.cache, each.check.code), (None, each.check.code)}
        else each
        for each in outcomes
    ]


def _redacted(finding: Finding) -> Finding:
    """What is shown of server data has no secrets in it, whoever put them there."""
    return replace(
        finding,
        cause=redact.text(finding.cause),
        evidence=tuple(replace(each, text=redact.text(each.text)) for each in finding.evidence),
        fix=_fix_redacted(finding.fix) if finding.fix else None,
    )


def _fix_redacted(fix: Fix) -> Fix:
    """A fix without secrets; a command stays one that can be pasted, or is none any more."""
    if not isinstance(fix.text, Command):
        return replace(fix, text=redact.text(fix.text))
    text = fix.text.mapped(redact.text)
    whole = redact.text(text)
    return replace(fix, text=text) if whole == text else Fix(whole, "advice")


def _out_of_sight(case: Case, need: Kind | Need) -> tuple[str, bool]:
    """Why a kind cannot be judged by, empty where it was read; whether reading it failed."""
    kind, namespace = (need.kind, need.namespace) if isinstance(need, Need) else (need, "")
    if not namespace and case.cache is not None and kind.namespaced:
        namespace = case.cache.namespace
    missing = case.snapshot.why_missing(kind, namespace)
    if missing is not None:
        return unread(missing), True
    if kind.group in (names.GROUP, dynamo.GROUP) and not case.snapshot.served(kind):
        return f"the cluster does not have {kind.resource}", False
    return "", False


def _silenced(cache: Cached) -> set[str]:
    if cache.dataset is None:
        return set()
    text = str(annotations_of(cache.dataset).get(SILENCE, ""))
    return {word.strip().upper() for word in text.split(",")}


def _link(problems: Sequence[Problem]) -> None:
    """Give each problem its cause: the first other that explains it and is not its consequence.

    What explains a code is looked up among the problems of the same cache, of the one that the
    finding names and of the cluster, so that the work grows with the number of problems, not with
    its square.
    """
    explaining: dict[tuple[tuple[str, str] | None, str], list[Problem]] = defaultdict(list)
    for other in problems:
        if not other.silenced:
            for code in other.check.explains:
                explaining[(other.cache, code)].append(other)
    for problem in problems:
        near = [*explaining.get((None, problem.check.code), ())]
        for cache in (problem.cache, problem.finding.other):
            if cache is not None:
                near += explaining.get((cache, problem.check.code), ())
        for other in near:
            if other.check is not problem.check and not _leads_to(problem, other):
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
