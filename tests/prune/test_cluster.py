"""What is left over in a cluster: ours, unused and old enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import build_caches
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.prune.cluster import ClusterState, ObjectUsers, find_cluster_leftovers
from kubectl_fluidmodel.prune.leftover import BY_NAME, Leftover
from tests.inventory import samples

DAY = 86400.0
NOW = 1_800_000_000.0
OURS = names.managed_labels("demo")


def stamp(days: float) -> str:
    """A time so many days ago, as Kubernetes writes it."""
    from datetime import datetime, timezone

    return datetime.fromtimestamp(NOW - days * DAY, timezone.utc).isoformat()


def obj(kind: str, name: str, days: float = 20, **more: Any) -> Object:
    metadata = {
        "name": name,
        "labels": more.pop("labels", OURS),
        "creationTimestamp": stamp(days),
        **({} if kind == "PersistentVolume" else {"namespace": "default"}),
    }
    if "deletionTimestamp" in more:
        metadata["deletionTimestamp"] = more.pop("deletionTimestamp")
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def job(days: float, condition: str = "Complete", **more: Any) -> Object:
    ended = {"type": condition, "status": "True", "lastTransitionTime": stamp(days)}
    return obj("Job", "demo-stage-1", days + 1, status={"conditions": [ended]}, **more)


def cache(days: float = 20, **parts: Any) -> list[Object]:
    objects = samples.cache(labels=parts.pop("labels", OURS), **parts)
    objects[0]["metadata"]["creationTimestamp"] = stamp(days)
    return objects


def state(*objects: Object, owned: list[Object] | None = None, **more: Any) -> ClusterState:
    return ClusterState(
        caches=build_caches(samples.snapshot(*objects)),
        owned=owned or [],
        users=more.pop("users", ObjectUsers()),
        now=NOW,
        **more,
    )


def find(cluster: ClusterState, *named: str, min_age: float = 14 * DAY) -> list[Leftover]:
    return find_cluster_leftovers(cluster, min_age, named)


@dataclass(frozen=True)
class Case:
    """Objects of ours in a cluster, and the kinds of those that are left over."""

    name: str
    owned: list[Object]
    left: list[str]
    objects: list[Object] = field(default_factory=list)


CASES = [
    Case("a finished Job", [job(20)], ["Job"]),
    Case("a failed Job", [job(20, "Failed")], ["Job"]),
    Case("a Job that ended lately", [job(3)], []),
    Case("a Job at work", [obj("Job", "demo-stage-1", 30)], []),
    Case("a Secret whose cache is gone", [obj("Secret", "demo-store")], ["Secret"]),
    Case("a young Secret", [obj("Secret", "demo-store", 3)], []),
    Case(
        "a Secret of a cache that is being staged",
        [obj("Secret", "demo-store"), obj("Job", "demo-stage-1")],
        [],
    ),
    Case(
        "a Secret of a cache whose staging ended badly",
        [obj("Secret", "demo-hub"), job(20, "Failed")],
        ["Job", "Secret"],
    ),
    Case("a Secret of a cache", [obj("Secret", "demo-store")], [], [*cache(), samples.reader()]),
    Case(
        "a Secret of nobody we know",
        [obj("Secret", "x", labels={names.MANAGED_BY_LABEL: names.MANAGER})],
        [],
    ),
    Case(
        "a runtime that was adopted",
        [obj("AlluxioRuntime", "demo", labels={**OURS, names.ADOPTED_LABEL: "true"})],
        [],
    ),
    Case("a runtime whose Dataset is gone", [obj("AlluxioRuntime", "demo")], ["AlluxioRuntime"]),
    Case(
        "volumes for NFS, the claim before its volume",
        [
            obj("PersistentVolume", "pv", spec={"claimRef": {"namespace": "default"}}),
            obj("PersistentVolumeClaim", "demo-nfs"),
            obj("DataLoad", "demo"),
        ],
        ["DataLoad", "PersistentVolumeClaim", "PersistentVolume"],
    ),
    Case(
        "what goes already",
        [obj("Secret", "demo-store", deletionTimestamp="2026-01-01T00:00:00Z")],
        [],
    ),
]


@pytest.mark.parametrize("row", CASES, ids=lambda row: row.name)
def test_our_leftovers_are_found(row: Case) -> None:
    leftovers = find(state(*row.objects, owned=row.owned))
    assert [leftover.kind for leftover in leftovers] == row.left
    assert all(leftover.is_removed for leftover in leftovers)


def test_a_secret_that_anything_uses_is_only_listed() -> None:
    users = ObjectUsers({("Secret", "default", "demo-store"): ("Pod web-0", "Dataset other")})
    [leftover] = find(state(owned=[obj("Secret", "demo-store")], users=users))
    assert not leftover.is_removed
    assert leftover.kept == "used by Pod web-0, Dataset other"


def test_a_secret_is_only_listed_where_its_users_cannot_be_seen() -> None:
    users = ObjectUsers(unread_namespaces=frozenset({"default"}))
    [leftover] = find(state(owned=[obj("Secret", "demo-store")], users=users))
    assert leftover.kept == "whether pods use it cannot be checked (list pods)"


class TestCaches:
    def test_one_that_nothing_reads_is_listed_and_removed_only_by_name(self) -> None:
        [leftover] = find(state(*cache()))
        assert (leftover.kind, leftover.name) == ("cache", "default/demo")
        assert leftover.kept == BY_NAME
        [named] = find(state(*cache()), "demo")
        assert named.is_removed

    def test_a_cache_with_a_reader_is_no_leftover(self) -> None:
        assert find(state(*cache(), samples.reader()), "demo", min_age=0) == []

    def test_one_that_a_graph_mounts_is_not_left_over_without_pods(self) -> None:
        claim = {"persistentVolumeClaim": {"claimName": "demo"}}
        graph = samples.make_object(
            "DynamoGraphDeployment", "chat", spec={"components": [{"volumes": [claim]}]}
        )
        assert find(state(*cache(), graph), "demo") == []

    @pytest.mark.parametrize("labels", [{}, {**OURS, names.ADOPTED_LABEL: "true"}])
    def test_an_object_of_another_tool_is_no_leftover(self, labels: dict[str, str]) -> None:
        assert find(state(*cache(labels=labels)), "demo") == []

    def test_one_that_was_loaded_lately_is_in_use(self) -> None:
        load = samples.make_object("DataLoad", "demo", spec={"dataset": {"name": "demo"}})
        load["status"] = {"conditions": [{"type": "Complete", "lastTransitionTime": stamp(2)}]}
        assert find(state(*cache(), load)) == []

    def test_one_whose_readers_cannot_be_seen_is_not_removed_even_by_name(self) -> None:
        [leftover] = find(state(*cache(), unread_readers=frozenset({"default"})), "demo")
        assert not leftover.is_removed
        assert "whether pods or graphs use it cannot be checked" in leftover.kept
