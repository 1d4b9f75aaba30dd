"""`inspect` as people start it: what goes where, what is refused, and what is said of gaps."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kubectl_fluidmodel.snapshot.document import snapshot_to_document
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot
from tests.cli.program import Completed, run
from tests.inventory import fleet, samples
from tests.loopback import serve
from tests.snapshot.served import Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(
        objects=[
            *samples.cache(),
            samples.reader(),
            samples.reader("chat-1", "x"),
        ]
    )


@pytest.fixture
def server(cluster: Cluster) -> Iterator[str]:
    with serve(cluster) as running:
        yield running.url


def write_bundle(tmp_path: Path, snapshot: Snapshot) -> str:
    """A file as `doctor --bundle` writes it."""
    data = json.dumps(snapshot_to_document(snapshot)).encode()
    path = tmp_path / "bundle.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("fluidmodel-bundle/snapshot.json")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return str(path)


def run_on_bundle(tmp_path: Path, snapshot: Snapshot, *arguments: str) -> Completed:
    return run("inspect", *arguments, "--from-bundle", write_bundle(tmp_path, snapshot))


class TestTable:
    def test_rows_to_stdout_and_nothing_else(self, server: str) -> None:
        ended = run("inspect", "-s", server)
        assert (ended.code, ended.err) == (0, "")
        head, row = ended.out.splitlines()
        assert " ".join(head.split()) == ("NAME MODEL SIZE CACHED MEDIUM NODES PHASE READERS AGE")
        shown = "demo s3://models/org/tiny 10.0 GiB 100% 10.0 GiB MEM gpu-0 Bound 1/2 "
        assert " ".join(row.split()).startswith(shown)

    def test_none_is_reported_on_stderr(self, cluster: Cluster, server: str) -> None:
        cluster.objects = []
        ended = run("inspect", "-s", server, "-n", "ml")
        assert (ended.code, ended.out) == (0, "")
        assert ended.err == (
            "No models cached in ml namespace; try: kubectl fluidmodel cache --help\n"
        )

    def test_no_headers_and_names(self, server: str) -> None:
        assert run("inspect", "-s", server, "--no-headers").out.startswith("demo ")
        assert run("inspect", "-s", server, "-o", "name").out == "dataset.data.fluid.io/demo\n"

    def test_all_namespaces(self, cluster: Cluster, server: str) -> None:
        cluster.objects += samples.cache("other", "ml", nodes=["gpu-2"])
        ended = run("inspect", "-A", "-s", server)
        assert [line.split()[:2] for line in ended.out.splitlines()] == [
            ["NAMESPACE", "NAME"],
            ["default", "demo"],
            ["ml", "other"],
        ]
        assert "other" not in run("inspect", "-s", server).out

    @pytest.mark.parametrize(
        ("by", "names"),
        [
            (None, ["big", "near", "old"]),
            ("size", ["near", "old", "big"]),
            ("cached", ["big", "near", "old"]),
            ("readers", ["big", "old", "near"]),
            ("age", ["big", "near", "old"]),
        ],
    )
    def test_sorts(self, tmp_path: Path, by: str | None, names: list[str]) -> None:
        old = samples.dataset("old", total="2.00GiB", cached="2.00GiB")
        old["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
        objects = [
            samples.dataset("big", total="9.00GiB", cached="1.00GiB"),
            samples.dataset("near", total="1.00GiB", cached="1.00GiB"),
            old,
            samples.reader(claim="near"),
        ]
        flags = ["--sort-by", by] if by else []
        ended = run_on_bundle(tmp_path, samples.snapshot(*objects), "--no-headers", *flags)
        assert [line.split()[0] for line in ended.out.splitlines()] == names

    def test_a_selector(self, tmp_path: Path) -> None:
        objects = [
            samples.dataset("a", labels={"team": "x"}),
            samples.dataset("b"),
        ]
        ended = run_on_bundle(tmp_path, samples.snapshot(*objects), "-l", "team=x", "-o", "name")
        assert ended.out == "dataset.data.fluid.io/a\n"
        ended = run_on_bundle(tmp_path, samples.snapshot(*objects), "-l", "team=y")
        assert (ended.code, ended.out, ended.err) == (0, "", "No models match -l 'team=y'\n")


class TestGaps:
    def test_what_may_not_be_seen_is_unknown_and_named(self, cluster: Cluster, server: str) -> None:
        cluster.forbidden = {"/api/v1/nodes", "/api/v1/namespaces/default/pods"}
        ended = run("inspect", "-s", server)
        assert ended.code == 0
        row = ended.out.splitlines()[1]
        assert row.count("<unknown>") == 2
        lines = ended.err.splitlines()
        assert [line for line in lines if line.startswith("note: the output is incomplete: ")] == [
            "note: the output is incomplete: no permission to list nodes, pods (docs/rbac.md)"
        ]

    def test_unlistable_datasets_are_reported(self, cluster: Cluster, server: str) -> None:
        cluster.forbidden = {"/apis/data.fluid.io/v1alpha1/datasets"}
        ended = run("inspect", "-A", "-s", server)
        assert (ended.code, ended.out) == (1, "")
        assert ended.error.startswith("cannot list datasets.data.fluid.io in all namespaces: ")
        assert ended.error.endswith("; try: -n NAMESPACE")
        assert run("inspect", "-s", server).code == 0, "in one namespace they may"

    def test_without_fluid(self, tmp_path: Path) -> None:
        snapshot = samples.snapshot()
        del snapshot.versions["datasets.data.fluid.io"]
        ended = run_on_bundle(tmp_path, snapshot)
        assert ended.code == 1
        assert "Fluid is not installed" in ended.error

    def test_a_name_that_is_not_there(self, server: str) -> None:
        ended = run("inspect", "other", "-s", server, "-n", "default")
        assert ended.code == 1
        assert ended.error == (
            "there is no cache other in namespace default: neither a Dataset nor a runtime has "
            "that name; try: kubectl fluidmodel inspect -n default"
        )

    def test_no_server(self) -> None:
        assert run("inspect", "-s", "http://127.0.0.1:9").code == 3


class TestOne:
    def test_in_depth_and_offline(self, server: str) -> None:
        ended = run("inspect", "demo", "--offline", "-s", server)
        assert ended.code == 0
        headings = [
            "Source",
            "Dataset",
            "Runtime",
            "Cache by node",
            "Files",
            "Readers",
            "Placement",
        ]
        lines = ended.out.splitlines()
        assert [line for line in lines if line in headings] == headings
        assert "not read (--offline)" in ended.out

    def test_a_master_that_may_not_be_asked(self, server: str) -> None:
        """The loopback server knows no exec: the files stay unknown, and the rest is there."""
        ended = run("inspect", "demo", "-s", server)
        assert ended.code == 0
        assert "could not query the Alluxio master: " in ended.out

    def test_as_a_tree(self, tmp_path: Path) -> None:
        ended = run_on_bundle(tmp_path, samples.snapshot(*fleet.llama()), fleet.LLAMA, "-o", "tree")
        assert ended.code == 0
        kinds = ["model", "Dataset", "AlluxioRuntime", "worker", "node", "reader"]
        places = [ended.out.index(f" {kind} ") for kind in kinds]
        assert places == sorted(places)

    def test_documents(self, tmp_path: Path) -> None:
        snapshot = samples.snapshot(
            *fleet.llama(), read_failures=[ReadFailure("nodes", "", "no", True)]
        )
        document = json.loads(run_on_bundle(tmp_path, snapshot, fleet.LLAMA, "-o", "json").out)
        assert document["kind"] == "Inspection"
        assert document["missing"][0]["resource"] == "nodes"
        listed = yaml.safe_load(run_on_bundle(tmp_path, snapshot, "-o", "yaml").out)
        assert listed["kind"] == "InspectionList"
        assert [cache["metadata"]["name"] for cache in listed["items"]] == [fleet.LLAMA]
        assert run_on_bundle(tmp_path, snapshot, "-o", "yaml").err == "", "it is in the document"


class TestBundle:
    def test_its_namespace_is_that_of_the_flag(self, tmp_path: Path) -> None:
        snapshot = samples.snapshot(
            *samples.cache(),
            *samples.cache("x", "ml", nodes=["n"]),
            namespace=None,
        )
        ended = run_on_bundle(tmp_path, snapshot, "-n", "ml", "-o", "name")
        assert ended.out == "dataset.data.fluid.io/x\n"
        assert len(run_on_bundle(tmp_path, snapshot, "-o", "name").out.splitlines()) == 2

    def test_what_is_no_bundle(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.write_text("nothing")
        ended = run("inspect", "--from-bundle", str(path))
        assert (ended.code, ended.out) == (1, "")
        assert ended.error.startswith(f"cannot read {path}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "-A"),
        ("demo", "-l", "a=b"),
        ("demo", "--sort-by", "size"),
        ("-w", "--from-bundle", "x"),
        ("-w", "-o", "name"),
        ("-l", "a b c"),
        ("-o", "table"),
        ("a", "b"),
        ("--sort-by", "colour"),
    ],
)
def test_what_makes_no_sense_is_usage(arguments: tuple[str, ...]) -> None:
    ended = run("inspect", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.error
