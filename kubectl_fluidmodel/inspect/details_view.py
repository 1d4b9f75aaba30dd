"""One cache in depth: sections in the order of the story."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubectl_fluidmodel.inspect.details import Inspection
from kubectl_fluidmodel.inspect.table_view import (
    NONE,
    UNKNOWN,
    cached,
    percent,
    phase_style,
    reading,
    total,
    where,
)
from kubectl_fluidmodel.inventory.readers import paths
from kubectl_fluidmodel.output.table import Cell, Column, cut, paint, table
from kubectl_fluidmodel.output.text import duration, plural, printable, size

_FILES = 12
"""Files that are shown; the rest is counted."""
_MARKS = {"good": "✓", "warn": "!", "bad": "✗", "info": "·"}
_INDENT = 2

Line = tuple[str, str]
"""A text and its style."""


def draw(one: Inspection, *, width: int | None = None, color: bool = False) -> str:
    """All sections; fitted to `width` where one is given."""
    page = Page(width, color)
    page.title(one)
    for heading, section in _SECTIONS:
        page.section(heading, section(page, one))
    return page.text


class Page:
    """What is drawn, and on what."""

    def __init__(self, width: int | None, color: bool) -> None:
        self.width = width
        self.color = color
        self.text = ""

    def title(self, one: Inspection) -> None:
        """The whole story on one line, below the name."""
        share = cached(one)
        words = [one.phase, f"{share.short or share.text} of {total(one)} cached"]
        if one.medium and one.nodes:
            words.append(f"{one.medium} on {where(one).text}")
        words.append(f"readers {reading(one).text} local")
        rest = printable(" · ".join(words))
        rest = rest if self.width is None else cut(rest, self.width)
        style = one.verdict.level if one.phase == "Bound" else phase_style(one.phase)
        self.text += paint(printable(one.name), "bold", self.color) + "\n"
        self.text += paint(rest, style, self.color) + "\n"

    def section(self, heading: str, body: str) -> None:
        if body:
            self.text += "\n" + paint(heading, "bold", self.color) + "\n" + body

    def facts(self, rows: Sequence[tuple[str, str, str]]) -> str:
        """Pairs of a word and a text, with the text's style; long texts go on below."""
        shown = [row for row in rows if row[1]]
        if not shown:
            return ""
        left = max(len(word) for word, _, _ in shown)
        found = ""
        for word, text, style in shown:
            lines = self.wrapped(printable(" ".join(text.split())), left + 2 + _INDENT)
            for index, line in enumerate(lines):
                label = word.ljust(left) if index == 0 else " " * left
                painted = paint(line, style, self.color)
                found += " " * _INDENT + paint(label, "dim", self.color) + f"  {painted}\n"
        return found

    def lines(self, lines: Sequence[Line]) -> str:
        found = ""
        for text, style in lines:
            for line in self.wrapped(printable(" ".join(text.split())), _INDENT):
                found += " " * _INDENT + paint(line, style, self.color) + "\n"
        return found

    def wrapped(self, text: str, indent: int) -> list[str]:
        if self.width is None:
            return [text]
        import textwrap

        room = max(self.width - indent, 20)
        # A command or an address is of use in one piece only.
        return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
        return table(columns, rows, width=self.width, color=self.color, indent=_INDENT)


def _source(page: Page, one: Inspection) -> str:
    rows = [("model", one.uri or UNKNOWN, "")]
    if one.commit:
        rows.append(("commit", one.commit, ""))
    if one.hub is not None:
        if not one.hub.commit:
            rows.append(("hub", f"not asked: {one.hub.why}", "dim"))
        elif one.hub.commit == one.commit:
            rows.append(("hub", "this is the newest commit", "good"))
        else:
            rows.append(("hub", f"has moved on to {one.hub.commit[:12]}", "warn"))
    for point, path in one.mounts:
        if point != one.uri or path != "/":
            rows.append(("mounted", f"{point} at {path}", ""))
    amount = one.amount
    many = f"{plural(amount.files, 'file')}, " if amount.files is not None else ""
    rows.append(("size", f"{many}{total(one)}", ""))
    if amount.changed:
        rows.append(("", f"Fluid counts {size(amount.counted)} there now", "warn"))
    return page.facts(rows)


def _staging(page: Page, one: Inspection) -> str:
    staged = one.staging
    if staged is None:
        return ""
    rows = [("bucket", staged.to, ""), ("manifest", staged.manifest, "")]
    files = plural(staged.files, "file") if staged.files is not None else ""
    amount = ", ".join(filter(None, (files, size(staged.bytes) if staged.bytes else "")))
    if staged.verified:
        when = f", staged {staged.staged_at}" if staged.staged_at else ""
        rows.append(("proven", f"{amount}, every byte{when}", "good"))
    elif staged.verified is False:
        rows.append(("proven", f"no: {staged.why}", "bad"))
    else:
        rows.append(("recorded", amount, ""))
        rows.append(("proven", f"not looked up: {staged.why}" if staged.why else "", "dim"))
    if staged.job:
        style = {"Complete": "good", "Failed": "bad"}.get(staged.job_state, "warn")
        rows.append(("job", f"{staged.job} {staged.job_state}", style))
    return page.facts(rows)


def _dataset(page: Page, one: Inspection) -> str:
    age = f", {duration(one.age)} old" if one.age is not None else ""
    by = ", made by this plugin" if one.ours else ""
    rows = [("phase", f"{one.phase}{age}{by}", phase_style(one.phase))]
    for each in one.conditions:
        said = f"{each.type} {each.status}"
        said += f" ({each.reason})" if each.reason else ""
        said += f": {each.message}" if each.message and each.message != one.message else ""
        rows.append(("condition", said, ""))
    rows.append(("trouble", one.message, "bad"))
    share = cached(one)
    rows.append(("cached", f"{share.text} of {total(one)}", share.style))
    if one.amount.left_out:
        beside = f"{size(one.amount.left_out)} in the source are none of the model's"
        rows.append(("beside it", beside, "dim"))
    if one.amount.capacity is not None:
        rows.append(("capacity", size(one.amount.capacity), ""))
    hits = [f"local {one.hit_local}" if one.hit_local else "", one.hit_remote]
    hits[1] = f"remote {hits[1]}" if hits[1] else ""
    detail = ", ".join(filter(None, hits))
    rows.append(("hit ratio", one.hit + (f" ({detail})" if one.hit and detail else ""), ""))
    for load in one.loads[:3]:
        took = f" in {load.duration}" if load.duration else ""
        style = {"Complete": "good", "Failed": "bad"}.get(load.phase, "warn")
        said = f": {load.message}" if load.message and load.phase == "Failed" else ""
        rows.append(("load", f"{load.name} {load.phase}{took}{said}", style))
    if one.claim is not None:
        rows.append(("claim", one.claim or "is not there", "" if one.claim == "Bound" else "warn"))
    return page.facts(rows)


def _runtime(page: Page, one: Inspection) -> str:
    if not one.runtime:
        return page.lines([("no runtime of this name: nothing holds the cache", "bad")])
    rows = []
    for part in one.parts:
        known = part.ready is not None and part.desired is not None
        ready = f"{part.ready}/{part.desired}" if known else UNKNOWN
        mark, style = _health(part.well)
        said = f"Fluid says {part.phase}" if part.phase else ""
        if part.name == "fuse" and part.phase:
            said += ", as it always does"
        rows.append(
            [
                Cell(f"{mark} {part.name}", style),
                Cell(ready, style),
                Cell(part.object or NONE),
                Cell(said + (f": {part.reason}" if part.reason and not part.well else ""), "dim"),
            ]
        )
    found = page.facts([("kind", ", ".join(one.runtime_kinds), ""), ("note", one.remark, "dim")])
    if len(one.runtime_kinds) > 1:
        found += page.lines([("two runtimes of one name: Fluid takes neither", "bad")])
    heads = (Column("PART"), Column("READY"), Column("OF", least=10), Column("", least=12))
    return found + (page.table(heads, rows) if rows else "")


def _health(well: bool | None) -> tuple[str, str]:
    return ("·", "dim") if well is None else ("✓", "good") if well else ("✗", "bad")


def _nodes(page: Page, one: Inspection) -> str:
    if one.nodes is None:
        return page.lines([(f"{UNKNOWN}: neither pods nor nodes could be read", "dim")])
    if not one.nodes:
        return page.lines([("no node holds it", "warn")])
    heads = (
        Column("NODE", least=10),
        Column("USED"),
        Column("OF"),
        Column("MEDIUM", least=6, keep="tail"),
        Column("HOLDS"),
        Column("READERS"),
        Column("", least=12),
    )
    words = {True: ("the whole model", "good"), False: ("a part", "warn"), None: (UNKNOWN, "dim")}
    rows = []
    for node in one.nodes:
        holds, style = words[node.whole]
        mark, shade = _health(None if node.ready is None else node.ready and not node.trouble)
        rows.append(
            [
                Cell(f"{mark} {node.name}", shade),
                Cell(UNKNOWN if node.used is None else size(node.used)),
                Cell(UNKNOWN if node.capacity is None else size(node.capacity)),
                Cell(" ".join(filter(None, (node.medium, node.path))) or NONE, "", node.medium),
                Cell(holds, style),
                Cell(str(node.readers) if one.readers is not None else UNKNOWN),
                Cell(node.trouble, "warn"),
            ]
        )
    return page.table(heads, rows)


def _files(page: Page, one: Inspection) -> str:
    if one.files is None:
        return page.lines([(one.files_why, "dim")]) if one.files_why else ""
    if not one.files:
        return page.lines([("the master lists no file", "warn")])
    short = [file for file in one.files if file.percent < 100 and file.bytes]
    shown = [*short, *(file for file in one.files if file not in short)][:_FILES]
    shown.sort(key=lambda file: (-file.bytes, file.path))
    rows = []
    for file in shown:
        mark, style = _health(file.percent >= 100 or not file.bytes)
        rows.append(
            [
                Cell(f"{mark} {file.path}", style),
                Cell(size(file.bytes)),
                Cell(percent(float(file.percent)), style),
            ]
        )
    heads = (Column("FILE", least=16, keep="ends"), Column("SIZE", right=True), Column("CACHED"))
    found = page.table(heads, rows)
    rest = len(one.files) - len(shown)
    lacking = len(short) - sum(file in short for file in shown)
    if rest:
        state = f", {lacking} of them not whole" if lacking else ", all whole"
        found += page.lines([(f"and {plural(rest, 'more file')}{state}", "dim")])
    return found


def _readers(page: Page, one: Inspection) -> str:
    if one.readers is None:
        return page.lines([(f"{UNKNOWN}: pods could not be read", "dim")])
    if not one.readers:
        named = ", ".join(one.graphs)
        text = f"none yet; {named} would mount it" if named else "none"
        return page.lines([(text, "dim")])
    heads = (
        Column("POD", least=14, keep="ends"),
        Column("GRAPH", least=8, expendable=1),
        Column("COMPONENT", least=9, expendable=2),
        Column("NODE", least=8),
        Column("STATE"),
        Column("LOCAL"),
        Column("PATH", least=8, keep="tail"),
    )
    rows = []
    for row in one.readers:
        local = {True: ("yes", "good"), False: ("no", "warn"), None: (UNKNOWN, "dim")}[row.local]
        rows.append(
            [
                Cell(row.pod),
                Cell(row.graph or NONE),
                Cell(row.component or NONE),
                Cell(row.node or NONE),
                Cell(row.state, "good" if row.state == "Ready" else "warn"),
                Cell(*local),
                Cell(",".join(paths(row)) or NONE),
            ]
        )
    found = page.table(heads, rows)
    found += page.lines([(f"! {row.trouble}", "warn") for row in one.readers if row.trouble][:5])
    return found


def _placement(page: Page, one: Inspection) -> str:
    found = one.verdict
    start = f": {found.startup} to start" if found.startup else ""
    lines = [(f"{_MARKS[found.level]} {found.text}{start}", found.level)]
    if found.better:
        lines.append((found.better, ""))
    if found.command:
        lines.append((found.command, "bold"))
    if found.startup or "~" in found.better:
        lines.append(("(figures of Dynamo's write-up, Llama-3.3-70B)", "dim"))
    return page.lines(lines)


def _warnings(page: Page, one: Inspection) -> str:
    if not one.warnings:
        return ""
    lines: list[Line] = []
    for each in one.warnings:
        style = "bad" if each.severity == "error" else "warn"
        lines.append((f"{each.code}  {each.cause}", style))
        if each.fix:
            lines.append((each.fix if each.fix_how == "command" else f"{each.fix}", "bold"))
    lines.append((f"kubectl fluidmodel doctor {one.name} tells more", "dim"))
    return page.lines(lines)


_SECTIONS: tuple[tuple[str, Callable[[Page, Inspection], str]], ...] = (
    ("Source", _source),
    ("Staging", _staging),
    ("Dataset", _dataset),
    ("Runtime", _runtime),
    ("Cache by node", _nodes),
    ("Files", _files),
    ("Readers", _readers),
    ("Placement", _placement),
    ("Warnings", _warnings),
)
