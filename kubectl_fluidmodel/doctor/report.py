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
    CheckResult,
    Diagnosis,
    Problem,
)
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

KIND = "Diagnosis"
CHECKS_DOC = "docs/reference/checks.md"


def docs_link(code: str) -> str:
    """The documentation of a check, as findings link to it."""
    return f"{CHECKS_DOC}#{code.lower()}"


def diagnosis_document(diagnosis: Diagnosis, snapshot: Snapshot) -> dict[str, Any]:
    """The whole diagnosis as JSON-like data."""
    ids = {id(problem): f"P{number}" for number, problem in enumerate(diagnosis.problems, 1)}
    states = Counter(outcome.state for outcome in diagnosis.results)
    taken_at = datetime.fromtimestamp(snapshot.taken_at, timezone.utc)
    loud = [problem for problem in diagnosis.problems if not problem.silenced]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "namespace": snapshot.namespace,
        "taken": taken_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "server": snapshot.server_version,
        "healthy": not diagnosis.failed,
        "verdict": diagnosis.verdict,
        "notChecked": list(diagnosis.coverage.unread_kinds),
        "caches": [{"namespace": namespace, "name": name} for namespace, name in diagnosis.caches],
        "summary": {
            **{state: states[state] for state in (PASSED, WARNED, FAILED, SKIPPED, SILENCED)},
            "errors": sum(problem.severity is Severity.ERROR for problem in loud),
            "warnings": sum(problem.severity is Severity.WARNING for problem in loud),
            "roots": sum(not problem.silenced for problem in diagnosis.roots),
        },
        "problems": [_problem_document(problem, ids) for problem in diagnosis.problems],
        "checks": [_check_document(outcome, ids) for outcome in diagnosis.results],
        "notSeen": [str(missing) for missing in snapshot.read_failures],
    }


def _cache_document(key: tuple[str, str] | None) -> dict[str, str] | None:
    return {"namespace": key[0], "name": key[1]} if key else None


def _problem_document(problem: Problem, ids: dict[int, str]) -> dict[str, Any]:
    finding = problem.finding
    return {
        "id": ids[id(problem)],
        "code": problem.check.code,
        "severity": problem.severity.value,
        "cache": _cache_document(problem.cache),
        "about": finding.about,
        "cause": finding.cause,
        "evidence": [
            {"object": evidence.object, "place": evidence.location, "text": evidence.text}
            for evidence in finding.evidence
        ],
        "fix": _fix_document(finding.fix),
        "causedBy": ids[id(problem.cause)] if problem.cause else None,
        "silenced": problem.silenced,
        "docs": docs_link(problem.check.code),
    }


def _fix_document(fix: Fix | None) -> dict[str, str] | None:
    return {"how": fix.how, "text": str(fix.text), "where": fix.where} if fix else None


def _check_document(result: CheckResult, ids: dict[int, str]) -> dict[str, Any]:
    return {
        "code": result.check.code,
        "title": result.check.title,
        "area": result.check.area,
        "cache": _cache_document(result.cache),
        "state": result.state,
        "skipped": result.skip_reason or None,
        "problems": [ids[id(problem)] for problem in result.problems],
    }
