"""Taking out of texts and objects what may be secret, before anything is kept or shown. Pure.

It goes by names (`aws.secretKey`, `HF_TOKEN`, `--password`: see `secret_names`) and by looks (JWTs,
keys with a known beginning, presigned URLs, PEM blocks). It rather hides too much; a name that ends
like a path or a reference (`fs.gcs.credential.path`, `secretName`) is kept, as checks go by it.

Every step takes time linear in its input: what is read comes from anybody's pods. A text is scanned
once, word by word, and what follows a word is only looked at up to the next one. Scanners of
repositories (detect-secrets, gitleaks) do the opposite of what is needed here: they report lines
that are worth a look, by rules that eat too few of the forms in which programs log their settings.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.secret_names import Sensitivity, classify_name, looks_random

REDACTED = "REDACTED"

_DROPPED_KEYS = ("managedFields", "kubectl.kubernetes.io/last-applied-configuration")
"""Keys that go altogether: copies of what is there already, in a form that names do not guard."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")
_PEM = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z ]{0,60}-----")

# -- by looks --------------------------------------------------------------------------------

_SECRET_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"([?&](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId"
            r"|GoogleAccessId|OSSAccessKeyId|Signature|sig|se|Policy|Key-Pair-Id|access_token)=)"
            r"[^&\s\"'<>]+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(
            r"(\b(?:hooks\.slack\.com/services|discord(?:app)?\.com/api/webhooks"
            r"|webhook\.office\.com/\w+)/)[^\s\"'<>]+"
        ),
        rf"\1{REDACTED}",
    ),
    (
        # A header's value goes to the end of its line or its quote, after a bracket of JSON, too.
        re.compile(
            r"(\b(?:(?:proxy-)?authorization|(?:set-)?cookie)\\*[\"']?[^\S\n]{0,8}[:=]\s{0,8}"
            r"[\[{]?[^\S\n]{0,8}\\*[\"']?)[^\r\n\"'\\]+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(r"\b(bearer|basic)[^\S\n]{1,8}[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
        rf"\1 {REDACTED}",
    ),
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), REDACTED),
    (
        # An access key, with the secret key where it is written right behind.
        re.compile(
            r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}"
            r"(?:[:;,|/][^\S\n]?[^\s\"',;|&]{8,}|[^\S\n]{1,8}[A-Za-z0-9+/=]{40}(?![\w+/=]))?"
        ),
        REDACTED,
    ),
    (
        re.compile(
            r"\b(?:hf_[A-Za-z0-9]{8,}|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
            r"|sk-[\w-]{16,}|xox[abeprs]-[\w-]{8,}|nvapi-[\w-]{16,}|AIza[\w-]{30,}"
            r"|ya29\.[\w-]{16,}|LTAI[A-Za-z0-9]{12,})"
        ),
        REDACTED,
    ),
    (
        # What is piped into a login.
        re.compile(
            r"(\b(?:echo|printf)[^\S\n]{1,8}(?:-\w[^\S\n]{1,8})?)[^\s|]{1,4096}"
            r"(?=[^\S\n]{0,8}\|[^|\n]{1,80}(?:password|passwd|token|secret)-stdin)",
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(\b(?:mysql|mysqldump|mariadb)[^\S\n]+-p)[^\s-][^\s]*"), rf"\1{REDACTED}"),
    (re.compile(r"(\b(?:redis-cli[^\S\n]+-a|sshpass[^\S\n]+-p)[^\S\n]*)\S+"), rf"\1{REDACTED}"),
    (
        re.compile(
            r"(\b(?:curl|wget|http)\b[^\n]{0,200}?[^\S\n](?:-u|--user)[^\S\n=]{1,8}[\"']?"
            r"[^\s:\"']{1,200}:)[^\s\"']+"
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(
            r"(\bmc(?:li)?[^\S\n]+(?:alias|config[^\S\n]+host)[^\S\n]+(?:set|add)[^\S\n]+\S{1,200}"
            r"[^\S\n]+\S{1,400}[^\S\n]+)\S+[^\S\n]+\S+"
        ),
        rf"\1{REDACTED} {REDACTED}",
    ),
)

# -- by names --------------------------------------------------------------------------------

_WORD = re.compile(r"-{0,2}[A-Za-z0-9_][\w.\-/]*")
_SECRET_WORD = re.compile(
    r"secret|token|pass|pwd|pw\b|cred|key|auth|cookie|bearer|signature|sas\b|jwt|salt|\b[as]k\b"
    r"|_[as]k\b|licen[sc]e|seed|dsn|hook|login|otp|sid|session|connection|database|user|openai"
    r"|anthropic|wandb|ngc|huggingface|cohere|mistral|github|gitlab|slack|datadog|sentry",
    re.IGNORECASE,
)
_PREFILTER = re.compile(
    _SECRET_WORD.pattern
    + r"|PRIVATE|x-amz|x-goog|sig|se=|policy|access|://|basic|eyJ|AKIA|ASIA|AROA"
    r"|AIDA|hf_|gh[pousr]_|glpat-|sk-|xox|nvapi-|AIza|ya29|LTAI|-u |-p|-a|mc |webhook",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?P<close>\\*[\"'`]?[^\S\n]{0,40})(?::=|=>|[:=])(?P<gap>[^\S\n]{0,400})"
    r"(?P<list>\[?[^\S\n]{0,8})"
)
"""Between a name and its value: `: `, `=`, `\\": \\"`, `": ["`."""
_FOLLOWS = re.compile(r"[^\S\n]{1,400}|[^\S\n]{0,40}\n[^\S\n]{0,40}")
_ENTRY = re.compile(
    r"\\*[\"'`]?[\s,]{0,80}\\*[\"'`]?value\\*[\"'`]?[^\S\n]{0,8}[:=][^\S\n]{0,40}", re.IGNORECASE
)
"""Between a name in a list of names and values, and its value: `key: "NAME"\\n  value: `."""
_TAG_ENTRY = re.compile(r"\s{0,40}</\w{1,40}>\s{0,80}<value>\s{0,40}")
"""The same in XML: `<name>NAME</name><value>`."""
_NAMED = re.compile(
    r"\\*[\"'`]?[\s,]{0,80}\\*[\"'`]?(?:name|key)\\*[\"'`]?[^\S\n]{0,8}[:=][^\S\n]{0,40}"
    r"\\*[\"'`]?([\w.\-]{1,200})",
    re.IGNORECASE,
)
"""After a value that stands before its name."""
_QUOTE = re.compile(r"(\\*)([\"'`])")
_BARE = re.compile(r"[^\s,;&\"'`}\])<>\\]+")
_BARE_TAG = re.compile(r"[^<\n]+")
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?[^\S\n]*(?:#[^\n]*)?(?=\n)")
_REFERENCE = re.compile(
    r"[\"']?\$[{(]?[A-Z][A-Z0-9_]+[)}]?[\"']?(?=[\s;&|,]|$)"
    r"|\{\s{0,40}[\"']?\w{1,80}[\"']?\s{0,8}[:=]|map\[|\*{3,}|[\"']?<[\w -]+>|[\"']?…"
    r"|/etc/fluid/secrets/"
)
"""What stands in a secret's place and is none: a whole variable, `"$TOKEN"` or `$(TOKEN)`, a
mapping, stars, a placeholder, the path that Fluid mounts keys at. A password may begin with a
dollar or a brace, too."""
_KUBELET = re.compile(r"(?:secret|configmap) \"[^\"\n]*\" not found|references non-existent ")
"""What a kubelet says after the name of a volume, `volume "x-secret" : secret "x" not found`."""
_PLAIN_WORD = re.compile(r"[A-Za-z]?[a-z']+[,.:;]?")
_GOES_ON = re.compile(r"[^\S\n]{1,8}[A-Za-z']+")
_LONE = re.compile(r"\n[^\S\n]{1,80}(?:- )?([^\s:]+)[^\S\n]*(?=\n|$)")
"""A value alone in the line below its name."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?%?|true|false|null|none", re.IGNORECASE)
_OUR_FLAGS = ("s3-secret", "hf-secret", "gcs-secret")
"""They take the name of a Secret."""
_BEFORE_SPACED_VALUE = re.compile(
    r"(?:\b(?:machine[^\S\n]+\S{1,200}|default)[^\S\n]+login[^\S\n]+\S{1,200}|\bconfigure[^\S\n]+set)"
    r"[^\S\n]+$"
)
"""Before a name that has its value behind a space: netrc, `aws configure set`."""
_WHOLE_LINE_NAMES = ("password", "passphrase", "passwd")
"""Names whose value may have spaces in it, where it is the only thing in its line."""


def redact_text(given: str) -> str:
    """A text without what looks like a secret in it, as it is or in base64; without colours."""
    return _redact_plain(_ENCODED.sub(_redact_encoded, _COLOUR.sub("", given)))


_ENCODED = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,}={0,2}")


def _redact_encoded(match: re.Match[str]) -> str:
    """The match itself, unless it is base64 of a text with a secret in it."""
    try:
        inner = base64.b64decode(match[0] + "=" * (-len(match[0]) % 4), validate=True).decode()
    except ValueError:
        return match[0]
    return REDACTED if _redact_plain(inner) != inner else match[0]


def _redact_plain(given: str) -> str:
    if not _PREFILTER.search(given):
        return given
    given = _redact_user_info(_redact_pem(given))
    for pattern, instead in _SECRET_PATTERNS:
        given = pattern.sub(instead, given)
    return _redact_by_name(given) if _SECRET_WORD.search(given) else given


def _redact_pem(given: str) -> str:
    """Without private keys; one without an end goes to the end of the text."""
    begin = _PEM.search(given)
    kept: list[str] = []
    position = 0
    while begin:
        end = _PEM_END.search(given, begin.end())
        kept += [given[position : begin.start()], REDACTED]
        position = end.end() if end else len(given)
        begin = _PEM.search(given, position)
    return "".join([*kept, given[position:]])


_URL = re.compile(r"\w://[^\s\"'<>]*")
_LOGIN_SCHEMES = ("http://", "https://")
"""With these, a user without a password is a token: `https://TOKEN@git.example.com`."""


def _redact_user_info(given: str) -> str:
    """Without `user:password@` in URLs. Keys of stores have slashes, and people leave them."""
    return _URL.sub(_redact_url, given) if "://" in given and "@" in given else given


def _redact_url(match: re.Match[str]) -> str:
    pieces = match[0].split("://")
    for index in range(1, len(pieces)):
        before, piece = pieces[index - 1], pieces[index]
        authority = piece.partition("/")[0].partition("?")[0]
        user, colon, rest = authority.partition(":")
        if "@" in authority:
            cut = authority.rfind("@")
            alone = ":" not in authority[:cut]
            # The scheme's last letter is in the match: p of http, s of https.
            if alone and (user.startswith("git@") or not before.endswith(("p", "s"))):
                continue
        elif colon and rest and not rest.isdigit() and "@" in piece and "[" not in user:
            cut = piece.find("@")
        else:
            continue
        pieces[index] = f"{REDACTED}@{piece[cut + 1 :]}"
    return "://".join(pieces)


def _redact_by_name(given: str) -> str:
    """Hide what follows the name of a secret. One pass: each step starts behind the one before."""
    kept: list[str] = []
    position = 0
    done = 0
    while True:
        word = _WORD.search(given, position)
        if word is None:
            return "".join([*kept, given[done:]])
        position = word.end()
        span = _secret_span(given, word)
        if span is None:
            continue
        start, end = span
        position = max(position, end)
        if given[start:end] in ("", REDACTED):
            continue
        kept += [given[done:start], REDACTED]
        done = end


def _secret_span(given: str, word: re.Match[str]) -> tuple[int, int] | None:
    """Where the secret that this word is the name of stands; None if it is no such name."""
    name = word[0]
    if name.lower() == "value":
        return _value_before_name(given, word.end())
    if len(name) > 4096 or not _SECRET_WORD.search(name):
        return None
    flag = name.startswith("-")
    bare = name.strip("-")
    if flag and bare in _OUR_FLAGS:
        return None
    sensitivity = classify_name(bare.rstrip("/").rsplit("/", 1)[-1])
    if sensitivity is Sensitivity.NONE:
        return None
    keep = _span_filter(given, word, sensitivity)
    for pattern, bare_value in ((_ENTRY, _BARE), (_TAG_ENTRY, _BARE_TAG)):
        entry = pattern.match(given, word.end())
        if entry:
            return keep(_value_span(given, entry.end(), bare_value), False)
    if given[word.end() : word.end() + 1] == ">" and given[word.start() - 1 : word.start()] == "<":
        value = _value_span(given, word.end() + 1, _BARE_TAG)
        return keep(value, False) if value and given.startswith("</", value[1]) else None
    assigned = _ASSIGNED.match(given, word.end())
    if assigned:
        return _assigned_span(given, word, assigned, keep)
    follows = _FOLLOWS.match(given, word.end())
    if follows is None:
        return None
    if flag:
        value = _value_span(given, follows.end(), _BARE)
        shown = given[slice(*value)] if value else ""
        option = shown.startswith("-") and not looks_random(shown)
        placeholder = shown.isupper() and shown.lower() in bare.lower()
        return None if option or placeholder else keep(value, False)
    if "\n" in follows[0]:
        return None
    if given[follows.end() : follows.end() + 3] in ("is ", "was"):
        start = given.find(" ", follows.end()) + 1
        value = _value_span(given, start, _BARE)
        return value if value and _looks_generated(given[slice(*value)]) else None
    if _BEFORE_SPACED_VALUE.search(given[max(0, word.start() - 500) : word.start()]):
        return keep(_value_span(given, follows.end(), _BARE), False)
    return None


SpanFilter = Callable[[tuple[int, int] | None, bool], tuple[int, int] | None]


def _span_filter(given: str, word: re.Match[str], sensitivity: Sensitivity) -> SpanFilter:
    """A function that lets a value's place through if the value is to be hidden."""
    tokens = "token" in word[0].lower()

    def keep(span: tuple[int, int] | None, prose: bool) -> tuple[int, int] | None:
        if span is None:
            return None
        value = given[slice(*span)]
        bare = value.strip("\"'`\\")
        if bare.lower() in ("true", "false"):
            return None  # a switch, as `csi.useNodeAuthorization=false`
        if sensitivity is Sensitivity.MAYBE:
            return span if looks_random(bare) else None
        if _NUMBER.fullmatch(bare) and (tokens or word[0].lower() in ("pass", "auth")):
            return None
        word_of_sentence = prose and value == bare and _PLAIN_WORD.fullmatch(value)
        return None if word_of_sentence and _GOES_ON.match(given, span[1]) else span

    return keep


def _assigned_span(
    given: str, word: re.Match[str], assigned: re.Match[str], keep: SpanFilter
) -> tuple[int, int] | None:
    """The value behind `name:` or `name=`."""
    start = assigned.end()
    name = word[0].lower()
    if _REFERENCE.match(given, start):
        return None
    before = given[max(0, word.start() - 8) : word.start()]
    if before.endswith('volume "') and _KUBELET.match(given, start):
        return None
    block = _BLOCK.match(given, start)
    if block:
        return _block_span(given, word.start(), block.end())
    if start < len(given) and given[start] == "\n":
        lone = _LONE.match(given, start)
        return lone.span(1) if lone and looks_random(lone[1].strip("\"'")) else None
    opening = given.rfind("\n", max(0, word.start() - 80), word.start()) + 1
    alone = not given[opening : word.start()].strip(" -\t")
    if (
        alone
        and name.endswith(_WHOLE_LINE_NAMES)
        and ":" in assigned[0]
        and not _QUOTE.match(given, start)
    ):
        end = given.find("\n", start)
        line = given[start : end if end >= 0 else len(given)]
        if line.strip() and line[0] not in "{[":
            return start, start + len(line.rstrip())
    return keep(_value_span(given, start, _BARE), ":" in assigned[0])


def _value_span(given: str, start: int, bare: re.Pattern[str]) -> tuple[int, int] | None:
    """Where a value ends: a quote with as many backslashes as its first, or a delimiter."""
    quote = _QUOTE.match(given, start)
    if quote is None:
        plain = bare.match(given, start)
        return plain.span() if plain else None
    line_end = given.find("\n", quote.end())
    line_end = len(given) if line_end < 0 else line_end
    depth = len(quote[1])
    position = quote.end()
    while True:
        found = _QUOTE.search(given, position, line_end)
        if found is None:
            return quote.end(), line_end
        same = found[2] == quote[2]
        escaped = len(found[1]) % 2 == 1 if depth == 0 else len(found[1]) > depth
        if same and not escaped:
            return quote.end(), found.start() if depth else found.end() - 1
        position = found.end()


def _block_span(given: str, name: int, start: int) -> tuple[int, int] | None:
    """The lines of a YAML block scalar: those that are indented more than the line of its name."""
    head = given[given.rfind("\n", max(0, name - 400), name) + 1 : name]
    indent = len(head) - len(head.lstrip(" "))
    first = end = start + 1
    while end < len(given):
        newline = given.find("\n", end)
        newline = len(given) if newline < 0 else newline
        line = given[end:newline]
        if line.strip() and len(line) - len(line.lstrip(" ")) <= indent:
            break
        end = newline + 1
    body = given[first : min(end, len(given))]
    if not body.strip():
        return None
    lead = len(body) - len(body.lstrip())
    return first + lead, first + len(body.rstrip())


def _value_before_name(given: str, start: int) -> tuple[int, int] | None:
    """The value of `value: X, name: NAME` where NAME holds a secret."""
    assigned = _ASSIGNED.match(given, start)
    span = _value_span(given, assigned.end(), _BARE) if assigned else None
    if span is None:
        return None
    named = _NAMED.match(given, span[1])
    if named is None:
        return None
    sensitivity = classify_name(named[1], variable=True)
    hidden = sensitivity is Sensitivity.SECRET or (
        sensitivity is Sensitivity.MAYBE and looks_random(given[slice(*span)])
    )
    return span if hidden else None


def _looks_generated(value: str) -> bool:
    """Whether a word of a sentence is no word: digits or capitals inside of letters."""
    return (
        len(value) >= 6
        and any(map(str.isalpha, value))
        and (any(map(str.isdigit, value)) or any(map(str.isupper, value[1:])))
    )


# -- objects ---------------------------------------------------------------------------------


def redact_object(given: Any) -> Any:
    """A copy of an object (or any JSON-like data) without its secrets."""
    if isinstance(given, str):
        return redact_text(_redact_json(given))
    if isinstance(given, list):
        return _redact_list(given)
    if isinstance(given, dict):
        return _redact_mapping(given)
    return given


def _redact_json(given: str) -> str:
    """An object as JSON in a text, such as in an annotation, without its secrets."""
    if not given.lstrip().startswith(("{", "[")):
        return given
    try:
        held = json.loads(given)
        shown = redact_object(held)
    except (ValueError, RecursionError):
        return given
    return given if shown == held else json.dumps(shown, ensure_ascii=False)


def _is_secret(name: str, value: str, *, variable: bool) -> bool:
    sensitivity = classify_name(name, variable=variable)
    return bool(value) and (
        sensitivity is Sensitivity.SECRET
        or (sensitivity is Sensitivity.MAYBE and looks_random(value))
    )


def _redact_mapping(given: Object) -> Object:
    if given.get("kind") == "Secret":
        given = {
            # That a key has no value is no secret, and a check tells of it.
            key: {name: REDACTED if held else held for name, held in value.items()}
            if key in ("data", "stringData") and isinstance(value, dict)
            else value
            for key, value in given.items()
        }
    named = given.get("name", given.get("key"))
    value = given.get("value")
    if isinstance(named, str) and isinstance(value, str):
        hidden = _is_secret(named, value, variable=True)
        return {
            key: REDACTED if key == "value" and hidden else redact_object(held)
            for key, held in given.items()
        }
    return {
        key: REDACTED
        if isinstance(held, str) and isinstance(key, str) and _is_secret(key, held, variable=False)
        else redact_object(held)
        for key, held in given.items()
        if key not in _DROPPED_KEYS
    }


_LOGIN_FLAGS = ("-u", "--user")
_SHORT_FLAGS = ("-p", "-a", "-k", "-s")


def _redact_list(given: list[Any]) -> list[Any]:
    """A list; of arguments, the one after `--token` is hidden."""
    found: list[Any] = []
    flag = ""
    for item in given:
        found.append(_redact_argument(flag, item) if isinstance(item, str) else redact_object(item))
        flag = item if isinstance(item, str) and item.startswith("-") and "=" not in item else ""
    return found


def _redact_argument(flag: str, item: str) -> str:
    """An argument behind a flag ("" for none) as it may be shown."""
    if flag in _LOGIN_FLAGS and ":" in item:
        return f"{item.partition(':')[0]}:{REDACTED}"
    name = flag.lstrip("-")
    if name and name not in _OUR_FLAGS and not item.startswith("--"):
        sensitivity = classify_name(name, variable=True)
        if flag in _SHORT_FLAGS or name == "key":
            sensitivity = Sensitivity.MAYBE
        dashed = item.startswith("-") and not looks_random(item)
        certain = sensitivity is Sensitivity.SECRET and not _NUMBER.fullmatch(item)
        likely = sensitivity is Sensitivity.MAYBE and looks_random(item)
        if not dashed and (certain or likely):
            return REDACTED
    shown: str = redact_object(item)
    return shown
