"""Events of a transfer, and their form in a JSON log.

A Job's pods log one JSON object per line, and another version of this package may read them. So
the names on the wire are fixed: `_WIRE_NAMES` and `_WIRE_FIELDS` map them to the names used here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class Started:
    """The work of this shard is known; `bytes` and `files` are the shard's."""

    uri: str
    destination: str
    bytes: int
    files: int
    shard: int = 0
    shards: int = 1


@dataclass(frozen=True)
class TransferProgress:
    """Byte counts of one shard so far."""

    done: int
    """Bytes in the store, `already_present` included."""
    total: int
    files_done: int
    files: int
    already_present: int
    """Bytes that were in the store before this run."""
    read: int
    """Bytes received from the Hub in this run, retries included."""
    sent: int
    """Bytes sent to the store in this run, retries included."""
    in_flight: int = 0
    """Bytes received from the Hub that are not in the store yet."""
    active: tuple[str, ...] = ()
    """Paths of files in transfer."""
    last_retry: str = ""
    """Reason of a recent retry; empty when there was none."""


@dataclass(frozen=True)
class FileDone:
    """A file is in the store and its hash is verified."""

    path: str
    size: int
    outcome: str
    """`staged`, `resumed`, `found`, or `copied` from another commit in the bucket."""


@dataclass(frozen=True)
class FileFailed:
    """A file could not be staged; the transfer of the others continues."""

    path: str
    reason: str


@dataclass(frozen=True)
class Message:
    """One line for the user."""

    text: str


@dataclass(frozen=True)
class Completed:
    """All files of this shard are in the store."""

    destination: str
    manifest: str
    """URI of the manifest; empty while other shards are still running."""
    bytes: int
    files: int
    read: int
    sent: int
    seconds: float


Event = Started | TransferProgress | FileDone | FileFailed | Message | Completed

_WIRE_NAMES: dict[type[Any], str] = {
    Started: "Began",
    TransferProgress: "Progress",
    FileDone: "FileDone",
    FileFailed: "FileFailed",
    Message: "Note",
    Completed: "Ended",
}
_WIRE_FIELDS = {
    "destination": "to",
    "already_present": "found",
    "in_flight": "moving",
    "last_retry": "trouble",
    "outcome": "how",
    "reason": "why",
}
_TYPES = {name: kind for kind, name in _WIRE_NAMES.items()}
_ATTRIBUTES = {wire: attribute for attribute, wire in _WIRE_FIELDS.items()}


def event_to_document(event: Event) -> dict[str, Any]:
    """The event as a JSON object; `event_from_document` is the inverse."""
    fields = {_WIRE_FIELDS.get(name, name): value for name, value in asdict(event).items()}
    return {"event": _WIRE_NAMES[type(event)], **fields}


def event_from_document(document: dict[str, Any]) -> Event | None:
    """Parse the JSON object of a log line.

    Returns:
        The event, or None for an object that is no event or one of an unknown version.
    """
    kind = _TYPES.get(str(document.get("event", "")))
    if kind is None:
        return None
    fields = {_ATTRIBUTES.get(name, name): value for name, value in document.items()}
    del fields["event"]
    try:
        if "active" in fields:
            fields["active"] = tuple(fields["active"])
        event: Event = kind(**fields)
        return event
    except TypeError:
        return None
