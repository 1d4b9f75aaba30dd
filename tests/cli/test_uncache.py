"""`uncache`: what it prints, and what a dry run leaves alone."""

from __future__ import annotations

import json

import pytest

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import PODS, Kind
from tests.cache.objects import Objects, objects
from tests.cache.test_removal import add_objects, owned_object, reader_pod
from tests.cli.program import run

__all__ = ["objects"]


@pytest.fixture
def server(objects: Objects) -> str:
    add_objects(
        objects,
        (names.DATASETS, owned_object(names.DATASETS)),
        (names.DATA_LOADS, owned_object(names.DATA_LOADS)),
    )
    url: str = objects.client.access.server.url
    return url


def test_removed_objects_are_listed(server: str, objects: Objects) -> None:
    ended = run("uncache", "demo", "-n", "ns", "--server", server)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "dataload.data.fluid.io/demo deleted",
        "dataset.data.fluid.io/demo deleted",
    ]


DRY = pytest.mark.parametrize("flag", ["--dry-run", "--dry-run=server"])


def deletions(objects: Objects) -> list[bytes]:
    return [request.body for request in objects.asked if request.method == "DELETE"]


@DRY
def test_a_dry_run_deletes_nothing(server: str, objects: Objects, flag: str) -> None:
    ended = run("uncache", "demo", "-n", "ns", "--server", server, flag)
    word = "server" if flag.endswith("server") else "client"
    assert ended.out.splitlines() == [
        f"dataload.data.fluid.io/demo deleted ({word} dry run)",
        f"dataset.data.fluid.io/demo deleted ({word} dry run)",
    ]
    assert len(objects.served) == 2
    bodies = deletions(objects)
    assert len(bodies) == (2 if word == "server" else 0), "the server is asked for real"
    assert all(json.loads(body)["dryRun"] == ["All"] for body in bodies)


@pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--dry-run=server"]])
class TestTheSameRefusal:
    """What the run refuses, a dry run does not promise."""

    def test_while_pods_read(self, server: str, objects: Objects, flags: list[str]) -> None:
        objects.lists[PODS.path("ns")] = [reader_pod("engine-0", "demo")]
        ended = run("uncache", "demo", "-n", "ns", "--server", server, *flags)
        assert (ended.code, ended.out) == (1, "")
        assert "pods read from cache demo: engine-0" in ended.error
        assert deletions(objects) == []

    @pytest.mark.parametrize("resource", ["datasets", "dataloads"])
    def test_without_a_right(
        self, server: str, objects: Objects, flags: list[str], resource: str
    ) -> None:
        objects.denied.add(("delete", resource))
        ended = run("uncache", "demo", "-n", "ns", "--server", server, "--force", *flags)
        assert (ended.code, ended.out) == (1, "")
        assert f"missing permission to delete {resource}.data.fluid.io" in ended.error
        assert deletions(objects) == [], "nothing goes in part"

    def test_where_it_cannot_be_seen(self, server: str, objects: Objects, flags: list[str]) -> None:
        for kind in (names.DATASETS, names.DATA_LOADS):
            objects.forbidden.add(kind.path("ns"))
            objects.denied.add(("list", kind.plural))
        ended = run("uncache", "demo", "-n", "ns", "--server", server, *flags)
        assert ended.code == 1
        assert "missing permission to" in ended.error
        assert "list datasets.data.fluid.io in namespace ns" in ended.error

    def test_where_there_is_none(self, server: str, flags: list[str]) -> None:
        ended = run("uncache", "other", "-n", "empty", "--server", server, *flags)
        assert ended.code == 1


def test_the_servers_refusal_is_final(server: str, objects: Objects) -> None:
    objects.forbidden.add(names.DATA_LOADS.path("ns", "demo"))  # as an admission webhook may
    ended = run("uncache", "demo", "-n", "ns", "--server", server, "--dry-run=server")
    assert (ended.code, ended.out) == (1, "")


def test_no_wait_names_what_continues(server: str) -> None:
    ended = run("uncache", "demo", "-n", "ns", "--server", server, "--no-wait")
    assert (ended.code, ended.err) == (0, "Fluid cleans up in the background\n")


def adopted_object(kind: Kind, name: str = "demo") -> Object:
    obj = owned_object(kind, name)
    obj["metadata"]["labels"][names.ADOPTED_LABEL] = "true"
    return obj


class TestAdopted:
    """What was made by hand and adopted goes only after it was said, or is given back."""

    @pytest.fixture(autouse=True)
    def _adopted(self, objects: Objects) -> None:
        add_objects(
            objects,
            (names.DATASETS, adopted_object(names.DATASETS)),
            (names.ALLUXIO_RUNTIMES, adopted_object(names.ALLUXIO_RUNTIMES)),
            (names.DATA_LOADS, owned_object(names.DATA_LOADS)),
        )

    @pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--dry-run=server"]])
    def test_it_is_reported_before_it_is_sent(self, objects: Objects, flags: list[str]) -> None:
        ended = run("uncache", "demo", "-n", "ns", "--server", server_url(objects), *flags)
        assert ended.code == 0
        first, second = ended.err.splitlines()[:2]
        assert first == (
            "warning: made by hand and adopted, and removed with the rest: "
            "alluxioruntime.data.fluid.io/demo, dataset.data.fluid.io/demo"
        )
        assert second.endswith("kubectl fluidmodel uncache demo --release -n ns")

    def test_release_removes_labels_and_deletes_only_our_objects(self, objects: Objects) -> None:
        ended = run("uncache", "demo", "--release", "-n", "ns", "--server", server_url(objects))
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines() == [
            "dataload.data.fluid.io/demo deleted",
            "alluxioruntime.data.fluid.io/demo released",
            "dataset.data.fluid.io/demo released",
        ]
        patches = [request for request in objects.asked if request.method == "PATCH"]
        assert [json.loads(request.body)["metadata"] for request in patches] == [
            {"name": "demo", "namespace": "ns"}
        ] * 2
        assert len(deletions(objects)) == 1

    @DRY
    def test_a_dry_release_changes_nothing(self, objects: Objects, flag: str) -> None:
        url = server_url(objects)
        ended = run("uncache", "demo", "--release", "-n", "ns", "--server", url, flag)
        word = "server" if flag.endswith("server") else "client"
        assert ended.out.splitlines()[-1] == f"dataset.data.fluid.io/demo released ({word} dry run)"
        written = [a for a in objects.asked if a.method in ("PATCH", "DELETE")]
        if word == "client":
            assert written == []
        assert all(
            a.query.get("dryRun") == "All" or json.loads(a.body)["dryRun"] == ["All"]
            for a in written
        )

    def test_release_without_a_right_names_it(self, objects: Objects) -> None:
        objects.denied.add(("patch", "datasets"))
        ended = run("uncache", "demo", "--release", "-n", "ns", "--server", server_url(objects))
        assert ended.code == 1
        assert "missing permission to patch datasets.data.fluid.io in namespace ns" in ended.error
        assert deletions(objects) == []

    def test_an_adoption_that_was_interrupted_does_not_take_the_rest_down(
        self, objects: Objects
    ) -> None:
        objects.lists[names.DATASETS.path("ns")] = [
            {"metadata": {"name": "demo", "namespace": "ns"}}
        ]
        ended = run("uncache", "demo", "-n", "ns", "--server", server_url(objects))
        assert ended.code == 1
        assert "Dataset demo in namespace ns was made by hand" in ended.error
        assert "kubectl fluidmodel cache demo --adopt -n ns, or" in ended.error
        assert deletions(objects) == []


def test_what_was_not_adopted_cannot_be_released(server: str) -> None:
    ended = run("uncache", "demo", "--release", "-n", "ns", "--server", server)
    assert ended.code == 1
    assert "was not adopted" in ended.error


def server_url(objects: Objects) -> str:
    return str(objects.client.access.server.url)
