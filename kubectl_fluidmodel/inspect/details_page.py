"""The page of one cache: headings, facts, lines and tables, fitted to a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.table import Cell, Column, apply_style, format_table, truncate

_INDENT = 2

Line = tuple[str, str]
"""A text and its style."""
Fact = tuple[str, str, str]
"""A label, a text and its style."""


class DetailsPage:
    """The text of the view, and the terminal that it is for."""

    def __init__(self, width: int | None, color: bool, price_per_gib: float | None = None) -> None:
        self.width = width
        self.color = color
        self.price_per_gib = price_per_gib
        self.text = ""

    def add_title(self, title: str, subtitle: str, style: str) -> None:
        """Add the name of the cache, and a one-line summary, cut to the width."""
        subtitle = escape_control(subtitle)
        subtitle = subtitle if self.width is None else truncate(subtitle, self.width)
        self.text += apply_style(escape_control(title), "bold", self.color) + "\n"
        self.text += apply_style(subtitle, style, self.color) + "\n"

    def add_section(self, heading: str, body: str) -> None:
        if body:
            self.text += "\n" + apply_style(heading, "bold", self.color) + "\n" + body

    def format_facts(self, facts: Sequence[Fact]) -> str:
        """Format the facts that have a text, one below the other; long texts are wrapped."""
        shown = [fact for fact in facts if fact[1]]
        label_width = max((len(label) for label, _, _ in shown), default=0)
        body = ""
        for label, text, style in shown:
            for line in self._wrap(text, label_width + 2 + _INDENT):
                styled_label = apply_style(label.ljust(label_width), "dim", self.color)
                styled_line = apply_style(line, style, self.color)
                body += " " * _INDENT + f"{styled_label}  {styled_line}\n"
                label = ""  # only on the first line
        return body

    def format_lines(self, lines: Sequence[Line]) -> str:
        return "".join(
            " " * _INDENT + apply_style(line, style, self.color) + "\n"
            for text, style in lines
            for line in self._wrap(text, _INDENT)
        )

    def format_text(self, text: str, style: str) -> str:
        return self.format_lines([(text, style)])

    def format_command(self, command: str, style: str) -> str:
        """Format a command on one line, so that it can be pasted."""
        return " " * _INDENT + apply_style(escape_control(command), style, self.color) + "\n"

    def _wrap(self, text: str, indent: int) -> list[str]:
        text = escape_control(" ".join(text.split()))
        if self.width is None:
            return [text]
        import textwrap

        room = max(self.width - indent, 20)
        # Do not wrap commands and addresses, which users copy.
        return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]

    def format_table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
        return format_table(columns, rows, width=self.width, color=self.color, indent=_INDENT)
