"""The support bundle: a redacted Snapshot and its report in one private file.

`snapshot/archive.py` reads it back; `doctor` and `inspect` then say the same as they did live.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object, get_map
from kubectl_fluidmodel.objects.time import event_time
from kubectl_fluidmodel.snapshot import redact
from kubectl_fluidmodel.snapshot.archive import SNAPSHOT_MEMBER
from kubectl_fluidmodel.snapshot.document import snapshot_to_document
from kubectl_fluidmodel.snapshot.probe_result import from_document, to_document
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from kubectl_fluidmodel.snapshot.texts import encode_texts

Key = TypeVar("Key")
_OWNER_ONLY = 0o600


def redact_snapshot(snapshot: Snapshot) -> Snapshot:
    """A copy of a snapshot without what may be a secret, as a bundle holds it."""
    return replace(
        snapshot,
        objects=redact.redact_object(snapshot.objects),
        read_failures=[
            replace(failure, reason=redact.redact_text(failure.reason))
            for failure in snapshot.read_failures
        ],
        pods_on_nodes=redact.redact_object(snapshot.pods_on_nodes),
        logs=_redact_values(snapshot.logs),
        command_outputs=_redact_values(snapshot.command_outputs),
        probe_results={
            # By content alone: fields such as `secret_name` would be taken for secrets.
            cache: tuple(from_document(redact.redact_strings(to_document(r))) for r in results)
            for cache, results in snapshot.probe_results.items()
        },
    )


def _redact_values(texts: Mapping[Key, str]) -> dict[Key, str]:
    return {key: redact.redact_text(text) for key, text in texts.items()}


def write_bundle(path: Path, snapshot: Snapshot, report: dict[str, Any], text: str) -> None:
    """Write the bundle atomically, readable by its owner only.

    `snapshot` must be redacted already, and `report` and `text` be made from it.

    Raises:
        FluidModelError: the file cannot be written.
    """
    try:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as out:
                for name, data in _archive_members(snapshot, report, text):
                    entry = tarfile.TarInfo(f"fluidmodel-bundle/{name}")
                    entry.size, entry.mode = len(data), _OWNER_ONLY
                    entry.mtime = int(snapshot.taken_at)
                    out.addfile(entry, io.BytesIO(data))
            Path(scratch).chmod(_OWNER_ONLY)
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as err:
        reason = err.strerror or str(err)
        raise FluidModelError(f"cannot write the bundle {path}", reason, "--bundle FILE") from err


def _archive_members(
    snapshot: Snapshot, report: dict[str, Any], text: str
) -> Iterator[tuple[str, bytes]]:
    yield "report.txt", text.encode()
    yield "report.json", _encode_json(report)
    yield SNAPSHOT_MEMBER, _encode_json(snapshot_to_document(snapshot))
    yield "versions.json", _encode_json(_versions(snapshot))
    yield "events.txt", _events_text(snapshot).encode()
    for key, value in sorted(encode_texts(snapshot).items()):
        yield f"texts/{_safe_file_name(key)}.txt", value.encode()


def _encode_json(document: Any) -> bytes:
    return (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def _versions(snapshot: Snapshot) -> Object:
    return {
        "plugin": f"v{__version__}",
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "platform": sys.platform,
        "kubernetes": snapshot.server_version,
        "kinds": snapshot.versions,
    }


def _events_text(snapshot: Snapshot) -> str:
    lines = []
    for event in sorted(snapshot.objects.get("events", []), key=event_time):
        involved = get_map(event, "involvedObject")
        reference = f"{involved.get('namespace', '')}/{involved.get('name', '')}".strip("/")
        when = event.get("lastTimestamp") or event.get("eventTime") or ""
        message = " ".join(str(event.get("message") or "").split())
        lines.append(
            f"{when} {involved.get('kind', '')} {reference} {event.get('reason')}: {message}\n"
        )
    return "".join(lines)


def _safe_file_name(key: str) -> str:
    """A key of texts as a file name: `log default/demo-master-0/main` → `log-default-demo-…`."""
    sanitized = "".join(char if char.isalnum() or char in "-._" else "-" for char in key)
    return sanitized.strip(".")[:180] or "text"
