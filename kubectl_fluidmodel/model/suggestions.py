"""What a SOURCE that cannot be read was probably meant to be. Pure.

People paste what a browser, another tool or a path gives them. The guess is only ever offered; it
is never taken without being asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

_HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com"}
_HUB_VIEWS = {"tree", "blob", "resolve", "raw", "commit", "commits", "discussions", "edit"}
"""What stands between a model and a revision in the addresses of the Hub."""
_OTHER_REPO_TYPES = {"datasets": "a data set", "spaces": "a space", "collections": "a collection"}
_SCHEME_ALIASES = {
    "s3a": "s3",
    "s3n": "s3",
    "gcs": "gs",
    "huggingface": "hf",
    "file": "local",
}
"""Schemes of other tools for what we call otherwise."""
_SCHEMES = ("hf", "s3", "gs", "https", "http", "hdfs", "nfs", "pvc", "local")
_AWS = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
_NAME = r"[A-Za-z0-9][\w.-]*"


@dataclass(frozen=True)
class Suggestion:
    """A guess: `source` as it should have been written (empty for none), and what the text is."""

    source: str
    description: str = ""


def suggest_source(text: str) -> Suggestion:
    """The guess for a SOURCE that is not read as it stands; an empty one where there is none."""
    text = text.strip()
    scheme, mark, rest = text.partition("://")
    if mark and scheme.lower() in ("http", "https"):
        page = _suggest_for_url(text)
        return (
            page
            if page.description or scheme.islower()
            else Suggestion(f"{scheme.lower()}://{rest}")
        )
    if not mark and rest == "" and text.split("/")[0].lower() in _HUB_HOSTS:
        return _suggest_for_url(f"https://{text}")
    if text.startswith("arn:") and ":s3:::" in text:
        return Suggestion(f"s3://{text.partition(':s3:::')[2]}", "that is the ARN of a bucket")
    named = re.fullmatch(r"([A-Za-z][A-Za-z0-9+-]*):/{0,3}([^/].*)", text)
    if named:
        return _suggest_for_scheme(named[1], named[2])
    if text.startswith("/"):
        return Suggestion(f"local://{text}", "that is a path, neither org/model nor a URI")
    view = re.fullmatch(rf"({_NAME}/{_NAME})/(?:{'|'.join(sorted(_HUB_VIEWS))})(?:/(.*))?", text)
    if view:
        return Suggestion(
            _repo_with_revision(view[1], view[2] or ""), "that is part of an address of the Hub"
        )
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]+(/[^/]+){2,}/?", text):
        return Suggestion(f"s3://{text}", "a bucket is written with its scheme")
    return Suggestion("")


def _suggest_for_url(url: str) -> Suggestion:
    """An address of the web that stands for something else than a directory of files."""
    try:
        split = urlsplit(url)
        host = (split.hostname or "").lower()
    except ValueError:
        return Suggestion("")
    path = unquote(split.path).strip("/")
    if host in _HUB_HOSTS:
        return _suggest_for_hub_page([part for part in split.path.split("/") if part])
    if host == "storage.googleapis.com" or host == "storage.cloud.google.com":
        return Suggestion(
            f"gs://{path}" if path else "", "that is a bucket of Google Cloud Storage"
        )
    found = _AWS.fullmatch(host)
    if found:
        inside = f"{found['bucket']}/{path}" if found["bucket"] else path
        return Suggestion(f"s3://{inside.strip('/')}" if inside else "", "that is a bucket of S3")
    if host.endswith("console.aws.amazon.com") and "/s3/buckets/" in split.path:
        bucket = split.path.partition("/s3/buckets/")[2].strip("/")
        prefix = (parse_qs(split.query).get("prefix") or [""])[0].strip("/")
        return Suggestion(f"s3://{bucket}/{prefix}".rstrip("/"), "that is a page of the S3 console")
    return Suggestion("")


def _suggest_for_hub_page(parts: list[str]) -> Suggestion:
    if parts[:2] == ["api", "models"]:
        parts = parts[2:]
    if parts and parts[0] in _OTHER_REPO_TYPES:
        return Suggestion("", f"that is {_OTHER_REPO_TYPES[parts[0]]} of the Hub, not a model")
    if len(parts) < 2:
        return Suggestion("", "that is a page of the Hub, not a model")
    revision = parts[3] if len(parts) > 3 and parts[2] in _HUB_VIEWS - {"discussions"} else ""
    return Suggestion(
        _repo_with_revision("/".join(parts[:2]), revision), "that is a page of the Hub"
    )


def _repo_with_revision(repo: str, after: str) -> str:
    """`org/model@REV` of what stands behind `tree/`; the main branch is not named."""
    revision = unquote(after.split("/")[0])
    return repo + (f"@{revision}" if revision not in ("", "main") else "")


def _suggest_for_scheme(scheme: str, rest: str) -> Suggestion:
    """A scheme in capitals, of another tool, or with too few slashes."""
    known = _SCHEME_ALIASES.get(scheme.lower(), scheme.lower())
    if known not in _SCHEMES:
        return Suggestion("")
    if known == "local":
        return Suggestion(
            f"local:///{rest}", "an absolute directory of a node is written local:///DIR"
        )
    return Suggestion(f"{known}://{rest}", f"the scheme is written {known}://")
