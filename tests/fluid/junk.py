"""Objects that no schema ever saw: real paths, with anything at their ends."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_KEYS = st.sampled_from(
    (
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "spec",
        "nodeName",
        "status",
        "phase",
        "conditions",
        "type",
        "reason",
        "message",
        "containerStatuses",
        "initContainerStatuses",
        "state",
        "waiting",
        "lastState",
        "terminated",
        "restartCount",
        "cacheStates",
        "cached",
        "cacheCapacity",
        "ufsTotal",
        "involvedObject",
        "series",
        "lastTimestamp",
        "kind",
    )
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(("Bound", "Warning", "Pod", "Ready", "True", "alluxio-master", "9.99GiB")),
)
any_value: st.SearchStrategy[Any] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=5)),
    max_leaves=25,
)
any_object: st.SearchStrategy[dict[str, Any]] = st.dictionaries(_KEYS, any_value, max_size=6)


def corrupt(draw: st.DrawFn, obj: dict[str, Any]) -> None:
    """Replace or drop one thing at any depth; its kind stays, for it is filed by that."""
    here: Any = obj
    while True:
        keys: list[Any] = (
            [key for key in here if key not in ("kind", "apiVersion")]
            if isinstance(here, dict)
            else list(range(len(here)))
        )
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        inner = here[key]
        if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
            here = inner
            continue
        if draw(st.booleans()):
            here[key] = draw(any_value)
        else:
            del here[key]
        return
