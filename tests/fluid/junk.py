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
anything: st.SearchStrategy[Any] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=5)),
    max_leaves=25,
)
objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(_KEYS, anything, max_size=6)
