"""Checks that the probes give workers enough time to load the model."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.dynamo.probe_budget import probe_shortfalls
from kubectl_fluidmodel.pin.preflight.context import WARN, PreflightContext, PreflightFinding


def check_probes(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Warn about a worker that the kubelet would kill while it loads."""
    pinned = {change.component for change in context.result.changes}
    for component in context.graph.components:
        if component.name not in pinned or component.role is not Role.WORKER:
            continue
        for shortfall in probe_shortfalls(component, context.cache.model_bytes):
            yield PreflightFinding(
                WARN,
                f"the kubelet may kill component {component.name} before its model is loaded",
                shortfall.reason,
                "--probe-budget, which raises the startup probe",
            )
