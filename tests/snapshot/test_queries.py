"""What a read passes over by its marks is nothing that it would have kept."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import name_of, namespace_of
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.queries import ListQuery
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.inventory import fleet, samples
from tests.inventory.test_cache import odd_snapshots

MARKED = [read for read in (*queries.INSPECT_QUERIES, *queries.DOCTOR_QUERIES) if read.prefilter]


def hold(read: ListQuery, snapshot: Snapshot) -> int:
    """Check each object of the read's kind; how many were kept."""
    caches = {
        (namespace_of(obj), name_of(obj))
        for kind in (names.DATASETS, *names.RUNTIME_KINDS)
        for obj in snapshot.of_kind(kind)
    }
    count = 0
    for obj in snapshot.of_kind(read.kind):
        text = json.dumps(obj, separators=(",", ":")).encode()
        if read.transform(copy.deepcopy(obj), caches) is not None:
            count += 1
            assert any(mark in text for mark in read.prefilter), text
    return count


@pytest.mark.parametrize("read", MARKED, ids=lambda read: read.kind.plural)
def test_of_every_runtime(read: ListQuery) -> None:
    objects = [
        obj
        for number, kind in enumerate(names.RUNTIME_KINDS)
        for obj in samples.cache(f"m{number}", kind=kind.name)
    ]
    job = samples.make_object("Job", "m0-stage-1", labels={names.MODEL_LABEL: "m0"})
    system = samples.pod("dataset-controller-0", names.SYSTEM_NAMESPACE)
    snapshot = samples.snapshot(*objects, *fleet.mixed_states(), job, system)
    assert hold(read, snapshot) > 0


@settings(max_examples=60, deadline=None)
@given(odd_snapshots())
def test_of_odd_objects(snapshot: Snapshot) -> None:
    for read in MARKED:
        hold(read, snapshot)
