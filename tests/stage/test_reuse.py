"""A new commit takes the files that it shares with another one from the bucket."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from kubectl_fluidmodel.stage import bucket_copy, checkpoint
from kubectl_fluidmodel.stage.stale_uploads import abort_stale_uploads
from tests.stage.faultproxy import FaultProxy
from tests.stage.harness import MODEL, PART, StagingHarness, random_bytes, wait_until

BIG, SMALL, CHANGED = "model-00001.safetensors", "model-00002.safetensors", "config.json"


def stage_first_commit(harness: StagingHarness) -> None:
    """Stage a commit, and add one to the Hub that changes a single file."""
    repo = harness.add_model()
    harness.stage()
    files = {name: blob.data for name, blob in repo.files.items()}
    repo.commit({**files, CHANGED: b'{"model_type": "other"}'})


def test_unchanged_files_are_copied_and_the_changed_one_is_downloaded(
    harness: StagingHarness,
) -> None:
    stage_first_commit(harness)
    run = harness.stage()
    assert run.outcomes[BIG] == run.outcomes[SMALL] == "copied"
    assert run.outcomes[CHANGED] == "staged"
    assert run.completed.read == len(b'{"model_type": "other"}')
    harness.assert_staged()
    assert set(harness.stage().outcomes.values()) == {"found"}


def test_large_files_are_copied_in_parts(
    harness: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_copy, "COPY_SIZE", PART)
    stage_first_commit(harness)
    assert harness.stage().outcomes[BIG] == "copied"
    harness.assert_staged()


def test_a_renamed_file_is_copied(harness: StagingHarness) -> None:
    repo = harness.add_model()
    harness.stage()
    files = {name: blob.data for name, blob in repo.files.items()}
    files["renamed.safetensors"] = files.pop(BIG)
    repo.commit(files)
    assert harness.stage().outcomes["renamed.safetensors"] == "copied"
    harness.assert_staged()


def test_an_object_that_changed_since_it_was_verified_is_not_copied(
    harness: StagingHarness,
) -> None:
    stage_first_commit(harness)
    for key, size in harness.objects().items():
        if key.endswith((BIG, SMALL)):
            harness.s3.client().put_object(
                Bucket=harness.bucket, Key=key, Body=random_bytes(size, 99)
            )
    run = harness.stage()
    assert run.outcomes[BIG] == run.outcomes[SMALL] == "staged"
    harness.assert_staged()


def test_a_damaged_manifest_offers_nothing(harness: StagingHarness) -> None:
    stage_first_commit(harness)
    (key,) = (key for key in harness.objects() if key.endswith("/manifest.json"))
    harness.s3.client().put_object(Bucket=harness.bucket, Key=key, Body=b"{")
    assert harness.stage().outcomes[BIG] == "staged"
    harness.assert_staged()


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (501, "NotImplemented"), (404, "NoSuchKey")]
)
def test_a_store_that_refuses_a_copy_gets_the_file_from_the_hub(
    with_proxy: Callable[[], StagingHarness], proxy: FaultProxy, status: int, code: str
) -> None:
    harness = with_proxy()
    stage_first_commit(harness)
    refused = proxy.add_fault("refuse", "PUT", SMALL, status=status, code=code, times=1)
    run = harness.stage()
    assert refused.hits == 1
    assert run.outcomes[SMALL] == "staged"
    harness.assert_staged()


SMALL_COPIES = f"""
import sys
from kubectl_fluidmodel.stage import bucket_copy
bucket_copy.COPY_SIZE = {PART}
from kubectl_fluidmodel.cli.main import main
sys.argv[0] = "kubectl-fluidmodel"
main()
"""
THIRD_PART = f"{BIG}.*partNumber=3"


def kill_while_copying(harness: StagingHarness, proxy: FaultProxy) -> None:
    """Kill -9 a run after it has copied two parts of the large file."""
    held = proxy.add_fault("delay", "PUT", THIRD_PART, seconds=60.0)
    arguments = harness.command()[3:]
    process = subprocess.Popen(
        [sys.executable, "-c", SMALL_COPIES, *arguments],
        env=harness.env("victim"),
        cwd=harness.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        wait_until(lambda: held.hits > 0)
        process.kill()
    proxy.faults.remove(held)
    assert harness.stored_part_bytes() == 2 * PART


def test_prune_finds_what_a_killed_copy_left(
    with_proxy: Callable[[], StagingHarness], proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = with_proxy()
    stage_first_commit(harness)
    kill_while_copying(harness, proxy)
    monkeypatch.setattr(checkpoint, "ACTIVE_FOR", 0.0)
    (stale,) = abort_stale_uploads(harness.s3.store(), harness.destination, MODEL, 0.0)
    assert (stale.path, stale.bytes, stale.aborted) == (BIG, 2 * PART, True)
    assert not harness.uploads()
    assert not harness.objects(harness.layout.checkpoints_prefix)


def test_the_next_run_copies_again_and_leaves_nothing(
    with_proxy: Callable[[], StagingHarness], proxy: FaultProxy
) -> None:
    harness = with_proxy()
    stage_first_commit(harness)
    kill_while_copying(harness, proxy)
    assert harness.stage().outcomes[BIG] == "copied"
    harness.assert_staged()


def test_a_copy_that_the_store_ends_leaves_nothing(
    with_proxy: Callable[[], StagingHarness], proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_copy, "COPY_SIZE", PART)
    harness = with_proxy()
    stage_first_commit(harness)
    refused = proxy.add_fault("refuse", "PUT", THIRD_PART, status=403, code="AccessDenied", times=1)
    assert harness.stage().outcomes[BIG] == "staged"
    assert refused.hits == 1
    harness.assert_staged()


def test_a_slow_copy_is_active(
    with_proxy: Callable[[], StagingHarness], proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_copy, "COPY_SIZE", PART)
    monkeypatch.setattr(checkpoint, "REFRESH_INTERVAL", 0.2)
    monkeypatch.setattr(checkpoint, "ACTIVE_FOR", 1.0)
    harness = with_proxy()
    stage_first_commit(harness)
    done = threading.Event()
    slow = proxy.add_fault("call", "PUT", THIRD_PART, action=done.wait)
    thread = threading.Thread(target=harness.stage)
    thread.start()
    try:
        wait_until(lambda: slow.hits > 0)
        time.sleep(1.5)
        store = harness.s3.store()
        uploads = abort_stale_uploads(store, harness.destination, MODEL, 0.0)
        assert [upload.aborted for upload in uploads] == [False]
    finally:
        done.set()
        thread.join()
    harness.assert_staged()
