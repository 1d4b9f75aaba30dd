"""Probe budgets against the time that loading a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.object_paths import EditLog, prune_containers, undo_edits
from kubectl_fluidmodel.dynamo.probe_budget import (
    ASSUMED_BYTES_PER_SECOND,
    probe_budgets,
    probe_shortfalls,
    set_startup_budget,
    sufficient_seconds,
)

GIB = 1 << 30
GPU = {"limits": {"nvidia.com/gpu": "8"}}


def v1beta1_component(
    main: dict[str, Any], *beside: dict[str, Any], kind: str = "worker", **fields: Any
) -> Component:
    containers = [{"name": "main", **main}, *beside]
    component = {"name": "w", "type": kind, "podTemplate": {"spec": {"containers": containers}}}
    return open_graph(
        {
            "apiVersion": "nvidia.com/v1beta1",
            "kind": "DynamoGraphDeployment",
            "metadata": {"name": "g"},
            "spec": {"components": [{**component, **fields}]},
        }
    ).components[0]


def v1alpha1_service(service: dict[str, Any]) -> Component:
    return open_graph(
        {
            "apiVersion": "nvidia.com/v1alpha1",
            "kind": "DynamoGraphDeployment",
            "metadata": {"name": "g"},
            "spec": {"services": {"w": service}},
        }
    ).components[0]


def probe(period: int | None = None, threshold: int | None = None, delay: int = 0) -> Any:
    fields = {
        "periodSeconds": period,
        "failureThreshold": threshold,
        "initialDelaySeconds": delay,
    }
    return {"tcpSocket": {"port": 1}, **{k: v for k, v in fields.items() if v is not None}}


@dataclass(frozen=True)
class Budget:
    """A component, and the seconds that each of its loading containers has."""

    name: str
    component: Component
    expected: list[tuple[str, int]]


BUDGETS = (
    Budget(
        "a startup probe counts with its delay",
        v1beta1_component({"startupProbe": probe(30, 150, 60)}),
        [("startupProbe", 4560)],
    ),
    Budget(
        "Kubernetes' defaults fill a startup probe",
        v1beta1_component({"startupProbe": probe()}),
        [("startupProbe", 30)],
    ),
    Budget(
        "a worker gets the operator's two hours", v1beta1_component({}), [("startupProbe", 7200)]
    ),
    Budget(
        "the operator's startup probe holds a liveness probe back",
        v1beta1_component({"livenessProbe": probe(5, 1)}),
        [("startupProbe", 7200)],
    ),
    Budget(
        "an engine beside main has no default probe",
        v1beta1_component(
            {}, {"name": "engine", "resources": GPU, "livenessProbe": probe(10, 6, 120)}
        ),
        [("startupProbe", 7200), ("livenessProbe", 180)],
    ),
    Budget(
        "a frontend sidecar loads no weights",
        v1beta1_component(
            {}, {"name": "front", "livenessProbe": probe(1, 1)}, frontendSidecar="front"
        ),
        [("startupProbe", 7200)],
    ),
    Budget(
        "v1alpha1 has the startup probe in the main container",
        v1alpha1_service(
            {
                "componentType": "worker",
                "extraPodSpec": {"mainContainer": {"startupProbe": probe(10, 60)}},
            }
        ),
        [("startupProbe", 600)],
    ),
    Budget(
        "a service's liveness probe wins over the container's",
        v1alpha1_service(
            {
                "resources": {"limits": {"gpu": "1"}},
                "livenessProbe": probe(60, 10),
                "extraPodSpec": {"mainContainer": {"livenessProbe": probe(5, 1)}},
            }
        ),
        [("livenessProbe", 600)],
    ),
    Budget(
        "a service of no declared type without probes is never killed",
        v1alpha1_service({"resources": {"limits": {"gpu": "1"}}}),
        [],
    ),
)


@pytest.mark.parametrize("row", BUDGETS, ids=lambda row: row.name)
def test_budget_is_delay_plus_threshold_times_period(row: Budget) -> None:
    budgets = [(budget.probe, budget.seconds) for budget in probe_budgets(row.component)]
    assert budgets == row.expected


def test_a_large_model_outlasts_its_startup_probe() -> None:
    worker = v1beta1_component({"startupProbe": probe(30, 150)})
    (shortfall,) = probe_shortfalls(worker, 1044 * GIB)
    assert str(shortfall) == (
        "the kubelet kills component w before its model is loaded: its startupProbe allows "
        "150 x 30 s = 1h15m; loading 1.0 TiB at 124.0 MiB/s (assumed for the default loader) "
        "takes about 2h23m"
    )


def test_a_measured_rate_replaces_the_assumption() -> None:
    worker = v1beta1_component({"startupProbe": probe(30, 150)})
    assert probe_shortfalls(worker, 1044 * GIB, 1.6 * GIB) == []
    (slow,) = probe_shortfalls(worker, 1044 * GIB, 0.2 * GIB)
    assert "at 204.8 MiB/s (measured) takes about 1h27m" in slow.reason


def test_a_model_that_loads_in_time_or_of_unknown_size_has_no_shortfall() -> None:
    worker = v1beta1_component({"startupProbe": probe(30, 150)})
    assert probe_shortfalls(worker, 131 * GIB) == []
    assert probe_shortfalls(worker, 0) == []
    assert probe_shortfalls(worker, 4500 * ASSUMED_BYTES_PER_SECOND) == []
    assert probe_shortfalls(worker, 4501 * ASSUMED_BYTES_PER_SECOND)


def test_a_frontend_has_no_shortfall() -> None:
    frontend = v1beta1_component({"startupProbe": probe(1, 1)}, kind="frontend")
    assert probe_shortfalls(frontend, 1044 * GIB) == []


LOADS = (1 * GIB, 131 * GIB, 1044 * GIB, 4000 * GIB)


@pytest.mark.parametrize("row", BUDGETS, ids=lambda row: row.name)
@pytest.mark.parametrize("size", LOADS)
def test_a_raised_budget_suffices_and_is_taken_back(row: Budget, size: int) -> None:
    component = row.component.copy()
    log = EditLog(component.spec)
    set_startup_budget(component, log, sufficient_seconds(size / ASSUMED_BYTES_PER_SECOND))
    assert probe_shortfalls(component, size) == []
    assert undo_edits(component.spec, log.edits) == []
    prune_containers(component.spec, log.created)
    assert component.spec == row.component.spec


def test_a_startup_probe_keeps_its_handler_and_period() -> None:
    component = v1beta1_component({"startupProbe": probe(30, 150)})
    set_startup_budget(component, EditLog(component.spec), 9000)
    assert component.main_container()["startupProbe"] == probe(30, 300)


def test_a_startup_probe_copies_the_liveness_probes_handler() -> None:
    component = v1alpha1_service(
        {
            "resources": {"limits": {"gpu": "1"}},
            "extraPodSpec": {"mainContainer": {"livenessProbe": probe(5, 1)}},
        }
    )
    set_startup_budget(component, EditLog(component.spec), 9000)
    assert component.main_container() == {
        "livenessProbe": probe(5, 1),
        "startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 5, "failureThreshold": 1800},
    }
