"""A Diagnosis as JUnit XML: one suite per area, one test case per check and cache. Pure."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from kubectl_fluidmodel.doctor.check import AREAS
from kubectl_fluidmodel.doctor.diagnosis import FAILED, SKIPPED, CheckResult, Diagnosis, Problem

_INVALID_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow."""


def to_junit(diagnosis: Diagnosis, seconds: float) -> str:
    """The XML; warnings go to `system-out`, because JUnit has none."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    results = diagnosis.results
    nothing_checked = diagnosis.coverage.nothing_checked
    counts = f'{_counts(results, nothing_checked)} time="{seconds:.2f}"'
    lines.append(f'<testsuites name="kubectl fluidmodel doctor" {counts}>')
    for area in AREAS.values():
        in_area = [outcome for outcome in results if outcome.check.area == area]
        if in_area:
            lines.append(f"  <testsuite name={_quote(area)} {_counts(in_area)}>")
            lines += [_test_case(outcome) for outcome in in_area]
            lines.append("  </testsuite>")
    if nothing_checked:
        lines += [
            f'  <testsuite name="Coverage" {_counts([], nothing_checked)}>',
            '    <testcase classname="cluster" name="what is to be checked can be read">'
            f"<failure message={_quote(nothing_checked)}/></testcase>",
            "  </testsuite>",
        ]
    lines.append("</testsuites>")
    return "\n".join(lines) + "\n"


def _counts(results: list[CheckResult], nothing_checked: str = "") -> str:
    """The attributes; `nothing_checked` is the reason of one more failure."""
    failures = sum(outcome.state == FAILED for outcome in results) + bool(nothing_checked)
    skipped = sum(outcome.state == SKIPPED for outcome in results)
    tests = len(results) + bool(nothing_checked)
    return f'tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}"'


def _test_case(result: CheckResult) -> str:
    class_name = "/".join(result.cache) if result.cache else "cluster"
    name = f"{result.check.code} {result.check.title}"
    start = f"    <testcase classname={_quote(class_name)} name={_quote(name)}"
    if result.skip_reason:
        return f"{start}><skipped message={_quote(result.skip_reason)}/></testcase>"
    if not result.problems:
        return f"{start}/>"
    text = _escape("\n".join(_problem_text(problem) for problem in result.problems))
    if result.state == FAILED:
        first = result.problems[0].finding.cause
        return f"{start}><failure message={_quote(first)}>{text}</failure></testcase>"
    return f"{start}><system-out>{text}</system-out></testcase>"


def _problem_text(problem: Problem) -> str:
    finding = problem.finding
    word = "silenced" if problem.silenced else problem.severity.value
    lines = [f"{word}: {finding.about}: {finding.cause}"]
    lines += [
        f"seen: {evidence.object}, {evidence.location}: {evidence.text}"
        for evidence in finding.evidence
    ]
    if problem.cause is not None:
        lines.append(f"because of: {problem.cause.check.code} {problem.cause.finding.about}")
    if finding.fix is not None:
        location = f" ({finding.fix.where})" if finding.fix.where else ""
        lines.append(f"fix{location}: {finding.fix.text}")
    return "\n".join(lines)


def _escape(text: str) -> str:
    return escape(_INVALID_XML.sub("?", text))


def _quote(text: str) -> str:
    return quoteattr(_INVALID_XML.sub("?", " ".join(text.split())))
