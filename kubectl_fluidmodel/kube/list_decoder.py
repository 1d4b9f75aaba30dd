"""What an API server answers, as JSON; of a list only what may be of interest is parsed at all.

Making Python objects of 20,000 pods takes seconds, and nearly all of them are thrown away. msgspec
finds where each item of a list ends at a gigabyte per second and leaves it as bytes, in which a
search for a few words tells whether it is worth more.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.objects.access import Object

_SMALL = 64 << 10
"""Bytes of a page that is parsed as it is: that takes less long than to import msgspec."""


def decode(data: bytes, action: str) -> Object:
    """The object in an answer.

    Raises:
        ClusterUnreachableError: it is none; `what` says what we were doing.
    """
    try:
        found = json.loads(data)
    except ValueError as err:
        raise _not_an_api_server(action) from err
    if not isinstance(found, dict):
        raise ClusterUnreachableError(
            action, "the server answered with something that is no object"
        )
    return found


def decode_matching(data: bytes, prefilter: tuple[bytes, ...], action: str) -> Object:
    """A page of a list with only those items whose text has one of the marks.

    The API server writes JSON without blanks and escapes no letter, digit or slash, so that a
    label's key, or `"claimName"`, stands there as it is. A small page comes as a whole: who asks
    judges every item anyhow.

    Raises:
        ClusterUnreachableError: it is no page of a list.
    """
    if len(data) <= _SMALL:
        found = decode(data, action)
        if not isinstance(found.get("items"), (list, type(None))):
            raise _not_an_api_server(action)
        return found
    import msgspec

    try:
        page = _decoder()(data)
        items = [bytes(raw) for raw in page.items or ()]
        return {
            "metadata": page.metadata or {},
            "items": [json.loads(raw) for raw in items if any(mark in raw for mark in prefilter)],
        }
    except (msgspec.DecodeError, ValueError) as err:
        raise _not_an_api_server(action) from err


@functools.cache
def _decoder() -> Any:
    import msgspec

    page = msgspec.defstruct(
        "Page",
        [("items", list[msgspec.Raw] | None, None), ("metadata", dict[str, Any] | None, None)],
    )
    return msgspec.json.Decoder(page).decode


def _not_an_api_server(what: str) -> ClusterUnreachableError:
    return ClusterUnreachableError(
        what,
        "the server answered, but not as a Kubernetes API server",
        "kubectl cluster-info",
    )
