"""The documents keep to the schema that docs/inspection.schema.json promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from kubectl_fluidmodel.fluid.names import PREHEATED_ANNOTATION, READ_RATES_ANNOTATION
from kubectl_fluidmodel.inspect import document_view
from kubectl_fluidmodel.inspect.details import (
    DoctorWarning,
    HubStatus,
    LiveDetails,
    describe_caches,
)
from kubectl_fluidmodel.inventory.preheat_record import PreheatRecord, format_records
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from kubectl_fluidmodel.output.serialize import to_yaml
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot
from tests.inventory import fleet, samples
from tests.inventory.test_cache import odd_snapshots

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "inspection.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_cluster_with_everything() -> None:
    hidden = [ReadFailure("nodes", "", "forbidden", True)]
    snapshot = samples.snapshot(*fleet.mixed_states(), read_failures=hidden)
    key = ("default", fleet.LLAMA)
    warned = {key: [DoctorWarning("FM701", "warning", "t", "a", "c", "", "")]}
    caches = describe_caches(
        snapshot, warnings=warned, live=LiveDetails(hub={key: HubStatus("f" * 40)})
    )
    shown = document_view.list_document(caches, snapshot)
    VALIDATOR.validate(shown)
    assert [item["metadata"]["name"] for item in shown["items"]] == [one.name for one in caches]
    for one in caches:
        VALIDATOR.validate(document_view.detail_document(one, snapshot))


def test_every_number_is_in_it() -> None:
    snapshot = fleet.with_files(*fleet.llama())
    shown = document_view.detail_document(describe_caches(snapshot)[0], snapshot)
    assert shown["size"] == {
        "bytes": 147_000_000_000,
        "exact": True,
        "countedBytes": 146_995_255_706,
        "counting": False,
        "files": 32,
    }
    held = 29 * 4_900_000_000 + 4_900_000_000 * 85 // 100 + 855
    assert shown["cached"]["bytes"] == held, "by the master's list, not by Fluid's older count"
    assert shown["cached"]["whole"] is False, "one file lacks something"
    assert shown["nodes"][0]["usedBytes"] == held
    assert shown["files"][0]["bytes"] == 4_900_000_000
    assert [row["local"] for row in shown["readers"]] == [False, None, True]
    assert shown["placement"]["verdict"] == "not-whole"


def test_what_bench_measured_is_in_it() -> None:
    rates = ReadRates("2026-11-29T08:00:00Z", "gpu-0", 2e9, {1: 2e9, 4: 4e9}, off_node=1e8)
    record = PreheatRecord("abc", "", 100, 5.0, 98, "2026-03-02T08:13:20Z")
    measured = samples.cache(
        annotations={
            READ_RATES_ANNOTATION: rates.to_annotation(),
            PREHEATED_ANNOTATION: format_records({"gpu-0": record}),
        }
    )
    snapshot = samples.snapshot(*measured)
    shown = document_view.detail_document(describe_caches(snapshot)[0], snapshot)
    VALIDATOR.validate(shown)
    assert shown["measured"] == {
        "at": "2026-11-29T08:00:00Z",
        "node": "gpu-0",
        "memoryMap": 2e9,
        "parallel": {"1": 2e9, "4": 4e9},
        "pageCache": None,
        "store": None,
        "otherNode": 1e8,
    }
    assert shown["nodes"][0]["pageCache"] == {
        "bytes": 98,
        "ofBytes": 100,
        "at": "2026-03-02T08:13:20Z",
        "by": "preheating",
        "lost": False,
    }


@pytest.mark.parametrize("extra", [{"surprise": 1}, {"phase": 3}, {"kind": "Other"}])
def test_the_schema_refuses_what_is_not_in_it(extra: dict[str, Any]) -> None:
    snapshot = samples.snapshot(*samples.cache())
    shown = {**document_view.detail_document(describe_caches(snapshot)[0], snapshot), **extra}
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(shown)


@settings(max_examples=80, deadline=None)
@given(odd_snapshots())
def test_odd_objects_make_no_odd_documents(snapshot: Snapshot) -> None:
    shown = document_view.list_document(describe_caches(snapshot), snapshot)
    VALIDATOR.validate(shown)
    json.dumps(shown, allow_nan=False)
    to_yaml(shown)


def test_settings_for_high_concurrency_are_in_it() -> None:
    for objects, on in (
        (samples.cache(), False),
        (samples.high_concurrency(samples.cache()), True),
    ):
        snapshot = samples.snapshot(*objects)
        shown = document_view.detail_document(describe_caches(snapshot)[0], snapshot)
        VALIDATOR.validate(shown)
        assert shown["runtime"]["highConcurrency"] is on
