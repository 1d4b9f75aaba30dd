"""Every row of the tables in this folder as one Snapshot: what is broken, by a name for it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

from kubectl_fluidmodel.snapshot.document import snapshot_from_document, snapshot_to_document
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import (
    builders,
    stores,
    test_capacity,
    test_graphs,
    test_installation,
    test_loading,
    test_mounting,
    test_names,
    test_runtime,
    test_store,
)
from tests.doctor.fault_cases import Fault

_TABLES: tuple[dict[str, Any], ...] = (
    test_runtime.PLACING,
    test_runtime.PODS,
    test_mounting.CASES,
    test_loading.CASES,
    test_graphs.CASES,
    test_capacity.CASES,
)
"""Rows that begin with what breaks a healthy Snapshot, by name."""
_PARAMETRIZED_TESTS = (
    test_installation.test_installation_fault_is_found,
    test_names.test_dataset_or_name_fault_is_found,
)
"""Tests with such rows in their own parametrization."""


def _parametrized_rows(test: Any) -> list[tuple[Any, ...]]:
    (mark,) = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    return list(mark.args[1])


def _faults() -> Iterator[tuple[str, Fault]]:
    for table in _TABLES:
        for name, row in table.items():
            yield name, row.fault
    for test in _PARAMETRIZED_TESTS:
        for change, codes in _parametrized_rows(test):
            yield " ".join(codes) or "nothing", change
    for state, changes, code in _parametrized_rows(
        test_store.test_probe_state_is_reported_by_its_check
    ):
        yield code, partial(stores.set_store_result, state=state, **changes)
    for changes, code in _parametrized_rows(test_store.test_content_fault_is_found):
        yield code, partial(stores.set_store_listing, **changes)


@cache
def faults() -> dict[str, Fault]:
    """All of them, each under a name of its own; `healthy` breaks nothing."""
    faults_by_name: dict[str, Fault] = {"healthy": lambda _: None}
    for name, change in _faults():
        faults_by_name[f"{len(faults_by_name)} {name}"] = change
    return faults_by_name


def snapshot_with_fault(name: str) -> Snapshot:
    """A row's Snapshot; it shares nothing with the tables, and may be changed at will."""
    snapshot = builders.healthy_snapshot()
    faults()[name](snapshot)
    return snapshot_from_document(copy.deepcopy(snapshot_to_document(snapshot)))
