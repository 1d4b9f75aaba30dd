"""Diffs of what `pin` and `unpin` change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from kubectl_fluidmodel.dynamo.object_paths import deep_copy
from kubectl_fluidmodel.dynamo.resources import PINS_ANNOTATION
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.output.console import wants_color
from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.serialize import to_yaml

if TYPE_CHECKING:
    from kubectl_fluidmodel.pin.options import PinOptions

_SERVER_SIDE = ("managedFields", "generation", "resourceVersion", "uid", "creationTimestamp")


def print_diff(text: str, options: PinOptions) -> None:
    """Print a diff on stdout, or on stderr if documents go to stdout."""
    stream = sys.stdout if options.output is None else sys.stderr
    color = wants_color(stream, options.color)
    click.echo(_colored(text) if color else text, nl=False, file=stream, color=color)


def object_diff(before: Object, after: Object, name: str) -> str:
    """Return a unified diff of two objects as YAML, without fields that the server sets.

    The pin's annotation is shown only by name, because it repeats the other changes.
    """
    import difflib

    shown = _comparable(before)
    old, new = (
        to_yaml(obj).splitlines(True) for obj in (shown, _ordered_like(_comparable(after), shown))
    )
    return "".join(
        escape_control(line)
        for line in difflib.unified_diff(old, new, f"live/{name}", f"after/{name}")
    )


def _ordered_like(value: Any, model: Any) -> Any:
    """Return a value with its keys in a model's order, which is no change."""
    if isinstance(value, dict) and isinstance(model, dict):
        keys = [
            *(key for key in model if key in value),
            *(key for key in value if key not in model),
        ]
        return {key: _ordered_like(value[key], model.get(key)) for key in keys}
    if isinstance(value, list) and isinstance(model, list):
        named = {item["name"]: item for item in model if isinstance(item, dict) and "name" in item}
        return [
            _ordered_like(item, named.get(item.get("name")) if isinstance(item, dict) else None)
            if named
            else _ordered_like(item, model[index] if index < len(model) else None)
            for index, item in enumerate(value)
        ]
    return value


def _colored(text: str) -> str:
    """Color a diff as git does."""
    codes = {"+": "32", "-": "31", "@": "36"}
    return "".join(
        f"\x1b[{codes[line[0]]}m{line.rstrip(chr(10))}\x1b[0m\n" if line[:1] in codes else line
        for line in text.splitlines(True)
    )


def _comparable(obj: Object) -> Object:
    shown = deep_copy(obj)
    shown.pop("status", None)
    metadata = shown.get("metadata", {})
    for key in _SERVER_SIDE:
        metadata.pop(key, None)
    annotations = metadata.get("annotations") or {}
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if PINS_ANNOTATION in annotations:
        annotations[PINS_ANNOTATION] = "(record of what pin added)"
    return shown
