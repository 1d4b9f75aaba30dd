"""ResourceQuotas and LimitRanges, as the API server applies them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.quotas import Demand, apply_limit_defaults, violations

GIB = 1 << 30


def pod(name: str = "worker-0", *containers: dict[str, Any], **spec: Any) -> Object:
    listed = containers or ({"requests": {"memory": "8Gi"}}, {})
    made = [{"name": f"c{i}", "resources": resources} for i, resources in enumerate(listed)]
    return {"metadata": {"name": name}, "spec": {"containers": made, **spec}}


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"name": "team"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used or {}},
    }


def limit_range(**item: Any) -> Object:
    return {"metadata": {"name": "sizes"}, "spec": {"limits": [{"type": "Container", **item}]}}


STATED = {"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"cpu": "2", "memory": "8Gi"}}


@dataclass(frozen=True)
class Admission:
    """What is to be made under which rules, and a part of the refusal; empty if admitted."""

    name: str
    demand: Demand
    refusal: str = ""
    quotas: list[Object] = field(default_factory=list)
    limit_ranges: list[Object] = field(default_factory=list)


ADMISSIONS = [
    Admission("no rules", Demand((pod(),))),
    Admission(
        "quota with room",
        Demand((pod("a", STATED),)),
        quotas=[quota({"requests.memory": "16Gi"}, {"requests.memory": "8Gi"})],
    ),
    Admission(
        "quota without room",
        Demand((pod("a", STATED),)),
        "ResourceQuota team allows 16.0 GiB of requests.memory: 9.0 GiB used, 8.0 GiB needed",
        quotas=[quota({"requests.memory": "16Gi"}, {"requests.memory": "9Gi"})],
    ),
    Admission(
        "several pods together",
        Demand((pod("a", STATED), pod("b", STATED))),
        "8.0 GiB used, 16.0 GiB needed",
        quotas=[quota({"memory": "20Gi"}, {"memory": "8Gi"})],
    ),
    Admission(
        "number of pods",
        Demand((pod(),)),
        "ResourceQuota team allows 10 of pods: 10 used, 1 needed",
        quotas=[quota({"pods": "10"}, {"pods": "10"})],
    ),
    Admission(
        "containers that do not specify a counted resource",
        Demand((pod(),)),
        "ResourceQuota team counts limits.memory, which containers c0, c1 of pod worker-0",
        quotas=[quota({"limits.memory": "100Gi"})],
    ),
    Admission(
        "one container that does not state a counted resource",
        Demand((pod(),)),
        "counts requests.memory, which containers c1 of pod worker-0 do not specify",
        quotas=[quota({"requests.memory": "100Gi"})],
    ),
    Admission(
        "defaults of a LimitRange state it",
        Demand((pod(),)),
        quotas=[quota({"requests.memory": "100Gi", "limits.memory": "100Gi"})],
        limit_ranges=[limit_range(default={"memory": "16Gi"}, defaultRequest={"memory": "1Gi"})],
    ),
    Admission(
        "a request above the default limit",
        Demand((pod(),)),
        "LimitRange sizes limits container c0 of pod worker-0 to 512.0 MiB of memory, and it "
        "requests 8.0 GiB",
        limit_ranges=[limit_range(default={"memory": "512Mi"})],
    ),
    Admission(
        "more than the maximum",
        Demand((pod("a", STATED),)),
        "LimitRange sizes allows at most 4.0 GiB of memory, and container c0 of pod a needs 8.0",
        limit_ranges=[limit_range(max={"memory": "4Gi"})],
    ),
    Admission(
        "less than the minimum",
        Demand((pod("a", STATED),)),
        "LimitRange sizes requires at least 2 of cpu, and container c0 of pod a requests 1",
        limit_ranges=[limit_range(min={"cpu": "2"})],
    ),
    Admission(
        "a limit too far above the request",
        Demand((pod("a", STATED),)),
        "requires the cpu limit of container c0 of pod a to be at most 1 times its request",
        limit_ranges=[limit_range(maxLimitRequestRatio={"cpu": "1"})],
    ),
    Admission(
        "a maximum for whole pods",
        Demand((pod("a", STATED, STATED),)),
        "allows at most 12.0 GiB of memory, and pod a needs 16.0 GiB",
        limit_ranges=[limit_range(type="Pod", max={"memory": "12Gi"})],
    ),
    Admission(
        "storage of claims",
        Demand(claims=(100 * GIB,)),
        "allows 50.0 GiB of requests.storage: 0 B used, 100.0 GiB needed",
        quotas=[quota({"requests.storage": "50Gi"})],
    ),
    Admission(
        "number of claims",
        Demand(claims=(GIB,)),
        "allows 3 of persistentvolumeclaims: 3 used, 1 needed",
        quotas=[quota({"persistentvolumeclaims": "3"}, {"persistentvolumeclaims": "3"})],
    ),
    Admission(
        "size of a claim",
        Demand(claims=(100 * GIB,)),
        "allows at most 10.0 GiB of storage, and the cache's claim needs 100.0 GiB",
        limit_ranges=[limit_range(type="PersistentVolumeClaim", max={"storage": "10Gi"})],
    ),
    Admission(
        "number of Jobs",
        Demand(counts={"jobs.batch": 1}),
        "allows 0 of count/jobs.batch: 0 used, 1 needed",
        quotas=[quota({"count/jobs.batch": "0"})],
    ),
    Admission(
        "a quota for pods that end",
        Demand((pod(),)),
        quotas=[quota({"pods": "0"}, scopes=["Terminating"])],
    ),
    Admission(
        "a quota for pods that do not end",
        Demand((pod(),)),
        "allows 0 of pods",
        quotas=[quota({"pods": "0"}, scopes=["NotTerminating"])],
    ),
    Admission(
        "a quota for pods without requests",
        Demand((pod(),)),
        quotas=[quota({"pods": "0"}, scopes=["BestEffort"])],
    ),
    Admission(
        "a quota for another priority class",
        Demand((pod(),)),
        quotas=[
            quota(
                {"pods": "0"},
                scopeSelector={"matchExpressions": [{"scopeName": "PriorityClass"}]},
            )
        ],
    ),
    Admission(
        "a quota that no controller has counted yet",
        Demand((pod(),)),
        "allows 0 of pods",
        quotas=[{"metadata": {"name": "team"}, "spec": {"hard": {"pods": "0"}}}],
    ),
]


@pytest.mark.parametrize("row", ADMISSIONS, ids=lambda row: row.name)
def test_quota_refusals_are_reported_with_their_numbers(row: Admission) -> None:
    messages = violations(row.demand, row.quotas, row.limit_ranges)
    assert bool(messages) is bool(row.refusal), messages
    assert row.refusal in "; ".join(messages)


def test_defaults_leave_the_pod_that_is_given_alone() -> None:
    given_ = pod()
    made = apply_limit_defaults(given_, [limit_range(default={"memory": "16Gi"})])
    assert made["spec"]["containers"][1]["resources"] == {
        "limits": {"memory": "16Gi"},
        "requests": {"memory": "16Gi"},
    }
    assert given_ == pod()


JUNK = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["hard", "scopes", "scopeSelector", "limits"]), JUNK))
def test_no_spec_of_a_quota_or_a_limit_range_raises(spec: dict[str, Any]) -> None:
    odd = {"metadata": {"name": "odd"}, "spec": spec, "status": spec}
    violations(Demand((pod(),), {"jobs.batch": 1}, (1,)), [odd], [odd])
