"""The whole way, with nothing going wrong."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.stage.multipart import CONTENT_METADATA
from kubectl_fluidmodel.stage.options import TransferOptions
from tests.stage.harness import MIB, MODEL, PART, StagingHarness, random_bytes, wait_until


def test_every_byte_is_staged_with_metadata_and_manifest(harness: StagingHarness) -> None:
    repo = harness.add_model()
    run = harness.stage()
    harness.assert_staged()
    assert set(run.outcomes.values()) == {"staged"}
    assert "created it" in run.messages
    total = sum(blob.size for blob in repo.files.values())
    assert run.completed.read == run.completed.sent == run.completed.bytes == total
    marked = harness.manifest()
    assert marked is not None and marked.commit == repo.head and marked.bytes == total
    key = harness.layout.object_key("model-00001.safetensors")
    head = harness.s3.client().head_object(Bucket=harness.bucket, Key=key)
    sha = repo.files["model-00001.safetensors"].sha256
    assert head["Metadata"][CONTENT_METADATA] == f"sha256:{sha}"


def test_nothing_but_the_files_is_in_the_mounted_directory(harness: StagingHarness) -> None:
    repo = harness.add_model()
    harness.stage()
    inside = harness.objects(f"{harness.layout.files_prefix}/")
    assert {key.removeprefix(f"{harness.layout.files_prefix}/") for key in inside} == set(
        repo.files
    )
    beside = set(harness.objects()) - set(inside)
    assert beside == {harness.layout.manifest_key}


def test_a_second_run_requests_no_file(harness: StagingHarness) -> None:
    harness.add_model()
    harness.stage()
    plan = harness.plan()
    harness.hub.clear_requests()
    run = harness.stage(plan)
    assert set(run.outcomes.values()) == {"found"}
    assert run.completed.read == run.completed.sent == 0
    assert not harness.hub.requests_matching("resolve|blobs")


def test_an_object_that_another_tool_wrote_is_not_trusted(harness: StagingHarness) -> None:
    harness.add_model()
    harness.stage()
    key = harness.layout.object_key("model-00002.safetensors")
    harness.s3.client().put_object(Bucket=harness.bucket, Key=key, Body=b"x" * MIB)
    run = harness.stage()
    assert run.outcomes["model-00002.safetensors"] == "staged"
    assert run.outcomes["model-00001.safetensors"] == "found"
    harness.assert_staged()


def test_a_new_commit_gets_its_own_cache(harness: StagingHarness) -> None:
    repo = harness.add_model()
    harness.stage()
    old = harness.layout
    before = {key: harness.get(key) for key in harness.objects(f"{old.files_prefix}/")}
    files = {name: blob.data for name, blob in repo.files.items()}
    repo.commit({**files, "config.json": b"{}"})
    harness.stage()
    harness.assert_staged()
    assert harness.layout.files_prefix != old.files_prefix
    assert {key: harness.get(key) for key in harness.objects(f"{old.files_prefix}/")} == before


def test_a_branch_that_moves_during_the_transfer_is_reported(harness: StagingHarness) -> None:
    repo = harness.add_model()
    first = repo.head
    files = {name: blob.data for name, blob in repo.files.items()}

    def move() -> None:
        if repo.head == first:
            repo.commit({**files, "config.json": b"other"})

    harness.hub.add_fault("move", "/tree/", action=move)
    plan = harness.plan()
    assert plan.commit == first
    run = harness.stage(plan)
    assert "has moved" in run.messages
    key = f"models/{MODEL}/{first}/config.json"
    assert harness.get(key) == files["config.json"]


def test_redundant_formats_are_left_out_and_listed(harness: StagingHarness) -> None:
    harness.add_model(
        {
            "config.json": b"{}",
            "model.safetensors": random_bytes(70_000),
            "pytorch_model.bin": random_bytes(80_000),
            "original/consolidated.00.pth": random_bytes(90_000),
        }
    )
    plan = harness.plan()
    assert [file.path for file in plan.files] == ["config.json", "model.safetensors"]
    assert plan.bytes_skipped == 170_000
    harness.stage(plan)
    assert len(harness.objects(f"{harness.layout.files_prefix}/")) == 2
    # Another choice of files at the same commit adds to what is there.
    harness.stage(harness.plan(include=["*.bin"]))
    marked = harness.manifest()
    assert marked is not None
    assert [f.path for f in marked.files] == [
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
    ]


def test_memory_stays_within_its_budget(harness: StagingHarness) -> None:
    """The peak of a process of its own, with far more to move than the budget."""
    size = 150 * MIB
    harness.add_model({"model.safetensors": random_bytes(size), "config.json": b"{}"})
    code = (
        "import re, sys\n"
        "from kubectl_fluidmodel.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "sys.exit(code)\n"
    )
    command = [sys.executable, "-c", code, *harness.command("--memory=160Mi", "--output=name")[3:]]
    done = subprocess.run(
        command, env=harness.env(), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) * 1024 < 160 * MIB
    harness.assert_staged()


def asked(harness: StagingHarness) -> set[str]:
    """The ranges that were asked for."""
    return {
        request.headers.get("range", "")
        for request in harness.hub.requests_matching("blobs", on="cdn")
    }


def test_several_parts_are_in_flight_at_once(harness: StagingHarness) -> None:
    """Nothing comes before as many parts are asked for as there are workers."""
    harness.add_model({"model.safetensors": random_bytes(12 * PART)})
    harness.hub.pause_after = 0
    staging = threading.Thread(target=harness.stage)
    staging.start()
    wait_until(lambda: len(asked(harness)) == harness.options.workers)
    harness.hub.pause_after = None
    staging.join()
    harness.assert_staged()


def test_options_out_of_range_are_refused(harness: StagingHarness) -> None:
    harness.add_model()
    for bad in (
        TransferOptions(memory=MIB),
        TransferOptions(workers=0),
        TransferOptions(shard=2, shards=2),
    ):
        with pytest.raises(UsageError):
            harness.stage(options=bad)


def test_names_that_cannot_become_keys_are_refused(harness: StagingHarness) -> None:
    harness.add_model({"ok.json": b"{}", "a/../b": b"x"})
    with pytest.raises(FluidModelError, match="cannot be staged"):
        harness.plan()
