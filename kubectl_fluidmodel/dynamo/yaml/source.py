"""The text of a YAML document, and the positions of its lines, columns and list items."""

from __future__ import annotations

import re

from kubectl_fluidmodel.dynamo.yaml.nodes import Node


class CannotEditInPlaceError(Exception):
    """A node cannot be changed in part; a parent node is rewritten instead."""


class SourceText:
    """A document's text; offsets count characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.list_indent = self._detect_list_indent()
        """Indentation of lists below their keys."""

    def end_of(self, node: Node, key: Node | None = None) -> int:
        """Return the end of the last line of a node, without its line feed."""
        if node.kind in ("map", "seq") and not node.is_flow:
            if node.pairs:
                key, last = node.pairs[-1]
                return self.end_of(last, key)
            return self.end_of(node.items[-1])
        if node.style in ("|", ">"):
            end = node.end
            keep = "+" in self.text[node.start : self.line_end(node.start)].split("#")[0]
            while not keep and end > node.start and self.text[end - 1] in " \t\r\n":
                end -= 1
            return end if keep else self.line_end(end)
        if node.end == node.start and key is not None:
            return self.line_end(key.end)
        return self.line_end(node.end)

    def line_end(self, offset: int) -> int:
        """The end of the line at an offset, without its line feed."""
        end = self.text.find("\n", offset)
        if end < 0:
            return len(self.text)
        return end - 1 if end > offset and self.text[end - 1] == "\r" else end

    def column(self, offset: int) -> int:
        """Return the distance of an offset from the start of its line, in characters."""
        return offset - (self.text.rfind("\n", 0, offset) + 1)

    def starts_line(self, key: Node) -> bool:
        """Return whether only spaces precede a key in its line."""
        return not self.text[key.start - key.column : key.start].strip()

    def dash_of(self, item: Node) -> int:
        """Offset of the dash before a list item.

        Raises:
            CannotEditInPlaceError: there is none.
        """
        at = item.start - 1
        while at >= 0 and self.text[at] in " \t\r\n":
            at -= 1
        if at < 0 or self.text[at] != "-":
            raise CannotEditInPlaceError
        return at

    def _detect_list_indent(self) -> int:
        """Return the indentation of lists below their keys: 2, or 0 as kubectl prints them."""
        pattern = r"^( *)(?:- )?[\w./\"'-]+:[ \t]*(?:#.*)?\r?\n(?:[ \t]*(?:#.*)?\r?\n)*( *)- "
        for match in re.finditer(pattern, self.text, re.MULTILINE):
            nested = match.group(0).lstrip(" ").startswith("- ")
            return max(0, min(2, len(match.group(2)) - len(match.group(1)) - 2 * nested))
        return 0
