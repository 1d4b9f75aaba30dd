"""Change a YAML document by changing as little of its text as can be.

Only the lines of what differs are touched: comments, key order, quoting, indentation and line
ends of everything else stay byte for byte. The result is read back and compared with what was
wanted, so that an edit is either right or refused.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import yaml

from kubectl_fluidmodel.dynamo.json_patch import common_ends
from kubectl_fluidmodel.dynamo.yaml import emitter as emit
from kubectl_fluidmodel.dynamo.yaml.nodes import Node, parse_nodes
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.output.goyaml import load_yaml


class CannotEditError(FluidModelError):
    """The document is written in a way that no small edit can change."""


class _CannotEditInPlaceError(Exception):
    """This node cannot be changed in part; an outer one is written anew."""


def edit_document(text: str, before: Any, after: Any) -> str:
    """The text of a document with value `before`, changed to have the value `after`.

    What has to be spelled out (an alias, a `null`) keeps how it was written in a comment, by which
    the change back finds it: edited there and back, a text is the same bytes.

    Raises:
        CannotEditError: anchors, merge keys or the like are in the way.
    """
    as_json = _json_edit(text, before, after)
    if as_json is not None:
        return as_json
    for line_feed in ("", "\n"):
        # The last line is one like the others while it is edited.
        if line_feed and text.endswith("\n"):
            break
        for careful in (False, True):
            try:
                root = parse_nodes(text + line_feed)
                if root is None:
                    break
                editor = _Editor(text + line_feed, careful)
                editor.change_node(root, before, after)
                result = editor.result()
                if line_feed:
                    result = result.removesuffix(line_feed)
                if load_yaml(result) == after and (not editor.json or json.loads(result) == after):
                    return result
            except (_CannotEditInPlaceError, yaml.YAMLError, ValueError):
                continue
    raise CannotEditError(
        "cannot edit the document in place",
        "its anchors, merge keys or layout do not allow a small change",
        "-o patch, and apply the patch with kustomize",
    )


def _json_edit(text: str, before: Any, after: Any) -> str | None:
    """A JSON document in the layout that it has; None where it is none, or has another layout."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    body = text.rstrip()
    for indent, ascii_ in itertools.product((2, 4, None, "\t", 3, 1, 8), (False, True)):
        for separators in (None, (",", ":")) if indent is None else (None,):
            style: Any = {"indent": indent, "ensure_ascii": ascii_, "separators": separators}
            if value == before and json.dumps(value, **style) == body:
                return json.dumps(after, **style) + text[len(body) :]
    return None


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


_NOTE = re.compile(r"[ \t]*# pinned apart from (\*[^\s#]+|<<|null|Null|NULL|~|\{\s*\}|\[\s*\])")
"""A comment that keeps what stood here before it had to be spelled out."""


def _note(source: str) -> str:
    return f"  # pinned apart from {source}"


class _Editor:
    """Collects replacements (start, end, text) for one document."""

    def __init__(self, text: str, rewrite_strings: bool) -> None:
        self.text = text
        self.rewrite_strings = rewrite_strings
        """Write changed strings anew as a whole, and not just the words that differ."""
        self.json = _is_json(text)
        """JSON stays JSON: every scalar and key in double quotes."""
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.list_indent = 0
        self.edits: list[tuple[int, int, str]] = []
        self.new_values: dict[int, Any] = {}
        """What each node with an anchor will be, by its id."""
        self.anchored_nodes: dict[str, Node] = {}
        """The node that an alias of this name stands for from here on."""
        self.has_notes = _NOTE.search(text) is not None
        self.has_anchors = bool(re.search(r"[&*]\w", text))
        self.list_indent = self._detect_list_indent()

    def result(self) -> str:
        parts: list[str] = []
        done = 0
        for start, end, new in sorted(self.edits, key=lambda item: item[:2]):
            if start < done:
                raise _CannotEditInPlaceError
            parts += [self.text[done:start], new]
            done = end
        return "".join([*parts, self.text[done:]])

    def _flow(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False) if self.json else emit.flow_text(value)

    # -- what to change ----------------------------------------------------------------------

    def change_node(self, node: Node, before: Any, after: Any) -> None:
        """Edit a node in place; raises _Unfit where only its parent can be rewritten."""
        if node.kind == "alias":
            if self.new_values.get(id(node.target), before) != after:
                raise _CannotEditInPlaceError
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
            raise _CannotEditInPlaceError

    def _change_map(self, node: Node, before: dict[str, Any], after: dict[str, Any]) -> None:
        removed = [key for key in before if key not in after]
        added = {}
        merged = self._merged_values(node)
        for key, value in after.items():
            found = node.find_pair(str(key))
            if found is None:
                if key not in before or before[key] != value:
                    added[key] = value
                continue
            name, child = found
            mark = len(self.edits)
            try:
                if self._restore_value(node, name, child, value, merged):
                    continue
                self.change_node(child, before.get(key), value)
            except _CannotEditInPlaceError:
                del self.edits[mark:]
                self._rewrite(node, name, child, value)
        if node.is_flow:
            spans = [(key.start, value.end) for key, value in node.pairs]
            gone = [i for i, (key, _) in enumerate(node.pairs) if key.value in removed]
            self._delete_flow(spans, gone)
            if added:
                self._insert_flow(spans[-1][1], self._flow(added)[1:-1])
            return
        for key in removed:
            found = node.find_pair(str(key))
            if found is None or not self._starts_line(found[0]):
                raise _CannotEditInPlaceError
            self._delete_lines(found[0].start, self._end_of(found[1], found[0]))
        if added:
            for key, value in added.items():
                lines = emit.pair_lines(key, value, node.pairs[0][0].column, self.list_indent)
                if key in before:  # by a merge key, which goes on to hold for the others
                    lines[0] += _note("<<")
                self._insert_after(self._end_of(node), lines)

    def _change_list(self, node: Node, before: list[Any], after: list[Any]) -> None:
        head, tail = common_ends(before, after)
        old, new = len(before) - head - tail, len(after) - head - tail
        if len(node.items) != len(before):
            raise _CannotEditInPlaceError
        for index in range(min(old, new)):
            at = head + index
            mark = len(self.edits)
            try:
                if self._restore_item(node, at, after[at]):
                    continue
                self.change_node(node.items[at], before[at], after[at])
            except _CannotEditInPlaceError:
                del self.edits[mark:]
                self._rewrite_item(node, at, after[at])
        if self.has_anchors:
            untouched = [*range(head), *range(len(before) - tail, len(before))]
            for at in untouched:
                if not self._restore_item(node, at, before[at]):
                    self.change_node(node.items[at], before[at], before[at])
        extra = after[head + old : head + new]
        if node.is_flow:
            spans = [(item.start, item.end) for item in node.items]
            self._delete_flow(spans, list(range(head + new, head + old)))
            if extra and not head + old:
                raise _CannotEditInPlaceError
            if extra:
                text = ", ".join(self._flow(item) for item in extra)
                self._insert_flow(spans[head + old - 1][1], text)
            return
        for at in range(head + new, head + old):
            self._delete_lines(self._dash_of(node.items[at]), self._end_of(node.items[at]))
        if extra:
            last = node.items[head + old - 1] if head + old else None
            if last is None:
                raise _CannotEditInPlaceError
            column = self._column(self._dash_of(node.items[0]))
            self._insert_after(
                self._end_of(last), emit.sequence_lines(extra, column, self.list_indent)
            )

    def _change_string(self, node: Node, before: str, after: str) -> None:
        source = self.text[node.start : node.end]
        if not self.rewrite_strings:
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
            raise _CannotEditInPlaceError
        self.edits.append((node.start, node.end, emit.scalar(after, node.style)))

    # -- what stood here before --------------------------------------------------------------

    def _merged_values(self, node: Node) -> dict[str, Any]:
        """What a mapping has by its merge keys, as that will be."""
        found: dict[str, Any] = {}
        for key, value in node.pairs:
            if key.value == "<<" and not key.style:
                for each in value.items or [value]:
                    planned = self.new_values.get(id(each.target))
                    found = {**planned, **found} if isinstance(planned, dict) else found
        return found

    def _note_has_value(self, source: str, value: Any) -> bool:
        """Whether what a comment keeps would have this value now."""
        if source.startswith("*"):
            target = self.anchored_nodes.get(source[1:])
            return target is not None and self.new_values.get(id(target)) == value
        return bool(load_yaml(source) == value)

    def _restore_value(
        self, parent: Node, key: Node, child: Node, value: Any, merged: dict[str, Any]
    ) -> bool:
        """Put back what stood behind a key, if it has the wanted value again."""
        if not self.has_notes:
            return False
        line_end = self._line_end(key.end)
        kept = _NOTE.search(self.text, key.end, line_end)
        if (
            kept is None
            or parent.is_flow
            or child.is_anchored
            or child.start <= kept.start() < child.end
        ):
            return False
        end = self._end_of(child, key)
        if kept[1] == "<<":
            if key.value not in merged or merged[key.value] != value:
                return False
            self._delete_lines(key.start, end)
            return True
        if not self._note_has_value(kept[1], value):
            return False
        colon = self.text.index(":", key.end) + 1
        rest = self.text[kept.end() : line_end]
        self.edits.append((colon, max(end, line_end), f" {kept[1]}{rest}"))
        return True

    def _restore_item(self, parent: Node, at: int, value: Any) -> bool:
        """The same for an item of a list."""
        item = parent.items[at]
        if not self.has_notes or parent.is_flow or item.is_anchored:
            return False
        dash = self._dash_of(item)
        line_end = self._line_end(dash)
        kept = _NOTE.search(self.text, dash, line_end)
        inside = kept is not None and item.start <= kept.start() < item.end
        if kept is None or inside or not self._note_has_value(kept[1], value):
            return False
        rest = self.text[kept.end() : line_end]
        self.edits.append((dash, max(self._end_of(item), line_end), f"- {kept[1]}{rest}"))
        return True

    def _note_for(self, child: Node) -> str:
        """The comment that keeps how a node is written; empty where the value tells it."""
        source = self.text[child.start : child.end]
        plain = child.kind == "alias" or (child.kind == "scalar" and not child.style)
        empty = child.is_flow and not child.pairs and not child.items
        usual = source in ("", "{}", "[]") or not (plain or empty)
        return "" if usual or not _NOTE.fullmatch(_note(source)) else _note(source)

    # -- how to change it --------------------------------------------------------------------

    def _rewrite(self, parent: Node, key: Node, child: Node, value: Any) -> None:
        """Write the value of one key anew, on the key's line and below it."""
        if child.is_anchored:
            raise _CannotEditInPlaceError
        if parent.is_flow:
            self.edits.append((child.start, child.end, self._flow(value)))
            return
        lines = emit.pair_lines(key.value, value, key.column, self.list_indent)
        collection = child.kind in ("map", "seq") and not child.is_flow
        if value is None and collection:
            lines = [lines[0].removesuffix(" null")]
        tail = lines[0][len(emit.pair_lines(key.value, {"": 0}, key.column, 0)[0]) :]
        colon = self.text.index(":", key.end) + 1
        end = self._end_of(child, key)
        line_end = self._line_end(colon)
        if collection or child.start > line_end or child.style in ("|", ">"):
            if child.style in ("|", ">"):
                self.edits.append((colon, line_end, tail))
            elif tail:
                self.edits.append((colon, colon, tail))
            self.edits.append((line_end, end, ""))
        elif child.end > child.start:
            start = child.start
            while self.text[start - 1] == " ":
                start -= 1
            self.edits.append((start, child.end, tail + self._note_for(child)))
        elif tail:
            self.edits.append((colon, colon, tail))
        if len(lines) > 1:
            self._insert_after(end, lines[1:])

    def _rewrite_item(self, node: Node, at: int, value: Any) -> None:
        item = node.items[at]
        if item.is_anchored:
            raise _CannotEditInPlaceError
        if node.is_flow:
            self.edits.append((item.start, item.end, self._flow(value)))
            return
        dash = self._dash_of(item)
        lines = emit.sequence_lines([value], self._column(dash), self.list_indent)
        kept = self._note_for(item)
        if kept and len(lines) > 1:
            inner = " " * (self._column(dash) + 2)
            lines = [f"-{kept[1:]}", inner + lines[0][len(inner) :], *lines[1:]]
        elif kept:
            lines[0] += kept
        text = self.newline.join([lines[0].lstrip(" "), *lines[1:]])
        self.edits.append((dash, self._end_of(item), text))

    def _insert_flow(self, after: int, new: str) -> None:
        self.edits.append((after, after, f", {new}"))

    def _delete_flow(self, spans: list[tuple[int, int]], gone: list[int]) -> None:
        """Remove members in brackets, each with the comma before it."""
        if 0 in gone:
            raise _CannotEditInPlaceError
        for index in gone:
            self.edits.append((spans[index - 1][1], spans[index][1], ""))

    def _insert_after(self, offset: int, lines: list[str]) -> None:
        text = "".join(self.newline + line for line in lines)
        self.edits.append((offset, offset, text))

    def _delete_lines(self, start: int, end: int) -> None:
        """Remove whole lines, from the one of `start` to the one that ends at `end`."""
        begin = self.text.rfind("\n", 0, start) + 1
        if self.text[begin:start].strip():
            raise _CannotEditInPlaceError
        if end < len(self.text):
            end += 2 if self.text[end] == "\r" else 1
        elif begin:
            begin -= 2 if self.text[begin - 2 : begin] == "\r\n" else 1
        self.edits.append((begin, end, ""))

    # -- where things are --------------------------------------------------------------------

    def _end_of(self, node: Node, key: Node | None = None) -> int:
        """The end of the last line of a node, without its line feed."""
        if node.kind in ("map", "seq") and not node.is_flow:
            if node.pairs:
                key, last = node.pairs[-1]
                return self._end_of(last, key)
            return self._end_of(node.items[-1])
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

    def _dash_of(self, item: Node) -> int:
        """Offset of the dash before a list item."""
        at = item.start - 1
        while at >= 0 and self.text[at] in " \t\r\n":
            at -= 1
        if at < 0 or self.text[at] != "-":
            raise _CannotEditInPlaceError
        return at

    def _detect_list_indent(self) -> int:
        """How far this text indents lists under their keys: 2, or 0 as kubectl prints them."""
        pattern = r"^( *)(?:- )?[\w./\"'-]+:[ \t]*(?:#.*)?\r?\n(?:[ \t]*(?:#.*)?\r?\n)*( *)- "
        for match in re.finditer(pattern, self.text, re.MULTILINE):
            nested = match.group(0).lstrip(" ").startswith("- ")
            return max(0, min(2, len(match.group(2)) - len(match.group(1)) - 2 * nested))
        return 0


def _changed_words(before: str, after: str) -> tuple[str, str, int] | None:
    """The words that differ: as they were, as they are, and which occurrence of them it is."""
    head, tail = common_ends(list(before), list(after))
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
