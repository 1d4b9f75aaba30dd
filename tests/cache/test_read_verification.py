"""`--verify read`: what pods read is compared with what the model must be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest

from kubectl_fluidmodel.cache.claim_reader import FileRead
from kubectl_fluidmodel.cache.options import CacheFlags, ReaderPod, StagingFlags, parse_options
from kubectl_fluidmodel.cache.read_verification import (
    ExpectedFile,
    compare_files,
    expected_files,
)
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.model.plan import PlanFile


def read_file(path: str, data: bytes) -> FileRead:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return FileRead(path, len(data), hashlib.sha256(data).hexdigest(), blob)


WEIGHTS, CONFIG = b"weights", b"{}"
EXPECTED = {
    "model.safetensors": ExpectedFile(len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest()),
    "config.json": ExpectedFile(len(CONFIG), read_file("", CONFIG).git, is_git=True),
    "README.md": ExpectedFile(4),
}
READ = {
    file.path: file
    for file in (
        read_file("model.safetensors", WEIGHTS),
        read_file("config.json", CONFIG),
        read_file("README.md", b"read"),
    )
}


@dataclass(frozen=True)
class Row:
    """What a pod has read, and what is said of it."""

    id: str
    changed: dict[str, FileRead | None] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()


ROWS = [
    Row("all as expected"),
    Row("a file beside the model", changed={"notes.txt": read_file("notes.txt", b"x")}),
    Row(
        "one file is missing",
        changed={"config.json": None},
        wrong=("config.json: missing",),
    ),
    Row(
        "one is shorter",
        changed={"README.md": read_file("README.md", b"rea")},
        wrong=("README.md: 3 bytes instead of 4",),
    ),
    Row(
        "weights with another byte",
        changed={"model.safetensors": read_file("model.safetensors", b"Weights")},
        wrong=("model.safetensors: its content differs from the Hub's",),
    ),
    Row(
        "a small file with another byte",
        changed={"config.json": read_file("config.json", b"[]")},
        wrong=("config.json: its content differs from the Hub's",),
    ),
    Row(
        "a file that cannot be read",
        changed={"model.safetensors": None},
        failed={"model.safetensors": "Input/output error"},
        wrong=("model.safetensors: Input/output error",),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_difference_is_named(row: Row) -> None:
    read = {**READ, **row.changed}
    problems = compare_files(
        EXPECTED, {path: file for path, file in read.items() if file}, row.failed
    )
    assert tuple(problems) == row.wrong


def test_a_model_of_the_hub_is_compared_by_hash_and_others_by_size() -> None:
    listing = FileListing((SourceFile("a", 1), SourceFile("b", 2)))
    assert expected_files(listing, ()) == {"a": ExpectedFile(1), "b": ExpectedFile(2)}
    staged = (PlanFile("a", 1, "sha256", "f" * 64), PlanFile("b", 2, "git", "e" * 40))
    assert expected_files(listing, staged) == {
        "a": ExpectedFile(1, "f" * 64),
        "b": ExpectedFile(2, "e" * 40, is_git=True),
    }
    assert expected_files(None, ()) == {}


def test_reading_requires_an_image_a_load_and_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FLUIDMODEL_IMAGE", raising=False)
    read = CacheFlags(verify="read")
    with_image = StagingFlags(image="img:1", pull_secrets=("registry",))
    with pytest.raises(UsageError, match="--verify read needs an image"):
        parse_options("s3://models/llama", read)
    reader = parse_options("s3://models/llama", read, staging=with_image).reader
    assert reader is not None
    assert (reader.image, reader.network.pull_secrets) == ("img:1", ("registry",))
    monkeypatch.setenv("FLUIDMODEL_IMAGE", "img:2")
    assert parse_options("s3://models/llama", read).reader == ReaderPod("img:2")
    with pytest.raises(UsageError, match="--verify read with --no-load"):
        parse_options("s3://models/llama", CacheFlags(verify="read", load=False))
    with pytest.raises(UsageError, match="--verify read with --no-wait"):
        parse_options("s3://models/llama", read, waiting=(False, 1.0))
    monkeypatch.delenv("FLUIDMODEL_IMAGE")
    assert parse_options("s3://models/llama", CacheFlags()).reader is None
