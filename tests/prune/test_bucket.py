"""Revisions and uploads in a real bucket: what is found there, and what a removal leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objectstore.layout import BucketPrefix
from kubectl_fluidmodel.prune.bucket_reader import read_bucket
from kubectl_fluidmodel.prune.leftover import REVISION, Leftover, StoredRevision
from kubectl_fluidmodel.prune.removal import Remover
from kubectl_fluidmodel.stage.bucket import Bucket
from tests.kube.server import client
from tests.loopback import HttpResponse, serve
from tests.stage.harness import MODEL, StagingHarness
from tests.stage.test_rights import Allowed, documented


@pytest.fixture
def remover() -> Iterator[Remover]:
    with serve(lambda _: HttpResponse(500)) as server:  # nothing here asks the cluster
        yield Remover(client(server), 0.0, lambda _: False, lambda text: None)


def keys(harness: StagingHarness) -> list[str]:
    listed = harness.s3.client().list_objects_v2(Bucket=harness.bucket)
    return sorted(entry["Key"] for entry in listed.get("Contents") or [])


def put(harness: StagingHarness, key: str, body: bytes = b"?") -> None:
    harness.s3.client().put_object(Bucket=harness.bucket, Key=key, Body=body)


def revisions(harness: StagingHarness, prefix: str = "models") -> dict[str, StoredRevision]:
    contents = read_bucket(harness.s3.store(), BucketPrefix(harness.bucket, prefix))
    return {revision.layout.commit: revision for revision in contents.revisions}


def leftover(revision: StoredRevision) -> Leftover:
    return Leftover(REVISION, revision.layout.uri, revision.age, "", revision)


def stage_two(harness: StagingHarness) -> tuple[str, str]:
    """Two commits of one model; returns the older and the newer one."""
    repo = harness.add_model()
    old = repo.head
    harness.stage()
    repo.commit({"config.json": b'{"model_type": "tiny"}', "w.safetensors": b"x" * 1000})
    harness.stage()
    return old, repo.head


def test_each_complete_commit_is_a_revision_with_its_bytes(harness: StagingHarness) -> None:
    old, new = stage_two(harness)
    by_commit = revisions(harness)
    assert set(by_commit) == {old, new}
    assert by_commit[new].stored_bytes == 1022
    assert set(by_commit[new].files) == {"config.json", "w.safetensors"}
    assert 0 <= by_commit[old].age < 120 and not by_commit[old].is_removing


@pytest.mark.parametrize("prefix", ["", "models", "models/acme", f"models/{MODEL}"])
def test_they_are_found_from_any_directory_above(harness: StagingHarness, prefix: str) -> None:
    old, new = stage_two(harness)
    by_commit = revisions(harness, prefix)
    assert set(by_commit) == {old, new}
    assert by_commit[new].layout.destination == harness.destination
    assert revisions(harness, "models/other") == {}


def test_removing_one_keeps_the_other_and_foreign_objects(
    harness: StagingHarness, remover: Remover
) -> None:
    old, new = stage_two(harness)
    by_commit = revisions(harness)
    put(harness, f"models/{MODEL}/{old}/notes.txt")
    put(harness, f"models/{MODEL}/{old}/config.json", b"changed by hand")
    put(harness, "elsewhere/data")
    before = set(keys(harness))
    [line] = remover.remove(leftover(by_commit[old]))
    assert line.endswith("; 2 other objects stay")
    gone = before - set(keys(harness))
    assert gone == {
        *(
            by_commit[old].layout.object_key(path)
            for path in by_commit[old].files
            if path != "config.json"
        ),
        by_commit[old].layout.manifest_key,
    }
    assert set(revisions(harness)) == {new}


def test_an_interrupted_removal_is_no_complete_revision_and_is_continued(
    harness: StagingHarness, remover: Remover, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = stage_two(harness)
    calls = []
    remove = Bucket.remove_object

    def stop_after_two(self: Bucket, key: str) -> None:
        calls.append(key)
        if len(calls) > 2:
            raise KeyboardInterrupt
        remove(self, key)

    monkeypatch.setattr(Bucket, "remove_object", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        list(remover.remove(leftover(revisions(harness)[old])))
    monkeypatch.undo()
    half = revisions(harness)[old]
    assert half.is_removing
    assert half.layout.manifest_key not in keys(harness), "nobody takes it for complete"
    list(remover.remove(leftover(half)))
    assert not [key for key in keys(harness) if old in key]


def test_a_commit_that_is_staged_again_after_half_a_removal_is_complete(
    harness: StagingHarness,
) -> None:
    repo = harness.add_model()
    harness.stage()
    [revision] = revisions(harness).values()
    text = (
        harness.s3.client()
        .get_object(Bucket=harness.bucket, Key=revision.layout.manifest_key)["Body"]
        .read()
    )
    put(harness, revision.layout.removal_key, text)
    assert not revisions(harness)[repo.head].is_removing


def test_a_revision_used_in_the_meantime_is_kept(harness: StagingHarness, remover: Remover) -> None:
    old, _ = stage_two(harness)
    before = keys(harness)
    used = replace(remover, is_mounted=lambda revision: revision.layout.commit == old)
    with pytest.raises(FluidModelError, match="is used again"):
        list(used.remove(leftover(revisions(harness)[old])))
    assert keys(harness) == before


@pytest.mark.parametrize("text", [b"", b"{}", b"not json", b'{"apiVersion": "v1"}'])
def test_a_damaged_manifest_proves_nothing(harness: StagingHarness, text: bytes) -> None:
    harness.add_model()
    harness.stage()
    [revision] = revisions(harness).values()
    put(harness, revision.layout.manifest_key, text)
    contents = read_bucket(harness.s3.store(), harness.destination)
    assert contents.revisions == ()
    assert "its files are not changed" in contents.notes[0]


def test_a_manifest_of_another_commit_proves_nothing(harness: StagingHarness) -> None:
    old, new = stage_two(harness)
    by_commit = revisions(harness)
    s3 = harness.s3.client()
    s3.copy_object(
        Bucket=harness.bucket,
        Key=by_commit[old].layout.manifest_key,
        CopySource={"Bucket": harness.bucket, "Key": by_commit[new].layout.manifest_key},
    )
    assert set(revisions(harness)) == {new}


def test_a_bucket_without_staged_models_has_no_leftovers(harness: StagingHarness) -> None:
    harness.s3.client().create_bucket(Bucket=harness.bucket)
    put(harness, "a/b/c")
    assert revisions(harness, "") == {}


def test_a_bucket_that_is_not_there_is_one_line(harness: StagingHarness) -> None:
    with pytest.raises(FluidModelError) as caught:
        read_bucket(harness.s3.store(), BucketPrefix("no-such-bucket"))
    assert "no-such-bucket" in str(caught.value)


def test_the_documented_rights_are_enough(
    harness: StagingHarness, remover: Remover, allowed: Allowed
) -> None:
    harness.stage()
    store = allowed(documented("PruneObjects", "PruneList"))
    [revision] = read_bucket(store, harness.destination).revisions
    list(remover.remove(leftover(revision)))
    assert keys(harness) == []


def test_keys_that_may_only_read_remove_nothing(
    harness: StagingHarness, remover: Remover, allowed: Allowed
) -> None:
    harness.stage()
    before = keys(harness)
    few = ["s3:GetObject", "s3:ListBucket"]
    statements = [
        {**statement, "Action": [action for action in statement["Action"] if action in few]}
        for statement in documented("PruneObjects", "PruneList")
    ]
    [revision] = read_bucket(allowed(statements), harness.destination).revisions
    with pytest.raises(FluidModelError) as caught:
        list(remover.remove(leftover(revision)))
    assert "cannot write" in str(caught.value)
    assert keys(harness) == before
