"""Tables as kubectl prints them, colored and fitted to the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.records import dataclass

COLUMN_GAP, NARROW_GAP = 3, 2
"""Spaces between columns, and on a narrow terminal."""

_SGR_CODES = {
    "good": "32",
    "warn": "33",
    "bad": "31",
    "bold": "1",
    "dim": "2",
}


def apply_style(text: str, style: str, color: bool) -> str:
    """Apply the style good, warn, bad, bold or dim, in the colors of the terminal's theme."""
    code = _SGR_CODES.get(style)
    return f"\x1b[{code}m{text}\x1b[0m" if color and code and text else text


@dataclass(frozen=True)
class Cell:
    """A text and its style."""

    text: str
    style: str = ""
    short: str = ""
    """A shorter form for narrow terminals; empty if there is none."""


@dataclass(frozen=True)
class Column:
    """A column, and how it may shrink on a narrow terminal."""

    title: str
    min_width: int = 0
    """Minimum width when truncated; 0 forbids truncation."""
    kept_part: str = "head"
    """Which part of a text truncation keeps: `head`, `tail`, or both `ends`."""
    drop_priority: int = 0
    """The order in which columns are dropped, lowest first; 0 forbids dropping."""
    align_right: bool = False
    essential: bool = False
    """Users need the text for the next command, so it is truncated only after all others are
    dropped."""


def format_plain_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table of unstyled texts at full width."""
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
    """Format the lines of a table; the last column is not padded.

    Args:
        columns: the title of each column, and how it may shrink.
        rows: one cell for each column.
        width: the maximum line width; unlimited by default. To fit, texts take their short form,
            then columns are truncated, then dropped.
        color: whether to apply the styles.
        header: whether to print the titles.
        indent: spaces at the start of each line.
        dropped_columns: receives the titles of dropped columns.
    """
    layout = _Layout(columns, _texts(rows, short=False), header)
    if width is not None:
        layout.fit(width - indent, _texts(rows, short=True))
    if dropped_columns is not None:
        dropped_columns += [columns[i].title for i in layout.dropped]
    widths = {i: layout.width_of(i) for i in layout.shown}
    lines = []
    if header:
        titles = layout.align([column.title for column in columns], widths)
        lines.append(apply_style("".join(titles).rstrip(), "bold", color))
    for row, texts in zip(rows, layout.texts, strict=True):
        parts = layout.align(texts, widths)
        styled = [
            part.replace(part.strip(), apply_style(part.strip(), row[i].style, color), 1)
            for i, part in zip(widths, parts, strict=True)
        ]
        lines.append("".join(styled).rstrip())
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


def format_table_with_details(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    details: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    color: bool = False,
) -> str:
    """Format a table with further lines below each row.

    Args:
        columns: the title of each column, and how it may shrink.
        rows: one cell for each column.
        details: the lines below each row, as they are printed.
        width: the maximum line width of the table; unlimited by default.
        color: whether to apply the styles.
    """
    titles, *row_lines = format_table(columns, rows, width=width, color=color).splitlines()
    lines = [titles]
    for row_line, lines_below in zip(row_lines, details, strict=True):
        lines += [row_line, *lines_below]
    return "".join(f"{line}\n" for line in lines)


def _texts(rows: Sequence[Sequence[Cell]], *, short: bool) -> list[list[str]]:
    return [
        [
            escape_control((cell.short if short else "") or cell.text).replace("\n", " ")
            for cell in row
        ]
        for row in rows
    ]


@dataclass
class _Layout:
    """The texts of a table, and the columns that are shown."""

    columns: Sequence[Column]
    texts: list[list[str]]
    header: bool
    gap: int = COLUMN_GAP
    dropped: list[int] = field(default_factory=list)

    @property
    def shown(self) -> list[int]:
        return [i for i in range(len(self.columns)) if i not in self.dropped]

    def width_of(self, index: int) -> int:
        title = len(self.columns[index].title) if self.header else 0
        return max([title, *(len(row[index]) for row in self.texts)])

    def align(self, texts: Sequence[str], widths: Mapping[int, int]) -> list[str]:
        """Return the texts of the shown columns, padded; all but the first begin with the gap."""
        parts: list[str] = []
        for i, width in widths.items():
            pad = str.rjust if self.columns[i].align_right else str.ljust
            parts.append((" " * self.gap if parts else "") + pad(texts[i], width))
        return parts

    def fit(self, room: int, short_texts: list[list[str]]) -> None:
        """Narrow the table until its lines have at most `room` characters, if possible."""
        if self._excess(room) > 0:
            self.gap = NARROW_GAP
        if self._excess(room) > 0:
            self.texts = short_texts
        while self._excess(room) > 0 and not self._truncate(self._excess(room)):
            droppable = [i for i in self.shown if self.columns[i].drop_priority]
            self.dropped.append(min(droppable, key=lambda i: self.columns[i].drop_priority))
        self._restore(room)

    def _excess(self, room: int) -> int:
        widths = [self.width_of(i) for i in self.shown]
        return sum(widths) + self.gap * (len(widths) - 1) - room

    def _truncate(self, excess: int) -> bool:
        """Truncate texts by `excess` characters, the widest columns first.

        Returns:
            False, without any change, if that is not enough and there are columns to drop.
        """
        droppable = any(self.columns[i].drop_priority for i in self.shown)
        spare = {
            i: max(0, self.width_of(i) - max(self.columns[i].min_width, len(self.columns[i].title)))
            for i in self.shown
            if self.columns[i].min_width and not (droppable and self.columns[i].essential)
        }
        if droppable and sum(spare.values()) < excess:
            return False
        for i in sorted(spare, key=lambda i: -spare[i]):
            cut = min(spare[i], excess)
            excess -= cut
            width = self.width_of(i) - cut
            for row in self.texts:
                row[i] = truncate(row[i], width, self.columns[i].kept_part)
        return True

    def _restore(self, room: int) -> None:
        """Show dropped columns again that fit after a wider column was dropped later."""
        for i in sorted(self.dropped, key=lambda i: -self.columns[i].drop_priority):
            before = self.dropped
            self.dropped = [index for index in before if index != i]
            if self._excess(room) > 0:
                self.dropped = before


def truncate(text: str, width: int, kept_part: str = "head") -> str:
    """Truncate a text to `width` characters, with `…` for the missing part."""
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
