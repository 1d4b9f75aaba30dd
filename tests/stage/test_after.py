"""What comes after a staging, or after one that ended badly: verify, abort-stale, shards."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.stage import checkpoint
from kubectl_fluidmodel.stage.stale_uploads import abort_stale_uploads
from kubectl_fluidmodel.stage.verify import VerificationReport, verify_staged_model
from tests.stage.harness import MIB, MODEL, PART, StagingHarness, random_bytes, wait_until

OTHER = "model-00002.safetensors"


def check(bench: StagingHarness, read: bool = False) -> VerificationReport:
    client = bench.client()
    tree = list(client.list_tree(MODEL, bench.layout.commit))
    return verify_staged_model(bench.s3.store(), bench.layout, tree, read_content=read)


def test_a_sound_prefix(bench: StagingHarness) -> None:
    bench.add_model()
    bench.stage()
    found = check(bench, read=True)
    assert found.problems == [] and found.files == 5


def test_what_verify_finds(bench: StagingHarness) -> None:
    bench.add_model()
    bench.stage()
    client, place = bench.s3.client(), bench.layout
    client.delete_object(Bucket=bench.bucket, Key=place.object_key("config.json"))
    client.put_object(Bucket=bench.bucket, Key=place.object_key(OTHER), Body=b"y" * MIB)
    client.put_object(Bucket=bench.bucket, Key=place.object_key("empty.txt"), Body=b"full")
    client.put_object(Bucket=bench.bucket, Key=place.object_key("stray"), Body=b"?")
    problems = "\n".join(check(bench).problems)
    assert "config.json: missing" in problems
    assert f"{OTHER}: written anew" in problems
    assert "empty.txt: 4 bytes instead of 0" in problems
    assert "stray: not in the manifest" in problems
    assert f"{OTHER}: its bytes do not match" in "\n".join(check(bench, read=True).problems)


def test_verify_without_a_manifest_names_what_is_there(bench: StagingHarness) -> None:
    repo = bench.add_model()
    with pytest.raises(FluidModelError, match="is not staged"):
        bench.s3.client().create_bucket(Bucket=bench.bucket)
        check(bench)
    bench.stage()
    old = repo.head
    repo.commit({"config.json": b"{}"})
    with pytest.raises(FluidModelError, match="is not staged") as told:
        check(bench)
    assert old in told.value.reason


def test_only_our_own_leftovers_go(bench: StagingHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "ALIVE", 0.0)  # who was killed needs not be waited for here
    bench.add_model({"model.safetensors": random_bytes(8 * PART), "config.json": b"{}"})
    bench.kill_at(0.5, "--stage-workers=2", stored=PART)
    client = bench.s3.client()
    foreign = [
        client.create_multipart_upload(Bucket=bench.bucket, Key=key)["UploadId"]
        for key in ("somebody/elses", bench.layout.object_key("model.safetensors"))
    ]
    store = bench.s3.store()
    kept = abort_stale_uploads(store, bench.destination, MODEL, 3600.0)
    assert [each.aborted for each in kept] == [False] and len(bench.uploads()) == 3
    tried = abort_stale_uploads(store, bench.destination, MODEL, 0.0, dry_run=True)
    assert [each.aborted for each in tried] == [True] and len(bench.uploads()) == 3
    gone = abort_stale_uploads(store, bench.destination, MODEL, 0.0)
    assert [each.aborted for each in gone] == [True] and gone[0].bytes >= PART
    assert {each["UploadId"] for each in bench.uploads()} == set(foreign)
    assert abort_stale_uploads(store, bench.destination, MODEL, 0.0) == []


def test_what_is_alive_is_not_aborted_however_slow_it_is(
    bench: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts may take longer than any age that makes sense for a leftover."""
    monkeypatch.setattr(checkpoint, "BEAT", 0.2)
    monkeypatch.setattr(checkpoint, "ALIVE", 2.5)
    bench.add_model({"model.safetensors": random_bytes(3 * PART), "config.json": b"{}"})
    bench.s3.client().create_bucket(Bucket=bench.bucket)
    bench.hub.pause_after = PART // 2
    run: list[object] = []
    thread = threading.Thread(target=lambda: run.append(bench.stage()))
    thread.start()
    try:
        wait_until(lambda: bool(bench.uploads()))
        store, began = bench.s3.store(), time.monotonic()
        while time.monotonic() - began < 4.5:
            seen = abort_stale_uploads(store, bench.destination, MODEL, 0.0)
            assert [each.aborted for each in seen] == [False]
            time.sleep(0.3)
    finally:
        bench.hub.pause_after = None
        thread.join()
    assert run and not bench.uploads()
    bench.assert_staged()


def test_an_upload_that_is_gone_on_with_is_alive_from_its_first_moment(
    bench: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add_model({"model.safetensors": random_bytes(6 * PART), "config.json": b"{}"})
    bench.kill_at(0.5, "--stage-workers=2", stored=PART)
    monkeypatch.setattr(checkpoint, "ALIVE", 2.0)
    time.sleep(2.5)
    store = bench.s3.store()
    assert [
        each.aborted
        for each in abort_stale_uploads(store, bench.destination, MODEL, 0.0, dry_run=True)
    ] == [True]
    bench.hub.clear_requests()
    bench.hub.pause_after = 1
    thread = threading.Thread(target=bench.stage)
    thread.start()
    try:
        wait_until(lambda: bool(bench.hub.requests_matching("blobs")))
        assert [
            each.aborted for each in abort_stale_uploads(store, bench.destination, MODEL, 0.0)
        ] == [False]
    finally:
        bench.hub.pause_after = None
        thread.join()
    bench.assert_staged()


def test_nobody_writes_the_record_of_a_file_that_is_done(
    bench: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "BEAT", 0.001)
    bench.add_model({f"m{n}.safetensors": random_bytes(2 * PART, n) for n in range(4)})
    bench.stage()
    bench.assert_staged()


def test_shards_share_the_work_and_the_last_writes_the_manifest(bench: StagingHarness) -> None:
    repo = bench.add_model({f"m{n}.safetensors": random_bytes(n * MIB + 7, n) for n in range(1, 8)})
    plan = bench.plan()
    ways = []
    for shard in (2, 0, 1):
        run = bench.stage(plan, replace(bench.options, shard=shard, shards=3))
        ways.append(run.outcomes)
        assert bool(run.completed.manifest) == (shard == 1)
        assert (bench.manifest() is not None) == (shard == 1)
    assert sorted(path for each in ways for path in each) == sorted(repo.files)
    bench.assert_staged()
