"""Tables as kubectl prints them, in colour and fitted to a terminal where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_fluidmodel.output.text import printable

GAP = 3
"""Blanks between columns; two where the terminal is narrow."""

_CODES = {
    "good": "32",
    "warn": "33",
    "bad": "31",
    "bold": "1",
    "dim": "2",
}


def paint(text: str, style: str, color: bool) -> str:
    """Text in one of the styles good, warn, bad, bold and dim: colours of the terminal's theme."""
    code = _CODES.get(style)
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
    least: int = 0
    """Characters it may be cut down to; 0: it is never cut."""
    keep: str = "head"
    """What stays of a text that is cut: its head, its tail, or both ends."""
    expendable: int = 0
    """Columns with the lowest number go first when cutting is not enough; 0: it always stays."""
    right: bool = False
    vital: bool = False
    """Whether the next command needs it: it is cut only when all that may go has gone."""


def plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts."""
    return table([Column(title) for title in head], [[Cell(text) for text in row] for row in rows])


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    width: int | None = None,
    color: bool = False,
    header: bool = True,
    indent: int = 0,
    left_out: list[str] | None = None,
) -> str:
    """The lines of a table; the last column is never padded.

    With a `width` it fits: texts take their short form, then columns are cut, then left out, and
    their titles are added to `left_out`. Without one everything is shown.
    """
    kept = list(range(len(columns)))
    texts = [[printable(cell.text).replace("\n", " ") for cell in row] for row in rows]
    gap = GAP
    if width is not None:
        room = width - indent
        gap, texts, kept, lost = _fit(columns, rows, texts, room, header)
        if left_out is not None:
            left_out += [columns[i].title for i in lost]
    sizes = _sizes(columns, texts, header)
    blanks = " " * gap
    lines = []
    if header:
        titles = [_pad(columns[i], columns[i].title, sizes[i]) for i in kept]
        lines.append(paint(blanks.join(titles).rstrip(), "bold", color))
    for row, shown in zip(rows, texts, strict=True):
        parts = []
        for i in kept:
            padded = _pad(columns[i], shown[i], sizes[i])
            if i == kept[-1]:
                padded = padded.rstrip()
            bare = padded.strip()
            parts.append(padded.replace(bare, paint(bare, row[i].style, color), 1))
        lines.append(blanks.join(parts).rstrip())
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


def _pad(column: Column, text: str, size: int) -> str:
    return text.rjust(size) if column.right else text.ljust(size)


def _sizes(columns: Sequence[Column], texts: Sequence[Sequence[str]], header: bool) -> list[int]:
    return [
        max([len(column.title) if header else 0, *(len(row[i]) for row in texts)])
        for i, column in enumerate(columns)
    ]


def _fit(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    texts: list[list[str]],
    room: int,
    header: bool,
) -> tuple[int, list[list[str]], list[int], list[int]]:
    """The gap, the texts, the columns that stay and those that do not."""
    kept, gap = list(range(len(columns))), GAP
    lost: list[int] = []

    def excess() -> int:
        sizes = _sizes(columns, texts, header)
        return sum(sizes[i] for i in kept) + gap * (len(kept) - 1) - room

    if excess() > 0:
        gap = 2
    if excess() > 0:
        texts = [
            [printable(cell.short or cell.text).replace("\n", " ") for cell in row] for row in rows
        ]
    while True:
        over = excess()
        if over <= 0:
            # What went before a wider column may have room again.
            for i in sorted(lost, key=lambda i: -columns[i].expendable):
                kept = sorted([*kept, i])
                if excess() > 0:
                    kept.remove(i)
                else:
                    lost.remove(i)
            return gap, texts, kept, lost
        sizes = _sizes(columns, texts, header)
        going = [i for i in kept if columns[i].expendable]
        spare = {
            i: max(0, sizes[i] - max(columns[i].least, len(columns[i].title)))
            for i in kept
            if columns[i].least and not (going and columns[i].vital)
        }
        if sum(spare.values()) >= over:
            for i in sorted(spare, key=lambda i: -spare[i]):
                take = min(spare[i], over)
                over -= take
                for row in texts:
                    row[i] = cut(row[i], sizes[i] - take, columns[i].keep)
            continue
        if not going:
            for i in spare:  # as narrow as can be; the terminal wraps the rest
                for row in texts:
                    row[i] = cut(row[i], sizes[i] - spare[i], columns[i].keep)
            return gap, texts, kept, lost
        first = min(going, key=lambda i: columns[i].expendable)
        kept.remove(first)
        lost.append(first)


def cut(text: str, size: int, keep: str = "head") -> str:
    """Text of at most `size` characters, with `…` where something is missing."""
    if len(text) <= size:
        return text
    if size <= 1:
        return "…"[:size]
    if keep == "tail":
        return "…" + text[len(text) - size + 1 :]
    if keep == "ends":
        head = (size - 1) // 2
        return text[:head] + "…" + text[len(text) - (size - 1 - head) :]
    return text[: size - 1] + "…"
