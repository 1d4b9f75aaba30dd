"""Wait for watched objects to reach a state, and for deleted objects to be gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects.access import metadata_of
from kubectl_fluidmodel.objects.kinds import Kind

_POLL_INTERVAL = 0.3
"""Seconds between two looks at an object that is being deleted."""
_MAX_BATCH = 1000
"""Events that one check answers at most."""


def wait_until(
    informer: Informer,
    done: Callable[[], bool],
    deadline: float,
    on_tick: Callable[[], None] = lambda: None,
    *,
    interval: float = 1.0,
    required: Sequence[Kind] = (),
) -> bool:
    """Check a condition now, after every change of the watched objects, and every interval.

    Args:
        informer: The watches that wake the wait; already started.
        done: Whether the wait is over. It may raise what makes waiting pointless.
        deadline: The time.monotonic() at which to give up.
        on_tick: Called after each check that was not the last, e.g. to draw progress.
        interval: Seconds between two checks while nothing changes.
        required: Kinds that have to be watched for `done` ever to hold.

    Returns:
        True when `done` held, False at the deadline.

    Raises:
        FluidModelError: a required kind may not be watched.
    """
    while not done():
        on_tick()
        for kind in required:
            if kind in informer.denied:
                raise FluidModelError(f"cannot watch {kind.resource}", informer.denied[kind])
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return False
        if informer.next_event(min(interval, remaining)) is not None:
            _drain(informer)
    return True


def _drain(informer: Informer) -> None:
    """Take the events that came together with the first: one check answers them all."""
    for _ in range(_MAX_BATCH):
        if informer.next_event(0.0) is None:
            return


def wait_until_deleted(
    client: Client, kind: Kind, name: str, namespace: str | None, *, uid: str = "", timeout: float
) -> bool:
    """Wait until an object is gone; with `uid` also until another one has its name.

    Args:
        client: Asks the API server.
        kind: Of the object.
        name: Of the object.
        namespace: None for cluster-scoped kinds.
        uid: The UID of the object that was deleted; empty for any of the name.
        timeout: Seconds.

    Returns:
        Whether it went away in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = client.get_or_none(kind, name, namespace)
        if found is None or (uid and metadata_of(found).get("uid") != uid):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_INTERVAL)
