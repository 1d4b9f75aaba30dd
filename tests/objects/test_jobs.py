"""Whether a Job has ended, and how, is what its conditions say."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.jobs import end_condition, is_active, job_state

BEING_DELETED = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}


def job(*conditions: tuple[str, str]) -> Object:
    listed = [{"type": kind, "status": status} for kind, status in conditions]
    return {"status": {"conditions": listed}}


@dataclass(frozen=True)
class Row:
    name: str
    job: Object
    state: str
    active: bool

    def __str__(self) -> str:
        return self.name


@pytest.mark.parametrize(
    "row",
    [
        Row("without a status", {}, "Running", True),
        Row("suspended", job(("Suspended", "True")), "Running", True),
        Row("not failed", job(("Failed", "False")), "Running", True),
        Row("about to fail", job(("FailureTarget", "True")), "Running", True),
        Row(
            "complete", job(("SuccessCriteriaMet", "True"), ("Complete", "True")), "Complete", False
        ),
        Row("failed", job(("FailureTarget", "True"), ("Failed", "True")), "Failed", False),
        Row("running and being deleted", {**BEING_DELETED}, "Running", False),
        Row("damaged", {"status": {"conditions": ["x"]}}, "Running", True),
    ],
    ids=str,
)
def test_state(row: Row) -> None:
    assert (job_state(row.job), is_active(row.job)) == (row.state, row.active)
    assert end_condition(row.job).get("type", "Running") == row.state
