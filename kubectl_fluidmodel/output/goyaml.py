"""Reads and writes YAML with the rules of kubectl and the API server's tools.

kubectl reads YAML with sigs.k8s.io/yaml, which is go-yaml v2: `y` and `on` are booleans, `1e3` and
`0o17` are numbers, `2024-01-01` and `22:30:00` are strings (goyaml.v2/resolve.go, sigs.k8s.io/yaml
v1.6.0). PyYAML implements YAML 1.1 strictly and differs in all of these. This module therefore
reads with Go's rules, and writes a string without quotes only if both read it as a string.

Input may be untrusted: its size, its depth and the number of nodes with expanded aliases are
limited before any object is built.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import yaml

from kubectl_fluidmodel.errors import FluidModelError

MAX_BYTES = 32 << 20
"""Maximum size of a file in bytes. The API server accepts objects of 3 MiB."""
_MAX_DEPTH = 100
"""Maximum nesting depth. Kubernetes' own types stay below 40."""
_MAX_NODES = 1_000_000
"""Maximum number of nodes in a document, with aliases expanded."""

_TAG = "tag:yaml.org,2002:"
_LITERALS: dict[str, Any] = {
    **dict.fromkeys(
        ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True
    ),
    **dict.fromkeys(
        ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False
    ),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INT = re.compile(r"([-+]?)(?:(0[xX][0-9a-fA-F]+)|(0[bB][01]+)|(0[oO]?[0-7]+)|(0|[1-9][0-9]*))")
_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?:[Tt ]\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?(?:Z|[-+]\d{2}:\d{2})?)?"
)


def resolve_plain_scalar(plain: str) -> Any:
    """Resolve a plain scalar as Go does: None, a bool, an int, a float, or the text itself."""
    if plain in _LITERALS:
        return _LITERALS[plain]
    if plain[0] not in "+-.0123456789" or _DATE.fullmatch(plain):
        return plain
    digits = plain.replace("_", "") if plain[0] != "." else plain
    integer = _INT.fullmatch(digits)
    if integer:
        value = _parse_int(*integer.groups())
        if -(1 << 63) <= value < 1 << 64 and not (digits[0] == "+" and value >= 1 << 63):
            return value
    return float(digits) if _FLOAT.fullmatch(digits) else plain


def _parse_int(
    sign: str, hexadecimal: str | None, binary: str | None, octal: str | None, decimal: str
) -> int:
    if hexadecimal:
        value = int(hexadecimal, 16)
    elif binary:
        value = int(binary, 2)
    elif octal:
        value = int(octal.lower().removeprefix("0o"), 8)
    else:
        value = int(decimal)
    return -value if sign == "-" else value


_PYYAML: Any = yaml.SafeLoader("")


def is_plain_string(plain: str) -> bool:
    """Return whether Go and YAML 1.1 both read this text, written without quotes, as itself."""
    if plain == "<<" or not isinstance(resolve_plain_scalar(plain), str):
        return False
    tag = _PYYAML.resolve(yaml.ScalarNode, plain, (True, False))
    return bool(tag == f"{_TAG}str")


# -- reading ---------------------------------------------------------------------------------

FastSafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader if PyYAML has it, as all its wheels do."""
_TAG_NAMES = ((bool, "bool"), (int, "int"), (float, "float"), (type(None), "null"))


class GoLoader(FastSafeLoader):  # type: ignore[misc]
    """A safe loader with Go's rules for scalars; keys are strings, as in JSON."""

    def resolve(self, kind: Any, value: str, implicit: Any) -> str:
        if kind is not yaml.ScalarNode:
            return f"{_TAG}{'seq' if kind is yaml.SequenceNode else 'map'}"
        if not implicit[0]:
            return f"{_TAG}str"
        if value == "<<":
            return f"{_TAG}merge"
        resolved = resolve_plain_scalar(value)
        return _TAG + next((name for kind, name in _TAG_NAMES if isinstance(resolved, kind)), "str")

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(
                None, None, "expected a mapping", node.start_mark
            )
        self.flatten_mapping(node)
        mapping = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key that is not a string", key.start_mark
                )
            mapping[key.value] = self.construct_object(value, deep=True)
        return mapping

    def construct_plain(self, node: Any) -> Any:
        return resolve_plain_scalar(self.construct_scalar(node))

    def construct_number(self, node: Any) -> Any:
        """Construct `!!int` and `!!float`, which Go also accepts in quotes."""
        number = self.construct_plain(node)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise yaml.constructor.ConstructorError(None, None, "not a number", node.start_mark)
        return number

    def construct_text(self, node: Any) -> str:
        return str(self.construct_scalar(node))

    def construct_binary(self, node: Any) -> str:
        try:
            return base64.b64decode(
                "".join(self.construct_text(node).split()), validate=True
            ).decode()
        except ValueError as err:
            raise yaml.constructor.ConstructorError(
                None, None, "!!binary that is not base64-encoded text", node.start_mark
            ) from err


GoLoader.yaml_constructors = {
    f"{_TAG}map": GoLoader.construct_mapping,
    f"{_TAG}seq": lambda loader, node: loader.construct_sequence(node, deep=True),
    **{f"{_TAG}{name}": GoLoader.construct_text for name in ("str", "timestamp", "merge")},
    **{f"{_TAG}{name}": GoLoader.construct_plain for name in ("null", "bool")},
    **{f"{_TAG}{name}": GoLoader.construct_number for name in ("int", "float")},
    f"{_TAG}binary": GoLoader.construct_binary,
    None: yaml.SafeLoader.construct_undefined,
}


def load_yaml(text: str | bytes) -> Any:
    """Return the value of the only document in a text, as Go reads it.

    Raises:
        yaml.YAMLError: the text is not YAML, or it cannot be written as JSON.
        YamlLimitError: it exceeds the limits on size, depth or aliases.
    """
    check_limits(text)
    return yaml.load(text, Loader=GoLoader)  # noqa: S506 - Loader is a SafeLoader


class YamlLimitError(FluidModelError):
    """A document that exceeds this module's limits."""

    def __init__(self, reason: str) -> None:
        super().__init__("cannot read the YAML", reason)


def check_limits(text: str | bytes) -> None:
    """Check the limits from parser events alone, before building any object.

    Raises:
        yaml.YAMLError: the text is not YAML.
        YamlLimitError: it exceeds the limits on size, depth or aliases.
    """
    if len(text) > MAX_BYTES:
        raise YamlLimitError(f"it is larger than {MAX_BYTES >> 20} MiB")
    sizes: dict[str, int] = {}
    open_collections: list[tuple[str | None, int]] = []
    total = 0
    for event in _parse_events(text):
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_collections):
                raise YamlLimitError(f"*{event.anchor} contains itself")
            total += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_collections.append((event.anchor, total))
            total += 1
            if len(open_collections) > _MAX_DEPTH:
                raise YamlLimitError(f"it is nested deeper than {_MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_collections.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if total > _MAX_NODES:
            raise YamlLimitError(f"it has more than {_MAX_NODES} values, with its aliases expanded")


def _parse_events(text: str | bytes) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=FastSafeLoader)
    except RecursionError as err:
        raise YamlLimitError("it is nested too deeply") from err


# -- writing ---------------------------------------------------------------------------------


class GoDumper(yaml.SafeDumper):
    """A safe dumper whose strings are also strings in Go; without aliases, lists indented."""

    def resolve(self, kind: Any, value: str, implicit: Any) -> Any:
        tag: Any = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if (
            kind is yaml.ScalarNode
            and implicit[0]
            and tag == f"{_TAG}str"
            and not is_plain_string(value)
        ):
            return None  # matches no tag, so the string gets quotes
        return tag

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    if not value.replace("\n", "").isprintable():
        style = '"'  # escapes characters that a terminal would interpret
    return dumper.represent_scalar(f"{_TAG}str", value, style=style)


GoDumper.add_representer(str, _represent_text)
GoDumper.add_multi_representer(str, _represent_text)  # a `shell.Command` is also a string


def dump_yaml(document: Any) -> str:
    """Return one YAML document; multi-line strings as blocks, keys in the given order."""
    dumped: str = yaml.dump(
        document, Dumper=GoDumper, sort_keys=False, allow_unicode=True, width=1000
    )
    return dumped
