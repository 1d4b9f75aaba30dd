"""What `inspect` warns of: nothing that only looks broken because it reads less than `doctor`."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.names import CACHE_COUNT_LABEL
from kubectl_fluidmodel.inspect.doctor_warnings import warnings_by_cache
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import labels_of, namespace_of
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders
from tests.doctor.fluid import NAME, NS


def as_inspected(snapshot: Snapshot) -> Snapshot:
    """What would be left of a snapshot if `inspect` had taken it."""
    resources = {read.kind.resource for read in queries.INSPECT_QUERIES}
    snapshot.objects = {
        resource: [obj for obj in objects if namespace_of(obj) != names.SYSTEM_NAMESPACE]
        for resource, objects in snapshot.objects.items()
        if resource in resources
    }
    nodes = snapshot.objects[kinds.NODES.resource]
    snapshot.objects[kinds.NODES.resource] = [
        node for node in nodes if CACHE_COUNT_LABEL in labels_of(node)
    ]
    snapshot.selectors[kinds.NODES.resource] = CACHE_COUNT_LABEL
    snapshot.logs, snapshot.probe_results = {}, {}
    return snapshot


def test_nothing_is_wrong_with_a_healthy_cache() -> None:
    assert warnings_by_cache(as_inspected(builders.healthy_snapshot())) == {}
    assert warnings_by_cache(builders.healthy_snapshot()) == {}, "nor with all that doctor reads"


def test_doctor_findings_in_inspect_have_a_code_and_a_fix() -> None:
    snapshot = as_inspected(builders.healthy_snapshot())
    snapshot.objects[names.ALLUXIO_RUNTIMES.resource].clear()
    warnings = warnings_by_cache(snapshot)
    assert list(warnings) == [(NS, NAME)]
    assert all(warning.code.startswith("FM") and warning.cause for warning in warnings[(NS, NAME)])


def test_one_cache_of_many() -> None:
    snapshot = as_inspected(builders.healthy_snapshot())
    snapshot.objects[names.ALLUXIO_RUNTIMES.resource].clear()
    assert warnings_by_cache(snapshot, namespace=NS, name="other") == {}
    assert warnings_by_cache(snapshot, namespace=NS, name=NAME)


def test_what_was_silenced_stays_silent() -> None:
    snapshot = as_inspected(builders.healthy_snapshot())
    snapshot.objects[names.ALLUXIO_RUNTIMES.resource].clear()
    codes = ",".join(warning.code for warning in warnings_by_cache(snapshot)[(NS, NAME)])
    metadata = snapshot.objects[names.DATASETS.resource][0]["metadata"]
    metadata.setdefault("annotations", {})["fluidmodel.io/silence"] = codes
    assert not set(codes.split(",")) & {
        warning.code for warning in warnings_by_cache(snapshot).get((NS, NAME), ())
    }


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (lambda worker: worker.update(replicas=50), "FM727"),
        (lambda worker: worker["podTemplate"]["spec"].update(tolerations=[]), "FM726"),
        (lambda worker: worker["podTemplate"]["spec"].update(nodeSelector={"disk": "x"}), "FM725"),
    ],
)
def test_workers_without_a_node_of_the_cache_are_warned_of(fault: Any, code: str) -> None:
    snapshot = as_inspected(builders.healthy_snapshot())
    for node in snapshot.objects[kinds.NODES.resource]:
        node["spec"]["taints"] = [{"key": "team", "value": "a", "effect": "NoSchedule"}]
    worker = builders.get_object(snapshot, queries.GRAPHS, "chat")["spec"]["components"][0]
    worker["podTemplate"]["spec"]["tolerations"] = [{"operator": "Exists"}]
    assert warnings_by_cache(snapshot) == {}
    fault(worker)
    assert [warning.code for warning in warnings_by_cache(snapshot)[(NS, NAME)]] == [code]
