"""Redaction: copies of strings and objects without possible secrets. Pure.

Everything that is read from a cluster is redacted before it is stored or shown. Secrets are
recognized by name (`aws.secretKey`, `HF_TOKEN`, `--password`; `secret_names`, `secret_values`) and
by form (JWTs, keys with a known prefix, signed URLs, PEM blocks; `secret_patterns`). In doubt, a
value is hidden. Names that end like a path or a reference (`fs.gcs.credential.path`, `secretName`)
are kept, because checks need their values.

Pods' logs are hostile input, so every step takes time linear in its input. Repository scanners such
as detect-secrets and gitleaks do not fit: they report suspicious lines, and know too few of the
formats in which programs log their settings.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.secret_names import (
    PLUGIN_FLAGS,
    REDACTED,
    SECRET_WORD,
    Sensitivity,
    classify_name,
    is_secret_value,
    looks_random,
)
from kubectl_fluidmodel.snapshot.secret_patterns import redact_patterns
from kubectl_fluidmodel.snapshot.secret_values import NUMBER, redact_by_name

__all__ = ["REDACTED", "redact_object", "redact_strings", "redact_text"]

_DROPPED_KEYS = ("managedFields", "kubectl.kubernetes.io/last-applied-configuration")
"""Keys that are dropped: copies of the object in a form that key names do not protect."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")
_PREFILTER = re.compile(
    SECRET_WORD.pattern + r"|PRIVATE|x-amz|x-goog|sig|se=|policy|access|://|basic|eyJ|AKIA|ASIA"
    r"|AROA|AIDA|hf_|gh[pousr]_|glpat-|sk-|xox|nvapi-|AIza|ya29|LTAI|-u |-p|-a|mc |webhook",
    re.IGNORECASE,
)
"""Strings without any of these contain no secret that the patterns find."""
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,}={0,2}")


def _redact_encoded(match: re.Match[str]) -> str:
    """Return the match itself, unless it is base64 of a text with a secret."""
    try:
        inner = base64.b64decode(match[0] + "=" * (-len(match[0]) % 4), validate=True).decode()
    except ValueError:
        return match[0]
    return REDACTED if _redact_plain(inner) != inner else match[0]


def redact_text(text: str) -> str:
    """Redact secrets in a string, plain or in base64; color codes are removed."""
    return _redact_plain(_ENCODED.sub(_redact_encoded, _COLOUR.sub("", text)))


def _redact_plain(text: str) -> str:
    if not _PREFILTER.search(text):
        return text
    text = redact_patterns(text)
    return redact_by_name(text) if SECRET_WORD.search(text) else text


def redact_strings(data: Any) -> Any:
    """Redact every string of JSON-like data by its content, whatever its key is."""
    if isinstance(data, str):
        return redact_text(data)
    if isinstance(data, list | tuple):
        return [redact_strings(item) for item in data]
    if isinstance(data, dict):
        return {key: redact_strings(value) for key, value in data.items()}
    return data


# -- objects ---------------------------------------------------------------------------------


def redact_object(data: Any) -> Any:
    """Return a copy of an object (or any JSON-like data) without its secrets."""
    if isinstance(data, str):
        return redact_text(_redact_json(data))
    if isinstance(data, list):
        return _redact_list(data)
    if isinstance(data, dict):
        return _redact_mapping(data)
    return data


def _redact_json(data: str) -> str:
    """Return an object as JSON in a string, as in an annotation, without its secrets."""
    if not data.lstrip().startswith(("{", "[")):
        return data
    try:
        decoded = json.loads(data)
        redacted = redact_object(decoded)
    except (ValueError, RecursionError):
        return data
    return data if redacted == decoded else json.dumps(redacted, ensure_ascii=False)


def _redact_mapping(data: Object) -> Object:
    if data.get("kind") == "Secret":
        data = {
            # A key without a value is not a secret, and a check reports it.
            key: {name: REDACTED if content else content for name, content in value.items()}
            if key in ("data", "stringData") and isinstance(value, dict)
            else value
            for key, value in data.items()
        }
    name = data.get("name", data.get("key"))
    value = data.get("value")
    if isinstance(name, str) and isinstance(value, str):
        hidden = is_secret_value(name, value, variable=True)
        return {
            key: REDACTED if key == "value" and hidden else redact_object(content)
            for key, content in data.items()
        }
    return {
        key: REDACTED
        if isinstance(content, str)
        and isinstance(key, str)
        and is_secret_value(key, content, variable=False)
        else redact_object(content)
        for key, content in data.items()
        if key not in _DROPPED_KEYS
    }


_LOGIN_FLAGS = ("-u", "--user")
_SHORT_FLAGS = ("-p", "-a", "-k", "-s")


def _redact_list(data: list[Any]) -> list[Any]:
    """Redact a list; in a list of arguments, hide the one after `--token`."""
    redacted: list[Any] = []
    flag = ""
    for item in data:
        redacted.append(
            _redact_argument(flag, item) if isinstance(item, str) else redact_object(item)
        )
        flag = item if isinstance(item, str) and item.startswith("-") and "=" not in item else ""
    return redacted


def _redact_argument(flag: str, item: str) -> str:
    """Redact an argument that follows a flag ("" for none)."""
    if flag in _LOGIN_FLAGS and ":" in item:
        return f"{item.partition(':')[0]}:{REDACTED}"
    name = flag.lstrip("-")
    if name and name not in PLUGIN_FLAGS and not item.startswith("--"):
        sensitivity = classify_name(name, variable=True)
        if flag in _SHORT_FLAGS or name == "key":
            sensitivity = Sensitivity.MAYBE
        dashed = item.startswith("-") and not looks_random(item)
        is_secret = sensitivity is Sensitivity.SECRET and not NUMBER.fullmatch(item)
        likely = sensitivity is Sensitivity.MAYBE and looks_random(item)
        if not dashed and (is_secret or likely):
            return REDACTED
    redacted: str = redact_object(item)
    return redacted
