"""Decides which names hold a secret, and which values look like one. Pure.

A name either always holds a secret (`HF_TOKEN`, `aws.secretKey`), or only if the value looks random
(`SECRET_NAME` holds an object's name, unless somebody put the secret itself there), or never
(`max_tokens`, `eos_token_id`, `InvalidToken`).
"""

from __future__ import annotations

import re
from enum import Enum

REDACTED = "REDACTED"
"""Replaces every secret."""
PLUGIN_FLAGS = ("s3-secret", "hf-secret", "gcs-secret")
"""Flags of this plugin whose value is the name of a Secret."""


class Sensitivity(Enum):
    """What the name of a value implies about the value."""

    SECRET = 2
    MAYBE = 1
    """A secret only if the value looks random."""
    NONE = 0


_MAX_LENGTH = 200
"""Characters of a name that are examined, from its end. Real names are shorter."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = {
    *("secret", "secrets", "token", "tokens", "password", "passwords", "passwd", "passphrase"),
    *("passcode", "pwd", "credential", "credentials", "creds", "apikey", "secretkey", "accesskey"),
    *("privatekey", "authorization", "cookie", "bearer", "signature", "sas", "jwt", "salt"),
}
_SECRET_LAST_WORDS = {"pass", "pw", "auth", "sk", "ak"}
"""Words that mean a secret only at the end of a name."""
_COMPOUND = re.compile(r"(?:password|passwd|passphrase|secret|token|apikey|(?<!by)(?<!com)pass)$")
"""Compounds: `hftoken`, `pgpassword`, `requirepass`."""
_KEY_PREFIXES = {
    *("access", "api", "private", "account", "encryption", "shared", "signing", "auth", "master"),
    *("secret", "store", "storage"),
}
"""Words that make the following word `key` a secret."""
_HARMLESS_LAST_WORDS = {
    *("path", "file", "dir", "name", "namespace", "ref", "kind", "type", "url", "uri", "endpoint"),
    *("seconds", "version", "enabled", "mode", "class", "policy", "count", "size", "provider"),
    *("content", "expiry", "expiration", "duration", "lifetime", "ttl", "header", "format"),
    *("json", "yaml", "yml", "txt", "pem", "crt", "conf", "properties"),
    *("match", "error", "exception", "required", "missing", "expired", "hash", "stdin", "store"),
}
"""Last words of names that describe a secret and do not hold it."""
_POSSIBLE_WORDS = {
    *("license", "licence", "seed", "dsn", "oauth", "webhook", "login", "otp", "sid", "session"),
    *("hook", "connection", "database", "user", "userpass"),
}
"""Words of names that may hold a secret, and usually do not."""
_ERROR_FIRST_WORDS = {
    *("invalid", "expired", "missing", "unknown", "bad", "wrong", "no", "malformed", "unsupported"),
    *("unrecognized", "illegal"),
}
"""First words of error codes: `InvalidToken: The provided token is malformed`."""
_TEXT_TOKEN_WORDS = {
    *("eos", "bos", "pad", "unk", "cls", "sep", "mask", "image", "audio", "video", "special"),
    *("added", "additional", "stop", "next", "first", "last", "per", "max", "min", "num", "total"),
    *("output", "input", "prompt", "generated", "generation", "batched", "cached", "new", "draft"),
    *("speculative", "completion", "reasoning", "think", "thinking", "tool", "begin", "end"),
    *("decode", "prefill", "context", "accepted", "suffix", "prefix", "start", "of", "n", "kv"),
    *("return", "use", "skip", "ignore", "id", "ids", "limit", "budget", "block", "chunk"),
}
"""Words beside `token` that mean a token of text, as in settings of engines and tokenizers."""
_REFERENCE_PREFIXES = {"from", "pull", "existing", "tls", "image", "ref", "docker"}
"""Words before `secret` that mean the name of a Secret: `envFromSecret`."""
_TEXT_TOKENS = {"token", "tokens"}
_VENDORS = {
    *("openai", "anthropic", "wandb", "ngc", "huggingface", "cohere", "mistral", "github"),
    *("gitlab", "slack", "datadog", "sentry"),
}
"""Services whose bare name is used as the name of their key."""
SECRET_WORD = re.compile(
    r"secret|token|pass|phrase|pwd|pw|cred|key|auth|cookie|bearer|signature|sas|jwt|salt"
    r"|[as]k(?![a-z])|licen[sc]e|seed|dsn|hook|login|otp|sid|session|connection|database|user|"
    + "|".join(sorted(_VENDORS)),
    re.IGNORECASE,
)
"""A quick test: names and strings without a match are not secrets."""


def classify_name(name: str, *, variable: bool = False) -> Sensitivity:
    """Return how sensitive the value under this name is.

    Args:
        name: an option, key, flag, header or environment variable, without its dashes.
        variable: whether it is an environment variable or an option, where any `…KEY` is a secret.
    """
    name = name[-_MAX_LENGTH:]
    if not SECRET_WORD.search(name):
        return Sensitivity.NONE
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[0] in _ERROR_FIRST_WORDS:
        return Sensitivity.NONE
    if len(words) == 1 and words[0] in _VENDORS:
        return Sensitivity.MAYBE
    if not _names_secret(words, variable):
        doubtful = any(word in _POSSIBLE_WORDS for word in words)
        named_key = len(words) > 1 and words[-1] == "key"
        return Sensitivity.MAYBE if doubtful or named_key else Sensitivity.NONE
    named = (
        len(words) > 1 and words[-1] in ("secret", "secrets") and words[-2] in _REFERENCE_PREFIXES
    )
    return Sensitivity.MAYBE if named or words[-1] in _HARMLESS_LAST_WORDS else Sensitivity.SECRET


def _names_secret(words: list[str], variable: bool) -> bool:
    if words[-1] in _SECRET_LAST_WORDS:
        return True
    for before, word in zip(["", *words], words, strict=False):
        if word == "key" and (before in _KEY_PREFIXES or (variable and len(words) > 1)):
            return True
        if word in _TEXT_TOKENS and _is_text_token(words):
            continue
        if word in _SECRET_WORDS or _COMPOUND.search(word):
            return True
    return False


def _is_text_token(words: list[str]) -> bool:
    """Return whether `token` in a name is a token of text, not one for authentication."""
    if any(word in _KEY_PREFIXES or word in {"hf", "hub", "session"} for word in words):
        return False
    return any(word in _TEXT_TOKEN_WORDS for word in words)


def is_secret_name(name: str, *, variable: bool = False) -> bool:
    """Return whether the value under this name is a secret, whatever it looks like."""
    return classify_name(name, variable=variable) is Sensitivity.SECRET


def is_secret_value(name: str, value: str, *, variable: bool) -> bool:
    """Return whether the value under this name is a secret, also by what it looks like."""
    sensitivity = classify_name(name, variable=variable)
    return bool(value) and (
        sensitivity is Sensitivity.SECRET
        or (sensitivity is Sensitivity.MAYBE and looks_random(value))
    )


_RANDOM = re.compile(r"[\w+/=~!@#$%^&*-]+")
_LONG_WORD = re.compile(r"[\w+/=]{20,}")


def looks_random(value: str) -> bool:
    """Return whether a value looks generated: not a word, a name, a path, a number or a URL."""
    if value.startswith(("/", ".", "$")) or "://" in value or not _RANDOM.fullmatch(value):
        return False
    digits = any(char.isdigit() for char in value)
    if not digits:
        return False
    upper, lower = any(map(str.isupper, value)), any(map(str.islower, value))
    if upper and lower:
        return len(value) >= 10
    return (upper or lower) and bool(_LONG_WORD.fullmatch(value))
