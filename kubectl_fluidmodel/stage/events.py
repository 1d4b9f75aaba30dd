"""What staging tells while it works."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Began:
    """The work is known: bytes and files of this share, and where they go."""

    uri: str
    to: str
    bytes: int
    files: int
    shard: int = 0
    shards: int = 1


@dataclass(frozen=True)
class Progress:
    """How far it is: `done` bytes are in the store, of which `found` were there before.

    `moving` bytes have come from the Hub, and are on their way to the store.
    `read` and `sent` count what went over the wire in this run, retries included.
    """

    done: int
    total: int
    files_done: int
    files: int
    found: int
    read: int
    sent: int
    moving: int = 0
    active: tuple[str, ...] = ()
    trouble: str = ""
    """Why something is being tried again at the moment; empty while all goes well."""


@dataclass(frozen=True)
class FileDone:
    """One file is in the store, its hash proven; `how` is staged, resumed or found."""

    path: str
    size: int
    how: str


@dataclass(frozen=True)
class FileFailed:
    """One file could not be staged; the others go on."""

    path: str
    why: str


@dataclass(frozen=True)
class Note:
    """Something worth a line."""

    text: str


@dataclass(frozen=True)
class Ended:
    """All of this share is in the store; `manifest` is its URI once the whole model is."""

    to: str
    manifest: str
    bytes: int
    files: int
    read: int
    sent: int
    seconds: float


Event = Began | Progress | FileDone | FileFailed | Note | Ended

_KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (Began, Progress, FileDone, FileFailed, Note, Ended)
}


def event_to_document(event: Event) -> dict[str, Any]:
    """As one JSON object; `from_document` is its inverse."""
    return {"event": type(event).__name__, **asdict(event)}


def event_from_document(document: dict[str, Any]) -> Event | None:
    """The event of a log line; None for one that is not ours or of another version."""
    fields = dict(document)
    kind = _KINDS.get(str(fields.pop("event", "")))
    if kind is None:
        return None
    try:
        if "active" in fields:
            fields["active"] = tuple(fields["active"])
        event: Event = kind(**fields)
        return event
    except TypeError:
        return None
