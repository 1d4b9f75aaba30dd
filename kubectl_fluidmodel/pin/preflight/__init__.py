"""What would go wrong with a pin, judged before anything is changed. Pure.

A judge takes the Case and yields Verdicts; a new one is a function and a line in `judge`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.pin.preflight.cache import judge_cache, judge_graph
from kubectl_fluidmodel.pin.preflight.context import NOTE, REFUSE, WARN, Case, Verdict
from kubectl_fluidmodel.pin.preflight.gitops import judge_managers
from kubectl_fluidmodel.pin.preflight.placement import judge_placement
from kubectl_fluidmodel.pin.preflight.rollout import judge_rollout

__all__ = ["NOTE", "REFUSE", "WARN", "Case", "Verdict", "judge"]


def judge(case: Case) -> list[Verdict]:
    """All verdicts, refusals first."""
    found = [verdict for judge_ in _JUDGES for verdict in judge_(case)]
    order = {REFUSE: 0, WARN: 1, NOTE: 2}
    return sorted(found, key=lambda verdict: order[verdict.level])


def _remarks(case: Case) -> Iterator[Verdict]:
    for remark in case.outcome.remarks():
        yield Verdict(WARN, remark)


_JUDGES = (judge_graph, judge_cache, judge_placement, judge_rollout, judge_managers, _remarks)
