"""The manifest: it marks a commit in the bucket as complete, and is written last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.records import dataclass

API_VERSION = "fluidmodel.io/v1"
KIND = "StagedModel"
_RETRY_TIMEOUT = 10.0
"""Seconds to retry reading a manifest."""


@dataclass(frozen=True, order=True)
class ManifestEntry:
    """One staged file; `etag` is what the store reported when the content was verified."""

    file: PlanFile
    etag: str


@dataclass(frozen=True)
class Manifest:
    """The files of one staged commit."""

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

    def covers(self, files: tuple[PlanFile, ...]) -> bool:
        """Whether the manifest has all of these files, with the same content."""
        return set(files) <= set(self.files)

    def to_json(self) -> str:
        """The object's content; `parse_manifest` is the inverse."""
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
    """Parse a manifest.

    Raises:
        ValueError: the text is not a manifest, or its byte count contradicts its files.
    """
    try:
        document: dict[str, Any] = json.loads(text)
        if document["apiVersion"] != API_VERSION or document["kind"] != KIND:
            raise ValueError(f"it is a {document['kind']} of {document['apiVersion']}")
        manifest = Manifest(
            str(document["repo"]),
            str(document["commit"]),
            tuple(sorted(_parse_entry(entry) for entry in document["files"])),
            str(document.get("tool", "")).rpartition(" v")[2],
            str(document.get("stagedAt", "")),
        )
    except (TypeError, KeyError, AttributeError) as err:
        raise ValueError(f"a field is missing or has the wrong type: {err}") from err
    if manifest.bytes != document.get("bytes") or not manifest.entries:
        raise ValueError("its bytes are not the sum of its files")
    return manifest


def _parse_entry(entry: Mapping[str, Any]) -> ManifestEntry:
    kind = "sha256" if "sha256" in entry else "git"
    file = PlanFile(str(entry["path"]), int(entry["size"]), kind, str(entry[kind]))
    return ManifestEntry(file, str(entry["etag"]))


def read_manifest(
    store: S3Store, layout: StagingLayout, *, missing_if_denied: bool = False
) -> Manifest | None:
    """Read the manifest of a commit.

    Args:
        store: the store of the bucket.
        layout: the commit.
        missing_if_denied: treat a denied read as a missing object. Without the permission to list
            the bucket, S3 responds with 403 for an object that does not exist.

    Returns:
        The manifest, or None if there is none.

    Raises:
        FluidModelError: the manifest is damaged or of another commit.
        UnreachableError: the store does not respond.
    """
    from kubectl_fluidmodel.stage.bucket import Bucket

    bucket = Bucket(store, layout.destination.bucket, retry_timeout=_RETRY_TIMEOUT)
    text = bucket.read_object(layout.manifest_key, missing_if_denied=missing_if_denied)
    if text is None:
        return None
    uri = f"s3://{layout.destination.bucket}/{layout.manifest_key}"
    try:
        manifest = parse_manifest(text)
    except ValueError as err:
        model = Operand(f"{layout.repo}@{layout.commit}")
        to = ("--to", layout.destination.uri)
        raise FluidModelError(
            f"the manifest {uri} is damaged",
            str(err),
            command("kubectl", "fluidmodel", "stage", model, *to),
        ) from err
    if (manifest.repo, manifest.commit) != (layout.repo, layout.commit):
        raise FluidModelError(f"the manifest {uri} is of {manifest.repo}@{manifest.commit}")
    return manifest
