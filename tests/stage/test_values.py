"""The small pure pieces: records, manifests, places, memory, events, the board."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import Destination, Place, destination
from kubectl_fluidmodel.stage import checkpoint, manifest
from kubectl_fluidmodel.stage.buffer_pool import MIB, Buffers, check
from kubectl_fluidmodel.stage.checkpoint import Part, Record
from kubectl_fluidmodel.stage.events import (
    Began,
    Ended,
    FileFailed,
    Progress,
    from_document,
    to_document,
)
from kubectl_fluidmodel.stage.file_hasher import Crc32
from kubectl_fluidmodel.stage.manifest import Entry, Manifest
from kubectl_fluidmodel.stage.options import Options
from kubectl_fluidmodel.stage.progress import Board

FILE = PlanFile("a/b.safetensors", 100, "sha256", "ab" * 32)
RECORD = Record(FILE.path, FILE.identity, FILE.size, "upload", 30, "crc32")


@given(st.binary(max_size=300))
def test_no_text_makes_a_record_that_crashes(text: bytes) -> None:
    assert checkpoint.load(text) is None


def test_records_survive_and_trust_only_what_they_saw() -> None:
    held = {number: Part(f"etag{number}", 30, "c") for number in range(3)}
    here = RECORD.at(2, held, b"s" * 32)
    assert checkpoint.load(here.dump()) == here
    assert here.fits(FILE) and here.trusts(held)
    assert not here.trusts({**held, 1: Part("other", 30, "c")})
    assert not here.trusts({**held, 1: Part("etag1", 29, "c")})
    assert not here.trusts({0: held[0]})
    assert here.trusts({**held, 2: Part("other", 1)})  # beyond what it speaks of
    assert RECORD.trusts({})
    assert not here.fits(PlanFile(FILE.path, 100, "sha256", "cd" * 32))


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
def test_records_that_make_no_sense_are_none(change: dict[str, object]) -> None:
    assert checkpoint.load(json.dumps({**json.loads(RECORD.dump()), **change}).encode()) is None


def test_manifests_survive() -> None:
    made = Manifest("a/b", "c" * 40, (Entry(FILE, "etag"),), staged_at="2026-01-01T00:00:00Z")
    assert manifest.load(made.text()) == made
    assert made.covers((FILE,)) and made.listing().bytes == 100


@pytest.mark.parametrize(
    ("size", "memory", "room", "wanted", "words"),
    [
        (500 << 30, 256, 128, 0, ""),  # the largest file that the Hub takes
        (5 << 40, 256, 128, 0, "--memory 704Mi"),  # the largest object that S3 takes
        (5 << 40, 704, 576, 0, ""),
        (1 << 30, 256, 128, 512 * MIB, "--memory 640Mi"),
        (100 * MIB, 256, 128, 512 * MIB, ""),  # it goes up whole
        (0, 256, 128, 0, ""),
    ],
)
def test_parts_that_memory_has_no_room_for(
    size: int, memory: int, room: int, wanted: int, words: str
) -> None:
    files = [FILE, PlanFile("big", size, "sha256", "ab" * 32)]
    options = Options(memory=memory * MIB, part_size=wanted)
    if not words:
        return check(files, room * MIB, options)
    with pytest.raises(UsageError, match="is too little: a part of big takes") as told:
        check(files, room * MIB, options)
    assert told.value.try_ == words
    # What is advised suffices.
    check(files, room * MIB + (int(words[9:-2]) - memory) * MIB, options)
    return None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"apiVersion": "v1", "kind": "Pod"}'])
def test_what_is_no_manifest(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        manifest.load(text)


def test_a_manifest_whose_counts_are_wrong_is_none() -> None:
    made = json.loads(Manifest("a/b", "c" * 40, (Entry(FILE, "e"),)).text())
    with pytest.raises(ValueError, match="bytes"):
        manifest.load(json.dumps({**made, "bytes": 99}))


def test_places() -> None:
    place = Place(destination("s3://models/some/prefix/"), "org/model", "c" * 40)
    assert place.uri == f"s3://models/some/prefix/org/model/{'c' * 40}"
    assert place.source.uri == place.uri and place.source.model == "model"
    assert not place.manifest.startswith(place.files + "/")
    assert not place.record("x").startswith(place.files + "/")
    assert Place(destination("s3://models"), "o/m", "c").files == "o/m/c"
    assert place.record("x") != place.record("y")


@pytest.mark.parametrize(
    "text", ["models", "gs://models", "s3://", "s3://Not_Legal/x", "s3://models/.fluidmodel/x"]
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(UsageError):
        destination(text)


def test_buffers_stay_within_their_limit_and_are_used_again() -> None:
    buffers = Buffers(100)
    first, second = buffers.take(50), buffers.take(50)
    assert first is not None and second is not None and buffers.take(50) is None
    buffers.give(first)
    assert buffers.take(50) is first
    buffers.give(second)
    assert buffers.take(40) is not None  # the free one of another size went
    assert buffers.used == 90 and buffers.most == 100


def test_one_buffer_larger_than_the_limit_is_given() -> None:
    buffers = Buffers(10)
    large = buffers.take(50)
    assert large is not None and buffers.take(1) is None
    buffers.give(large)
    assert buffers.take(1) is not None


EVENTS = [
    Began("hf://a/b@c", "s3://x", 10, 2, 1, 4),
    Progress(5, 10, 1, 2, 0, 5, 5, 3, ("a",), "trouble"),
    FileFailed("a", "why"),
    Ended("s3://x", "", 10, 2, 3, 4, 1.5),
]


@pytest.mark.parametrize("event", EVENTS)
def test_events_survive_a_log(event: object) -> None:
    line = json.dumps(to_document(event))  # type: ignore[arg-type]
    assert from_document(json.loads(line)) == event


def test_lines_of_other_versions_are_ignored() -> None:
    assert from_document({"event": "Later"}) is None
    assert from_document({"event": "Progress", "other": 1}) is None


def test_a_board_adds_up_shards() -> None:
    board = Board(100, 4, shards=2)
    assert board.view().steps[0].state == "waiting" and board.view().cached is None
    for shard, done in ((0, 30), (1, 20)):
        board.take(Began("", "", 50, 2, shard, 2), shard)
        board.take(Progress(done - 5, 50, 1, 2, 5, done, done, 5, ("f",)), shard)
    view = board.view()
    assert (view.cached, view.total) == (50, 100) and board.found == 10
    assert view.steps[0].detail.startswith("2 of 4 files, 0 of 2 shards done")
    board.take(FileFailed("f", "bad"), 1)
    assert board.view().problems == ("shard 1: bad",)
    board.take(Ended("", "", 50, 2, 0, 0, 1.0), 0)
    board.take(Began("", "", 50, 2, 1, 2), 1)  # its pod was made anew
    assert board.view().problems == ()
    board.take(Ended("", "", 50, 2, 0, 0, 1.0), 1)
    assert board.view().steps[0].state == "done"


def test_a_destination_has_a_uri() -> None:
    assert Destination("b").uri == "s3://b" and Destination("b", "p").uri == "s3://b/p"


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_a_crc_is_what_s3_means_by_it(blocks: list[bytes]) -> None:
    crc = Crc32()
    for block in blocks:
        crc.add(memoryview(block))
    said = int.from_bytes(base64.b64decode(crc.text()), "big")
    assert said == zlib.crc32(b"".join(blocks))


def test_the_crc_of_the_check_value() -> None:
    """CRC-32/ISO-HDLC of "123456789" is CBF43926."""
    crc = Crc32()
    crc.add(memoryview(b"123456789"))
    assert base64.b64decode(crc.text()).hex() == "cbf43926"
