"""List and watch one kind of object, for the programs of the harness that act on changes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

import urllib3

from .api import Api, ApiError, Object

Act = Callable[[str, Object], None]
"""Called with ADDED, MODIFIED or DELETED and the object; of a list, everything is MODIFIED."""


def follow(
    api: Api,
    version: str,
    kind: str,
    act: Act,
    namespace: str | None = None,
    *,
    stopped: Callable[[], bool] = lambda: False,
    seconds: int = 300,
    **query: Any,
) -> None:
    """List and watch until it is stopped; what is missed between two watches is made up for.

    Args:
        api: The cluster.
        version: The API version.
        kind: The kind.
        act: What is called; its errors are printed.
        namespace: Only of this namespace.
        stopped: Whether to end; asked for each event, and when a watch ends.
        seconds: How long one watch lasts.
        query: More parameters, such as `labelSelector`.
    """
    known: dict[str, Object] = {}
    while not stopped():
        try:
            answer = api.get(version, kind, None, namespace, **query)
            items = {each["metadata"]["uid"]: each for each in answer["items"]}
            for uid in set(known) - set(items):
                _act(act, "DELETED", known.pop(uid))
            for uid, each in items.items():
                known[uid] = each
                _act(act, "MODIFIED", each)
            since = answer["metadata"]["resourceVersion"]
            while since and not stopped():
                for event in api.watch(version, kind, namespace, since, seconds, **query):
                    if stopped():
                        return
                    since = _handle(event, known, act)
        except (ApiError, OSError, urllib3.exceptions.HTTPError, ValueError):
            time.sleep(0.3)


def _handle(event: Object, known: dict[str, Object], act: Act) -> str:
    """Act on an event; returns its resource version, or nothing if a new list is needed."""
    change, obj = event["type"], event["object"]
    if change == "ERROR":
        return ""
    if change != "BOOKMARK":
        uid = obj["metadata"]["uid"]
        if change == "DELETED":
            known.pop(uid, None)
        else:
            known[uid] = {"metadata": obj["metadata"], "spec": {}, "status": {}}
        _act(act, change, obj)
    return str(obj["metadata"]["resourceVersion"])


def _act(act: Act, change: str, obj: Object) -> None:
    try:
        act(change, obj)
    except Exception:
        traceback.print_exc()
