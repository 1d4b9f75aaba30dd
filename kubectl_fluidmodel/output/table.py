"""Tables as kubectl prints them, in colour and fitted to a terminal where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_fluidmodel.output.text import escape_control

COLUMN_GAP = 3
"""Blanks between columns; two where the terminal is narrow."""

_SGR_CODES = {
    "good": "32",
    "warn": "33",
    "bad": "31",
    "bold": "1",
    "dim": "2",
}


def apply_style(text: str, style: str, color: bool) -> str:
    """Text in one of the styles good, warn, bad, bold and dim: colours of the terminal's theme."""
    code = _SGR_CODES.get(style)
    return f"\x1b[{code}m{text}\x1b[0m" if color and code and text else text


@dataclass(frozen=True)
class Cell:
    """A text and its style; `short` says the same in less."""

    text: str
    style: str = ""
    short: str = ""


@dataclass(frozen=True)
class Column:
    """A column, and what may happen to it where the terminal is narrow."""

    title: str
    min_width: int = 0
    """Characters it may be cut down to; 0: it is never cut."""
    kept_part: str = "head"
    """What stays of a text that is cut: its head, its tail, or both ends."""
    drop_priority: int = 0
    """Columns with the lowest number go first when cutting is not enough; 0: it always stays."""
    align_right: bool = False
    essential: bool = False
    """Whether the next command needs it: it is cut only when all that may go has gone."""


def format_plain_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts."""
    return format_table(
        [Column(title) for title in titles], [[Cell(text) for text in row] for row in rows]
    )


def format_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    width: int | None = None,
    color: bool = False,
    header: bool = True,
    indent: int = 0,
    dropped_columns: list[str] | None = None,
) -> str:
    """The lines of a table; the last column is never padded.

    With a `width` it fits: texts take their short form, then columns are cut, then left out, and
    their titles are added to `left_out`. Without one everything is shown.
    """
    kept = list(range(len(columns)))
    texts = [[escape_control(cell.text).replace("\n", " ") for cell in row] for row in rows]
    gap = COLUMN_GAP
    if width is not None:
        room = width - indent
        gap, texts, kept, dropped = _fit_columns(columns, rows, texts, room, header)
        if dropped_columns is not None:
            dropped_columns += [columns[i].title for i in dropped]
    widths = _column_widths(columns, texts, header)
    blanks = " " * gap
    lines = []
    if header:
        titles = [_pad(columns[i], columns[i].title, widths[i]) for i in kept]
        lines.append(apply_style(blanks.join(titles).rstrip(), "bold", color))
    for row, shown in zip(rows, texts, strict=True):
        parts = []
        for i in kept:
            padded = _pad(columns[i], shown[i], widths[i])
            if i == kept[-1]:
                padded = padded.rstrip()
            bare = padded.strip()
            parts.append(padded.replace(bare, apply_style(bare, row[i].style, color), 1))
        lines.append(blanks.join(parts).rstrip())
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


def _pad(column: Column, text: str, width: int) -> str:
    return text.rjust(width) if column.align_right else text.ljust(width)


def _column_widths(
    columns: Sequence[Column], texts: Sequence[Sequence[str]], header: bool
) -> list[int]:
    return [
        max([len(column.title) if header else 0, *(len(row[i]) for row in texts)])
        for i, column in enumerate(columns)
    ]


def _fit_columns(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    texts: list[list[str]],
    room: int,
    header: bool,
) -> tuple[int, list[list[str]], list[int], list[int]]:
    """The gap, the texts, the columns that stay and those that do not."""
    kept, gap = list(range(len(columns))), COLUMN_GAP
    dropped: list[int] = []

    def excess() -> int:
        sizes = _column_widths(columns, texts, header)
        return sum(sizes[i] for i in kept) + gap * (len(kept) - 1) - room

    if excess() > 0:
        gap = 2
    if excess() > 0:
        texts = [
            [escape_control(cell.short or cell.text).replace("\n", " ") for cell in row]
            for row in rows
        ]
    while True:
        over = excess()
        if over <= 0:
            # What went before a wider column may have room again.
            for i in sorted(dropped, key=lambda i: -columns[i].drop_priority):
                kept = sorted([*kept, i])
                if excess() > 0:
                    kept.remove(i)
                else:
                    dropped.remove(i)
            return gap, texts, kept, dropped
        sizes = _column_widths(columns, texts, header)
        going = [i for i in kept if columns[i].drop_priority]
        spare = {
            i: max(0, sizes[i] - max(columns[i].min_width, len(columns[i].title)))
            for i in kept
            if columns[i].min_width and not (going and columns[i].essential)
        }
        if sum(spare.values()) >= over:
            for i in sorted(spare, key=lambda i: -spare[i]):
                take = min(spare[i], over)
                over -= take
                for row in texts:
                    row[i] = truncate(row[i], sizes[i] - take, columns[i].kept_part)
            continue
        if not going:
            for i in spare:  # as narrow as can be; the terminal wraps the rest
                for row in texts:
                    row[i] = truncate(row[i], sizes[i] - spare[i], columns[i].kept_part)
            return gap, texts, kept, dropped
        first = min(going, key=lambda i: columns[i].drop_priority)
        kept.remove(first)
        dropped.append(first)


def truncate(text: str, width: int, kept_part: str = "head") -> str:
    """Text of at most `size` characters, with `…` where something is missing."""
    if len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    if kept_part == "tail":
        return "…" + text[len(text) - width + 1 :]
    if kept_part == "ends":
        head = (width - 1) // 2
        return text[:head] + "…" + text[len(text) - (width - 1 - head) :]
    return text[: width - 1] + "…"
