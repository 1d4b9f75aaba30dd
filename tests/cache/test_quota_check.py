"""A namespace's quotas and limits are checked before anything is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.quota_check import (
    NotAdmittedError,
    cache_demand,
    require_cache_admitted,
    require_job_admitted,
)
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.kinds import LIMIT_RANGES, RESOURCE_QUOTAS
from tests.cache.objects import Objects, objects
from tests.cache.samples import plan

__all__ = ["objects"]


def quota(**hard: str) -> Object:
    keys = {key.replace("_", "."): value for key, value in hard.items()}
    return {"metadata": {"name": "team"}, "spec": {"hard": keys}}


JOB: Object = {
    "metadata": {"name": "llama-stage-1"},
    "spec": {
        "parallelism": 3,
        "template": {
            "spec": {
                "containers": [{"name": "stage", "resources": {"requests": {"memory": "1Gi"}}}]
            }
        },
    },
}


@dataclass(frozen=True)
class Refusal:
    """A quota, and what of a cache with two replicas it does not admit."""

    name: str
    quota: Object
    reason: str


REFUSALS = [
    Refusal("pods", quota(pods="3"), "allows 3 of pods: 0 used, 4 needed"),
    Refusal("Jobs", quota(**{"count/jobs_batch": "0"}), "count/jobs.batch: 0 used, 1 needed"),
    Refusal("claims", quota(requests_storage="1Ti"), "requests.storage: 0 B used, 100.0 PiB"),
    Refusal(
        "what Fluid's pods do not specify",
        quota(requests_memory="1Ti"),
        "counts requests.memory, which containers alluxio-job-master of pod llama-master-0 do not",
    ),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.name)
def test_a_cache_that_a_quota_does_not_admit_is_refused_with_the_numbers(
    objects: Objects, row: Refusal
) -> None:
    objects.lists[RESOURCE_QUOTAS.path("ns")] = [row.quota]
    objects.lists[LIMIT_RANGES.path("ns")] = []
    with pytest.raises(FluidModelError) as caught:
        require_cache_admitted(objects.client, "ns", plan({"replicas": 2}), ExistingObjects())
    assert caught.value.message == "namespace ns does not admit cache llama"
    assert f"ResourceQuota team {row.reason}".split(" ", 2)[2] in caught.value.reason
    assert caught.value.hint == "kubectl describe resourcequotas,limitranges -n ns"


def test_the_shards_of_a_staging_job_count_together(objects: Objects) -> None:
    objects.lists[RESOURCE_QUOTAS.path("ns")] = [quota(requests_memory="2Gi")]
    with pytest.raises(FluidModelError, match=r"2\.0 GiB of requests\.memory: 0 B used, 3\.0 GiB"):
        require_job_admitted(objects.client, "ns", JOB)


def test_what_exists_of_a_cache_counts_as_used(objects: Objects) -> None:
    objects.lists[RESOURCE_QUOTAS.path("ns")] = [quota(pods="0")]
    desired = plan()
    existing = ExistingObjects(desired.dataset, desired.runtime)
    require_cache_admitted(objects.client, "ns", desired, existing)


@pytest.mark.parametrize(("allowed", "admitted"), [("3", True), ("2", False)])
def test_a_cache_that_is_recreated_gives_back_what_it_used(
    objects: Objects, allowed: str, admitted: bool
) -> None:
    """The two pods that are used are the old master and worker; the loader comes on top."""
    full = quota(pods=allowed)
    full["status"] = {"hard": full["spec"]["hard"], "used": {"pods": "2"}}
    objects.lists[RESOURCE_QUOTAS.path("ns")] = [full]
    objects.lists[LIMIT_RANGES.path("ns")] = []
    old = plan()
    larger = replace(old, immutable_changes=("quota: 1Gi → 2Gi",))
    existing = ExistingObjects(old.dataset, old.runtime)
    if admitted:
        require_cache_admitted(objects.client, "ns", larger, existing)
    else:
        with pytest.raises(NotAdmittedError, match="0 used, 3 needed"):
            require_cache_admitted(objects.client, "ns", larger, existing)


@pytest.mark.parametrize("answer", ["forbidden", "not served", "none"])
def test_quotas_that_cannot_be_read_refuse_nothing(objects: Objects, answer: str) -> None:
    for kind in (RESOURCE_QUOTAS, LIMIT_RANGES):
        if answer == "forbidden":
            objects.forbidden.add(kind.path("ns"))
        elif answer == "none":
            objects.lists[kind.path("ns")] = []
    require_cache_admitted(objects.client, "ns", plan(), ExistingObjects())
    require_job_admitted(objects.client, "ns", JOB)


def test_a_cache_without_a_load_needs_no_pod_for_it() -> None:
    def pods(flags: dict[str, Any]) -> list[str]:
        return [name_of(pod) for pod in cache_demand(plan(flags), with_claim=False).pods]

    assert pods({"load": False}) == ["llama-master-0", "llama-worker-0"]
    assert pods({}) == ["llama-master-0", "llama-worker-0", "llama-loader"]
