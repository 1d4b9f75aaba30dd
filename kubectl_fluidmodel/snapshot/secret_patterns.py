"""Secrets with a recognizable form: private keys, tokens, signed URLs, logins. Pure."""

from __future__ import annotations

import functools
import re

from kubectl_fluidmodel.snapshot.secret_names import REDACTED

_PEM = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z ]{0,60}-----")


@functools.cache
def _secret_patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return the patterns and their replacements; compiling takes 2 ms, so only if needed."""
    return (
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
            # A header value, to the end of its line or quote, also behind a JSON bracket.
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
            # An access key, and the secret key if it follows directly.
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
            # Input that is piped to a login command.
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


def redact_patterns(text: str) -> str:
    """Redact private keys, user info in URLs and tokens of known forms."""
    text = _redact_user_info(_redact_pem(text))
    for pattern, replacement in _secret_patterns():
        text = pattern.sub(replacement, text)
    return text


def _redact_pem(text: str) -> str:
    """Redact private keys; one without an END line is redacted to the end of the text."""
    begin = _PEM.search(text)
    parts: list[str] = []
    position = 0
    while begin:
        end = _PEM_END.search(text, begin.end())
        parts += [text[position : begin.start()], REDACTED]
        position = end.end() if end else len(text)
        begin = _PEM.search(text, position)
    return "".join([*parts, text[position:]])


_URL = re.compile(r"\w://[^\s\"'<>]*")


def _redact_user_info(text: str) -> str:
    """Redact `user:password@` in URLs, also where the password has unescaped slashes."""
    return _URL.sub(_redact_url, text) if "://" in text and "@" in text else text


def _redact_url(match: re.Match[str]) -> str:
    pieces = match[0].split("://")
    for index in range(1, len(pieces)):
        before, piece = pieces[index - 1], pieces[index]
        authority = piece.partition("/")[0].partition("?")[0]
        user, colon, rest = authority.partition(":")
        if "@" in authority:
            cut = authority.rfind("@")
            alone = ":" not in authority[:cut]
            # A user without a password is a token (`https://TOKEN@git.example.com`), but not in
            # `ssh://git@…`. Of the scheme, the match has the last letter: p of http, s of https.
            if alone and (user.startswith("git@") or not before.endswith(("p", "s"))):
                continue
        elif colon and rest and not rest.isdigit() and "@" in piece and "[" not in user:
            cut = piece.find("@")
        else:
            continue
        pieces[index] = f"{REDACTED}@{piece[cut + 1 :]}"
    return "://".join(pieces)
