"""Which revisions no cache uses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objectstore.layout import (
    BucketPrefix,
    StagingLayout,
    layout_of_state_key,
)
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.prune.leftover import StoredRevision
from kubectl_fluidmodel.prune.revisions import Uses, find_unused_revisions, find_uses
from tests.inventory import samples

COMMIT = "a" * 40
LAYOUT = StagingLayout(BucketPrefix("models", "llm"), "acme/llama", COMMIT)
AT_ROOT = f"s3://models/acme/llama/{COMMIT}"
DAY = 86400.0
OLD = StoredRevision(S3Store(), LAYOUT, {"config.json": (2, "e")}, 2, 20 * DAY)
NOTHING = Uses((), ())


def dataset(point: str) -> Object:
    return samples.dataset(source=point)


@dataclass(frozen=True)
class Mount:
    """What a Dataset mounts, and whether the revision is used by it."""

    point: str
    is_used: bool


MOUNTS = [
    Mount(f"s3://models/llm/acme/llama/{COMMIT}", True),
    Mount(f"s3://models/llm/acme/llama/{COMMIT}/", True),
    Mount(f"s3a://models/llm/acme/llama/{COMMIT}", True),
    Mount(f"s3://models/llm/acme/llama/{COMMIT}/onnx", True),
    Mount("s3://models/llm/acme", True),
    Mount("s3://models", True),
    Mount("s3://models/llm/acme/llama/" + "b" * 40, False),
    Mount("s3://models/llm/acme/llam", False),
    Mount(f"s3://other/llm/acme/llama/{COMMIT}", False),
    Mount("pvc://models/llm", False),
]


@pytest.mark.parametrize("row", MOUNTS, ids=lambda row: row.point)
def test_a_dataset_uses_what_it_mounts_and_what_lies_below(row: Mount) -> None:
    uses = find_uses([dataset("s3://elsewhere/x"), dataset(row.point)], [])
    assert (find_unused_revisions([OLD], uses, 14 * DAY) == []) is row.is_used


def test_what_an_active_job_stages_is_used() -> None:
    notes = {"fluidmodel.io/source": f"hf://acme/llama@{COMMIT}"}
    job = samples.make_object("Job", "llama-stage-1", annotations=notes)
    assert find_unused_revisions([OLD], find_uses([], [job]), 0) == []
    ended = {**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    ended["metadata"]["creationTimestamp"] = samples.BORN
    assert len(find_unused_revisions([OLD], find_uses([], [ended]), 0)) == 1


def test_an_unused_revision_is_left_over_once_it_is_old() -> None:
    [leftover] = find_unused_revisions([OLD], NOTHING, 14 * DAY)
    assert (leftover.kind, leftover.name, leftover.is_removed) == ("revision", LAYOUT.uri, True)
    assert find_unused_revisions([replace(OLD, age=DAY)], NOTHING, 14 * DAY) == []


def test_an_interrupted_removal_is_continued_however_young() -> None:
    [leftover] = find_unused_revisions([replace(OLD, age=1.0, is_removing=True)], NOTHING, 14 * DAY)
    assert leftover.reason == "its removal was interrupted"


def test_where_not_all_datasets_are_known_it_is_only_listed() -> None:
    [leftover] = find_unused_revisions([OLD], replace(NOTHING, unread="who knows"), 14 * DAY)
    assert leftover.kept == "who knows"


@pytest.mark.parametrize(
    ("key", "uri", "rest"),
    [
        (f"llm/acme/llama/.fluidmodel/{COMMIT}/manifest.json", LAYOUT.uri, "manifest.json"),
        (f"acme/llama/.fluidmodel/{COMMIT}/uploads/x", AT_ROOT, "uploads/x"),
        (f"llama/.fluidmodel/{COMMIT}/manifest.json", "", ""),
        (f"acme/llama/{COMMIT}/config.json", "", ""),
        ("acme/llama/.fluidmodel/manifest.json", "", ""),
    ],
)  # fmt: skip
def test_a_state_key_contains_its_commit(key: str, uri: str, rest: str) -> None:
    layout_and_rest = layout_of_state_key("models", key)
    assert (
        (layout_and_rest[0].uri, layout_and_rest[1]) == (uri, rest)
        if layout_and_rest
        else uri == ""
    )
