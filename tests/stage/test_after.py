"""What comes after a staging, or after one that ended badly: verify, abort-stale, shards."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.stage import checkpoint
from kubectl_fluidmodel.stage.stale_uploads import abort_stale_uploads
from kubectl_fluidmodel.stage.verify import VerificationReport, verify_staged_model
from tests.stage.harness import (
    MIB,
    MODEL,
    PART,
    StagingHarness,
    random_bytes,
    wait_until,
    wait_until_threads_end,
)

OTHER = "model-00002.safetensors"


def check(harness: StagingHarness, read: bool = False) -> VerificationReport:
    client = harness.client()
    tree = list(client.list_tree(MODEL, harness.layout.commit))
    return verify_staged_model(harness.s3.store(), harness.layout, tree, read_content=read)


def test_verify_finds_no_problem_in_an_intact_prefix(harness: StagingHarness) -> None:
    harness.add_model()
    harness.stage()
    report = check(harness, read=True)
    assert report.problems == [] and report.files == 5


def test_verify_reports_missing_overwritten_resized_and_unlisted_objects(
    harness: StagingHarness,
) -> None:
    harness.add_model()
    harness.stage()
    client, place = harness.s3.client(), harness.layout
    client.delete_object(Bucket=harness.bucket, Key=place.object_key("config.json"))
    client.put_object(Bucket=harness.bucket, Key=place.object_key(OTHER), Body=b"y" * MIB)
    client.put_object(Bucket=harness.bucket, Key=place.object_key("empty.txt"), Body=b"full")
    client.put_object(Bucket=harness.bucket, Key=place.object_key("stray"), Body=b"?")
    problems = "\n".join(check(harness).problems)
    assert "config.json: missing" in problems
    assert f"{OTHER}: overwritten since" in problems
    assert "empty.txt: 4 bytes instead of 0" in problems
    assert "stray: not in the manifest" in problems
    assert f"{OTHER}: its bytes do not match" in "\n".join(check(harness, read=True).problems)


def test_verify_without_a_manifest_names_the_staged_commits(harness: StagingHarness) -> None:
    repo = harness.add_model()
    with pytest.raises(FluidModelError, match="is not staged"):
        harness.s3.client().create_bucket(Bucket=harness.bucket)
        check(harness)
    harness.stage()
    old = repo.head
    repo.commit({"config.json": b"{}"})
    with pytest.raises(FluidModelError, match="is not staged") as caught:
        check(harness)
    assert old in caught.value.reason


def test_only_our_own_stale_uploads_are_aborted(
    harness: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "ACTIVE_FOR", 0.0)
    harness.add_model({"model.safetensors": random_bytes(8 * PART), "config.json": b"{}"})
    harness.kill_at(0.5, "--stage-workers=2", stored=PART)
    client = harness.s3.client()
    foreign = [
        client.create_multipart_upload(Bucket=harness.bucket, Key=key)["UploadId"]
        for key in ("somebody/elses", harness.layout.object_key("model.safetensors"))
    ]
    store = harness.s3.store()
    recent = abort_stale_uploads(store, harness.destination, MODEL, 3600.0)
    assert [upload.aborted for upload in recent] == [False] and len(harness.uploads()) == 3
    tried = abort_stale_uploads(store, harness.destination, MODEL, 0.0, dry_run=True)
    assert [upload.aborted for upload in tried] == [True] and len(harness.uploads()) == 3
    gone = abort_stale_uploads(store, harness.destination, MODEL, 0.0)
    assert [upload.aborted for upload in gone] == [True] and gone[0].bytes >= PART
    assert {upload["UploadId"] for upload in harness.uploads()} == set(foreign)
    assert abort_stale_uploads(store, harness.destination, MODEL, 0.0) == []


def test_an_active_upload_is_not_aborted_however_slow_it_is(
    harness: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts may take longer than any age that makes sense for a leftover.

    An upload is known by its checkpoint, which is written after the store has begun the upload.
    """
    monkeypatch.setattr(checkpoint, "REFRESH_INTERVAL", 0.2)
    monkeypatch.setattr(checkpoint, "ACTIVE_FOR", 2.5)
    harness.add_model({"model.safetensors": random_bytes(3 * PART), "config.json": b"{}"})
    harness.s3.client().create_bucket(Bucket=harness.bucket)
    harness.hub.pause_after = PART // 2
    run: list[object] = []
    thread = threading.Thread(target=lambda: run.append(harness.stage()))
    thread.start()
    try:
        store, looks = harness.s3.store(), []
        look = partial(abort_stale_uploads, store, harness.destination, MODEL, 0.0)
        wait_until(lambda: bool(look()))
        began = time.monotonic()
        while time.monotonic() - began < 4.5:
            looks += look()
            time.sleep(0.3)
        assert looks and not any(upload.aborted for upload in looks)
        assert len(harness.uploads()) == 1
    finally:
        harness.hub.pause_after = None
        thread.join()
    assert run and not harness.uploads()
    harness.assert_staged()


def test_a_resumed_upload_is_active_from_its_first_request(
    harness: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.add_model({"model.safetensors": random_bytes(6 * PART), "config.json": b"{}"})
    harness.kill_at(0.5, "--stage-workers=2", stored=PART)
    monkeypatch.setattr(checkpoint, "ACTIVE_FOR", 2.0)
    time.sleep(2.5)
    store = harness.s3.store()
    assert [
        upload.aborted
        for upload in abort_stale_uploads(store, harness.destination, MODEL, 0.0, dry_run=True)
    ] == [True]
    harness.hub.clear_requests()
    harness.hub.pause_after = 1
    thread = threading.Thread(target=harness.stage)
    thread.start()
    try:
        wait_until(lambda: bool(harness.hub.requests_matching("blobs")))
        assert [
            upload.aborted for upload in abort_stale_uploads(store, harness.destination, MODEL, 0.0)
        ] == [False]
    finally:
        harness.hub.pause_after = None
        thread.join()
    harness.assert_staged()


def test_the_checkpoint_of_a_complete_file_is_not_rewritten(
    harness: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "REFRESH_INTERVAL", 0.001)
    harness.add_model({f"m{n}.safetensors": random_bytes(2 * PART, n) for n in range(4)})
    harness.stage()
    harness.assert_staged()
    wait_until_threads_end()


def test_shards_share_the_work_and_the_last_writes_the_manifest(harness: StagingHarness) -> None:
    repo = harness.add_model(
        {f"m{n}.safetensors": random_bytes(n * MIB + 7, n) for n in range(1, 8)}
    )
    plan = harness.plan()
    ways = []
    for shard in (2, 0, 1):
        run = harness.stage(plan, replace(harness.options, shard=shard, shards=3))
        ways.append(run.outcomes)
        assert bool(run.completed.manifest) == (shard == 1)
        assert (harness.manifest() is not None) == (shard == 1)
    assert sorted(path for outcomes in ways for path in outcomes) == sorted(repo.files)
    harness.assert_staged()
