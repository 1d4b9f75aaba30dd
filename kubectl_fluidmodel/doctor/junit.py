"""A Diagnosis as JUnit XML: a suite for each area, a case for each check of each cache. Pure."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from kubectl_fluidmodel.doctor.check import AREAS
from kubectl_fluidmodel.doctor.diagnosis import FAILED, SKIPPED, Diagnosis, Outcome, Problem

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold at all."""


def document(found: Diagnosis, seconds: float) -> str:
    """The XML; warnings are in `system-out`, because JUnit knows none."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    every = found.outcomes
    blind = found.coverage.nothing
    counts = f'{_counts(every, blind)} time="{seconds:.2f}"'
    lines.append(f'<testsuites name="kubectl fluidmodel doctor" {counts}>')
    for area in AREAS.values():
        outcomes = [outcome for outcome in every if outcome.check.area == area]
        if outcomes:
            lines.append(f"  <testsuite name={_quoted(area)} {_counts(outcomes)}>")
            lines += [_case(outcome) for outcome in outcomes]
            lines.append("  </testsuite>")
    if blind:
        lines += [
            f'  <testsuite name="Coverage" {_counts([], blind)}>',
            '    <testcase classname="cluster" name="what is to be checked can be read">'
            f"<failure message={_quoted(blind)}/></testcase>",
            "  </testsuite>",
        ]
    lines.append("</testsuites>")
    return "\n".join(lines) + "\n"


def _counts(outcomes: list[Outcome], blind: str = "") -> str:
    """The attributes; `blind` is one more failure, why nothing was judged."""
    failures = sum(outcome.state == FAILED for outcome in outcomes) + bool(blind)
    skipped = sum(outcome.state == SKIPPED for outcome in outcomes)
    tests = len(outcomes) + bool(blind)
    return f'tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}"'


def _case(outcome: Outcome) -> str:
    where = "/".join(outcome.cache) if outcome.cache else "cluster"
    name = f"{outcome.check.code} {outcome.check.title}"
    start = f"    <testcase classname={_quoted(where)} name={_quoted(name)}"
    if outcome.skipped:
        return f"{start}><skipped message={_quoted(outcome.skipped)}/></testcase>"
    if not outcome.problems:
        return f"{start}/>"
    text = _clean("\n".join(_told(problem) for problem in outcome.problems))
    if outcome.state == FAILED:
        first = outcome.problems[0].finding.cause
        return f"{start}><failure message={_quoted(first)}>{text}</failure></testcase>"
    return f"{start}><system-out>{text}</system-out></testcase>"


def _told(problem: Problem) -> str:
    finding = problem.finding
    word = "silenced" if problem.silenced else problem.severity.value
    lines = [f"{word}: {finding.about}: {finding.cause}"]
    lines += [f"seen: {each.object}, {each.place}: {each.text}" for each in finding.evidence]
    if problem.cause is not None:
        lines.append(f"because of: {problem.cause.check.code} {problem.cause.finding.about}")
    if finding.fix is not None:
        where = f" ({finding.fix.where})" if finding.fix.where else ""
        lines.append(f"fix{where}: {finding.fix.text}")
    return "\n".join(lines)


def _clean(text: str) -> str:
    return escape(_NO_XML.sub("?", text))


def _quoted(text: str) -> str:
    return quoteattr(_NO_XML.sub("?", " ".join(text.split())))
