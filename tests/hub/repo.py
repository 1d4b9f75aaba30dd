"""Repositories of the stand-in: commits, branches and files with the hashes that the Hub tells."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Blob:
    """One file at one commit; its bytes are in memory or in a file of this machine."""

    size: int
    lfs: bool
    sha256: str
    git_oid: str
    data: bytes = field(default=b"", repr=False)
    path: Path | None = None

    def entry(self, name: str) -> dict[str, object]:
        """As the tree endpoint lists it."""
        entry: dict[str, object] = {
            "type": "file",
            "oid": self.git_oid,
            "size": self.size,
            "path": name,
        }
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return entry


def blob(content: bytes | Path, lfs: bool | None = None) -> Blob:
    """A Blob of bytes or of a file; `lfs` by default from 64 KiB on."""
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    is_lfs = size >= 64 << 10 if lfs is None else lfs
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
    if isinstance(content, Path):
        with content.open("rb") as source:
            while chunk := source.read(_CHUNK):
                sha256.update(chunk)
                if not is_lfs:
                    git.update(chunk)
        data, path = b"", content
    else:
        sha256.update(content)
        git.update(content)
        data, path = content, None
    oid = git.hexdigest()
    if is_lfs:  # the tree tells the id of the pointer file, not of the content
        oid = hashlib.sha1(b"pointer " + sha256.hexdigest().encode()).hexdigest()
    return Blob(size, is_lfs, sha256.hexdigest(), oid, data, path)


class Repo:
    """A model repository."""

    def __init__(self, name: str, files: Mapping[str, bytes | Path | Blob]) -> None:
        self.name = name
        self.commits: dict[str, dict[str, Blob]] = {}
        self.branches: dict[str, str] = {}
        self.commit(files)

    def commit(self, files: Mapping[str, bytes | Path | Blob], branch: str = "main") -> str:
        """Make a commit and move the branch to it; returns its 40 hex digits."""
        blobs = {
            name: content if isinstance(content, Blob) else blob(content)
            for name, content in sorted(files.items())
        }
        listing = "".join(f"{name} {content.sha256}\n" for name, content in blobs.items())
        sha = hashlib.sha1(f"{self.name} {len(self.commits)}\n{listing}".encode()).hexdigest()
        self.commits[sha] = blobs
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch or of a commit id."""
        if revision in self.branches:
            return self.branches[revision]
        return revision if revision in self.commits else None

    @property
    def head(self) -> str:
        return self.branches["main"]

    @property
    def files(self) -> dict[str, Blob]:
        return self.commits[self.head]
