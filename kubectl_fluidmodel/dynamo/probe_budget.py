"""Compares how long a worker's probes let it start with the time to load the model. Pure.

The kubelet kills a container whose startup probe has failed `failureThreshold` times, and the
restarted one loads from the beginning, so a budget that is too small causes a crash loop without an
error message. Without a startup probe, the liveness probe counts from the start of the container
(kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes).

Dynamo's operator gives the main container of a worker a startup probe of 720 x 10 s if the graph
has none, and uses an existing probe unchanged, without its own defaults (ai-dynamo/dynamo,
deploy/operator/internal/dynamo/component_worker.go and graph.go, 0.6 to 1.6).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.dynamo.object_paths import EditLog, Path, value_at
from kubectl_fluidmodel.output.units import format_bytes, format_duration
from kubectl_fluidmodel.records import dataclass

ASSUMED_BYTES_PER_SECOND = 124 << 20
"""The rate of an engine's default loader on a shared file system: 554 GiB in 4,575 s (Dynamo's
documentation on fast model loading)."""

_HANDLER_FIELDS = ("httpGet", "tcpSocket", "grpc", "exec", "timeoutSeconds")
_OPERATOR_HANDLER = {"httpGet": {"path": "/live", "port": "system"}, "timeoutSeconds": 5}
"""The startup probe that the operator gives a worker's main container, without its numbers."""
STARTUP, LIVENESS = "startupProbe", "livenessProbe"


@dataclass(frozen=True)
class ProbeBudget:
    """The time that one container has to start before the kubelet kills it."""

    container_path: Path
    probe: str
    """`startupProbe` or `livenessProbe`."""
    initial_delay: int
    """Seconds before the first attempt."""
    period: int
    """Seconds between attempts."""
    failure_threshold: int
    handler: Mapping[str, Any]
    """The probe's handler: its `httpGet`, `tcpSocket`, `grpc` or `exec`, and its timeout."""
    from_operator: bool = False
    """Whether the graph has no such probe, and the operator adds it."""

    @property
    def seconds(self) -> int:
        return self.initial_delay + self.failure_threshold * self.period

    def __str__(self) -> str:
        delay = f"{self.initial_delay} s + " if self.initial_delay else ""
        source = " (the operator's default)" if self.from_operator else ""
        return (
            f"{self.probe}{source} allows {delay}{self.failure_threshold} x {self.period} s = "
            f"{format_duration(self.seconds)}"
        )


@dataclass(frozen=True)
class ProbeShortfall:
    """A container that the kubelet kills before its model is loaded."""

    component: str
    budget: ProbeBudget
    model_bytes: int
    bytes_per_second: float
    is_measured: bool
    """Whether the rate was measured; else it is `ASSUMED_BYTES_PER_SECOND`."""

    @property
    def load_seconds(self) -> float:
        return self.model_bytes / self.bytes_per_second

    @property
    def reason(self) -> str:
        """The two conflicting numbers."""
        source = "measured" if self.is_measured else "assumed for the default loader"
        return (
            f"its {self.budget}; loading {format_bytes(self.model_bytes)} at "
            f"{format_bytes(self.bytes_per_second)}/s ({source}) takes about "
            f"{format_duration(self.load_seconds)}"
        )

    def __str__(self) -> str:
        return (
            f"the kubelet kills component {self.component} before its model is loaded: "
            f"{self.reason}"
        )


def probe_budgets(component: Component) -> list[ProbeBudget]:
    """The start-up budgets of a component's containers that load the model."""
    budgets = (_container_budget(component, path) for path in component.reader_paths())
    return [budget for budget in budgets if budget is not None]


def probe_shortfalls(
    component: Component, model_bytes: int, bytes_per_second: float | None = None
) -> list[ProbeShortfall]:
    """Return the containers of a worker whose probes are shorter than loading the model.

    Args:
        component: a component of a graph, as written.
        model_bytes: size of the model; 0 if unknown.
        bytes_per_second: measured rate of one reader; None for `ASSUMED_BYTES_PER_SECOND`.

    Returns:
        Empty if the component is not a worker.
    """
    if component.role is not Role.WORKER:
        return []
    rate = bytes_per_second or ASSUMED_BYTES_PER_SECOND
    return [
        ProbeShortfall(component.name, budget, model_bytes, rate, bytes_per_second is not None)
        for budget in probe_budgets(component)
        if model_bytes / rate > budget.seconds
    ]


def sufficient_seconds(load_seconds: float) -> int:
    """Return a budget for loading a model: twice the load time, plus ten minutes of warm-up."""
    return math.ceil(2 * load_seconds + 600)


def set_startup_budget(component: Component, log: EditLog, seconds: int) -> None:
    """Give each container that loads the model a startup probe of at least this many seconds.

    An existing probe keeps its handler and its period. A container without one gets the handler of
    its liveness probe, or the operator's own.
    """
    for budget in probe_budgets(component):
        if budget.seconds >= seconds:
            continue
        threshold = math.ceil((seconds - budget.initial_delay) / budget.period)
        path = (*budget.container_path, STARTUP)
        if budget.probe == STARTUP and not budget.from_operator:
            log.set_value((*path, "failureThreshold"), threshold)
            continue
        probe = dict(budget.handler)
        if budget.initial_delay:
            probe["initialDelaySeconds"] = budget.initial_delay
        log.set_value(
            path, {**probe, "periodSeconds": budget.period, "failureThreshold": threshold}
        )


def _container_budget(component: Component, path: Path) -> ProbeBudget | None:
    """The budget of one container; None if nothing kills it, or it does not load the model."""
    value = value_at(component.spec, path)
    container = value if isinstance(value, Mapping) else {}
    sidecar = component.spec.get("frontendSidecar")
    if sidecar and container.get("name") == sidecar:
        return None
    is_main = path == component.main_path
    startup = container.get(STARTUP)
    if isinstance(startup, Mapping):
        return _budget(path, STARTUP, startup)
    if is_main and component.declared_type in ("worker", "prefill", "decode"):
        return ProbeBudget(path, STARTUP, 0, 10, 720, _OPERATOR_HANDLER, from_operator=True)
    # In v1alpha1, the service's liveness probe takes precedence over the container's.
    service = component.spec.get(LIVENESS) if is_main else None
    liveness = service if isinstance(service, Mapping) else container.get(LIVENESS)
    return _budget(path, LIVENESS, liveness) if isinstance(liveness, Mapping) else None


def _budget(path: Path, name: str, probe: Mapping[str, Any]) -> ProbeBudget:
    """Return a probe's budget, with Kubernetes' defaults for missing fields."""
    return ProbeBudget(
        path,
        name,
        _number(probe.get("initialDelaySeconds"), 0),
        _number(probe.get("periodSeconds"), 10),
        _number(probe.get("failureThreshold"), 3),
        {field: probe[field] for field in _HANDLER_FIELDS if field in probe},
    )


def _number(value: Any, default: int) -> int:
    """Return a field's number; in Kubernetes, 0 means that it is not set."""
    return value if isinstance(value, int) and value > 0 else default
