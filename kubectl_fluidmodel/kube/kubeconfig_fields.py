"""Types of a kubeconfig's fields; kubectl rejects a file with another type.

Source: client-go, tools/clientcmd/api/v1/types.go (v0.36).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

_Check = Callable[[Any], str]
"""The expected type of a value, or empty if it is valid. Values are never included, because some
are secret."""
_Fields = Mapping[str, "_Check | _Fields | list[_Fields]"]
"""The fields of a map, of a nested map, or of each map in a list."""


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "a string"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _data(value: Any) -> str:
    """Check base64. Go's decoder ignores line breaks, and nothing else."""
    if not isinstance(value, str):
        return "base64"
    try:
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except ValueError:
        return "base64"
    return ""


def _texts(value: Any) -> str:
    is_valid = isinstance(value, list) and all(
        item is None or isinstance(item, str) for item in value
    )
    return "" if is_valid else "a list of strings"


def _map(check: _Check, value_type: str) -> _Check:
    def expected_type(value: Any) -> str:
        if not isinstance(value, Mapping):
            return f"a map of {value_type}"
        return next((f"a map of {value_type}" for item in value.values() if check(item)), "")

    return expected_type


_EXEC: _Fields = {
    "command": _text,
    "args": _texts,
    "env": [{"name": _text, "value": _text}],
    "apiVersion": _text,
    "installHint": _text,
    "provideClusterInfo": _flag,
    "interactiveMode": _text,
}
_PROVIDER: _Fields = {"name": _text, "config": _map(_text, "texts")}
FIELDS: dict[str, tuple[str, _Fields]] = {
    "clusters": (
        "cluster",
        {
            "server": _text,
            "tls-server-name": _text,
            "insecure-skip-tls-verify": _flag,
            "certificate-authority": _text,
            "certificate-authority-data": _data,
            "proxy-url": _text,
            "disable-compression": _flag,
            "extensions": [{"name": _text}],
        },
    ),
    "users": (
        "user",
        {
            "client-certificate": _text,
            "client-certificate-data": _data,
            "client-key": _text,
            "client-key-data": _data,
            "token": _text,
            "tokenFile": _text,
            "as": _text,
            "as-uid": _text,
            "as-groups": _texts,
            "as-user-extra": _map(_texts, "lists of strings"),
            "username": _text,
            "password": _text,
            "auth-provider": _PROVIDER,
            "exec": _EXEC,
        },
    ),
    "contexts": ("context", {"cluster": _text, "user": _text, "namespace": _text}),
}
"""By list: the key of its entries' content, and its fields."""


def validate_fields(document: Mapping[str, Any]) -> None:
    """Check that kubectl can read a file.

    Raises:
        ValueError: a field has another type, a name occurs twice, or it is not a kubeconfig.
    """
    for key, expected in (("kind", "Config"), ("apiVersion", "v1")):
        if document.get(key) not in (None, "", expected):
            raise ValueError(f"its {key} is not {expected}")
    if document.get("current-context") is not None and _text(document["current-context"]):
        raise ValueError("its current-context is not a string")
    for part, (content, fields) in FIELDS.items():
        entries = [] if document.get(part) is None else document[part]
        if not isinstance(entries, list) or not all(
            isinstance(entry, Mapping) and isinstance(entry.get("name"), str) for entry in entries
        ):
            raise ValueError(f"its '{part}' are not a list of named entries")
        names: set[str] = set()
        for entry in entries:
            name = entry["name"]
            if name in names:
                raise ValueError(f"it has two {part} with the name '{name}'")
            names.add(name)
            if entry.get(content) is not None and (wrong := _wrong(entry[content], fields)):
                location = f"{wrong[0]} of the" if wrong[0] else "the"
                raise ValueError(f"{location} {content} '{name}' is not {wrong[1]}")


def _wrong(value: Any, fields: _Fields, within: str = "") -> tuple[str, str] | None:
    """Return the first invalid field, and its expected type."""
    if not isinstance(value, Mapping):
        return within, "a map"
    for key, field_type in fields.items():
        if value.get(key) is None:
            continue
        location = f"{within}.{key}" if within else key
        error: tuple[str, str] | None = None
        if isinstance(field_type, list):
            if not isinstance(value[key], list):
                return location, "a list"
            errors = (_wrong(item, field_type[0], location) for item in value[key])
            error = next((error for error in errors if error), None)
        elif isinstance(field_type, Mapping):
            error = _wrong(value[key], field_type, location)
        elif expected := field_type(value[key]):
            error = location, expected
        if error:
            return error
    return None
