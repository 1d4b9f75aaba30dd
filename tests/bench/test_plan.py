"""The protocol between the client and the pod of `bench`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.bench.plan import (
    EVENTS,
    MIB,
    MOUNT_CASES,
    OTHER_NODE_CASES,
    STORE_CASE,
    BenchPlan,
    CaseDone,
    CaseSkipped,
    CaseStarted,
    Event,
    Measurement,
    Pattern,
    ReaderFailed,
    ReaderFinished,
    ReadProgress,
    Source,
    last_text,
    plan_from_json,
)

PLAN = BenchPlan((*MOUNT_CASES, STORE_CASE), 8 * MIB, 10.0, seed=7, store='{"host": "models"}')
SAMPLES = [
    CaseStarted("cache, memory map"),
    ReadProgress(17),
    CaseDone(Measurement(MOUNT_CASES[3], 100 * MIB, 1.5, 0.25)),
    CaseSkipped("store", "AccessDenied"),
    ReaderFailed("the claim is empty"),
    ReaderFinished(140 * MIB),
]


def test_the_pod_reads_the_plan_that_the_client_wrote() -> None:
    assert plan_from_json(PLAN.to_json()) == PLAN


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_the_client_reads_the_event_that_the_pod_printed(event: Event) -> None:
    line = EVENTS.to_line(event)
    assert "\n" not in line
    assert EVENTS.from_line(line) == event


@given(st.text(max_size=80))
def test_a_line_that_is_no_event_is_none_and_never_an_error(line: str) -> None:
    assert EVENTS.from_line(line) is None or line.startswith("{")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"event": "started"},
        {"event": "invented", "label": "x"},
        {"event": "progress", "bytes": 1, "since": "the next version"},
        {"event": "done", "measurement": {"case": {"source": "moon"}}},
        {"event": "done", "measurement": None},
    ],
    ids=json.dumps,
)
def test_an_event_of_another_version_is_none(document: dict[str, object]) -> None:
    assert EVENTS.from_line(json.dumps(document)) is None


def test_the_last_text_is_what_a_crashed_pod_printed() -> None:
    lines = ["Traceback …", "MemoryError: no memory", EVENTS.to_line(ReadProgress(1)), ""]
    assert last_text(lines) == "MemoryError: no memory"
    assert last_text([EVENTS.to_line(ReadProgress(1))]) == ""


def test_no_case_reads_with_as_many_threads_as_hang_alluxios_fuse() -> None:
    assert max(case.readers for case in MOUNT_CASES) <= 16


def test_every_case_has_a_label_of_its_own() -> None:
    labels = [case.label for case in (*MOUNT_CASES, STORE_CASE)]
    assert len(set(labels)) == len(labels)
    assert "store, blocks of 16 MiB, 8 threads" in labels


def test_a_node_without_the_cache_is_read_in_a_few_ways_that_the_cache_has_too() -> None:
    assert set(OTHER_NODE_CASES) < set(MOUNT_CASES)
    assert {case.source for case in OTHER_NODE_CASES} == {Source.MOUNT}
    assert Pattern.MMAP in {case.pattern for case in OTHER_NODE_CASES}
