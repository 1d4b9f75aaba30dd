"""Changes a YAML document by changing as little of its text as possible.

Only lines that differ are edited: comments, key order, quotes, indentation and line endings of
everything else stay byte for byte. The result is parsed and compared with the intended value, so an
edit is either correct or refused.

ruamel.yaml does not fit: its round trip, without any change, altered 5 of 16 real graphs
(indentation of lists, line breaks in long strings, quotes), and it cannot undo an edit byte for
byte.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import yaml

from kubectl_fluidmodel.dynamo.yaml.node_editor import NodeEditor
from kubectl_fluidmodel.dynamo.yaml.nodes import parse_nodes
from kubectl_fluidmodel.dynamo.yaml.source import CannotEditInPlaceError
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.output.goyaml import load_yaml


class CannotEditError(FluidModelError):
    """The document is written in a way that allows no small edit."""


def edit_document(text: str, before: Any, after: Any) -> str:
    """Change the text of a document.

    An alias or a `null` that has to be expanded is preserved in a comment, from which the reverse
    change restores it: after both changes, the text has the same bytes.

    Args:
        text: one document.
        before: its value.
        after: the value of the result.

    Raises:
        CannotEditError: anchors, merge keys or similar features prevent it.
    """
    as_json = _json_edit(text, before, after)
    if as_json is not None:
        return as_json
    # If that is easier, a last line without a line feed is edited with one.
    for line_feed in ("",) if text.endswith("\n") else ("", "\n"):
        for rewrite_strings in (False, True):
            result = _attempt(text + line_feed, before, after, rewrite_strings)
            if result is not None:
                result = result.removesuffix(line_feed) if line_feed else result
                if _has_value(result, after):
                    return result
    raise CannotEditError(
        "cannot edit the document in place",
        "its anchors, merge keys or layout do not allow a small change",
        "-o patch, and apply the patch with kustomize",
    )


def _attempt(text: str, before: Any, after: Any, rewrite_strings: bool) -> str | None:
    """Return the edited text, not verified yet; None if it cannot be edited this way."""
    try:
        root = parse_nodes(text)
        if root is None:
            return None
        editor = NodeEditor(text, rewrite_strings, _is_json(text))
        editor.change_node(root, before, after)
        return editor.result()
    except (CannotEditInPlaceError, yaml.YAMLError, ValueError):
        return None


def _has_value(text: str, value: Any) -> bool:
    """Return whether a document has a value and, if it is JSON, is still JSON."""
    try:
        as_yaml = load_yaml(text)
        return bool(as_yaml == value) and (not _is_json(text) or json.loads(text) == value)
    except (yaml.YAMLError, ValueError):
        return False


def _json_edit(text: str, before: Any, after: Any) -> str | None:
    """Return a JSON document in its original layout; None if it is not JSON or not supported."""
    value = _json_value(text)
    if value is None:
        return None
    body = text.rstrip()
    for indent, ascii_ in itertools.product((2, 4, None, "\t", 3, 1, 8), (False, True)):
        for separators in (None, (",", ":")) if indent is None else (None,):
            style: Any = {"indent": indent, "ensure_ascii": ascii_, "separators": separators}
            if value == before and json.dumps(value, **style) == body:
                return json.dumps(after, **style) + text[len(body) :]
    return None


def _is_json(text: str) -> bool:
    return _json_value(text) is not None


def _json_value(text: str) -> Any:
    """Return the value of a JSON object; None if the text is none."""
    try:
        return json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
