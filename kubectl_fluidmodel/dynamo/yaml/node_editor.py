"""Edits the nodes of a YAML document, line by line.

An alias or a `null` that has to be expanded stays behind as a comment, from which the reverse
change restores it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from kubectl_fluidmodel.dynamo.json_patch import common_ends
from kubectl_fluidmodel.dynamo.yaml import emitter
from kubectl_fluidmodel.dynamo.yaml.nodes import Node
from kubectl_fluidmodel.dynamo.yaml.source import CannotEditInPlaceError, SourceText
from kubectl_fluidmodel.output.goyaml import load_yaml

_NOTE = re.compile(r"[ \t]*# pinned apart from (\*[^\s#]+|<<|null|Null|NULL|~|\{\s*\}|\[\s*\])")
"""A comment that preserves what was here before it was expanded."""


def _note(source: str) -> str:
    return f"  # pinned apart from {source}"


class NodeEditor:
    """Collects replacements (start, end, text) for one document."""

    def __init__(self, text: str, rewrite_strings: bool, as_json: bool) -> None:
        self.text = text
        self.source = SourceText(text)
        self.rewrite_strings = rewrite_strings
        """Whether a changed string is rewritten completely, not just the words that differ."""
        self.json = as_json
        """JSON stays JSON: every scalar and key in double quotes."""
        self.edits: list[tuple[int, int, str]] = []
        self.new_values: dict[int, Any] = {}
        """The new value of each node with an anchor, by its ID."""
        self.anchored_nodes: dict[str, Node] = {}
        """The node to which aliases of this name refer from here on."""
        self.has_notes = _NOTE.search(text) is not None
        self.has_anchors = bool(re.search(r"[&*]\w", text))

    def result(self) -> str:
        parts: list[str] = []
        done = 0
        for start, end, new in sorted(self.edits, key=lambda item: item[:2]):
            if start < done:
                raise CannotEditInPlaceError
            parts += [self.text[done:start], new]
            done = end
        return "".join([*parts, self.text[done:]])

    def _flow(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False) if self.json else emitter.flow_text(value)

    # -- what to change ----------------------------------------------------------------------

    def change_node(self, node: Node, before: Any, after: Any) -> None:
        """Edit a node in place; raises CannotEditInPlaceError if its parent has to be rewritten."""
        if node.kind == "alias":
            if self.new_values.get(id(node.target), before) != after:
                raise CannotEditInPlaceError
            return
        if node.is_anchored:
            self.new_values[id(node)] = after
            self.anchored_nodes[node.anchor] = node
        if before == after and not self.has_anchors:
            return
        if isinstance(before, dict) and isinstance(after, dict) and before and after:
            self._change_map(node, before, after)
        elif isinstance(before, list) and isinstance(after, list) and before and after:
            self._change_list(node, before, after)
        elif before == after:
            return
        elif isinstance(before, str) and isinstance(after, str) and node.kind == "scalar":
            self._change_string(node, before, after)
        else:
            raise CannotEditInPlaceError

    def _change_map(self, node: Node, before: dict[str, Any], after: dict[str, Any]) -> None:
        merged = self._merged_values(node)
        added = {}
        for key, value in after.items():
            pair = node.find_pair(str(key))
            if pair is not None:
                self._change_pair(node, pair, before.get(key), value, merged)
            elif key not in before or before[key] != value:
                added[key] = value
        removed = [key for key in before if key not in after]
        if node.is_flow:
            self._change_flow_members(node, removed, added)
            return
        for key in removed:
            pair = node.find_pair(str(key))
            if pair is None or not self.source.starts_line(pair[0]):
                raise CannotEditInPlaceError
            self._delete_lines(pair[0].start, self.source.end_of(pair[1], pair[0]))
        lines: list[str] = []
        for key, value in added.items():
            pair_lines = emitter.pair_lines(
                key, value, node.pairs[0][0].column, self.source.list_indent
            )
            if key in before:  # from a merge key, which still applies to the other keys
                pair_lines[0] += _note("<<")
            lines += pair_lines
        last, _ = node.pairs[-1]
        if lines and last.value in map(str, removed):  # no line is left to insert behind
            self._insert_before(last, lines)
        elif lines:
            self._insert_after(self.source.end_of(node), lines)

    def _change_pair(
        self,
        parent: Node,
        pair: tuple[Node, Node],
        before: Any,
        after: Any,
        merged: dict[str, Any],
    ) -> None:
        """Change the value of one key: restored from a note, in part, or as a whole."""
        key, child = pair
        mark = len(self.edits)
        try:
            if not self._restore_value(parent, key, child, after, merged):
                self.change_node(child, before, after)
        except CannotEditInPlaceError:
            del self.edits[mark:]
            self._rewrite(parent, key, child, after)

    def _change_flow_members(self, node: Node, removed: list[str], added: dict[str, Any]) -> None:
        spans = [(key.start, value.end) for key, value in node.pairs]
        self._delete_flow(spans, [i for i, (k, _) in enumerate(node.pairs) if k.value in removed])
        if added:
            self._insert_flow(spans[-1][1], self._flow(added)[1:-1])

    def _change_list(self, node: Node, before: list[Any], after: list[Any]) -> None:
        """Change the items between the common start and end of both lists."""
        if len(node.items) != len(before):
            raise CannotEditInPlaceError
        head, tail = common_ends(before, after)
        old_end, new_end = len(before) - tail, len(after) - tail
        kept_end = min(old_end, new_end)
        for index in range(head, kept_end):
            self._change_item(node, index, before[index], after[index])
        if self.has_anchors:
            for index in (*range(head), *range(old_end, len(before))):
                if not self._restore_item(node, index, before[index]):
                    self.change_node(node.items[index], before[index], before[index])
        self._remove_items(node, kept_end, old_end)
        self._insert_items(node, old_end, after[old_end:new_end])

    def _change_item(self, node: Node, index: int, before: Any, after: Any) -> None:
        """Change one item: restored from a note, in part, or as a whole."""
        mark = len(self.edits)
        try:
            if not self._restore_item(node, index, after):
                self.change_node(node.items[index], before, after)
        except CannotEditInPlaceError:
            del self.edits[mark:]
            self._rewrite_item(node, index, after)

    def _remove_items(self, node: Node, start: int, end: int) -> None:
        if node.is_flow:
            spans = [(item.start, item.end) for item in node.items]
            self._delete_flow(spans, list(range(start, end)))
            return
        for item in node.items[start:end]:
            self._delete_lines(self.source.dash_of(item), self.source.end_of(item))

    def _insert_items(self, node: Node, index: int, items: list[Any]) -> None:
        """Insert items behind the item before `index`."""
        if not items:
            return
        if not index:
            raise CannotEditInPlaceError
        last = node.items[index - 1]
        if node.is_flow:
            self._insert_flow(last.end, ", ".join(self._flow(item) for item in items))
            return
        column = self.source.column(self.source.dash_of(node.items[0]))
        lines = emitter.sequence_lines(items, column, self.source.list_indent)
        self._insert_after(self.source.end_of(last), lines)

    def _change_string(self, node: Node, before: str, after: str) -> None:
        source = self.text[node.start : node.end]
        if not self.rewrite_strings:
            replacement = _changed_words(before, after)
            if replacement is not None:
                old, new, nth = replacement
                if source.count(old) == before.count(old):
                    start = node.start - 1
                    for _ in range(nth + 1):
                        start = self.text.index(old, start + 1)
                    self.edits.append((start, start + len(old), new))
                    return
        if node.style in ("|", ">") or "\n" in source or "\n" in after:
            raise CannotEditInPlaceError
        self.edits.append((node.start, node.end, emitter.scalar(after, node.style)))

    # -- what stood here before --------------------------------------------------------------

    def _merged_values(self, node: Node) -> dict[str, Any]:
        """Return the values that a mapping gets from its merge keys."""
        merged: dict[str, Any] = {}
        for key, value in node.pairs:
            if key.value == "<<" and not key.style:
                for alias in value.items or [value]:
                    new = self.new_values.get(id(alias.target))
                    merged = {**new, **merged} if isinstance(new, dict) else merged
        return merged

    def _find_note(self, start: int, parent: Node, child: Node) -> re.Match[str] | None:
        """Return the note in the line of `start` that refers to a node, not to a part of it."""
        if not self.has_notes or parent.is_flow or child.is_anchored:
            return None
        note = _NOTE.search(self.text, start, self.source.line_end(start))
        is_inside = note is not None and child.start <= note.start() < child.end
        return None if is_inside else note

    def _note_has_value(self, spelling: str, value: Any) -> bool:
        """Return whether the text in a note would have this value now."""
        if spelling.startswith("*"):
            target = self.anchored_nodes.get(spelling[1:])
            return target is not None and self.new_values.get(id(target)) == value
        return bool(load_yaml(spelling) == value)

    def _restore_value(
        self, parent: Node, key: Node, child: Node, value: Any, merged: dict[str, Any]
    ) -> bool:
        """Restore the spelling from a key's note, if it has the wanted value again."""
        note = self._find_note(key.end, parent, child)
        if note is None:
            return False
        end = self.source.end_of(child, key)
        if note[1] == "<<":
            if key.value not in merged or merged[key.value] != value:
                return False
            self._delete_lines(key.start, end)
            return True
        if not self._note_has_value(note[1], value):
            return False
        colon = self.text.index(":", key.end) + 1
        line_end = self.source.line_end(key.end)
        rest = self.text[note.end() : line_end]
        self.edits.append((colon, max(end, line_end), f" {note[1]}{rest}"))
        return True

    def _restore_item(self, parent: Node, index: int, value: Any) -> bool:
        """Restore the spelling from an item's note, if it has the wanted value again."""
        item = parent.items[index]
        if not self.has_notes or parent.is_flow:
            return False
        dash = self.source.dash_of(item)
        note = self._find_note(dash, parent, item)
        if note is None or not self._note_has_value(note[1], value):
            return False
        line_end = self.source.line_end(dash)
        rest = self.text[note.end() : line_end]
        self.edits.append((dash, max(self.source.end_of(item), line_end), f"- {note[1]}{rest}"))
        return True

    def _note_for(self, child: Node) -> str:
        """Return the comment that preserves how a node is written; empty if not needed."""
        source = self.text[child.start : child.end]
        plain = child.kind == "alias" or (child.kind == "scalar" and not child.style)
        empty = child.is_flow and not child.pairs and not child.items
        usual = source in ("", "{}", "[]") or not (plain or empty)
        return "" if usual or not _NOTE.fullmatch(_note(source)) else _note(source)

    # -- how to change it --------------------------------------------------------------------

    def _rewrite(self, parent: Node, key: Node, child: Node, value: Any) -> None:
        """Rewrite the value of one key, on the key's line and below it."""
        if child.is_anchored:
            raise CannotEditInPlaceError
        if parent.is_flow:
            self.edits.append((child.start, child.end, self._flow(value)))
            return
        lines = emitter.pair_lines(key.value, value, key.column, self.source.list_indent)
        is_block = child.kind in ("map", "seq") and not child.is_flow
        if value is None and is_block:
            lines = [lines[0].removesuffix(" null")]
        behind_colon = lines[0][len(emitter.pair_lines(key.value, {"": 0}, key.column, 0)[0]) :]
        end = self.source.end_of(child, key)
        self._rewrite_key_line(key, child, behind_colon, end if is_block else None)
        if len(lines) > 1:
            self._insert_after(end, lines[1:])

    def _rewrite_key_line(
        self, key: Node, child: Node, behind_colon: str, block_end: int | None
    ) -> None:
        """Replace the text after a key's colon, and the lines below that belong to it.

        `block_end` is the end of the value if it is a block collection.
        """
        colon = self.text.index(":", key.end) + 1
        line_end = self.source.line_end(colon)
        is_block_text = child.style in ("|", ">")
        if block_end is not None or is_block_text or child.start > line_end:
            if is_block_text:
                self.edits.append((colon, line_end, behind_colon))
            elif behind_colon:
                self.edits.append((colon, colon, behind_colon))
            self.edits.append((line_end, block_end or self.source.end_of(child, key), ""))
        elif child.end > child.start:
            start = child.start
            while self.text[start - 1] == " ":
                start -= 1
            self.edits.append((start, child.end, behind_colon + self._note_for(child)))
        elif behind_colon:
            self.edits.append((colon, colon, behind_colon))

    def _rewrite_item(self, node: Node, index: int, value: Any) -> None:
        """Rewrite one item of a list."""
        item = node.items[index]
        if item.is_anchored:
            raise CannotEditInPlaceError
        if node.is_flow:
            self.edits.append((item.start, item.end, self._flow(value)))
            return
        dash = self.source.dash_of(item)
        column = self.source.column(dash)
        lines = emitter.sequence_lines([value], column, self.source.list_indent)
        note = self._note_for(item)
        if note and len(lines) > 1:
            inner = " " * (column + 2)
            lines = [f"-{note[1:]}", inner + lines[0][len(inner) :], *lines[1:]]
        elif note:
            lines[0] += note
        text = self.source.newline.join([lines[0].lstrip(" "), *lines[1:]])
        self.edits.append((dash, self.source.end_of(item), text))

    def _insert_flow(self, after: int, new: str) -> None:
        self.edits.append((after, after, f", {new}"))

    def _delete_flow(self, spans: list[tuple[int, int]], deleted: list[int]) -> None:
        """Remove members in brackets, each with the comma before it."""
        if 0 in deleted:
            raise CannotEditInPlaceError
        for index in deleted:
            self.edits.append((spans[index - 1][1], spans[index][1], ""))

    def _insert_after(self, offset: int, lines: list[str]) -> None:
        text = "".join(self.source.newline + line for line in lines)
        self.edits.append((offset, offset, text))

    def _insert_before(self, key: Node, lines: list[str]) -> None:
        start = key.start - key.column
        self.edits.append((start, start, "".join(line + self.source.newline for line in lines)))

    def _delete_lines(self, start: int, end: int) -> None:
        """Remove whole lines, from the one of `start` to the one that ends at `end`."""
        begin = self.text.rfind("\n", 0, start) + 1
        if self.text[begin:start].strip():
            raise CannotEditInPlaceError
        if end < len(self.text):
            end += 2 if self.text[end] == "\r" else 1
        elif begin:
            begin -= 2 if self.text[begin - 2 : begin] == "\r\n" else 1
        self.edits.append((begin, end, ""))


def _changed_words(before: str, after: str) -> tuple[str, str, int] | None:
    """Return the words that differ: old, new, and which occurrence."""
    head, tail = common_ends(list(before), list(after))
    while head and not before[head - 1].isspace():
        head -= 1
    while tail and not before[len(before) - tail].isspace():
        tail -= 1
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    if not old or "\n" in old + new:
        return None
    count = 0
    start = before.find(old)
    while start != head:
        count, start = count + 1, before.find(old, start + 1)
    return old, new, count
