"""Formats values as lines of YAML, in the style of the surrounding text. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from kubectl_fluidmodel.output.goyaml import is_plain_string

_PLAIN = re.compile(
    r"(?:-+(?=[A-Za-z]))?[A-Za-z0-9_./][A-Za-z0-9_./@%+=,:~*-]*(?: [A-Za-z0-9_./@%+=,~*-]+)*"
)


def scalar(value: Any, style: str = "") -> str:
    """Format a scalar on one line; in the given quotes if possible."""
    if isinstance(value, str):
        return _text(value, style)
    if value is None:
        return "null"
    return json.dumps(value, default=str)


def _text(value: str, style: str) -> str:
    single_line = "\n" not in value and value.isprintable()
    if style == "'" and single_line:
        return _single(value)
    if style == '"':
        return double_quoted(value)
    if single_line and _plain(value):
        return value
    if single_line and '"' in value:
        return _single(value)
    return double_quoted(value)


def double_quoted(value: str) -> str:
    """Format text in double quotes, with non-printable characters escaped as in YAML.

    Unlike JSON, YAML has no surrogate pairs.
    """
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else _escaped(char) for char in quoted)


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 1 << 16 else f"\\U{ord(char):08x}"


def _single(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _plain(value: str) -> bool:
    """Return whether text without quotes is parsed as the same text."""
    if not _PLAIN.fullmatch(value) or value.endswith(":"):
        return False
    return is_plain_string(value)


def flow_text(value: Any) -> str:
    """Format a value on one line."""
    if isinstance(value, dict):
        pairs = (f"{scalar(key)}: {flow_text(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow_text(item) for item in value) + "]"
    text = scalar(value)
    crowded = isinstance(value, str) and re.search(r"[,\[\]{}]", text)
    return double_quoted(value) if crowded else text


def pair_lines(key: str, value: Any, indent: int, offset: int) -> list[str]:
    """Format `key: value` as lines; `offset` is the indentation of a list below its key."""
    head = " " * indent + scalar(key) + ":"
    if isinstance(value, dict) and value:
        return [head, *mapping_lines(value, indent + 2, offset)]
    if isinstance(value, list) and value:
        return [head, *sequence_lines(value, indent + offset, offset)]
    if isinstance(value, str) and "\n" in value:
        block = literal_block(value, indent + 2)
        if block is not None:
            return [f"{head} {block[0]}", *block[1:]]
    return [f"{head} {_one_line(value)}"]


def _one_line(value: Any) -> str:
    return scalar(value) if isinstance(value, str) else flow_text(value)


def mapping_lines(value: dict[str, Any], indent: int, offset: int) -> list[str]:
    return [line for key, item in value.items() for line in pair_lines(key, item, indent, offset)]


def sequence_lines(items: list[Any], indent: int, offset: int) -> list[str]:
    """Format items as lines; `indent` is the column of the dash."""
    lines: list[str] = []
    dash = " " * indent + "- "
    for item in items:
        if isinstance(item, dict) and item:
            inner = mapping_lines(item, indent + 2, offset)
        elif isinstance(item, list) and item:
            inner = sequence_lines(item, indent + 2, offset)
        elif isinstance(item, str) and "\n" in item and (block := literal_block(item, indent + 2)):
            inner = [" " * (indent + 2) + block[0], *block[1:]]
        else:
            inner = [" " * (indent + 2) + _one_line(item)]
        lines += [dash + inner[0][indent + 2 :], *inner[1:]]
    return lines


def literal_block(value: str, indent: int) -> list[str] | None:
    """Format multi-line text as a literal block: its header and its lines; None if impossible."""
    body = value.rstrip("\n")
    trailing = len(value) - len(body)
    printable = all(char == "\n" or char == "\t" or char.isprintable() for char in value)
    if not body or not printable or body[0] in " \n\t" or trailing > 1:
        return None
    header = "|" if trailing else "|-"
    return [header, *(" " * indent + line if line else "" for line in body.split("\n"))]
