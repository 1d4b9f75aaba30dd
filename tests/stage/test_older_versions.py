"""State that an older version left is read: see tests/fixtures/stage/417f426/README.md."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.cli.main import main
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.objects.plugin_pod import SecretKey, parse_network
from kubectl_fluidmodel.objectstore.layout import BucketPrefix
from kubectl_fluidmodel.output.event_log import parse_document
from kubectl_fluidmodel.stage import job_run
from kubectl_fluidmodel.stage.checkpoint import parse_checkpoint
from kubectl_fluidmodel.stage.command import StageCommand, StageOptions
from kubectl_fluidmodel.stage.events import EVENTS
from kubectl_fluidmodel.stage.job import JobSettings, build_job
from kubectl_fluidmodel.stage.job_description import cache_flags
from kubectl_fluidmodel.stage.manifest import parse_manifest
from kubectl_fluidmodel.stage.progress import ProgressAggregator
from tests.stage.harness import MODEL, PART, StagingHarness, random_bytes

FOLDER = Path(__file__).parents[1] / "fixtures" / "stage" / "417f426"
BIG = "model.safetensors"
FILES = {BIG: random_bytes(4 * PART), "config.json": b"{}"}


def _identity(harness: StagingHarness) -> str:
    return f"sha256:{harness.hub.repos[MODEL].files[BIG].sha256}"


def test_an_unfinished_upload_is_resumed(harness: StagingHarness) -> None:
    """The store is filled as that commit left it; only the upload's ID is the store's own."""
    harness.add_model(FILES)
    client, key = harness.s3.client(), harness.layout.object_key(BIG)
    where = {"Bucket": harness.bucket, "Key": key}
    client.create_bucket(Bucket=harness.bucket)
    upload_id = client.create_multipart_upload(
        **where,
        ChecksumAlgorithm="CRC32",
        Metadata={"fluidmodel-content": _identity(harness)},
    )["UploadId"]
    for number in range(2):
        body = FILES[BIG][number * PART : (number + 1) * PART]
        crc32 = base64.b64encode(struct.pack(">I", zlib.crc32(body))).decode()
        client.upload_part(
            **where, UploadId=upload_id, PartNumber=number + 1, Body=body, ChecksumCRC32=crc32
        )
    document = json.loads((FOLDER / "checkpoint.json").read_text())
    client.put_object(
        Bucket=harness.bucket,
        Key=harness.layout.checkpoint_key(BIG),
        Body=json.dumps({**document, "upload_id": upload_id}).encode(),
    )
    run = harness.stage()
    assert run.outcomes[BIG] == "resumed"
    assert run.completed.read == 2 * PART + len(FILES["config.json"])
    harness.assert_staged()


def test_a_checkpoint_is_written_as_it_was_read() -> None:
    text = (FOLDER / "checkpoint.json").read_bytes()
    checkpoint = parse_checkpoint(text)
    assert checkpoint is not None
    assert (checkpoint.parts_done, checkpoint.verified) == (2, False)
    assert checkpoint.to_json() == text.strip()


def test_a_complete_staging_is_found(harness: StagingHarness) -> None:
    harness.add_model(FILES)
    harness.stage()
    text = (FOLDER / "manifest.json").read_bytes()
    client = harness.s3.client()
    client.put_object(Bucket=harness.bucket, Key=harness.layout.manifest_key, Body=text)
    run = harness.stage()
    assert set(run.outcomes.values()) == {"found"} and run.completed.sent == 0
    assert harness.get(harness.layout.manifest_key) == text
    assert parse_manifest(text).to_json().encode() == text


@pytest.mark.parametrize("name", ["pod.log", "pod-failed.log"])
def test_the_log_of_a_pod_is_parsed_line_by_line(name: str) -> None:
    for line in (FOLDER / name).read_text().splitlines():
        document = json.loads(line)
        if document["event"] == "Error":
            continue
        event = EVENTS.from_document(dict(document))
        assert event is not None, line
        assert json.loads(json.dumps(EVENTS.to_document(event))) == document


def test_the_log_of_a_pod_becomes_progress() -> None:
    aggregator = ProgressAggregator(0, 2)
    for line in (FOLDER / "pod.log").read_text().splitlines():
        event = EVENTS.from_document(json.loads(line))
        assert event is not None
        aggregator.handle(event)
    assert aggregator.snapshot().steps[0].state == "done"
    assert aggregator.done_bytes == 4 * PART + len(FILES["config.json"])


def test_the_error_of_a_pod_is_parsed() -> None:
    last = (FOLDER / "pod-failed.log").read_text().splitlines()[-1]
    document = parse_document(last)
    assert document is not None and document["event"] == "Error"
    err = job_run._parse_error(document)
    assert err.message == "config.json does not match its hash"
    assert err.reason.startswith("the hub sent other bytes") and err.hint and err.exit_code == 1


SETTINGS = JobSettings(
    name="model",
    namespace="ns",
    to=BucketPrefix("models", "p"),
    endpoint="http://minio:9000",
    region="eu",
    endpoint_hub="https://hub.example.com",
    access_key=SecretKey("keys", "AWS_ACCESS_KEY_ID"),
    secret_key=SecretKey("keys", "AWS_SECRET_ACCESS_KEY"),
    session_token=SecretKey("keys", "AWS_SESSION_TOKEN"),
    hub_token=SecretKey("hub", "HF_TOKEN"),
    include=("*.json", "a b"),
    exclude=("x",),
    image="registry.example.com/plugin:1",
    network=parse_network("http://proxy:3128", "x", "secret/ca:k", ("pull",)),
    shards=4,
)
PLAN = StagingPlan("org/model", "main", "c" * 40, (PlanFile("a", 5, "git", "0" * 40),))


@pytest.fixture
def job() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "job.json").read_text()))


def test_the_same_settings_build_the_same_job(job: dict[str, Any]) -> None:
    """Else a running Job would be replaced by one that does the same work."""
    assert build_job(PLAN, SETTINGS) == job


def test_the_flags_of_a_job_are_read(job: dict[str, Any]) -> None:
    assert cache_flags(job) == cache_flags(build_job(PLAN, SETTINGS))
    assert "--stage-proxy" in cache_flags(job)


def test_the_command_line_of_a_job_is_parsed(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod may be started by an old Job with a new image."""
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    arguments = [word.replace("$(FLUIDMODEL_SHARD)", "3") for word in args]
    parsed: list[StageOptions] = []
    monkeypatch.setattr(StageCommand, "run", lambda self: parsed.append(self.options) or 0)
    assert main(["stage", *arguments]) == 0
    [options] = parsed
    assert (options.source.host, options.source.revision) == ("org/model", "c" * 40)
    assert options.destination.uri == "s3://models/p" and options.log == "json"
    assert (options.transfer.shard, options.transfer.shards) == (3, 4)
    assert options.hub.include == ("*.json", "a b") and options.hub.exclude == ("x",)
    assert options.store.region == "eu" and options.store.endpoint == "http://minio:9000"
