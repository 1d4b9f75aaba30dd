"""Decodes responses of the API server; of a list, only the items that may be relevant.

Decoding 20,000 pods into Python objects takes seconds, and almost all are dropped. msgspec finds
the end of each item at 1 GB/s and leaves it as bytes. A substring search in these bytes decides
whether to decode the item.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.objects.access import Object

_SMALL = 64 << 10
"""Bytes: a page up to this size is decoded completely, which is faster than importing msgspec."""


def decode(data: bytes, action: str) -> Object:
    """The object in a response.

    Raises:
        ClusterUnreachableError: the response is not a JSON object.
    """
    try:
        document = json.loads(data)
    except ValueError as err:
        raise _not_an_api_server(action) from err
    if not isinstance(document, dict):
        raise ClusterUnreachableError(
            action, "the server responded with JSON that is not an object"
        )
    return document


def decode_matching(data: bytes, prefilter: tuple[bytes, ...], action: str) -> Object:
    """Decode a page of a list, with only the items whose JSON contains one of `prefilter`.

    The API server writes JSON without spaces and escapes no letter, digit or slash, so a label's
    key or `"claimName"` appears literally. A small page keeps all its items: the filter only saves
    time, and callers have to filter again.

    Raises:
        ClusterUnreachableError: the response is not a list.
    """
    if len(data) <= _SMALL:
        document = decode(data, action)
        if not isinstance(document.get("items"), (list, type(None))):
            raise _not_an_api_server(action)
        return document
    import msgspec

    try:
        page = _decoder()(data)
        items = [bytes(raw) for raw in page.items or ()]
        return {
            "metadata": page.metadata or {},
            "items": [json.loads(raw) for raw in items if any(part in raw for part in prefilter)],
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


def _not_an_api_server(action: str) -> ClusterUnreachableError:
    return ClusterUnreachableError(
        action,
        "the server responded, but it is not a Kubernetes API server",
        "kubectl cluster-info",
    )
