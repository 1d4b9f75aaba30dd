"""What `prune` shows: golden files at 80 columns, to be read in a review.

`GOLDEN=write pytest …` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.prune import view
from kubectl_fluidmodel.prune.leftover import (
    BY_NAME,
    CACHE,
    REVISION,
    UPLOAD,
    Leftover,
    ModelUploads,
)

DIRECTORY = Path(__file__).parents[1] / "fixtures" / "prune"
DAY = 86400.0
GIB = 1 << 30
COMMIT = "1a2b3c4d" * 5
LAYOUT = StagingLayout(BucketPrefix("models"), "meta-llama/Llama-3.3-70B-Instruct", COMMIT)
SUBJECT = ModelUploads(S3Store(), LAYOUT)
REMOVE = command("kubectl", "fluidmodel", "prune", "--from", "s3://models", "--yes", "-n", "ml")
FOUND = [
    Leftover(
        REVISION, LAYOUT.uri, 30 * DAY, "no cache in this cluster uses it", SUBJECT, 131 * GIB
    ),
    Leftover(
        UPLOAD, f"{LAYOUT.uri}/model-00001.safetensors", 15.2 * DAY, "it makes no progress",
        SUBJECT, 3 * GIB,
    ),
    Leftover("Job", "ml/llama-stage-5f2d", 14 * DAY, "it has finished", SUBJECT),
    Leftover("Secret", "ml/llama-store", 90 * DAY, "its cache llama does not exist", SUBJECT),
    Leftover(
        "Secret", "ml/qwen-store", 90 * DAY, "its cache qwen does not exist", SUBJECT,
        kept="used by Pod web-0",
    ),
    Leftover(
        CACHE, "ml/old", 60 * DAY, "no pod reads it and no graph mounts it", SUBJECT, 15 * GIB,
        kept=BY_NAME,
    ),
]  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_the_table(width: int) -> None:
    text = view.leftovers_text(FOUND, width=width, remove=REMOVE)
    table = [line for line in text.splitlines() if "to remove" not in line]
    assert max(map(len, table)) <= width
    file = DIRECTORY / f"table-{width}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


def test_in_a_pipe_nothing_is_left_out() -> None:
    text = view.leftovers_text(FOUND, remove=REMOVE)
    unwrapped = " ".join(text.split())
    assert all(leftover.name in unwrapped and leftover.kept in unwrapped for leftover in FOUND)
    assert "…" not in text


def test_an_empty_list_reports_no_leftovers() -> None:
    assert view.leftovers_text([], remove=REMOVE) == "there are no leftovers\n"


def test_where_all_is_only_listed_no_command_removes_it() -> None:
    text = view.leftovers_text(FOUND[-2:], remove=REMOVE)
    assert str(REMOVE) not in text
    assert "to remove the caches, too: kubectl fluidmodel prune old --yes -n ml\n" in text


def test_the_document_counts_what_is_removed() -> None:
    document = view.prune_document(FOUND, removed=False, notes=["note: x"])
    assert document["bytes"] == 134 * GIB
    assert document["items"][-1] == {
        "kind": "cache",
        "name": "ml/old",
        "bytes": 15 * GIB,
        "ageSeconds": 60 * 86400,
        "reason": "no pod reads it and no graph mounts it",
        "kept": "only removed if named",
    }
