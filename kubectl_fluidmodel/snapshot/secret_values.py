"""Secrets that follow a name: `aws.secretKey: …`, `--token …`. Pure."""

from __future__ import annotations

import re

from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.secret_names import (
    PLUGIN_FLAGS,
    REDACTED,
    Sensitivity,
    classify_name,
    is_secret_value,
    looks_random,
)

Span = tuple[int, int]
"""Start and end of a part of a text."""

_MAX_NAME = 4096
_WORD = re.compile(r"-{0,2}[A-Za-z0-9_][\w.\-/]*")
_ASSIGNED = re.compile(
    r"(?P<close>\\*[\"'`]?[^\S\n]{0,40})(?::=|=>|[:=])(?P<gap>[^\S\n]{0,400})"
    r"(?P<list>\[?[^\S\n]{0,8})"
)
"""Between a name and its value: `: `, `=`, `\\": \\"`, `": ["`."""
_FOLLOWS = re.compile(r"[^\S\n]{1,400}|[^\S\n]{0,40}\n[^\S\n]{0,40}")
_ENTRY = re.compile(
    r"\\*[\"'`]?[\s,]{0,80}\\*[\"'`]?value\\*[\"'`]?[^\S\n]{0,8}[:=][^\S\n]{0,40}", re.IGNORECASE
)
"""Between a name and its value in a list of pairs: `key: "NAME"\\n  value: `."""
_TAG_ENTRY = re.compile(r"\s{0,40}</\w{1,40}>\s{0,80}<value>\s{0,40}")
"""The same in XML: `<name>NAME</name><value>`."""
_NAMED = re.compile(
    r"\\*[\"'`]?[\s,]{0,80}\\*[\"'`]?(?:name|key)\\*[\"'`]?[^\S\n]{0,8}[:=][^\S\n]{0,40}"
    r"\\*[\"'`]?([\w.\-]{1,200})",
    re.IGNORECASE,
)
"""Between a value and the name that follows it."""
_QUOTE = re.compile(r"(\\*)([\"'`])")
_BARE = re.compile(r"[^\s,;&\"'`}\])<>\\]+")
_BARE_TAG = re.compile(r"[^<\n]+")
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?[^\S\n]*(?:#[^\n]*)?(?=\n)")
_REFERENCE = re.compile(
    r"[\"']?\$[{(]?[A-Z][A-Z0-9_]+[)}]?[\"']?(?=[\s;&|,]|$)"
    r"|\{\s{0,40}[\"']?\w{1,80}[\"']?\s{0,8}[:=]|map\[|\*{3,}|[\"']?<[\w -]+>|[\"']?…"
    r"|/etc/fluid/secrets/"
)
"""Text in place of a value that is not a secret: a variable (`"$TOKEN"`, `$(TOKEN)`), a mapping,
asterisks, a placeholder, or the path at which Fluid mounts keys. A password may also begin with a
dollar sign or a brace, so the whole form has to match."""
_KUBELET = re.compile(r"(?:secret|configmap) \"[^\"\n]*\" not found|references non-existent ")
"""The kubelet's message after a volume's name: `volume "x-secret" : secret "x" not found`."""
_PLAIN_WORD = re.compile(r"[A-Za-z]?[a-z']+[,.:;]?")
_GOES_ON = re.compile(r"[^\S\n]{1,8}[A-Za-z']+")
_LONE = re.compile(r"\n[^\S\n]{1,80}(?:- )?([^\s:]+)[^\S\n]*(?=\n|$)")
"""A value alone on the line below its name."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?%?|true|false|null|none", re.IGNORECASE)
_BEFORE_SPACED_VALUE = re.compile(
    r"(?:\b(?:machine[^\S\n]+\S{1,200}|default)[^\S\n]+login[^\S\n]+\S{1,200}|\bconfigure[^\S\n]+set)"
    r"[^\S\n]+$"
)
"""Text before a name whose value follows a space: netrc, `aws configure set`."""
_WHOLE_LINE_NAMES = ("password", "passphrase", "passwd")
"""Names whose value may contain spaces if name and value are alone on a line."""


def redact_by_name(text: str) -> str:
    """Redact the values that follow the name of a secret.

    Uses one pass: each step starts behind the previous one, so the time is linear in the input.
    """
    parts: list[str] = []
    position = 0
    done = 0
    while True:
        word = _WORD.search(text, position)
        if word is None:
            return "".join([*parts, text[done:]])
        position = word.end()
        span = _secret_span(text, word)
        if span is None:
            continue
        start, end = span
        position = max(position, end)
        if text[start:end] in ("", REDACTED):
            continue
        parts += [text[done:start], REDACTED]
        done = end


@dataclass(frozen=True)
class _Name:
    """A name in a text that may be followed by a secret."""

    text: str
    match: re.Match[str]
    sensitivity: Sensitivity

    @property
    def word(self) -> str:
        return self.match[0]

    @property
    def is_flag(self) -> bool:
        return self.word.startswith("-")

    def secret(self, span: Span | None, *, prose: bool = False) -> Span | None:
        """The span of a value if it is a secret; `prose`: it may be a word of a sentence."""
        if span is None:
            return None
        value = self.text[slice(*span)]
        bare = value.strip("\"'`\\")
        if bare.lower() in ("true", "false"):
            return None  # a switch, as `csi.useNodeAuthorization=false`
        if self.sensitivity is Sensitivity.MAYBE:
            return span if looks_random(bare) else None
        word = self.word.lower()
        if NUMBER.fullmatch(bare) and ("token" in word or word in ("pass", "auth")):
            return None
        in_sentence = prose and value == bare and _PLAIN_WORD.fullmatch(value)
        return None if in_sentence and _GOES_ON.match(self.text, span[1]) else span


def _secret_span(text: str, match: re.Match[str]) -> Span | None:
    """The span of the secret that a word names; None if it names none."""
    word = match[0]
    if word.lower() == "value":
        return _value_before_name(text, match.end())
    bare = word.strip("-")
    if len(word) > _MAX_NAME or (word.startswith("-") and bare in PLUGIN_FLAGS):
        return None
    sensitivity = classify_name(bare.rstrip("/").rsplit("/", 1)[-1])
    if sensitivity is Sensitivity.NONE:
        return None
    name = _Name(text, match, sensitivity)
    for pattern, value_pattern in ((_ENTRY, _BARE), (_TAG_ENTRY, _BARE_TAG)):
        entry = pattern.match(text, match.end())
        if entry:
            return name.secret(_value_span(text, entry.end(), value_pattern))
    if (
        text[match.end() : match.end() + 1] == ">"
        and text[match.start() - 1 : match.start()] == "<"
    ):
        value = _value_span(text, match.end() + 1, _BARE_TAG)
        return name.secret(value) if value and text.startswith("</", value[1]) else None
    assigned = _ASSIGNED.match(text, match.end())
    return _assigned_span(name, assigned) if assigned else _following_span(name)


def _following_span(name: _Name) -> Span | None:
    """The value after `--name ` or `name is `, or where the text before the name says so."""
    text, match = name.text, name.match
    follows = _FOLLOWS.match(text, match.end())
    if follows is None:
        return None
    if name.is_flag:
        value = _value_span(text, follows.end(), _BARE)
        shown = text[slice(*value)] if value else ""
        is_option = shown.startswith("-") and not looks_random(shown)
        is_placeholder = shown.isupper() and shown.lower() in name.word.strip("-").lower()
        return None if is_option or is_placeholder else name.secret(value)
    if "\n" in follows[0]:
        return None
    if text[follows.end() : follows.end() + 3] in ("is ", "was"):
        start = text.find(" ", follows.end()) + 1
        value = _value_span(text, start, _BARE)
        return value if value and _looks_generated(text[slice(*value)]) else None
    if _BEFORE_SPACED_VALUE.search(text[max(0, match.start() - 500) : match.start()]):
        return name.secret(_value_span(text, follows.end(), _BARE))
    return None


def _assigned_span(name: _Name, assigned: re.Match[str]) -> Span | None:
    """Return the span of the value after `name:` or `name=`."""
    text, start = name.text, assigned.end()
    before = text[max(0, name.match.start() - 8) : name.match.start()]
    is_kubelet_message = before.endswith('volume "') and _KUBELET.match(text, start)
    if is_kubelet_message or _REFERENCE.match(text, start):
        return None
    block = _BLOCK.match(text, start)
    if block:
        return _block_span(text, name.match.start(), block.end())
    if start < len(text) and text[start] == "\n":
        lone = _LONE.match(text, start)
        return lone.span(1) if lone and looks_random(lone[1].strip("\"'")) else None
    if ":" in assigned[0] and name.word.lower().endswith(_WHOLE_LINE_NAMES):
        line = _whole_line_span(name, start)
        if line:
            return line
    return name.secret(_value_span(text, start, _BARE), prose=":" in assigned[0])


def _whole_line_span(name: _Name, start: int) -> Span | None:
    """The rest of a line that has only the name and an unquoted value."""
    text, name_start = name.text, name.match.start()
    line_start = text.rfind("\n", max(0, name_start - 80), name_start) + 1
    if text[line_start:name_start].strip(" -\t") or _QUOTE.match(text, start):
        return None
    end = text.find("\n", start)
    line = text[start : end if end >= 0 else len(text)]
    return (start, start + len(line.rstrip())) if line.strip() and line[0] not in "{[" else None


def _value_span(text: str, start: int, bare: re.Pattern[str]) -> Span | None:
    """The span of a value, up to its closing quote (with as many backslashes) or a delimiter."""
    quote = _QUOTE.match(text, start)
    if quote is None:
        plain = bare.match(text, start)
        return plain.span() if plain else None
    line_end = text.find("\n", quote.end())
    line_end = len(text) if line_end < 0 else line_end
    depth = len(quote[1])
    position = quote.end()
    while True:
        closing = _QUOTE.search(text, position, line_end)
        if closing is None:
            return quote.end(), line_end
        is_same = closing[2] == quote[2]
        escaped = len(closing[1]) % 2 == 1 if depth == 0 else len(closing[1]) > depth
        if is_same and not escaped:
            return quote.end(), closing.start() if depth else closing.end() - 1
        position = closing.end()


def _block_span(text: str, name: int, start: int) -> Span | None:
    """The lines of a YAML block scalar: those indented more than the line of its name."""
    head = text[text.rfind("\n", max(0, name - 400), name) + 1 : name]
    indent = len(head) - len(head.lstrip(" "))
    first = end = start + 1
    while end < len(text):
        newline = text.find("\n", end)
        newline = len(text) if newline < 0 else newline
        line = text[end:newline]
        if line.strip() and len(line) - len(line.lstrip(" ")) <= indent:
            break
        end = newline + 1
    body = text[first : min(end, len(text))]
    if not body.strip():
        return None
    lead = len(body) - len(body.lstrip())
    return first + lead, first + len(body.rstrip())


def _value_before_name(text: str, start: int) -> Span | None:
    """The value of `value: X, name: NAME` where NAME holds a secret."""
    assigned = _ASSIGNED.match(text, start)
    span = _value_span(text, assigned.end(), _BARE) if assigned else None
    if span is None:
        return None
    named = _NAMED.match(text, span[1])
    if named is None:
        return None
    return span if is_secret_value(named[1], text[slice(*span)], variable=True) else None


def _looks_generated(value: str) -> bool:
    """Whether a word of a sentence has digits, or capitals inside, and so is not a word."""
    return (
        len(value) >= 6
        and any(map(str.isalpha, value))
        and (any(map(str.isdigit, value)) or any(map(str.isupper, value[1:])))
    )
