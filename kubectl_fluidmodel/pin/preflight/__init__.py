"""Finds problems of a pin before anything is changed. Pure.

A check takes the PreflightContext and yields PreflightFindings. To add a check, write a function
and add it to `_CHECKS`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.dynamo.gitops import detect_gitops_tool
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.pin.pinning import PinResult
from kubectl_fluidmodel.pin.preflight.cache import check_cache, check_graph, no_cache_finding
from kubectl_fluidmodel.pin.preflight.context import (
    NOTE,
    REFUSE,
    WARN,
    CacheInfo,
    PreflightContext,
    PreflightFinding,
)
from kubectl_fluidmodel.pin.preflight.gitops import check_gitops
from kubectl_fluidmodel.pin.preflight.placement import check_placement
from kubectl_fluidmodel.pin.preflight.probes import check_probes
from kubectl_fluidmodel.pin.preflight.rollout import check_rollout

__all__ = [
    "NOTE",
    "REFUSE",
    "WARN",
    "CacheInfo",
    "PreflightContext",
    "PreflightFinding",
    "require_cache_label",
    "run_preflight",
    "unpin_findings",
]


def run_preflight(context: PreflightContext) -> list[PreflightFinding]:
    """Return all findings, refusals first."""
    findings = [finding for check in _CHECKS for finding in check(context)]
    order = {REFUSE: 0, WARN: 1, NOTE: 2}
    return sorted(findings, key=lambda finding: order[finding.level])


def unpin_findings(before: Object, result: PinResult) -> list[PreflightFinding]:
    """Return remarks on an unpin, which is never refused."""
    findings = [PreflightFinding(WARN, remark) for remark in result.remarks()]
    tool = detect_gitops_tool(before)
    if tool:
        reference = result.graph.reference
        findings.append(
            PreflightFinding(
                WARN,
                f"{tool} manages {reference} and may restore the pin",
                "the patch for git follows",
            )
        )
    return findings


def require_cache_label(cache: CacheInfo) -> None:
    """Require a label to pin to, with or without --force.

    Raises:
        FluidModelError: the cache does not exist.
    """
    if not cache.label:
        finding = no_cache_finding(cache)
        raise FluidModelError(finding.message, finding.reason, finding.hint)


def _check_remarks(context: PreflightContext) -> Iterator[PreflightFinding]:
    result = context.result
    shown = result.problems() if result.reason_unchanged() else []
    for remark in result.remarks():
        yield PreflightFinding(WARN, remark, even_if_pinned=remark in shown)
    for note in context.result.notes():
        yield PreflightFinding(NOTE, note)


_CHECKS = (
    check_graph,
    check_cache,
    check_placement,
    check_probes,
    check_rollout,
    check_gitops,
    _check_remarks,
)
