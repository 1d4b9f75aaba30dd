"""Events of a transfer, and their form in a JSON log.

A Job's pods log one JSON object per line, and another version of this package may read them. So
the names in the log are fixed: `EVENTS` maps them to the names used here.
"""

from __future__ import annotations

from kubectl_fluidmodel.output.event_log import EventLog
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

EVENTS: EventLog[Event] = EventLog(
    {
        "Began": Started,
        "Progress": TransferProgress,
        "FileDone": FileDone,
        "FileFailed": FileFailed,
        "Note": Message,
        "Ended": Completed,
    },
    fields={
        "destination": "to",
        "already_present": "found",
        "in_flight": "moving",
        "last_retry": "trouble",
        "outcome": "how",
        "reason": "why",
    },
    parsers={
        TransferProgress: lambda fields: TransferProgress(
            **{**fields, "active": tuple(fields.get("active", ()))}
        )
    },
)
