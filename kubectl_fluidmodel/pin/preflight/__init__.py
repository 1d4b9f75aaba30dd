"""What would go wrong with a pin, judged before anything is changed. Pure.

A judge takes the Case and yields Verdicts; a new one is a function and a line in `judge`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.pin.preflight.cache import check_cache, check_graph
from kubectl_fluidmodel.pin.preflight.context import (
    NOTE,
    REFUSE,
    WARN,
    PreflightContext,
    PreflightFinding,
)
from kubectl_fluidmodel.pin.preflight.gitops import check_gitops
from kubectl_fluidmodel.pin.preflight.placement import check_placement
from kubectl_fluidmodel.pin.preflight.rollout import check_rollout

__all__ = ["NOTE", "REFUSE", "WARN", "PreflightContext", "PreflightFinding", "run_preflight"]


def run_preflight(context: PreflightContext) -> list[PreflightFinding]:
    """All verdicts, refusals first."""
    found = [verdict for judge_ in _CHECKS for verdict in judge_(context)]
    order = {REFUSE: 0, WARN: 1, NOTE: 2}
    return sorted(found, key=lambda verdict: order[verdict.level])


def _check_remarks(context: PreflightContext) -> Iterator[PreflightFinding]:
    for remark in context.result.remarks():
        yield PreflightFinding(WARN, remark)


_CHECKS = (check_graph, check_cache, check_placement, check_rollout, check_gitops, _check_remarks)
