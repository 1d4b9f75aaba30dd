"""What the pod of `bench` reads: real files in a real directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubectl_fluidmodel.bench import reader
from kubectl_fluidmodel.bench.plan import (
    MIB,
    MOUNT_CASES,
    STORE_CASE,
    BenchPlan,
    CaseDone,
    CaseSkipped,
    CaseStarted,
    Event,
    PagesMeasured,
    Pattern,
    ReadCase,
    ReaderFinished,
    Source,
)
from kubectl_fluidmodel.bench.reader import CannotReadError, run_plan
from tests import weights

MODEL_BYTES = 20 * MIB


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    root.mkdir()
    (root / "config.json").write_bytes(weights.model_config())
    for number in (1, 2):
        name = f"model-{number:05d}-of-00002.safetensors"
        (root / name).write_bytes(weights.random_safetensors(MODEL_BYTES // 2))
    return root


def run(root: Path, *cases: ReadCase, sample: int = 0, seconds: float = 30) -> list[Event]:
    """The events of a plan."""
    events: list[Event] = []
    run_plan(BenchPlan(cases, sample, seconds, seed=3), root, events.append)
    return events


@pytest.mark.parametrize("case", MOUNT_CASES, ids=lambda case: case.label)
def test_a_full_read_reads_every_byte_of_the_weights_once(model: Path, case: ReadCase) -> None:
    cases = [MOUNT_CASES[0], case] if case.source is Source.PAGE_CACHE else [case]
    done = [event for event in run(model, *cases) if isinstance(event, CaseDone)]
    measured = done[-1].measurement
    assert measured.case == case
    assert measured.bytes == MODEL_BYTES
    assert measured.seconds > 0


def test_each_case_is_announced_and_measured_in_order(model: Path) -> None:
    events = run(model, *MOUNT_CASES)
    started = [event.label for event in events if isinstance(event, CaseStarted)]
    done = [event.measurement.case.label for event in events if isinstance(event, CaseDone)]
    assert started == done == [case.label for case in MOUNT_CASES]
    assert events[-1] == ReaderFinished(MODEL_BYTES)
    whole = sum(path.stat().st_size for path in model.iterdir())
    assert events[-2] == PagesMeasured(whole, whole)


def test_a_sample_is_shared_out_and_no_case_reads_what_another_has_read(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[list[reader.Segment]] = []
    monkeypatch.setattr(reader, "_drop_pages", lambda segments: taken.append(list(segments)))
    one_thread = ReadCase(Source.MOUNT, Pattern.PREAD, 1, MIB)
    events = run(model, one_thread, one_thread, one_thread, sample=6 * MIB)
    assert [len(of_case) for of_case in taken] == [2, 2, 2]
    assert len({segment for of_case in taken for segment in of_case}) == 6
    done = [event.measurement.bytes for event in events if isinstance(event, CaseDone)]
    assert done == [2 * MIB] * 3


def test_every_thread_has_a_segment_however_small_the_sample(model: Path) -> None:
    many = ReadCase(Source.MOUNT, Pattern.PREAD, 16, MIB)
    (done,) = (event for event in run(model, many, sample=1) if isinstance(event, CaseDone))
    # Ten segments of each file, one of the 20 MiB and a small rest: 16 of them at least.
    assert done.measurement.bytes >= 15 * MIB


def test_the_page_cache_case_reads_the_segments_of_the_case_before_again(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[reader.Segment]] = []
    original = reader._measure

    def measure(case: ReadCase, segments: list[reader.Segment], *rest: object) -> object:
        read.append(list(segments))
        return original(case, segments, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "_measure", measure)
    run(model, MOUNT_CASES[1], MOUNT_CASES[-1], sample=4 * MIB)
    assert read[0] == read[1]


def test_a_case_ends_after_its_time(model: Path) -> None:
    (done,) = (
        event for event in run(model, MOUNT_CASES[1], seconds=0) if isinstance(event, CaseDone)
    )
    assert done.measurement.bytes == 0


def test_files_without_weights_are_read_where_there_is_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"x" * MIB)
    assert run(tmp_path, MOUNT_CASES[1])[-1] == ReaderFinished(MIB)


def test_an_empty_claim_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotReadError, match="the claim is empty"):
        run(tmp_path, MOUNT_CASES[0])


def test_a_file_that_shrinks_skips_the_case_and_names_the_file(model: Path) -> None:
    shard = next(model.glob("*.safetensors"))
    os.truncate(shard, MIB)

    class Stale(list[tuple[str, int]]):
        """What a listing said before the file shrank."""

    listed = Stale((str(path), MODEL_BYTES // 2) for path in sorted(model.glob("*.safetensors")))
    original = reader._find_weights
    try:
        reader._find_weights = lambda root: listed
        (skipped,) = (
            event for event in run(model, MOUNT_CASES[1]) if isinstance(event, CaseSkipped)
        )
    finally:
        reader._find_weights = original
    assert shard.name in skipped.reason


def test_a_store_that_cannot_be_reached_skips_only_its_case(model: Path) -> None:
    target = (
        '{"namespace": "default", "mount": "s3://models/llama", "scheme": "s3", "host": "models",'
        ' "path": "llama", "endpoint": "http://127.0.0.1:1", "region": "", "access": null,'
        ' "hidden": null, "plain": null, "account": null, "repo": "", "commit": "", "skip": ""}'
    )
    events: list[Event] = []
    plan = BenchPlan((STORE_CASE, MOUNT_CASES[1]), 0, 5.0, store=target)
    run_plan(plan, model, events.append)
    (skipped,) = (event for event in events if isinstance(event, CaseSkipped))
    assert skipped.label == STORE_CASE.label
    assert "127.0.0.1:1" in skipped.reason
    assert isinstance(events[-1], ReaderFinished)
