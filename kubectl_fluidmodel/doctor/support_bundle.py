"""The support bundle: the Snapshot and what doctor says of it, redacted, in one private file.

`snapshot.file.load` reads it back; `doctor` and `inspect` then say the same as they did live.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.objects.access import Object, at
from kubectl_fluidmodel.snapshot import redact
from kubectl_fluidmodel.snapshot.archive import MEMBER
from kubectl_fluidmodel.snapshot.snapshot import Snapshot, from_document

_PRIVATE = 0o600


def redacted(snapshot: Snapshot) -> Snapshot:
    """The snapshot without what may be secret: what a bundle holds."""
    document = snapshot.to_document()
    document["objects"] = redact.document(document["objects"])
    document["texts"] = {key: redact.text(value) for key, value in document["texts"].items()}
    document["missing"] = redact.document(document["missing"])
    document["placed"] = redact.document(document["placed"])
    return from_document(document)


def write(path: Path, snapshot: Snapshot, report: dict[str, Any], text: str) -> None:
    """Write the bundle, whole or not at all, readable by its owner only.

    `snapshot` must be redacted already, and `report` and `text` be made from it.

    Raises:
        FluidModelError: it cannot be written there.
    """
    try:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as out:
                for name, data in _members(snapshot, report, text):
                    entry = tarfile.TarInfo(f"fluidmodel-bundle/{name}")
                    entry.size, entry.mode, entry.mtime = len(data), _PRIVATE, int(snapshot.taken)
                    out.addfile(entry, io.BytesIO(data))
            Path(scratch).chmod(_PRIVATE)
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as err:
        why = err.strerror or str(err)
        raise FluidModelError(f"cannot write the bundle {path}", why, "--bundle FILE") from err


def _members(snapshot: Snapshot, report: dict[str, Any], text: str) -> Iterator[tuple[str, bytes]]:
    yield "report.txt", text.encode()
    yield "report.json", _json(report)
    yield MEMBER, _json(snapshot.to_document())
    yield "versions.json", _json(_versions(snapshot))
    yield "events.txt", _events(snapshot).encode()
    for key, value in sorted(snapshot.texts.items()):
        yield f"texts/{_safe(key)}.txt", value.encode()


def _json(document: Any) -> bytes:
    return (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def _versions(snapshot: Snapshot) -> Object:
    return {
        "plugin": f"v{__version__}",
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "platform": sys.platform,
        "kubernetes": snapshot.server,
        "kinds": snapshot.versions,
    }


def _events(snapshot: Snapshot) -> str:
    lines = []
    for event in sorted(snapshot.objects.get("events", []), key=pod_problems.event_time):
        about = at(event, "involvedObject", default={})
        about = about if isinstance(about, dict) else {}
        where = f"{about.get('namespace', '')}/{about.get('name', '')}".strip("/")
        when = event.get("lastTimestamp") or event.get("eventTime") or ""
        message = " ".join(str(event.get("message") or "").split())
        lines.append(f"{when} {about.get('kind', '')} {where} {event.get('reason')}: {message}\n")
    return "".join(lines)


def _safe(key: str) -> str:
    """A key of texts as a file name: `log default/demo-master-0/main` → `log-default-demo-…`."""
    kept = "".join(char if char.isalnum() or char in "-._" else "-" for char in key)
    return kept.strip(".")[:180] or "text"
