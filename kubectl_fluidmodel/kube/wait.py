"""Waits for a state: of watched objects, or of what is read again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects.access import Object, metadata_of
from kubectl_fluidmodel.objects.kinds import Kind

T = TypeVar("T")

_POLL_INTERVAL = 0.3
"""Seconds between two reads of an object that is being deleted."""
_MAX_BATCH = 1000
"""Maximum number of events that one check handles."""


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
        done: Whether the wait is complete. It may raise an error if waiting cannot help.
        deadline: The time.monotonic() of the timeout.
        on_tick: Called after each check except the last, for example to draw progress.
        interval: Seconds between two checks while nothing changes.
        required: Kinds that must be watched for `done` to become true.

    Returns:
        True when `done` is true, False at the deadline.

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
    """Drain the events that arrived with the first one: one check handles them all."""
    for _ in range(_MAX_BATCH):
        if informer.next_event(0.0) is None:
            return


def wait_until_deleted(
    client: Client, kind: Kind, name: str, namespace: str | None, *, uid: str = "", timeout: float
) -> bool:
    """Wait until an object does not exist; with `uid`, also until another object has its name.

    Args:
        client: The client.
        kind: The object's kind.
        name: The object's name.
        namespace: None for cluster-scoped kinds.
        uid: The UID of the deleted object; empty for any object with the name.
        timeout: Seconds.

    Returns:
        Whether it disappeared in time.
    """

    def existing() -> list[Object]:
        obj = client.get_or_none(kind, name, namespace)
        if obj is None or (uid and metadata_of(obj).get("uid") != uid):
            return []
        return [obj]

    return not wait_until_empty(existing, time.monotonic() + timeout)


def wait_until_empty(
    read: Callable[[], Sequence[T]], deadline: float, *, interval: float = _POLL_INTERVAL
) -> Sequence[T]:
    """Read at intervals until nothing is left.

    Args:
        read: Returns what is left.
        deadline: The time.monotonic() of the timeout.
        interval: Seconds between two reads.

    Returns:
        The items left at the deadline; empty if none were left in time.
    """
    return read_until(read, lambda remaining: not remaining, deadline, interval=interval)


def read_until(
    read: Callable[[], T],
    done: Callable[[T], bool],
    deadline: float,
    on_tick: Callable[[T], None] = lambda _: None,
    *,
    interval: float,
) -> T:
    """Read what no watch reports now, every interval, and a last time at the deadline.

    Args:
        read: Reads the state. It may raise an error if waiting cannot help.
        done: Whether the state is the expected one.
        deadline: The time.monotonic() of the timeout.
        on_tick: Called with the state before each pause.
        interval: Seconds between two reads.

    Returns:
        The state that was read last: after the deadline, it may be one that is not `done`.
    """
    while True:
        state = read()
        remaining = deadline - time.monotonic()
        if done(state) or remaining <= 0:
            return state
        on_tick(state)
        time.sleep(min(interval, remaining))
