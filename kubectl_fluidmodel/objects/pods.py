"""Reads pods. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import get_list, get_path
from kubectl_fluidmodel.objects.deletion import is_terminating


def is_terminated(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod has ended, successfully or not; it holds no resources then."""
    return get_path(pod, "status", "phase") in ("Succeeded", "Failed")


def has_ready_condition(obj: Mapping[str, Any]) -> bool:
    """Return whether a pod or node is Ready by its status, which stays so while it is deleted."""
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in get_list(obj, "status", "conditions")
    )


def claim_names(pod: Mapping[str, Any]) -> list[str]:
    """Return the names of the claims in a pod's volumes."""
    claims = (
        get_path(volume, "persistentVolumeClaim", "claimName")
        for volume in get_list(pod, "spec", "volumes")
    )
    return [str(claim) for claim in claims if claim]


def is_gone(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod has ended or is being deleted."""
    return is_terminating(pod) or is_terminated(pod)
