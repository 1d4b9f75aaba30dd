"""The state of a Job, by its conditions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import Object, get_list
from kubectl_fluidmodel.objects.deletion import is_terminating

COMPLETE, FAILED, RUNNING = "Complete", "Failed", "Running"


def end_condition(job: Mapping[str, Any]) -> Object:
    """Return a Job's condition Complete or Failed; empty while it runs."""
    for condition in get_list(job, "status", "conditions"):
        if condition.get("type") in (COMPLETE, FAILED) and condition.get("status") == "True":
            return condition
    return {}


def job_state(job: Mapping[str, Any]) -> str:
    """Return COMPLETE, FAILED or RUNNING."""
    return str(end_condition(job).get("type", RUNNING))


def is_active(job: Mapping[str, Any]) -> bool:
    """Return whether a Job is running and not being deleted."""
    return job_state(job) == RUNNING and not is_terminating(job)
