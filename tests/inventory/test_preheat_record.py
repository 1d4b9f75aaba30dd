"""What a Dataset records of preheating, and when a record still holds."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.fluid.names import PREHEATED_ANNOTATION
from kubectl_fluidmodel.inventory.preheat_record import (
    PreheatRecord,
    format_records,
    fuse_clients,
    preheat_records,
)

RECORDS = {
    "gpu-1": PreheatRecord("abc", "uid-1/0", 1024, 2.5, 1000, "2026-11-29T08:00:00Z"),
    "gpu-0": PreheatRecord("abc", "uid-0/1", 1024, 0.5),
}


def dataset(text: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {PREHEATED_ANNOTATION: text}}}


def fuse_pod(node: str, uid: str, restarts: int = 0) -> dict[str, Any]:
    return {
        "metadata": {"uid": uid},
        "spec": {"nodeName": node},
        "status": {"containerStatuses": [{"restartCount": restarts}]},
    }


def test_records_are_parsed_as_they_were_written() -> None:
    assert preheat_records(dataset(format_records(RECORDS))) == RECORDS


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"gpu-0": 1}', '{"gpu-0": {"content": "abc"}}']
)
def test_damaged_records_are_none(text: str) -> None:
    assert preheat_records(dataset(text)) == {}
    assert preheat_records(None) == {}


def test_a_restarted_or_replaced_client_is_another_one() -> None:
    before = fuse_clients([fuse_pod("gpu-0", "a"), fuse_pod("gpu-1", "b")])
    after = fuse_clients([fuse_pod("gpu-0", "a", restarts=1), fuse_pod("gpu-1", "c")])
    assert set(before) == set(after) == {"gpu-0", "gpu-1"}
    assert not set(before.values()) & set(after.values())
