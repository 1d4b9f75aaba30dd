"""Taking out of texts and objects what may be secret, before anything is kept or shown. Pure.

It goes by names (`aws.secretKey`, `HF_TOKEN`, `--password`) and by looks (JWTs, keys with a known
beginning, presigned URLs, PEM blocks). It rather hides too much: a name that ends like a path or
a reference (`fs.gcs.credential.path`, `secretName`) is kept, because checks go by it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from kubectl_fluidmodel.kube.kind import Object

HIDDEN = "REDACTED"

_DROPPED = ("managedFields", "kubectl.kubernetes.io/last-applied-configuration")
"""Keys that go altogether: copies of what is there already, in a form that names do not guard."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PLAIN = {
    *("secret", "secrets", "token", "tokens", "password", "passwd", "passphrase", "pwd"),
    *("credential", "credentials", "apikey", "secretkey", "accesskey", "authorization", "cookie"),
    *("bearer", "signature", "sas"),
}
_KEYS = {"access", "api", "private", "account", "encryption", "shared", "signing", "auth", "master"}
"""What makes a secret of the word `key` after it."""
_HARMLESS = {
    *("path", "file", "dir", "name", "namespace", "ref", "kind", "type", "url", "endpoint"),
    *("seconds", "version", "enabled", "mode", "class", "policy", "count", "size", "provider"),
}
"""Last words of names that tell about a secret and do not hold it."""

_NAME = (
    r"[\w.\-/]*(?:secret|token|passw(?:or)?d|passphrase|credential|api[-_.]?key|access[-_.]?key"
    r"|private[-_.]?key|account[-_.]?key)[\w.\-]*"
)
_REFERENCE = (
    r"(?:[\"']?\$[{(]?(?-i:[A-Z][A-Z0-9_]+)[)}]?[\"']?(?=[\s;&|,]|$)"
    r"|\{\s*[\"']?(?:name|key|secretKeyRef)\b)"
)
"""What stands in a secret's place and is none: a whole variable, `"$TOKEN"` or `$(TOKEN)`, or a
reference in YAML. A password may begin with a dollar, too."""
_KUBELET = r"(?:(?:secret|configmap) \"[^\"\n]*\" not found|references non-existent )"
"""What a kubelet says after the name of a volume with a Secret, which tells that it is missing:
`"x-secret" : secret "x" not found`."""
_OUR_FLAGS = r"--(?:s3|hf|gcs)-secret\b"
"""They take the name of a Secret."""
_VALUE = rf"""(?!{_REFERENCE}|{_KUBELET})(?:"[^"\n]*"|'[^'\n]*'|`[^`\n]*`|[^\s,;&"'`}}\])]+)"""
_LOOKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
        HIDDEN,
    ),
    (
        re.compile(
            r"([?&](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId"
            r"|GoogleAccessId|OSSAccessKeyId|Signature|sig|se|Policy|Key-Pair-Id|access_token)=)"
            r"[^&\s\"'<>]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # Keys of stores have slashes in them, and people put them there as they are.
    (re.compile(r"(\w://)[^/\s:@\"']+:[^\s@\"']+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(r"(\bauthorization[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
        rf"\1 {HIDDEN}",
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), HIDDEN),
    (
        re.compile(
            r"\b(?:(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}|hf_[A-Za-z0-9]{8,}|gh[pousr]_\w{16,}"
            r"|github_pat_\w{16,}|glpat-[\w-]{16,}|sk-[\w-]{16,}|xox[abeprs]-[\w-]{8,}"
            r"|nvapi-[\w-]{16,}|AIza[\w-]{30,}|ya29\.[\w-]{16,}|LTAI[A-Za-z0-9]{12,})"
        ),
        HIDDEN,
    ),
    (
        re.compile(rf"((?:--?)?{_NAME}[\"']?\s*[=:]\s*)(?!{HIDDEN}){_VALUE}", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(rf"(\s(?!{_OUR_FLAGS})--?{_NAME}\s+)(?!-|{HIDDEN}){_VALUE}", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
)
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,}={0,2}")
_WORTH_A_LOOK = re.compile(
    r"secret|token|passw|passphrase|credential|key|PRIVATE|x-amz|x-goog|sig|se=|policy|access"
    r"|://|authorization|bearer|basic|eyJ|AKIA|ASIA|AROA|AIDA|hf_|gh[pousr]_|github_pat|glpat-|sk-"
    r"|xox|nvapi-|AIza|ya29|LTAI",
    re.IGNORECASE,
)


def text(given: str) -> str:
    """A text without what looks like a secret in it, as it is or in base64."""
    return _plain(_ENCODED.sub(_decoded, given))


def _decoded(match: re.Match[str]) -> str:
    """The match itself, unless it is base64 of a text with a secret in it."""
    try:
        inner = base64.b64decode(match[0] + "=" * (-len(match[0]) % 4), validate=True).decode()
    except ValueError:
        return match[0]
    return HIDDEN if _plain(inner) != inner else match[0]


def _plain(given: str) -> str:
    if not _WORTH_A_LOOK.search(given):
        return given
    for pattern, instead in _LOOKS:
        given = pattern.sub(instead, given)
    return given


def secretish(name: str, *, variable: bool = False) -> bool:
    """Whether what bears this name is likely to be a secret itself.

    `variable` is for names of environment variables and options, where any `…KEY` is one.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _HARMLESS:
        return False
    if any(word in _PLAIN for word in words):
        return True
    for before, word in zip(["", *words], words, strict=False):
        if word == "key" and (before in _KEYS or (variable and len(words) > 1)):
            return True
    return False


def document(given: Any) -> Any:
    """A copy of an object (or any JSON-like data) without its secrets."""
    if isinstance(given, str):
        return text(_json(given))
    if isinstance(given, list):
        return _list(given)
    if isinstance(given, dict):
        return _mapping(given)
    return given


def _json(given: str) -> str:
    """An object as JSON in a text, such as in an annotation, without its secrets."""
    if not given.lstrip().startswith(("{", "[")):
        return given
    try:
        held = json.loads(given)
        shown = document(held)
    except (ValueError, RecursionError):
        return given
    return given if shown == held else json.dumps(shown, ensure_ascii=False)


def _mapping(given: Object) -> Object:
    if given.get("kind") == "Secret":
        given = {
            # That a key has no value is no secret, and a check tells of it.
            key: {name: HIDDEN if held else held for name, held in value.items()}
            if key in ("data", "stringData") and isinstance(value, dict)
            else value
            for key, value in given.items()
        }
    named = given.get("name")
    if isinstance(named, str) and isinstance(given.get("value"), str):
        hidden = secretish(named, variable=True) and given["value"]
        return {
            key: HIDDEN if key == "value" and hidden else document(value)
            for key, value in given.items()
        }
    return {
        key: HIDDEN
        if isinstance(value, str) and value and isinstance(key, str) and secretish(key)
        else document(value)
        for key, value in given.items()
        if key not in _DROPPED
    }


def _list(given: list[Any]) -> list[Any]:
    """A list; of arguments, the one after `--token` is hidden."""
    found: list[Any] = []
    follows = False
    for item in given:
        if follows and isinstance(item, str) and not item.startswith("-"):
            found.append(HIDDEN)
            follows = False
            continue
        follows = (
            isinstance(item, str)
            and item.startswith("-")
            and "=" not in item
            and secretish(item.lstrip("-"), variable=True)
        )
        found.append(document(item))
    return found
