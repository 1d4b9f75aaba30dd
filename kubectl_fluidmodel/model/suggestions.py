"""Suggests corrections for an invalid SOURCE. Pure.

Users paste from browsers, other tools and paths. A suggestion is only printed, never applied.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

from kubectl_fluidmodel.records import dataclass

_HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com"}
_HUB_VIEWS = {"tree", "blob", "resolve", "raw", "commit", "commits", "discussions", "edit"}
"""The path segment between a model and a revision in URLs of the Hub."""
_OTHER_REPO_TYPES = {"datasets": "a dataset", "spaces": "a space", "collections": "a collection"}
_SCHEME_ALIASES = {
    "s3a": "s3",
    "s3n": "s3",
    "gcs": "gs",
    "huggingface": "hf",
    "file": "local",
}
"""Schemes of other tools, and our names for them."""
_AWS = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
_NAME = r"[A-Za-z0-9][\w.-]*"


@dataclass(frozen=True)
class Suggestion:
    """A suggestion: the corrected `source` (empty for none), and a description of the text."""

    source: str
    description: str = ""


def suggest_source(text: str) -> Suggestion:
    """Return the suggestion for an invalid SOURCE; an empty one if there is none.

    The suggestion may be invalid itself, such as one with an unknown scheme.
    """
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        page = _suggest_for_url(text)
        return (
            page
            if page.description or scheme.islower()
            else Suggestion(f"{scheme.lower()}://{rest}")
        )
    if not separator and rest == "" and text.split("/")[0].lower() in _HUB_HOSTS:
        return _suggest_for_url(f"https://{text}")
    if text.startswith("arn:") and ":s3:::" in text:
        return Suggestion(f"s3://{text.partition(':s3:::')[2]}", "that is the ARN of a bucket")
    with_scheme = re.fullmatch(r"([A-Za-z][A-Za-z0-9+-]*):/{0,3}([^/].*)", text)
    if with_scheme:
        return _suggest_for_scheme(with_scheme[1], with_scheme[2])
    if text.startswith("/"):
        return Suggestion(f"local://{text}", "that is a path, neither org/model nor a URI")
    view = re.fullmatch(rf"({_NAME}/{_NAME})/(?:{'|'.join(sorted(_HUB_VIEWS))})(?:/(.*))?", text)
    if view:
        return Suggestion(_repo_with_revision(view[1], view[2] or ""), "that is part of a Hub URL")
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]+(/[^/]+){2,}/?", text):
        return Suggestion(f"s3://{text}", "a bucket needs a scheme")
    return Suggestion("")


def _suggest_for_url(url: str) -> Suggestion:
    """Suggest a SOURCE for a web address that is not a directory of files."""
    try:
        split = urlsplit(url)
        host = (split.hostname or "").lower()
    except ValueError:
        return Suggestion("")
    path = unquote(split.path).strip("/")
    if host in _HUB_HOSTS:
        return _suggest_for_hub_page([part for part in split.path.split("/") if part])
    if host == "storage.googleapis.com" or host == "storage.cloud.google.com":
        return Suggestion(f"gs://{path}" if path else "", "that is a Google Cloud Storage bucket")
    match = _AWS.fullmatch(host)
    if match:
        inside = f"{match['bucket']}/{path}" if match["bucket"] else path
        return Suggestion(f"s3://{inside.strip('/')}" if inside else "", "that is an S3 bucket")
    if host.endswith("console.aws.amazon.com") and "/s3/buckets/" in split.path:
        bucket = split.path.partition("/s3/buckets/")[2].strip("/")
        prefix = (parse_qs(split.query).get("prefix") or [""])[0].strip("/")
        return Suggestion(f"s3://{bucket}/{prefix}".rstrip("/"), "that is a page of the S3 console")
    return Suggestion("")


def _suggest_for_hub_page(parts: list[str]) -> Suggestion:
    if parts[:2] == ["api", "models"]:
        parts = parts[2:]
    if parts and parts[0] in _OTHER_REPO_TYPES:
        return Suggestion("", f"that is {_OTHER_REPO_TYPES[parts[0]]} on the Hub, not a model")
    if len(parts) < 2:
        return Suggestion("", "that is a page on the Hub, not a model")
    revision = parts[3] if len(parts) > 3 and parts[2] in _HUB_VIEWS - {"discussions"} else ""
    return Suggestion(
        _repo_with_revision("/".join(parts[:2]), revision), "that is a page on the Hub"
    )


def _repo_with_revision(repo: str, after: str) -> str:
    """Return `org/model@REV` for a URL with `tree/`; the main branch is omitted."""
    revision = unquote(after.split("/")[0])
    return repo + (f"@{revision}" if revision not in ("", "main") else "")


def _suggest_for_scheme(scheme: str, rest: str) -> Suggestion:
    """Correct a scheme in capitals, of another tool, or with too few slashes."""
    canonical = _SCHEME_ALIASES.get(scheme.lower(), scheme.lower())
    if canonical == "local":
        return Suggestion(f"local:///{rest}", "use local:///DIR for a directory on a node")
    return Suggestion(f"{canonical}://{rest}", f"the scheme is {canonical}://")
