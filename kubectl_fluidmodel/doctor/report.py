"""A Diagnosis as the `Diagnosis` document of docs/output.md. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import Any

from kubectl_fluidmodel.doctor.check import Fix, Severity
from kubectl_fluidmodel.doctor.diagnosis import (
    FAILED,
    PASSED,
    SILENCED,
    SKIPPED,
    WARNED,
    Diagnosis,
    Outcome,
    Problem,
)
from kubectl_fluidmodel.snapshot.snapshot import API_VERSION, Snapshot

KIND = "Diagnosis"
DOCS = "docs/reference/checks.md"


def docs_of(code: str) -> str:
    """The section of a check, as the fix of a finding points to it."""
    return f"{DOCS}#{code.lower()}"


def document(found: Diagnosis, snapshot: Snapshot) -> dict[str, Any]:
    """The whole diagnosis as JSON-like data."""
    ids = {id(problem): f"P{number}" for number, problem in enumerate(found.problems, 1)}
    states = Counter(outcome.state for outcome in found.outcomes)
    taken = datetime.fromtimestamp(snapshot.taken, timezone.utc)
    loud = [problem for problem in found.problems if not problem.silenced]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "namespace": snapshot.namespace,
        "taken": taken.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "server": snapshot.server,
        "healthy": not found.failed,
        "verdict": found.verdict,
        "notChecked": list(found.coverage.unread),
        "caches": [{"namespace": namespace, "name": name} for namespace, name in found.caches],
        "summary": {
            **{state: states[state] for state in (PASSED, WARNED, FAILED, SKIPPED, SILENCED)},
            "errors": sum(problem.severity is Severity.ERROR for problem in loud),
            "warnings": sum(problem.severity is Severity.WARNING for problem in loud),
            "roots": sum(not problem.silenced for problem in found.roots),
        },
        "problems": [_problem(problem, ids) for problem in found.problems],
        "checks": [_outcome(outcome, ids) for outcome in found.outcomes],
        "notSeen": [str(missing) for missing in snapshot.missing],
    }


def _cache(key: tuple[str, str] | None) -> dict[str, str] | None:
    return {"namespace": key[0], "name": key[1]} if key else None


def _problem(problem: Problem, ids: dict[int, str]) -> dict[str, Any]:
    finding = problem.finding
    return {
        "id": ids[id(problem)],
        "code": problem.check.code,
        "severity": problem.severity.value,
        "cache": _cache(problem.cache),
        "about": finding.about,
        "cause": finding.cause,
        "evidence": [vars(each) for each in finding.evidence],
        "fix": _fix(finding.fix),
        "causedBy": ids[id(problem.cause)] if problem.cause else None,
        "silenced": problem.silenced,
        "docs": docs_of(problem.check.code),
    }


def _fix(fix: Fix | None) -> dict[str, str] | None:
    return {"how": fix.how, "text": str(fix.text), "where": fix.where} if fix else None


def _outcome(outcome: Outcome, ids: dict[int, str]) -> dict[str, Any]:
    return {
        "code": outcome.check.code,
        "title": outcome.check.title,
        "area": outcome.check.area,
        "cache": _cache(outcome.cache),
        "state": outcome.state,
        "skipped": outcome.skipped or None,
        "problems": [ids[id(problem)] for problem in outcome.problems],
    }
