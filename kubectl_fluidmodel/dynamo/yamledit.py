"""Change a YAML document by changing as little of its text as can be.

Only the lines of what differs are touched: comments, key order, quoting, indentation and line
ends of everything else stay byte for byte. The result is read back and compared with what was
wanted, so that an edit is either right or refused.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from kubectl_fluidmodel.dynamo import yamlemit as emit
from kubectl_fluidmodel.dynamo.patch import common
from kubectl_fluidmodel.dynamo.yamlnodes import Node, load, parse
from kubectl_fluidmodel.errors import FluidModelError


class CannotEdit(FluidModelError):
    """The document is written in a way that no small edit can change."""


class _Unfit(Exception):
    """This node cannot be changed in part; an outer one is written anew."""


def edit(text: str, before: Any, after: Any) -> str:
    """The text of a document with value `before`, changed to have the value `after`.

    Raises:
        CannotEdit: anchors, merge keys or the like are in the way.
    """
    for careful in (False, True):
        try:
            root = parse(text)
            if root is None:
                break
            editor = _Editor(text, careful)
            editor.change(root, before, after)
            result = editor.result()
            if load(result) == after:
                return result
        except (_Unfit, yaml.YAMLError):
            continue
    raise CannotEdit(
        "cannot edit the document in place",
        "its anchors, merge keys or layout do not allow a small change",
        "-o patch, and apply the patch with kustomize",
    )


class _Editor:
    """Collects replacements (start, end, text) for one document."""

    def __init__(self, text: str, careful: bool) -> None:
        self.text = text
        self.careful = careful
        """Write changed strings anew as a whole, and not just the words that differ."""
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.offset = 0
        self.edits: list[tuple[int, int, str]] = []
        self.planned: dict[int, Any] = {}
        self.anchors = bool(re.search(r"[&*]\w", text))
        self.offset = self._list_offset()

    def result(self) -> str:
        parts: list[str] = []
        done = 0
        for start, end, new in sorted(self.edits, key=lambda item: item[:2]):
            if start < done:
                raise _Unfit
            parts += [self.text[done:start], new]
            done = end
        return "".join([*parts, self.text[done:]])

    # -- what to change ----------------------------------------------------------------------

    def change(self, node: Node, before: Any, after: Any) -> None:
        """Edit a node in place; raises _Unfit where only its parent can be rewritten."""
        if node.kind == "alias":
            if self.planned.get(id(node.target), before) != after:
                raise _Unfit
            return
        if node.anchored:
            self.planned[id(node)] = after
        if before == after and not self.anchors:
            return
        if isinstance(before, dict) and isinstance(after, dict) and before and after:
            self._map(node, before, after)
        elif isinstance(before, list) and isinstance(after, list) and before and after:
            self._list(node, before, after)
        elif before == after:
            return
        elif isinstance(before, str) and isinstance(after, str) and node.kind == "scalar":
            self._string(node, before, after)
        else:
            raise _Unfit

    def _map(self, node: Node, before: dict[str, Any], after: dict[str, Any]) -> None:
        removed = [key for key in before if key not in after]
        added = {}
        for key, value in after.items():
            found = node.child(str(key))
            if found is None:
                if key not in before or before[key] != value:
                    added[key] = value
                continue
            name, child = found
            mark = len(self.edits)
            try:
                self.change(child, before.get(key), value)
            except _Unfit:
                del self.edits[mark:]
                self._rewrite(node, name, child, value)
        if node.flow:
            spans = [(key.start, value.end) for key, value in node.pairs]
            gone = [i for i, (key, _) in enumerate(node.pairs) if key.value in removed]
            self._delete_flow(spans, gone)
            if added:
                self._insert_flow(spans[-1][1], emit.flow(added)[1:-1])
            return
        for key in removed:
            found = node.child(str(key))
            if found is None or not self._starts_line(found[0]):
                raise _Unfit
            self._delete_lines(found[0].start, self._end(found[1], found[0]))
        if added:
            lines = emit.mapping(added, node.pairs[0][0].column, self.offset)
            self._insert_after(self._end(node), lines)

    def _list(self, node: Node, before: list[Any], after: list[Any]) -> None:
        head, tail = common(before, after)
        old, new = len(before) - head - tail, len(after) - head - tail
        if len(node.items) != len(before):
            raise _Unfit
        for index in range(min(old, new)):
            at = head + index
            mark = len(self.edits)
            try:
                self.change(node.items[at], before[at], after[at])
            except _Unfit:
                del self.edits[mark:]
                self._rewrite_item(node, at, after[at])
        if self.anchors:
            untouched = [*range(head), *range(len(before) - tail, len(before))]
            for at in untouched:
                self.change(node.items[at], before[at], before[at])
        extra = after[head + old : head + new]
        if node.flow:
            spans = [(item.start, item.end) for item in node.items]
            self._delete_flow(spans, list(range(head + new, head + old)))
            if extra and not head + old:
                raise _Unfit
            if extra:
                text = ", ".join(emit.flow(item) for item in extra)
                self._insert_flow(spans[head + old - 1][1], text)
            return
        for at in range(head + new, head + old):
            self._delete_lines(self._dash(node.items[at]), self._end(node.items[at]))
        if extra:
            last = node.items[head + old - 1] if head + old else None
            if last is None:
                raise _Unfit
            column = self._column(self._dash(node.items[0]))
            self._insert_after(self._end(last), emit.sequence(extra, column, self.offset))

    def _string(self, node: Node, before: str, after: str) -> None:
        source = self.text[node.start : node.end]
        if not self.careful:
            words = _changed_words(before, after)
            if words is not None:
                old, new, nth = words
                if source.count(old) == before.count(old):
                    start = node.start - 1
                    for _ in range(nth + 1):
                        start = self.text.index(old, start + 1)
                    self.edits.append((start, start + len(old), new))
                    return
        if node.style in ("|", ">") or "\n" in source or "\n" in after:
            raise _Unfit
        self.edits.append((node.start, node.end, emit.scalar(after, node.style)))

    # -- how to change it --------------------------------------------------------------------

    def _rewrite(self, parent: Node, key: Node, child: Node, value: Any) -> None:
        """Write the value of one key anew, on the key's line and below it."""
        if child.anchored:
            raise _Unfit
        if parent.flow:
            self.edits.append((child.start, child.end, emit.flow(value)))
            return
        lines = emit.pair(key.value, value, key.column, self.offset)
        tail = lines[0][len(emit.pair(key.value, {"": 0}, key.column, 0)[0]) :]
        colon = self.text.index(":", key.end) + 1
        end = self._end(child, key)
        line_end = self._line_end(colon)
        block = child.kind in ("map", "seq") and not child.flow
        if block or child.start > line_end or child.style in ("|", ">"):
            if child.style in ("|", ">"):
                self.edits.append((colon, line_end, tail))
            elif tail:
                self.edits.append((colon, colon, tail))
            self.edits.append((line_end, end, ""))
        elif child.end > child.start:
            start = child.start
            while self.text[start - 1] == " ":
                start -= 1
            self.edits.append((start, child.end, tail))
        elif tail:
            self.edits.append((colon, colon, tail))
        if len(lines) > 1:
            self._insert_after(end, lines[1:])

    def _rewrite_item(self, node: Node, at: int, value: Any) -> None:
        item = node.items[at]
        if item.anchored:
            raise _Unfit
        if node.flow:
            self.edits.append((item.start, item.end, emit.flow(value)))
            return
        dash = self._dash(item)
        lines = emit.sequence([value], self._column(dash), self.offset)
        text = self.newline.join([lines[0].lstrip(" "), *lines[1:]])
        self.edits.append((dash, self._end(item), text))

    def _insert_flow(self, after: int, new: str) -> None:
        self.edits.append((after, after, f", {new}"))

    def _delete_flow(self, spans: list[tuple[int, int]], gone: list[int]) -> None:
        """Remove members in brackets, each with the comma before it."""
        if 0 in gone:
            raise _Unfit
        for index in gone:
            self.edits.append((spans[index - 1][1], spans[index][1], ""))

    def _insert_after(self, offset: int, lines: list[str]) -> None:
        text = "".join(self.newline + line for line in lines)
        self.edits.append((offset, offset, text))

    def _delete_lines(self, start: int, end: int) -> None:
        """Remove whole lines, from the one of `start` to the one that ends at `end`."""
        begin = self.text.rfind("\n", 0, start) + 1
        if self.text[begin:start].strip():
            raise _Unfit
        if end < len(self.text):
            end += 2 if self.text[end] == "\r" else 1
        elif begin:
            begin -= 2 if self.text[begin - 2 : begin] == "\r\n" else 1
        self.edits.append((begin, end, ""))

    # -- where things are --------------------------------------------------------------------

    def _end(self, node: Node, key: Node | None = None) -> int:
        """The end of the last line of a node, without its line feed."""
        if node.kind in ("map", "seq") and not node.flow:
            if node.pairs:
                key, last = node.pairs[-1]
                return self._end(last, key)
            return self._end(node.items[-1])
        if node.style in ("|", ">"):
            end = node.end
            keep = "+" in self.text[node.start : self._line_end(node.start)].split("#")[0]
            while not keep and end > node.start and self.text[end - 1] in " \t\r\n":
                end -= 1
            return end if keep else self._line_end(end)
        if node.end == node.start and key is not None:
            return self._line_end(key.end)
        return self._line_end(node.end)

    def _line_end(self, offset: int) -> int:
        end = self.text.find("\n", offset)
        if end < 0:
            return len(self.text)
        return end - 1 if end > offset and self.text[end - 1] == "\r" else end

    def _column(self, offset: int) -> int:
        return offset - (self.text.rfind("\n", 0, offset) + 1)

    def _starts_line(self, key: Node) -> bool:
        return not self.text[key.start - key.column : key.start].strip()

    def _dash(self, item: Node) -> int:
        """Offset of the dash before a list item."""
        at = item.start - 1
        while at >= 0 and self.text[at] in " \t\r\n":
            at -= 1
        if at < 0 or self.text[at] != "-":
            raise _Unfit
        return at

    def _list_offset(self) -> int:
        """How far this text indents lists under their keys: 2, or 0 as kubectl prints them."""
        pattern = r"^( *)(?:- )?[\w./\"'-]+:[ \t]*(?:#.*)?\r?\n(?:[ \t]*(?:#.*)?\r?\n)*( *)- "
        for match in re.finditer(pattern, self.text, re.MULTILINE):
            nested = match.group(0).lstrip(" ").startswith("- ")
            return max(0, min(2, len(match.group(2)) - len(match.group(1)) - 2 * nested))
        return 0


def _changed_words(before: str, after: str) -> tuple[str, str, int] | None:
    """The words that differ: as they were, as they are, and which occurrence of them it is."""
    head, tail = common(list(before), list(after))
    while head and not before[head - 1].isspace():
        head -= 1
    while tail and not before[len(before) - tail].isspace():
        tail -= 1
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    if not old or "\n" in old + new:
        return None
    count = 0
    place = before.find(old)
    while place != head:
        count, place = count + 1, before.find(old, place + 1)
    return old, new, count
