"""Watches that survive expiry, a restarted API server and lost connections, as one stream.

A Feed lists each kind and then watches it in a thread of its own. What changes goes into one
queue and into `Feed.objects`, so that a reader sees the latest state and is woken at once.
What RBAC forbids is recorded in `Feed.denied` and left alone.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import (
    ClusterUnreachableError,
    ForbiddenError,
    GoneError,
    KubeError,
    NotFoundError,
    error_from_response,
)
from kubectl_fluidmodel.objects.access import Object, get_path, metadata_of, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind

_SERVER_TIMEOUT = 240
"""Seconds after which the server is asked to end a watch; a new one goes on from there."""
_BACKOFF = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Seconds between attempts to reconnect; short, so that a restart is noticed within a second."""

_BACKOFF_RESET_AFTER = 10.0
"""Seconds that a watch has to last for its end to be a new failure and not the same again."""


Keep = Callable[[Object], Object | None]


@dataclass(frozen=True)
class WatchEvent:
    """One change: `type` is SYNCED (first list done), ADDED, MODIFIED, DELETED or ERROR."""

    kind: Kind
    type: str
    object: Object
    at: float
    """time.monotonic() when it arrived."""


@dataclass
class Informer:
    """Several watches, one queue."""

    client: Client
    objects: dict[Kind, dict[tuple[str, str], Object]] = field(default_factory=dict)
    denied: dict[Kind, str] = field(default_factory=dict)
    last_error: str = ""
    """Why the cluster is out of reach at the moment; empty while it answers."""

    def __post_init__(self) -> None:
        self._queue: queue.Queue[WatchEvent] = queue.Queue()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._synced: set[Kind] = set()

    def start(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        keep: Keep | None = None,
        marks: tuple[bytes, ...] = (),
    ) -> None:
        """Start to follow a kind; returns at once.

        `keep` gives what to hold of each object, or None: then it is as if it were not there.
        `marks` are those of `Client.list_all`, for the list that comes first.
        """
        self.objects.setdefault(kind, {})
        query = {"allowWatchBookmarks": "true"}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        thread = threading.Thread(
            target=self._run,
            args=(kind, namespace, query, keep, marks),
            name=f"watch-{kind.plural}",
            daemon=True,
        )
        thread.start()

    def next_event(self, timeout: float) -> WatchEvent | None:
        """The next change, or None after `timeout` seconds without one."""
        try:
            return self._queue.get(timeout=max(0.0, timeout))
        except queue.Empty:
            return None

    def list_objects(self, kind: Kind) -> list[Object]:
        """The objects of a kind as last seen."""
        with self._lock:
            return list(self.objects.get(kind, {}).values())

    def get(self, kind: Kind, name: str) -> Object | None:
        """The object of a kind with a name, as last seen."""
        return next((obj for obj in self.list_objects(kind) if name_of(obj) == name), None)

    def has_synced(self) -> bool:
        """Whether every kind that is followed was listed once, or is denied."""
        with self._lock:
            return all(kind in self._synced or kind in self.denied for kind in self.objects)

    def is_watching(self, kind: Kind) -> bool:
        """Whether a kind is followed and was listed: what is not in it is not there."""
        with self._lock:
            return kind in self._synced

    def close(self) -> None:
        """Stop; the threads end at their next line or with the process."""
        self._stop.set()

    # -- threads -----------------------------------------------------------------------------

    def _run(
        self,
        kind: Kind,
        namespace: str | None,
        query: dict[str, str],
        keep: Keep | None,
        marks: tuple[bytes, ...],
    ) -> None:
        failures = 0
        version = ""
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                if not version:
                    version = self._list(kind, namespace, query, keep, marks)
                version = self._watch(kind, namespace, query, version, keep)
                failures = 0
                if time.monotonic() - began < _BACKOFF[0]:  # a server that ends every watch
                    self._stop.wait(_BACKOFF[0])
            except GoneError:
                version = ""
            except (ForbiddenError, NotFoundError) as err:
                self.denied[kind] = err.reason
                self._emit(kind, "ERROR", {})
                return
            except (ClusterUnreachableError, KubeError) as err:
                # A server that restarts refuses, resets or answers 5xx for a while.
                failures = failures + 1 if time.monotonic() - began < _BACKOFF_RESET_AFTER else 1
                if failures > 1:
                    self.last_error = err.reason or err.message
                    self._emit(kind, "ERROR", {})
                    version = ""  # the list, once there is an answer, ends the trouble
                self._stop.wait(_BACKOFF[min(failures, len(_BACKOFF)) - 1])
            except FluidModelError as err:
                self.denied[kind] = str(err)
                self._emit(kind, "ERROR", {})
                return

    def _list(
        self,
        kind: Kind,
        namespace: str | None,
        query: dict[str, str],
        keep: Keep | None,
        marks: tuple[bytes, ...],
    ) -> str:
        items, version = self.client.list_with_resource_version(
            kind,
            namespace,
            labels=query.get("labelSelector", ""),
            fields=query.get("fieldSelector", ""),
            transform=keep,
            prefilter=marks,
        )
        self.last_error = ""
        with self._lock:
            self.objects[kind] = {(namespace_of(item), name_of(item)): item for item in items}
            self._synced.add(kind)
        self._emit(kind, "SYNCED", {})
        return version

    def _watch(
        self,
        kind: Kind,
        namespace: str | None,
        query: dict[str, str],
        version: str,
        keep: Keep | None,
    ) -> str:
        options = {
            **query,
            "watch": "1",
            "resourceVersion": version,
            "timeoutSeconds": str(_SERVER_TIMEOUT),
        }
        lines = self.client.stream(
            kind.path(namespace),
            query=options,
            action=f"cannot watch {kind.plural}",
            idle=_SERVER_TIMEOUT + 30.0,
        )
        for line in lines:
            if self._stop.is_set():
                return version
            event, obj = _event(line, f"cannot watch {kind.plural}")
            if event.get("type") == "ERROR":
                status = int(obj.get("code") or 500)
                raise error_from_response(
                    status, json.dumps(obj).encode(), f"cannot watch {kind.plural}"
                )
            self.last_error = ""
            version = str(metadata_of(obj).get("resourceVersion") or version)
            if event.get("type") == "BOOKMARK":
                continue
            key = (namespace_of(obj), name_of(obj))
            type_ = str(event.get("type"))
            kept = keep(obj) if keep is not None else obj
            with self._lock:
                if kept is None or type_ == "DELETED":
                    gone = self.objects[kind].pop(key, None)
                    if kept is None and gone is None:
                        continue
                    type_ = "DELETED"
                else:
                    self.objects[kind][key] = kept
            self._emit(kind, type_, obj if kept is None else kept)
        return version

    def _emit(self, kind: Kind, type_: str, obj: Object) -> None:
        self._queue.put(WatchEvent(kind, type_, obj, time.monotonic()))


def _event(line: bytes, what: str) -> tuple[Object, Object]:
    """A watch event and its object.

    Raises:
        ClusterUnreachableError: the line is none; a proxy cut the stream, or put in its own words.
    """
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    obj = get_path(event, "object", default={})
    if not isinstance(event, dict) or not isinstance(obj, dict):
        raise ClusterUnreachableError(what, "the stream of events was cut")
    return event, obj
