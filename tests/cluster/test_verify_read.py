"""`cache --verify read` and `--preheat`: pods read a directory as the claim, and it is compared."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.fluid.names import PREHEATED_ANNOTATION
from tests import weights
from tests.cluster.fixtures import Result
from tests.cluster.image import STAGE
from tests.cluster.objects import FLUID
from tests.cluster.plugin import Plugin, error_line
from tests.hub import FakeHub, Repo

pytestmark = pytest.mark.cluster

MODEL = "org/tiny"
FILES = {**weights.MODEL, "model.safetensors": weights.safetensors_file(3 << 20)}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(Repo(MODEL, FILES)) as found:
        yield found


@pytest.fixture
def claim(cluster: Any, namespace: str) -> Path:
    """The directory that pods see as the claim `tiny`, filled with the model."""
    cluster.image(STAGE, path=[str(Path(sys.executable).parent)])
    found: Path = cluster.state / "pvc" / namespace / "tiny"
    found.mkdir(parents=True, exist_ok=True)
    for path, content in FILES.items():
        (found / path).write_bytes(content)
    return found


def build(plugin: Plugin, bucket: Any, hub: FakeHub, *more: str) -> Result:
    words = ("cache", MODEL, "--to", bucket.uri("models"), "--endpoint-hub", hub.endpoint)
    here = ("--stage-on", "client", "--name", "tiny", "--image", STAGE)
    return plugin(*words, *here, *(more or ("--verify", "read")), timeout=240)


def test_every_file_is_read_through_the_claim_and_compared_with_the_hub(
    cluster: Any, namespace: str, plugin: Plugin, bucket: Any, hub: FakeHub, claim: Path
) -> None:
    done = build(plugin, bucket, hub, "--verify", "read", "-o", "json").ok()
    read = json.loads(done.out)["proof"]["read"]
    assert read["files"] == read["hashedFiles"] == len(FILES)
    assert read["bytes"] == sum(map(len, FILES.values()))
    (node,) = read["nodes"]
    assert f"read on {node}: {len(FILES)} files" in done.err
    jobs = cluster.api.list("batch/v1", "Job", namespace)
    assert not [each for each in jobs if "-verify-" in each["metadata"]["name"]]


def test_a_byte_that_differs_fails_although_alluxios_list_is_right(
    plugin: Plugin, bucket: Any, hub: FakeHub, claim: Path
) -> None:
    with (claim / "model.safetensors").open("r+b") as file:
        file.seek(2 << 20)
        file.write(b"!")
    refused = build(plugin, bucket, hub)
    assert refused.code == 1
    assert "model.safetensors: its content differs from the Hub's" in error_line(refused)


def test_an_empty_mount_fails(plugin: Plugin, bucket: Any, hub: FakeHub, claim: Path) -> None:
    shutil.rmtree(claim)
    claim.mkdir()
    refused = build(plugin, bucket, hub)
    assert refused.code == 1
    assert "config.json: missing" in error_line(refused)


def test_preheating_reads_every_file_without_being_asked_and_records_it(
    cluster: Any, namespace: str, plugin: Plugin, bucket: Any, hub: FakeHub, claim: Path
) -> None:
    done = build(plugin, bucket, hub, "-o", "json").ok()
    document = json.loads(done.out)
    [node] = document["preheated"]
    assert node["bytes"] == sum(map(len, FILES.values())) and not node["before"]
    dataset = cluster.api.get(FLUID, "Dataset", "tiny", namespace)
    records = json.loads(dataset["metadata"]["annotations"][PREHEATED_ANNOTATION])
    assert list(records) == [node["node"]] == document["nodes"]


def test_preheating_that_reads_another_byte_fails(
    plugin: Plugin, bucket: Any, hub: FakeHub, claim: Path
) -> None:
    (claim / "config.json").write_bytes(b"{}")
    refused = build(plugin, bucket, hub, "--preheat", "auto")
    assert refused.code == 1
    assert "config.json: 2 bytes instead of" in error_line(refused)


def test_a_mount_that_cannot_be_read_is_a_note_unless_preheating_was_asked_for(
    plugin: Plugin, bucket: Any, hub: FakeHub, claim: Path
) -> None:
    shutil.rmtree(claim)
    claim.mkdir()
    done = build(plugin, bucket, hub, "--preheat", "auto").ok()
    [note] = [line for line in done.err.splitlines() if "not preheated" in line]
    assert "config.json: missing" in note and "try: kubectl fluidmodel cache" in note
    assert "every byte proven" in done.out and "preheated" not in done.out
    assert build(plugin, bucket, hub, "--preheat", "on").code == 1
