"""The small pure pieces: records, manifests, places, memory, events, the board."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout, parse_bucket_prefix
from kubectl_fluidmodel.stage import checkpoint, manifest
from kubectl_fluidmodel.stage.buffer_pool import MIB, BufferPool, require_part_fits
from kubectl_fluidmodel.stage.checkpoint import UploadCheckpoint, UploadedPart
from kubectl_fluidmodel.stage.events import (
    EVENTS,
    Completed,
    FileFailed,
    Started,
    TransferProgress,
)
from kubectl_fluidmodel.stage.file_hasher import Crc32
from kubectl_fluidmodel.stage.manifest import Manifest, ManifestEntry
from kubectl_fluidmodel.stage.options import TransferOptions
from kubectl_fluidmodel.stage.progress import ProgressAggregator

FILE = PlanFile("a/b.safetensors", 100, "sha256", "ab" * 32)
RECORD = UploadCheckpoint(FILE.path, FILE.identity, FILE.size, "upload", 30, "crc32")


@given(st.binary(max_size=300))
def test_no_text_crashes_the_checkpoint_parser(text: bytes) -> None:
    assert checkpoint.parse_checkpoint(text) is None


def test_a_checkpoint_survives_json_and_matches_only_its_own_parts() -> None:
    held = {number: UploadedPart(f"etag{number}", 30, "c") for number in range(3)}
    here = RECORD.advanced_to(2, held, b"s" * 32)
    assert checkpoint.parse_checkpoint(here.to_json()) == here
    assert here.is_for(FILE) and here.matches_parts(held)
    assert not here.matches_parts({**held, 1: UploadedPart("other", 30, "c")})
    assert not here.matches_parts({**held, 1: UploadedPart("etag1", 29, "c")})
    assert not here.matches_parts({0: held[0]})
    assert here.matches_parts({**held, 2: UploadedPart("other", 1)})  # beyond what it speaks of
    assert RECORD.matches_parts({})
    assert not here.is_for(PlanFile(FILE.path, 100, "sha256", "cd" * 32))


@pytest.mark.parametrize(
    "change",
    [
        {"done": 9},
        {"done": -1},
        {"part_size": 0},
        {"upload_id": ""},
        {"extra": 1},
        {"proven": True},  # with parts that are not there yet
    ],
)
def test_invalid_checkpoints_are_not_parsed(change: dict[str, object]) -> None:
    assert (
        checkpoint.parse_checkpoint(json.dumps({**json.loads(RECORD.to_json()), **change}).encode())
        is None
    )


def test_a_manifest_survives_json() -> None:
    original = Manifest(
        "a/b", "c" * 40, (ManifestEntry(FILE, "etag"),), staged_at="2026-01-01T00:00:00Z"
    )
    assert manifest.parse_manifest(original.to_json()) == original
    assert original.covers((FILE,)) and original.bytes == 100


@dataclass(frozen=True)
class FittingPart:
    """A file whose parts fit; `memory` and `buffers` are MiB."""

    name: str
    size: int
    memory: int = 256
    buffers: int = 128
    part_size: int = 0


@dataclass(frozen=True)
class OversizedPart(FittingPart):
    """A file with a part that does not fit, and how much memory fits it."""

    needed: int = 0


@pytest.mark.parametrize(
    "case",
    [
        FittingPart("the largest file that the Hub takes", 500 << 30),
        FittingPart("the largest object that S3 takes", 5 << 40, 704, 576),
        FittingPart("a small file is staged with one request", 100 * MIB, part_size=512 * MIB),
        FittingPart("an empty file", 0),
    ],
    ids=lambda case: case.name,
)
def test_parts_that_fit_into_the_memory_are_accepted(case: FittingPart) -> None:
    require_part_fits(_with_file_of(case.size), case.buffers * MIB, _options(case))


@pytest.mark.parametrize(
    "case",
    [
        OversizedPart("the largest object that S3 takes", 5 << 40, needed=704),
        OversizedPart("large parts by flag", 1 << 30, part_size=512 * MIB, needed=640),
    ],
    ids=lambda case: case.name,
)
def test_parts_larger_than_the_memory_are_refused_with_the_memory_needed(
    case: OversizedPart,
) -> None:
    files, options = _with_file_of(case.size), _options(case)
    with pytest.raises(UsageError, match="is too little: a part of big takes") as caught:
        require_part_fits(files, case.buffers * MIB, options)
    assert caught.value.hint == f"--memory {case.needed}Mi"
    buffers = case.buffers + case.needed - case.memory
    require_part_fits(files, buffers * MIB, options)  # the hint suffices


def _with_file_of(size: int) -> list[PlanFile]:
    return [FILE, PlanFile("big", size, "sha256", "ab" * 32)]


def _options(case: FittingPart) -> TransferOptions:
    return TransferOptions(memory=case.memory * MIB, part_size=case.part_size)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"apiVersion": "v1", "kind": "Pod"}'])
def test_other_documents_are_no_manifest(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        manifest.parse_manifest(text)


def test_a_manifest_with_a_wrong_byte_count_is_refused() -> None:
    document = json.loads(Manifest("a/b", "c" * 40, (ManifestEntry(FILE, "e"),)).to_json())
    with pytest.raises(ValueError, match="bytes"):
        manifest.parse_manifest(json.dumps({**document, "bytes": 99}))


def test_a_layout_keeps_its_state_outside_the_mounted_files() -> None:
    place = StagingLayout(parse_bucket_prefix("s3://models/some/prefix/"), "org/model", "c" * 40)
    assert place.uri == f"s3://models/some/prefix/org/model/{'c' * 40}"
    assert place.source.uri == place.uri and place.source.model == "model"
    assert not place.manifest_key.startswith(place.files_prefix + "/")
    assert not place.checkpoint_key("x").startswith(place.files_prefix + "/")
    assert StagingLayout(parse_bucket_prefix("s3://models"), "o/m", "c").files_prefix == "o/m/c"
    assert place.checkpoint_key("x") != place.checkpoint_key("y")


@pytest.mark.parametrize(
    "text", ["models", "gs://models", "s3://", "s3://Not_Legal/x", "s3://models/.fluidmodel/x"]
)
def test_other_destinations_than_a_bucket_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_bucket_prefix(text)


def test_buffers_stay_within_their_limit_and_are_reused() -> None:
    buffers = BufferPool(100)
    first, second = buffers.acquire(50), buffers.acquire(50)
    assert first is not None and second is not None and buffers.acquire(50) is None
    buffers.release(first)
    assert buffers.acquire(50) is first
    buffers.release(second)
    assert buffers.acquire(40) is not None  # the free one of another size went
    assert buffers.used == 90 and buffers.peak == 100


def test_one_buffer_larger_than_the_limit_is_granted() -> None:
    buffers = BufferPool(10)
    large = buffers.acquire(50)
    assert large is not None and buffers.acquire(1) is None
    buffers.release(large)
    assert buffers.acquire(1) is not None


SAMPLES = [
    Started("hf://a/b@c", "s3://x", 10, 2, 1, 4),
    TransferProgress(5, 10, 1, 2, 0, 5, 5, 3, ("a",), "trouble"),
    FileFailed("a", "why"),
    Completed("s3://x", "", 10, 2, 3, 4, 1.5),
]


@pytest.mark.parametrize("event", SAMPLES)
def test_events_survive_a_json_log(event: object) -> None:
    line = EVENTS.to_line(event)  # type: ignore[arg-type]
    assert EVENTS.from_line(line) == event


def test_log_lines_of_unknown_versions_are_ignored() -> None:
    assert EVENTS.from_document({"event": "Later"}) is None
    assert EVENTS.from_document({"event": "Progress", "other": 1}) is None


def test_progress_is_summed_over_shards() -> None:
    board = ProgressAggregator(100, 4, shards=2)
    assert board.snapshot().steps[0].state == "waiting" and board.snapshot().done_bytes is None
    for shard, done in ((0, 30), (1, 20)):
        board.handle(Started("", "", 50, 2, shard, 2), shard)
        board.handle(TransferProgress(done - 5, 50, 1, 2, 5, done, done, 5, ("f",)), shard)
    view = board.snapshot()
    assert (view.done_bytes, view.total_bytes) == (50, 100)
    assert view.steps[0].detail.startswith("2 of 4 files, 0 of 2 shards done")
    board.handle(FileFailed("f", "bad"), 1)
    assert board.snapshot().problems == ("shard 1: bad",)
    board.handle(Completed("", "", 50, 2, 0, 0, 1.0), 0)
    board.handle(Started("", "", 50, 2, 1, 2), 1)  # its pod was made anew
    assert board.snapshot().problems == ()
    board.handle(Completed("", "", 50, 2, 0, 0, 1.0), 1)
    assert board.snapshot().steps[0].state == "done"


def test_a_bucket_prefix_has_a_uri() -> None:
    assert BucketPrefix("b").uri == "s3://b" and BucketPrefix("b", "p").uri == "s3://b/p"


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_the_crc32_of_blocks_equals_the_crc32_of_all_bytes(blocks: list[bytes]) -> None:
    crc = Crc32()
    for block in blocks:
        crc.update(memoryview(block))
    value = int.from_bytes(base64.b64decode(crc.base64()), "big")
    assert value == zlib.crc32(b"".join(blocks))


def test_the_crc32_of_the_check_value() -> None:
    """CRC-32/ISO-HDLC of "123456789" is CBF43926."""
    crc = Crc32()
    crc.update(memoryview(b"123456789"))
    assert base64.b64decode(crc.base64()).hex() == "cbf43926"
