"""A Diagnosis as text: the checks of each area with a mark, the problems, and the verdict."""

from __future__ import annotations

import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from kubectl_fluidmodel.doctor.check import AREAS, Check, Severity
from kubectl_fluidmodel.doctor.diagnosis import (
    FAILED,
    PARTIAL,
    PASSED,
    SILENCED,
    SKIPPED,
    UNCHECKED,
    WARNED,
    CheckResult,
    Diagnosis,
    Problem,
)
from kubectl_fluidmodel.doctor.report import docs_link
from kubectl_fluidmodel.output.escaping import escape_control, one_line
from kubectl_fluidmodel.output.units import format_duration, pluralize, summarize
from kubectl_fluidmodel.records import dataclass

_STATE_ORDER = (FAILED, WARNED, SILENCED, PASSED, SKIPPED)
"""Of one check over several caches, the worst state is shown."""
_MARKS = {FAILED: "✗", WARNED: "!", PASSED: "✓", SKIPPED: "\u2013", SILENCED: "\u2013"}
_COLORS = {FAILED: "31", WARNED: "33", PASSED: "32", SKIPPED: "2", SILENCED: "2"}
_ASCII = str.maketrans({"✗": "x", "✓": "+", "\u2013": "-", "…": "..."})
_MAX_SHOWN = 2
"""Evidence, and other affected objects, that the default view shows at most."""
_LABEL_WIDTH = 10


@dataclass(frozen=True)
class ReportStyle:
    """What the terminal supports, and how much to show."""

    mode: str = "default"
    """`default`, `short` (problems only) or `wide` (all evidence in full)."""
    color: bool = False
    ascii: bool = False
    width: int | None = None
    """Columns to wrap at; None if the output is not a terminal and lines are not wrapped."""

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code else text


def render_diagnosis(diagnosis: Diagnosis, style: ReportStyle, seconds: float) -> str:
    """The report as text."""
    blocks: list[list[str]] = []
    if style.mode != "short":
        blocks += [_render_area(title, diagnosis, style) for title in AREAS.values()]
    blocks += [_render_group(group, style) for group in group_problems(diagnosis)]
    blocks.append([_render_verdict(diagnosis, style, seconds)])
    text = "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"
    return text.translate(_ASCII).encode("ascii", "replace").decode() if style.ascii else text


# -- the checks ----------------------------------------------------------------------------------


def _render_area(title: str, diagnosis: Diagnosis, style: ReportStyle) -> list[str]:
    by_check: dict[str, list[CheckResult]] = defaultdict(list)
    for outcome in diagnosis.results:
        if outcome.check.area == title:
            by_check[outcome.check.code].append(outcome)
    rows = [results for _, results in sorted(by_check.items())]
    groups = _group_by_skip_reason(rows) if style.mode != "wide" else {}
    lines: list[str] = []
    for row in rows:
        code = row[0].check.code
        codes = groups.get(code, [code])
        if len(codes) == 1:
            lines += _render_check(row, style)
        elif code == codes[0]:
            code_range = f"{len(codes)} checks, {codes[0]} to {codes[-1]}"
            lines += _render_line(SKIPPED, code_range, _check_note(row, SKIPPED), style)
    return [style.paint(title, "1"), *lines] if lines else []


def _group_by_skip_reason(rows: Iterable[Sequence[CheckResult]]) -> dict[str, list[str]]:
    """The code of each skipped check to all codes skipped for the same reason."""
    by_why: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if all(outcome.state == SKIPPED for outcome in row):
            by_why[_check_note(row, SKIPPED)].append(row[0].check.code)
    return {code: codes for codes in by_why.values() for code in codes}


def _render_check(results: Sequence[CheckResult], style: ReportStyle) -> list[str]:
    check = results[0].check
    state = min((outcome.state for outcome in results), key=_STATE_ORDER.index)
    return _render_line(state, f"{check.code} {check.title}", _check_note(results, state), style)


def _render_line(state: str, title: str, note: str, style: ReportStyle) -> list[str]:
    """Mark, title and note; the note goes below where the terminal is narrow."""
    head = f"{_mark(state, style)} {title}"
    if not note:
        return [head]
    if style.width is None or len(f"{_MARKS[state]} {title}  ({note})") <= style.width:
        return [head + style.paint(f"  ({note})", "2")]
    indent = " " * len("- FM000 ")
    below = _wrap(f"({note})", indent, f"{indent} ", style)
    return [head, *(style.paint(line, "2") for line in below)]


def _check_note(results: Sequence[CheckResult], state: str) -> str:
    count = Counter(outcome.state for outcome in results)
    is_several = len(results) > 1
    if state in (FAILED, WARNED):
        failures = count[FAILED] + count[WARNED]
        return f"{failures} of {pluralize(len(results), 'cache')}" if is_several else ""
    if state == SILENCED:
        return "silenced" + (f", {count[SILENCED]} of {len(results)} caches" if is_several else "")
    if count[SKIPPED]:
        reasons = dict.fromkeys(outcome.skip_reason for outcome in results if outcome.skip_reason)
        share = f"{count[SKIPPED]} of {len(results)} caches " if count[PASSED] else ""
        rest = f"; and {len(reasons) - 1} more reasons" if len(reasons) > 1 else ""
        return f"{share}skipped: {one_line(next(iter(reasons)), 160)}{rest}"
    return ""


def _mark(state: str, style: ReportStyle) -> str:
    return style.paint(_MARKS[state], _COLORS[state])


# -- the problems --------------------------------------------------------------------------------


def group_problems(diagnosis: Diagnosis) -> list[list[Problem]]:
    """The root problems, grouped by cause: failures first, then by code."""
    by_cause: dict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in diagnosis.roots:
        if not problem.silenced:
            by_cause[(problem.check.code, _cause_pattern(problem))].append(problem)
    return sorted(
        by_cause.values(),
        key=lambda group: (group[0].severity is not Severity.ERROR, group[0].check.code),
    )


def _cause_pattern(problem: Problem) -> str:
    """The cause without names and numbers, so that the same cause of other caches is equal."""
    text = problem.finding.cause
    own_names = [problem.finding.about, problem.finding.about.partition(" ")[2]]
    own_names += (
        ["/".join(problem.cache), problem.cache[1], problem.cache[0]] if problem.cache else []
    )
    own_names.append(problem.finding.about.rpartition("/")[2])
    for name in sorted({name for name in own_names if name}, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "*", text)
    return f"{problem.severity.value} " + re.sub(r"\d+", "#", text)


def _render_group(group: Sequence[Problem], style: ReportStyle) -> list[str]:
    first = group[0]
    state = FAILED if first.severity is Severity.ERROR else WARNED
    head = f"{_mark(state, style)} {first.check.code} "
    lines = [head + style.paint(escape_control(first.finding.about), "1")]
    lines += _wrap(first.finding.cause, "  ", "  ", style)
    wide = style.mode == "wide"
    objects = list(dict.fromkeys(problem.finding.about for problem in group[1:]))
    objects = [about for about in objects if about != first.finding.about]
    if objects:
        lines += _render_labelled("also", summarize(objects, len(objects) if wide else 6), style)
    evidence = first.finding.evidence
    for item in evidence if wide else evidence[:_MAX_SHOWN]:
        text = _shorten(item.text, style)
        lines += _render_labelled("seen", f"{item.object}, {item.location}: {text}", style)
    if not wide and len(evidence) > _MAX_SHOWN:
        lines += _render_labelled("", f"and {len(evidence) - _MAX_SHOWN} more (-o wide)", style)
    lines += _render_consequences(group, style)
    fix = first.finding.fix
    if fix is not None:
        label = "fix" if fix.how != "yaml" else "fix with"
        for number, line in enumerate(fix.text.splitlines()):
            shown = style.paint(escape_control(line), "36" if fix.how != "advice" else "")
            lines.append(f"  {(label if number == 0 else '').ljust(_LABEL_WIDTH)}{shown}")
        if fix.where:
            lines += _render_labelled("in", fix.where, style)
    lines += _render_labelled("more", docs_link(first.check.code), style)
    return lines


def _render_consequences(group: Sequence[Problem], style: ReportStyle) -> list[str]:
    by_check: dict[str, list[Problem]] = defaultdict(list)
    for problem in group:
        for consequence in _all_consequences(problem):
            by_check[consequence.check.code].append(consequence)
    lines: list[str] = []
    for code, problems in sorted(by_check.items()):
        abouts = list(dict.fromkeys(problem.finding.about for problem in problems))
        shown = summarize(abouts, len(abouts) if style.mode == "wide" else _MAX_SHOWN)
        text = f"{code} {shown}: {problems[0].finding.cause}"
        lines += _render_labelled("so" if not lines else "", _shorten(text, style), style)
    return lines


def _all_consequences(problem: Problem) -> Iterable[Problem]:
    for consequence in problem.consequences:
        if not consequence.silenced:
            yield consequence
        yield from _all_consequences(consequence)


def _shorten(text: str, style: ReportStyle) -> str:
    return escape_control(" ".join(text.split())) if style.mode == "wide" else one_line(text)


def _render_labelled(label: str, text: str, style: ReportStyle) -> list[str]:
    start = f"  {label.ljust(_LABEL_WIDTH)}"
    return _wrap(text, start, " " * len(start), style)


def _wrap(text: str, first: str, rest: str, style: ReportStyle) -> list[str]:
    flat = escape_control(" ".join(text.split()))
    if style.width is None:
        return [first + flat]
    return textwrap.wrap(
        flat,
        max(style.width, 40),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first]


# -- the verdict ---------------------------------------------------------------------------------


def _render_verdict(diagnosis: Diagnosis, style: ReportStyle, seconds: float) -> str:
    loud = [problem for problem in diagnosis.problems if not problem.silenced]
    roots = [problem for problem in diagnosis.roots if not problem.silenced]
    errors = sum(problem.severity is Severity.ERROR for problem in roots)
    warnings = len(roots) - errors
    consequences = len(loud) - len(roots)
    if diagnosis.verdict == UNCHECKED:
        text, state = f"{diagnosis.coverage.nothing_checked} (docs/rbac.md has the Role)", FAILED
    elif diagnosis.failed:
        text = pluralize(errors, "failure")
        text += f" with {pluralize(consequences, 'consequence')}" if consequences else ""
        text += f", {pluralize(warnings, 'warning')}" if warnings else ""
        state = FAILED
    elif diagnosis.verdict == PARTIAL:
        text = pluralize(warnings, "warning") if warnings else "nothing wrong"
        unread = summarize(diagnosis.coverage.unread_kinds, 6)
        text += f" in what could be read; not checked: {unread}"
        state = WARNED
    elif warnings:
        text, state = f"healthy, with {pluralize(warnings, 'warning')}", WARNED
    else:
        text, state = "healthy", PASSED
    checks: set[Check] = {outcome.check for outcome in diagnosis.results}
    skipped = {outcome.check.code for outcome in diagnosis.results if outcome.state == SKIPPED}
    silenced = sum(problem.silenced for problem in diagnosis.problems)
    subject = pluralize(len(diagnosis.caches), "cache") if diagnosis.caches else "no cache"
    text += f": {pluralize(len(checks), 'check')}, {subject}, {_format_seconds(seconds)}"
    text += f"; {len(skipped)} skipped" if skipped else ""
    text += f"; {silenced} silenced" if silenced else ""
    return f"{_mark(state, style)} {style.paint(text, '1')}"


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 10 else format_duration(seconds)
