"""A cache directory of the Hub's client that was copied to a bucket. Pure.

`models--ORG--NAME` stores the data in `blobs/`, in files named by hash, and `snapshots/COMMIT/` has
a symbolic link for each file. Object stores have no links: tools that do not follow them write
empty objects, short texts, or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kubectl_fluidmodel.model.files import WEIGHT_SUFFIXES, SourceFile
from kubectl_fluidmodel.records import dataclass

_FOLDER = re.compile(r"models--(?P<org>[^/]+?)--(?P<name>[^/]+)")
_SNAPSHOT = re.compile(r"(?:.*/)?snapshots/(?P<commit>[0-9a-f]{7,64})(?:/(?P<file>.+))?")
_BLOB = re.compile(r"(?:.*/)?blobs/[^/]+")
_LINK = re.compile(rb"(?:\.\./)+blobs/")
LINK_SUFFIX = ".rclonelink"
_MAX_LINK_BYTES = 256
"""Maximum size of a link that was stored as text."""


@dataclass(frozen=True)
class HubCache:
    """Where a cache directory is in the source, and what is left of it."""

    commit: str
    """The path of the snapshot; empty if there is no snapshot."""
    repo: str
    """`org/name` from the directory's own name; empty if the source starts below it."""
    links_lost: bool
    """Whether the snapshot's links are broken."""
    blob_bytes: int
    snapshot: str = ""
    """The snapshot's directory, relative to the source; empty for the source itself."""


def find_hub_cache(files: Sequence[SourceFile], path: str = "") -> HubCache | None:
    """Find the cache directory that the files belong to; None if they do not.

    `path` is the source's own path, which shows where `files` are: the source may itself be a
    snapshot, and its parent may name the repository.
    """
    repo = _repo_from_path("/".join([path, *(file.path for file in files[:1])]))
    above = _SNAPSHOT.fullmatch(path.strip("/"))
    if above is not None and not above["file"]:
        return HubCache(above["commit"], repo, _has_lost_links(files), 0) if files else None
    blobs = [file for file in files if _BLOB.fullmatch(file.path)]
    if not blobs:
        return None
    repo = _repo_from_path(f"{path}/{blobs[0].path}")
    snapshots: dict[str, list[SourceFile]] = {}
    for file in files:
        match = _SNAPSHOT.fullmatch(file.path)
        if match and match["file"]:
            snapshots.setdefault(file.path[: match.end("commit")], []).append(file)
    if not snapshots and not repo:
        return None  # a directory with that name, and nothing else of the Hub's client
    total = sum(file.size for file in blobs)
    with_weights = [
        snapshot for snapshot, inside in snapshots.items() if any(map(_is_weights, inside))
    ]
    snapshot = next(iter(with_weights or snapshots), "")
    return HubCache(snapshot.rpartition("/")[2], repo, not with_weights, total, snapshot)


def parse_snapshot_path(path: str) -> tuple[str, str, str] | None:
    """Split a snapshot's path into the cache directory's path, its model and the commit."""
    match = _SNAPSHOT.fullmatch(path.strip("/"))
    if match is None or match["file"]:
        return None
    top = path.strip("/")[: match.start("commit")].removesuffix("snapshots/").strip("/")
    return top, _repo_from_path(top), match["commit"]


def is_stored_link(content: bytes) -> bool:
    """Return whether a file's content is a link target in `blobs/`, as some tools store it."""
    return _LINK.match(content) is not None


def _is_weights(file: SourceFile) -> bool:
    """Return whether it is a weight file that is too large for a link."""
    return file.path.endswith(WEIGHT_SUFFIXES) and file.size > _MAX_LINK_BYTES


def _has_lost_links(files: Sequence[SourceFile]) -> bool:
    """Return whether a snapshot's files are broken links: empty, or texts as short as a path."""
    counted = [
        file for file in files if file.path.endswith((*WEIGHT_SUFFIXES, LINK_SUFFIX))
    ] or files
    return not any(
        file.size
        and (file.size > _MAX_LINK_BYTES or not file.path.endswith((*WEIGHT_SUFFIXES, LINK_SUFFIX)))
        for file in counted
    )


def _repo_from_path(path: str) -> str:
    match = _FOLDER.search(path)
    return f"{match['org']}/{match['name']}" if match else ""
