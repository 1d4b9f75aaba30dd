"""SOURCE: the location of a model on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.suggestions import Suggestion, suggest_source
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.records import dataclass

SCHEMES = ("hf", "s3", "gs", "https", "http", "hdfs", "nfs", "pvc", "local")

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""The ID of a repository on the Hub: `org/model`."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORMS = (
    "org/model, s3://bucket/prefix, gs://bucket/prefix, https://host/dir/, "
    "hdfs://host:port/dir, nfs://server/export, pvc://claim/dir or local:///dir"
)


_HELP_COMMAND = "kubectl fluidmodel cache --help"


@dataclass(frozen=True)
class Source:
    """One parsed SOURCE.

    `host` is what the scheme calls it: the bucket (s3, gs), the claim (pvc), the server with
    its port (https, hdfs, nfs), the organisation/model (hf), empty (local). `path` has no
    leading and no trailing slash, except that it is absolute for local and nfs.
    """

    scheme: str
    host: str
    path: str = ""
    revision: str = ""

    @property
    def uri(self) -> str:
        """Return the canonical text, which we record and compare with in later runs."""
        if self.scheme == "hf":
            return f"hf://{self.host}" + (f"@{self.revision}" if self.revision else "")
        if self.scheme in ("local", "nfs"):
            return f"{self.scheme}://{self.host}{self.path}"
        tail = "/" if self.scheme in ("http", "https") else ""
        return f"{self.scheme}://{self.host}" + (f"/{self.path}" if self.path else "") + tail

    @property
    def model(self) -> str:
        """Return the model's usual name: the last part of the path, or the repository."""
        if self.scheme == "hf":
            return self.host
        parts = [part for part in self.path.split("/") if part]
        if parts and re.fullmatch(r"[0-9a-f]{40}", parts[-1]) and len(parts) > 1:
            parts.pop()  # …/org/model/COMMIT, the layout of staging
        return parts[-1] if parts else self.host.split(":", 1)[0]


def parse_source(text: str, verb: str = "cache") -> Source:
    """Parse the SOURCE of a command (`verb`).

    Raises:
        UsageError: it is invalid; the hint has the probable correction.
    """
    suggestion = suggest_source(text)
    try:
        if suggestion.description and text.partition("://")[0] in ("http", "https"):
            raise _usage_error(text, suggestion.description)  # it only looks like a source
        return _parse(text)
    except UsageError as err:
        if not _is_usable_suggestion(suggestion, verb) or "…@" in err.message:
            raise
        # with a suggestion, the list of all forms is unnecessary
        brief = err.reason.partition("; ")[0] if _FORMS in err.reason else err.reason
        reason = f"{suggestion.description or brief}; did you mean {suggestion.source}?"
        raise UsageError(
            err.message,
            reason,
            f"{command_for_source(suggestion.source, verb)}, or {_HELP_COMMAND}",
        ) from None


def _parse(text: str) -> Source:
    if text != text.strip() or not text:
        raise _usage_error(text, "it is empty or has spaces around it")
    if any(char.isspace() or not char.isprintable() for char in text):
        raise _usage_error(text, "Fluid's load script does not support spaces in a path")
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _parse_hub(text, text)
    if scheme not in SCHEMES:
        raise _usage_error(text, f"the scheme '{scheme}' is not supported; {_FORMS}")
    if scheme == "hf":
        return _parse_hub(rest, text)
    if scheme == "local":
        return _parse_local(rest, text)
    host, _, path = rest.partition("/")
    if not host:
        raise _usage_error(text, f"there is nothing after {scheme}://")
    if "?" in rest or "#" in rest:
        raise _usage_error(text, "it must not have a query or fragment")
    if "@" in host:
        raise _usage_error(
            text, "it must not contain credentials; use AWS_* variables or --s3-secret"
        )
    path = path.strip("/")
    if "//" in path or any(part in (".", "..") for part in path.split("/")):
        raise _usage_error(text, "the path has an empty part, '.' or '..'")
    if ":" in path:
        raise _usage_error(text, "Fluid's load script does not support ':' in a path")
    return _PARSER_BY_SCHEME[scheme](host, path, text)


def _parse_hub(repo: str, text: str) -> Source:
    name, separator, revision = repo.partition("@")
    if not HUB_ID.fullmatch(name) or ".." in name or (separator and not revision):
        raise _usage_error(text, f"expected {_FORMS}")
    return Source("hf", name, revision=revision)


def _parse_local(rest: str, text: str) -> Source:
    if not rest.startswith("/") or rest.strip("/") == "":
        raise _usage_error(text, "local:// requires an absolute directory: local:///data/model")
    path = "/" + rest.strip("/")
    if any(part in ("", ".", "..") for part in path[1:].split("/")):
        raise _usage_error(text, "the path has an empty part, '.' or '..'")
    return Source("local", "", path)


def _parse_bucket(scheme: str, host: str, path: str, text: str) -> Source:
    if not _BUCKET.fullmatch(host):
        raise _usage_error(text, f"'{host}' is not a valid bucket name")
    return Source(scheme, host, path)


def _parse_claim(host: str, path: str, text: str) -> Source:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", host):
        raise _usage_error(text, f"'{host}' is not a valid claim name")
    return Source("pvc", host, path)


def _parse_server(scheme: str, host: str, path: str, text: str) -> Source:
    try:
        parsed = urlsplit(f"//{host}")
        legal = bool(parsed.hostname) and (parsed.port is None or 0 < parsed.port < 65536)
    except ValueError:
        legal = False
    if not legal:
        raise _usage_error(text, f"'{host}' is not a host or host:port")
    if scheme == "nfs":
        if not path:
            raise _usage_error(text, "an NFS source must name the export: nfs://server/export")
        if parsed.port is not None:
            raise _usage_error(text, "Kubernetes volumes do not support a port for NFS servers")
        return Source("nfs", host, f"/{path}")
    return Source(scheme, host, path)


_PARSER_BY_SCHEME: dict[str, Callable[[str, str, str], Source]] = {
    "s3": partial(_parse_bucket, "s3"),
    "gs": partial(_parse_bucket, "gs"),
    "pvc": _parse_claim,
    "https": partial(_parse_server, "https"),
    "http": partial(_parse_server, "http"),
    "hdfs": partial(_parse_server, "hdfs"),
    "nfs": partial(_parse_server, "nfs"),
}


def _usage_error(text: str, reason: str) -> UsageError:
    redacted = re.sub(r"(:/{0,3})[^/@]*@", r"\1…@", text)  # it may contain a key or password
    return UsageError(f"invalid SOURCE '{redacted}'", reason, _HELP_COMMAND)


def _is_usable_suggestion(suggestion: Suggestion, verb: str) -> bool:
    """Return whether a suggestion is a valid SOURCE for the command."""
    try:
        scheme = _parse(suggestion.source).scheme if suggestion.source else ""
    except UsageError:
        return False
    return scheme == "hf" if verb == "stage" else bool(scheme)


def command_for_source(source: str, verb: str = "cache") -> str:
    """Return the command for a SOURCE: a Hub model needs a bucket, a directory its node."""
    needs = {"hf": ("--to", "s3://BUCKET"), "local": ("--node", "NODE")}
    flags = needs.get(_parse(source).scheme, ())
    return kubectl("fluidmodel", verb, Operand(source), *flags)


def is_same_source(first: str, second: str) -> bool:
    """Return whether two canonical SOURCEs are the same; the revision of a Hub model is ignored."""

    def origin(uri: str) -> str:
        return uri.partition("@")[0] if uri.startswith("hf://") else uri

    return origin(first) == origin(second)
