"""An informer: lists and watches kinds, and survives expiry, restarts and lost connections.

An Informer lists each kind and then watches it in a thread. Every change goes into
`Informer.objects` and into one queue, so a reader wakes immediately and sees the latest state.
Kinds that RBAC forbids are recorded in `Informer.denied` and not retried.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import field

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
from kubectl_fluidmodel.records import dataclass

_SERVER_TIMEOUT = 240
"""Seconds after which the server ends a watch (timeoutSeconds); the next one resumes."""
_BACKOFF = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Seconds between reconnects; short, so that a restart is noticed within a second."""

_BACKOFF_RESET_AFTER = 10.0
"""Seconds: a watch that lived this long resets the backoff."""


Transform = Callable[[Object], Object | None]


@dataclass(frozen=True)
class WatchEvent:
    """One change: `type` is SYNCED (first list done), ADDED, MODIFIED, DELETED or ERROR."""

    kind: Kind
    type: str
    object: Object
    at: float
    """time.monotonic() when it arrived."""


@dataclass(frozen=True)
class _Watch:
    """One kind to list and watch; see `Informer.start`."""

    kind: Kind
    namespace: str | None
    labels: str
    fields: str
    transform: Transform | None
    prefilter: tuple[bytes, ...]


@dataclass
class Informer:
    """Watches of several kinds that share one queue."""

    client: Client
    objects: dict[Kind, dict[tuple[str, str], Object]] = field(default_factory=dict)
    denied: dict[Kind, str] = field(default_factory=dict)
    last_error: str = ""
    """Why the API server is unreachable now; empty while it responds."""

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
        transform: Transform | None = None,
        prefilter: tuple[bytes, ...] = (),
    ) -> None:
        """Start to list and watch a kind in the background.

        `transform` and `prefilter` are those of `Client.list_objects`; an object that
        `transform` drops is treated as absent.
        """
        self.objects.setdefault(kind, {})
        watch = _Watch(kind, namespace, labels, fields, transform, prefilter)
        thread = threading.Thread(
            target=self._run,
            args=(watch,),
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
        """The latest objects of a kind."""
        with self._lock:
            return list(self.objects.get(kind, {}).values())

    def get(self, kind: Kind, name: str) -> Object | None:
        """The latest object of a kind and name; None if there is none."""
        return next((obj for obj in self.list_objects(kind) if name_of(obj) == name), None)

    def has_synced(self) -> bool:
        """Whether every watched kind was listed once or is denied."""
        with self._lock:
            return all(kind in self._synced or kind in self.denied for kind in self.objects)

    def is_watching(self, kind: Kind) -> bool:
        """Whether a kind was listed, so that an object it lacks does not exist."""
        with self._lock:
            return kind in self._synced

    def close(self) -> None:
        """Stop. Threads end at their next line of data, or with the process."""
        self._stop.set()

    # -- threads -----------------------------------------------------------------------------

    def _run(self, watch: _Watch) -> None:
        failures = 0
        version = ""
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                if not version:
                    version = self._list(watch)
                version = self._watch(watch, version)
                failures = 0
                if time.monotonic() - began < _BACKOFF[0]:  # a server that ends every watch
                    self._stop.wait(_BACKOFF[0])
            except GoneError:
                version = ""
            except (ForbiddenError, NotFoundError) as err:
                self.denied[watch.kind] = err.reason
                self._emit(watch.kind, "ERROR", {})
                return
            except (ClusterUnreachableError, KubeError) as err:
                # A server that restarts refuses, resets or answers 5xx for a while.
                failures = failures + 1 if time.monotonic() - began < _BACKOFF_RESET_AFTER else 1
                if failures > 1:
                    self.last_error = err.reason or err.message
                    self._emit(watch.kind, "ERROR", {})
                    version = ""  # a successful list clears the error
                self._stop.wait(_BACKOFF[min(failures, len(_BACKOFF)) - 1])
            except FluidModelError as err:
                self.denied[watch.kind] = str(err)
                self._emit(watch.kind, "ERROR", {})
                return

    def _list(self, watch: _Watch) -> str:
        kind = watch.kind
        items = self.client.list_objects(
            kind,
            watch.namespace,
            labels=watch.labels,
            fields=watch.fields,
            transform=watch.transform,
            prefilter=watch.prefilter,
        )
        self.last_error = ""
        with self._lock:
            self.objects[kind] = {(namespace_of(item), name_of(item)): item for item in items}
            self._synced.add(kind)
        self._emit(kind, "SYNCED", {})
        return items.resource_version

    def _watch(self, watch: _Watch, version: str) -> str:
        kind = watch.kind
        options = {
            "allowWatchBookmarks": "true",
            "watch": "1",
            "resourceVersion": version,
            "timeoutSeconds": str(_SERVER_TIMEOUT),
        }
        if watch.labels:
            options["labelSelector"] = watch.labels
        if watch.fields:
            options["fieldSelector"] = watch.fields
        lines = self.client.stream(
            kind.path(watch.namespace),
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
            event_type = str(event.get("type"))
            transformed = watch.transform(obj) if watch.transform is not None else obj
            with self._lock:
                if transformed is None or event_type == "DELETED":
                    previous = self.objects[kind].pop(key, None)
                    if transformed is None and previous is None:
                        continue
                    event_type = "DELETED"
                else:
                    self.objects[kind][key] = transformed
            self._emit(kind, event_type, obj if transformed is None else transformed)
        return version

    def _emit(self, kind: Kind, event_type: str, obj: Object) -> None:
        self._queue.put(WatchEvent(kind, event_type, obj, time.monotonic()))


def _event(line: bytes, action: str) -> tuple[Object, Object]:
    """Parse a watch event and its object.

    Raises:
        ClusterUnreachableError: the line is invalid; a proxy cut the stream or inserted its own
            text.
    """
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    obj = get_path(event, "object", default={})
    if not isinstance(event, dict) or not isinstance(obj, dict):
        raise ClusterUnreachableError(action, "the stream of events was cut")
    return event, obj
