"""Wake Fluid's controllers when what they wait for has happened.

Fluid 1.0's runtime and data-load controllers watch only their own objects; for the StatefulSets
and Jobs they made they look again after a fixed 20 seconds.  Newer ones watch those too.  So that a
test does not spend its life in such waits, the owner is touched - an annotation set and taken away
again, which leaves nothing behind but a new resourceVersion - when its StatefulSet has another
number of ready pods or its Job has ended, and every second while it is being deleted.
``"wake": false`` in ``agent.json`` turns it off.
"""

from __future__ import annotations

import contextlib
import threading
import time

from urllib3.exceptions import HTTPError

from ..api import Api, ApiError, Object

ANNOTATION = "fluidmodel.io/woken"
KINDS = ("AlluxioRuntime", "DataLoad")
#: How long an object in deletion is touched at most.
DELETING_SECONDS = 60.0
#: Seconds from a change to each touch of its owner. At the first, Fluid may not have heard of the
#: change yet; without the second, it would look again only after 20 seconds.
AFTER = (0.1, 1.5)
#: What Fluid waits for in a StatefulSet or a Job that has just been made.
NOTHING: tuple[object, ...] = (0, [])


def _awaited(obj: Object) -> tuple[object, ...]:
    """What Fluid waits for: a StatefulSet's ready pods, a Job's end."""
    status = obj.get("status") or {}
    ended = [each["type"] for each in status.get("conditions") or [] if each["status"] == "True"]
    return (status.get("readyReplicas", 0), ended)


class Waker:
    """Touches the owners of what changes."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._due: list[tuple[float, tuple[str, str, str]]] = []
        self._deleting: dict[tuple[str, str, str], float] = {}
        self._seen: dict[str, object] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._run, daemon=True).start()

    def child(self, what: str, obj: Object) -> None:
        """A StatefulSet or Job changed; most of its changes are nothing that Fluid waits for."""
        uid, state = obj["metadata"]["uid"], _awaited(obj)
        if what == "DELETED":
            self._seen.pop(uid, None)
        elif self._seen.get(uid, NOTHING) == state:
            return
        else:
            self._seen[uid] = state
        for owner in obj["metadata"].get("ownerReferences") or []:
            if owner["kind"] in KINDS and owner.get("controller"):
                self._want(owner["kind"], obj["metadata"]["namespace"], owner["name"])

    def runtime(self, what: str, obj: Object) -> None:
        """An AlluxioRuntime changed: noted when it is being deleted."""
        meta = obj["metadata"]
        key = ("AlluxioRuntime", meta["namespace"], meta["name"])
        with self._lock:
            if what == "DELETED":
                self._deleting.pop(key, None)
            elif meta.get("deletionTimestamp"):
                self._deleting.setdefault(key, time.monotonic())

    def _want(self, kind: str, namespace: str, name: str) -> None:
        with self._lock:
            now = time.monotonic()
            self._due += [(now + seconds, (kind, namespace, name)) for seconds in AFTER]

    def _run(self) -> None:
        last = 0.0
        while True:
            time.sleep(0.05)
            now = time.monotonic()
            with self._lock:
                ready = {key for due, key in self._due if due <= now}
                self._due = [each for each in self._due if each[0] > now]
                if now - last >= 1:
                    last = now
                    for key, since in list(self._deleting.items()):
                        if now - since > DELETING_SECONDS:
                            del self._deleting[key]
                        else:
                            ready.add(key)
            for kind, namespace, name in ready:
                for value in (str(time.time()), None):
                    body = {"metadata": {"annotations": {ANNOTATION: value}}}
                    with contextlib.suppress(ApiError, HTTPError, OSError):
                        self.api.patch("data.fluid.io/v1alpha1", kind, name, body, namespace)
