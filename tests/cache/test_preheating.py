"""When `cache` reads the model once on each node, and what it says where it does not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from kubectl_fluidmodel.cache.options import CacheFlags, ReaderPod, StagingFlags, parse_options
from kubectl_fluidmodel.cache.preheating import Preheater, Preheating, content_id, skipped_note
from kubectl_fluidmodel.cache.read_verification import (
    ExpectedFile,
    NodeReading,
    WrongContentError,
)
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid.claim_job import ClaimNode
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.objects.kinds import NODES, Kind
from kubectl_fluidmodel.objectstore.options import StoreOptions

SOURCE = "s3://models/llama"
WITH_IMAGE = StagingFlags(image="img:1")


@pytest.fixture(autouse=True)
def no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLUIDMODEL_IMAGE", raising=False)


def test_auto_reads_where_it_has_an_image_and_something_to_read() -> None:
    assert parse_options(SOURCE, CacheFlags(), staging=WITH_IMAGE).reader == ReaderPod("img:1")
    assert parse_options(SOURCE, CacheFlags()).reader is None
    assert parse_options(SOURCE, CacheFlags(load=False), staging=WITH_IMAGE).reader is None
    not_waiting = parse_options(SOURCE, CacheFlags(), staging=WITH_IMAGE, waiting=(False, 1.0))
    assert not_waiting.reader is None


def test_only_what_was_asked_for_is_an_error_if_it_cannot_be_done() -> None:
    assert not parse_options(SOURCE, CacheFlags(), staging=WITH_IMAGE).must_read
    for flags in (CacheFlags(preheat="on"), CacheFlags(preheat="off", verify="read")):
        assert parse_options(SOURCE, flags, staging=WITH_IMAGE).must_read


def test_off_reads_nothing() -> None:
    options = parse_options(SOURCE, CacheFlags(preheat="off"), staging=WITH_IMAGE)
    assert options.reader is None and not options.must_read


def test_on_needs_an_image_a_load_and_somebody_who_waits() -> None:
    on = CacheFlags(preheat="on")
    with pytest.raises(UsageError, match="--preheat on needs an image"):
        parse_options(SOURCE, on)
    with pytest.raises(UsageError, match="--preheat on with --no-wait"):
        parse_options(SOURCE, on, staging=WITH_IMAGE, waiting=(False, 1.0))
    with pytest.raises(UsageError, match="--preheat on with --no-load"):
        parse_options(SOURCE, CacheFlags(preheat="on", load=False), staging=WITH_IMAGE)


def test_without_a_page_cache_only_verifying_reads() -> None:
    both = CacheFlags(preheat="on", high_concurrency=True)
    with pytest.raises(UsageError, match="--preheat on with --high-concurrency"):
        parse_options(SOURCE, both, staging=WITH_IMAGE)
    reading = CacheFlags(verify="read", high_concurrency=True)
    assert parse_options(SOURCE, reading, staging=WITH_IMAGE).must_read


def test_a_cache_that_is_not_preheated_is_told_with_the_reason_and_the_command() -> None:
    options = parse_options("s3://models/llama@1;2", CacheFlags(name="demo"))
    assert skipped_note("gpu-0 is full", options, "team") == (
        "note: not preheated: gpu-0 is full; try: kubectl fluidmodel cache 's3://models/llama@1;2' "
        "--name demo --preheat on --image IMAGE -n team"
    )
    with_image = parse_options(SOURCE, CacheFlags(), staging=WITH_IMAGE)
    assert skipped_note("x", with_image, "default").endswith("--image img:1 -n default")


def test_the_command_is_for_the_same_commit_bucket_and_hub() -> None:
    store = StoreOptions("http://minio:9000", None, "keys")
    staged = parse_options(
        "org/m@v1", CacheFlags(name="m"), store, StagingFlags(to="s3://llm/p"),
        HubOptions("http://hub", "token"),
    )  # fmt: skip
    staged = replace(staged, origin="hf://org/m", commit="c" * 40)
    command = skipped_note("x", staged, "default").partition("; try: ")[2]
    assert command == (
        f"kubectl fluidmodel cache org/m@{'c' * 40} --to s3://llm/p --endpoint-hub http://hub "
        "--hf-secret token --endpoint http://minio:9000 --s3-secret keys --name m --preheat on "
        "--image IMAGE -n default"
    )


class FakeCluster:
    """Two nodes with 100 bytes of memory each, a Dataset, and a FUSE client per node."""

    def __init__(self) -> None:
        self.dataset: dict[str, Any] = {"metadata": {"name": "llama"}}
        self.restarts = 0
        self.may_create_jobs = True
        self.memory = "100"

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        if kind is not NODES:
            return self.dataset
        return {"metadata": {"name": name}, "status": {"allocatable": {"memory": self.memory}}}

    def list_objects(self, kind: Kind, namespace: str = "", **selectors: str) -> list[Any]:
        if selectors.get("fields"):
            return []
        status = {"containerStatuses": [{"restartCount": self.restarts}]}
        return [
            {"metadata": {"uid": node}, "spec": {"nodeName": node}, "status": status}
            for node in ("gpu-0", "gpu-1")
        ]

    def create(self, kind: Kind, obj: Any, **options: Any) -> dict[str, Any]:
        return {"status": {"allowed": self.may_create_jobs}}

    def patch(self, kind: Kind, name: str, namespace: str, body: Any) -> None:
        self.dataset["metadata"].update(body["metadata"])


@dataclass
class FakeReads:
    """The pods that read: which node was read, and what went wrong there."""

    failures: dict[str, FluidModelError] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def worker_nodes(self) -> list[ClaimNode]:
        return [ClaimNode("gpu-0"), ClaimNode("gpu-1")]

    def read_on(self, node: ClaimNode, expected: Any) -> NodeReading:
        if node.name in self.failures:
            raise self.failures[node.name]
        self.read.append(node.name)
        return NodeReading(node.name, 9, bytes=9, seconds=0.5)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)


EXPECTED = {"model.safetensors": ExpectedFile(9)}


def preheat(
    cluster: FakeCluster,
    reads: FakeReads,
    expected: Any = EXPECTED,
    *,
    has_page_cache: bool = True,
    **flags: Any,
) -> tuple[Preheating, list[str]]:
    options = parse_options(SOURCE, CacheFlags(**flags), staging=WITH_IMAGE)
    log = Log()
    preheater: Any = Preheater
    return preheater(cluster, "models", options, reads, log, has_page_cache).run(
        expected
    ), log.lines


def test_every_node_is_read_once_for_one_content_and_one_fuse_client() -> None:
    cluster, reads = FakeCluster(), FakeReads()
    first, _ = preheat(cluster, reads)
    assert reads.read == ["gpu-0", "gpu-1"]
    assert first.verification is not None and first.verification.bytes == 9
    again, notes = preheat(cluster, reads)
    assert reads.read == ["gpu-0", "gpu-1"]
    assert [node.before for node in again.nodes] == [True, True] and again.verification is None
    assert notes == ["gpu-0 has read this model already", "gpu-1 has read this model already"]
    preheat(cluster, reads, {"model.safetensors": ExpectedFile(8)})
    assert len(reads.read) == 4
    cluster.restarts = 1
    preheat(cluster, reads, {"model.safetensors": ExpectedFile(8)})
    assert len(reads.read) == 6


def test_verifying_reads_again() -> None:
    cluster, reads = FakeCluster(), FakeReads()
    preheat(cluster, reads)
    preheating, _ = preheat(cluster, reads, verify="read")
    assert len(reads.read) == 4 and preheating.verification is not None


def test_an_interrupted_run_continues_with_the_next_node() -> None:
    cluster, reads = FakeCluster(), FakeReads({"gpu-1": FluidModelError("no", "full", "")})
    with pytest.raises(FluidModelError):
        preheat(cluster, reads, preheat="on")
    reads.failures.clear()
    preheat(cluster, reads)
    assert reads.read == ["gpu-0", "gpu-1"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"memory": "8"}, "gpu-0 has 8 B of memory that no pod requests, for a model of 9 B"),
        ({"memory": ""}, "the free memory of gpu-0 is not known"),
        ({"may_create_jobs": False}, "missing permission to create jobs.batch in namespace models"),
    ],
)
def test_auto_says_what_is_in_the_way_and_on_does_not_look(
    change: dict[str, Any], reason: str
) -> None:
    cluster, reads = FakeCluster(), FakeReads()
    for name, value in change.items():
        setattr(cluster, name, value)
    preheating, [note] = preheat(cluster, reads)
    assert note.startswith(f"note: not preheated: {reason}; try: kubectl fluidmodel cache")
    assert preheating == Preheating() and reads.read == []
    preheat(cluster, reads, preheat="on")
    assert reads.read == ["gpu-0", "gpu-1"]


def test_a_pod_that_cannot_run_fails_only_what_was_asked_for_but_wrong_bytes_fail_all() -> None:
    cannot = FakeReads({"gpu-0": FluidModelError("pod x did not start", "no image", "")})
    _, [note] = preheat(FakeCluster(), cannot)
    assert note.startswith("note: not preheated: pod x did not start: no image; try: ")
    with pytest.raises(FluidModelError, match="did not start"):
        preheat(FakeCluster(), cannot, preheat="on")
    with pytest.raises(WrongContentError):
        preheat(FakeCluster(), FakeReads({"gpu-0": WrongContentError("wrong", "", "")}))


FILES = {"config.json": ExpectedFile(2, "h1"), "model.safetensors": ExpectedFile(9, "h2")}


def test_content_changes_with_the_source_and_with_every_file() -> None:
    same = content_id("s3://models/llama", dict(reversed(FILES.items())))
    ids = {
        content_id("s3://models/llama", FILES),
        content_id("s3://models/other", FILES),
        content_id("s3://models/llama", {}),
        content_id("s3://models/llama", FILES | {"config.json": ExpectedFile(3, "h1")}),
        content_id("s3://models/llama", FILES | {"config.json": ExpectedFile(2, "h3")}),
    }
    assert same in ids and len(ids) == 5


def test_verifying_without_a_page_cache_preheats_nothing() -> None:
    cluster, reads = FakeCluster(), FakeReads()
    preheating, _ = preheat(cluster, reads, has_page_cache=False, verify="read")
    assert preheating.verification is not None and reads.read == ["gpu-0", "gpu-1"]
    assert preheating.nodes == () and "annotations" not in cluster.dataset["metadata"]
    with pytest.raises(FluidModelError, match="no page cache keeps what was read"):
        preheat(cluster, reads, has_page_cache=False, preheat="on")
