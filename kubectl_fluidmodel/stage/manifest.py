"""The manifest: the mark that a commit is in the bucket whole, written last and beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store

API_VERSION = "fluidmodel.io/v1"
KIND = "StagedModel"


@dataclass(frozen=True, order=True)
class ManifestEntry:
    """One staged file; `etag` is the object's as the store told it when it was proven."""

    file: PlanFile
    etag: str


@dataclass(frozen=True)
class Manifest:
    """What lies below the place of a commit."""

    repo: str
    commit: str
    entries: tuple[ManifestEntry, ...]
    tool: str = __version__
    staged_at: str = ""

    @property
    def files(self) -> tuple[PlanFile, ...]:
        return tuple(entry.file for entry in self.entries)

    @property
    def bytes(self) -> int:
        return sum(entry.file.size for entry in self.entries)

    def listing(self) -> FileListing:
        """The same as sizing and proof know it."""
        return FileListing(
            tuple(SourceFile(entry.file.path, entry.file.size) for entry in self.entries)
        )

    def covers(self, files: tuple[PlanFile, ...]) -> bool:
        """Whether all of these files are in it, with the same content."""
        return set(files) <= set(self.files)

    def to_json(self) -> str:
        document = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "repo": self.repo,
            "commit": self.commit,
            "tool": f"kubectl-fluidmodel v{self.tool}",
            "stagedAt": self.staged_at,
            "bytes": self.bytes,
            "files": [
                {
                    "path": entry.file.path,
                    "size": entry.file.size,
                    entry.file.kind: entry.file.digest,
                    "etag": entry.etag,
                }
                for entry in self.entries
            ],
        }
        return json.dumps(document, indent=1) + "\n"


def parse_manifest(text: str | bytes) -> Manifest:
    """The manifest in a JSON text.

    Raises:
        ValueError: it is none, or its counts contradict its files.
    """
    try:
        document: dict[str, Any] = json.loads(text)
        if document["apiVersion"] != API_VERSION or document["kind"] != KIND:
            raise ValueError(f"{document['kind']} of {document['apiVersion']}")
        manifest = Manifest(
            str(document["repo"]),
            str(document["commit"]),
            tuple(sorted(_parse_entry(each) for each in document["files"])),
            str(document.get("tool", "")).rpartition(" v")[2],
            str(document.get("stagedAt", "")),
        )
    except (TypeError, KeyError, AttributeError) as err:
        raise ValueError(f"no {err}") from err
    if manifest.bytes != document.get("bytes") or not manifest.entries:
        raise ValueError("its bytes are not those of its files")
    return manifest


def _parse_entry(each: Mapping[str, Any]) -> ManifestEntry:
    kind = "sha256" if "sha256" in each else "git"
    file = PlanFile(str(each["path"]), int(each["size"]), kind, str(each[kind]))
    return ManifestEntry(file, str(each["etag"]))


def read_manifest(
    store: S3Store, layout: StagingLayout, *, missing_if_denied: bool = False
) -> Manifest | None:
    """The valid manifest of a place, or None where there is none; `hidden`: or none to be seen.

    Who may not list a bucket is told that what is not there may not be read.

    Raises:
        FluidModelError: there is one, but it is damaged or another's.
        UnreachableError: the store does not answer.
    """
    from kubectl_fluidmodel.stage.bucket import Bucket

    text = Bucket(store, layout.destination.bucket, retry_timeout=10.0).read_object(
        layout.manifest_key, missing_if_denied=missing_if_denied
    )
    if text is None:
        return None
    uri = f"s3://{layout.destination.bucket}/{layout.manifest_key}"
    try:
        manifest = parse_manifest(text)
    except ValueError as err:
        raise FluidModelError(
            f"the manifest {uri} is damaged", str(err), "kubectl fluidmodel stage again"
        ) from err
    if (manifest.repo, manifest.commit) != (layout.repo, layout.commit):
        raise FluidModelError(f"the manifest {uri} is of {manifest.repo}@{manifest.commit}")
    return manifest
