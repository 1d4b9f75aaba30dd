"""The whole way, with nothing going wrong."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.stage.bucket import IDENTITY
from kubectl_fluidmodel.stage.options import Options
from tests.stage.harness import MIB, MODEL, PART, Bench, noise, until


def test_every_byte_arrives_with_its_marks(bench: Bench) -> None:
    repo = bench.model()
    run = bench.stage()
    bench.assert_staged()
    assert set(run.how.values()) == {"staged"}
    assert "made it" in run.notes
    total = sum(blob.size for blob in repo.files.values())
    assert run.ended.read == run.ended.sent == run.ended.bytes == total
    marked = bench.manifest()
    assert marked is not None and marked.commit == repo.head and marked.bytes == total
    key = bench.place.key("model-00001.safetensors")
    head = bench.s3.client().head_object(Bucket=bench.bucket, Key=key)
    sha = repo.files["model-00001.safetensors"].sha256
    assert head["Metadata"][IDENTITY] == f"sha256:{sha}"


def test_nothing_but_the_files_is_in_the_mounted_directory(bench: Bench) -> None:
    repo = bench.model()
    bench.stage()
    inside = bench.objects(f"{bench.place.files}/")
    assert {key.removeprefix(f"{bench.place.files}/") for key in inside} == set(repo.files)
    beside = set(bench.objects()) - set(inside)
    assert beside == {bench.place.manifest}


def test_a_second_run_asks_for_no_file(bench: Bench) -> None:
    bench.model()
    bench.stage()
    plan = bench.plan()
    bench.hub.forget()
    run = bench.stage(plan)
    assert set(run.how.values()) == {"found"}
    assert run.ended.read == run.ended.sent == 0
    assert not bench.hub.seen("resolve|blobs")


def test_an_object_that_another_tool_wrote_is_not_trusted(bench: Bench) -> None:
    bench.model()
    bench.stage()
    key = bench.place.key("model-00002.safetensors")
    bench.s3.client().put_object(Bucket=bench.bucket, Key=key, Body=b"x" * MIB)
    run = bench.stage()
    assert run.how["model-00002.safetensors"] == "staged"
    assert run.how["model-00001.safetensors"] == "found"
    bench.assert_staged()


def test_a_new_commit_goes_beside_the_old_one(bench: Bench) -> None:
    repo = bench.model()
    bench.stage()
    old = bench.place
    before = {key: bench.get(key) for key in bench.objects(f"{old.files}/")}
    files = {name: blob.data for name, blob in repo.files.items()}
    repo.commit({**files, "config.json": b"{}"})
    bench.stage()
    bench.assert_staged()
    assert bench.place.files != old.files
    assert {key: bench.get(key) for key in bench.objects(f"{old.files}/")} == before


def test_a_branch_that_moves_meanwhile_changes_nothing(bench: Bench) -> None:
    repo = bench.model()
    first = repo.head
    files = {name: blob.data for name, blob in repo.files.items()}

    def move() -> None:
        if repo.head == first:
            repo.commit({**files, "config.json": b"other"})

    bench.hub.fault("move", "/tree/", action=move)
    plan = bench.plan()
    assert plan.commit == first
    run = bench.stage(plan)
    assert "has moved" in run.notes
    key = f"models/{MODEL}/{first}/config.json"
    assert bench.get(key) == files["config.json"]


def test_duplicate_formats_stay_out_and_are_told(bench: Bench) -> None:
    bench.model(
        {
            "config.json": b"{}",
            "model.safetensors": noise(70_000),
            "pytorch_model.bin": noise(80_000),
            "original/consolidated.00.pth": noise(90_000),
        }
    )
    plan = bench.plan()
    assert [file.path for file in plan.files] == ["config.json", "model.safetensors"]
    assert plan.bytes_skipped == 170_000
    bench.stage(plan)
    assert len(bench.objects(f"{bench.place.files}/")) == 2
    # Another choice of files at the same commit adds to what is there.
    bench.stage(bench.plan(include=["*.bin"]))
    marked = bench.manifest()
    assert marked is not None
    assert [f.path for f in marked.files] == [
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
    ]


def test_memory_stays_within_its_budget(bench: Bench) -> None:
    """The peak of a process of its own, with far more to move than the budget."""
    size = 150 * MIB
    bench.model({"model.safetensors": noise(size), "config.json": b"{}"})
    code = (
        "import re, sys\n"
        "from kubectl_fluidmodel.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "sys.exit(code)\n"
    )
    command = [sys.executable, "-c", code, *bench.command("--memory=160Mi", "--output=name")[3:]]
    done = subprocess.run(
        command, env=bench.env(), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) * 1024 < 160 * MIB
    bench.assert_staged()


def asked(bench: Bench) -> set[str]:
    """The ranges that were asked for."""
    return {each.headers.get("range", "") for each in bench.hub.seen("blobs", on="cdn")}


def test_several_parts_are_in_flight_at_once(bench: Bench) -> None:
    """Nothing comes before as many parts are asked for as there are workers."""
    bench.model({"model.safetensors": noise(12 * PART)})
    bench.hub.hold_at = 0
    staging = threading.Thread(target=bench.stage)
    staging.start()
    until(lambda: len(asked(bench)) == bench.options.workers)
    bench.hub.hold_at = None
    staging.join()
    bench.assert_staged()


def test_options_that_make_no_sense_are_refused(bench: Bench) -> None:
    bench.model()
    for bad in (Options(memory=MIB), Options(workers=0), Options(shard=2, shards=2)):
        with pytest.raises(UsageError):
            bench.stage(options=bad)


def test_names_that_cannot_become_keys_are_refused(bench: Bench) -> None:
    bench.model({"ok.json": b"{}", "a/../b": b"x"})
    with pytest.raises(FluidModelError, match="cannot be staged"):
        bench.plan()
