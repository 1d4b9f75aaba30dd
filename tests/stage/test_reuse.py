"""A new commit takes the files that it shares with another one from the bucket."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubectl_fluidmodel.stage import bucket
from tests.stage.faultproxy import FaultProxy
from tests.stage.harness import PART, StagingHarness, random_bytes

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
    monkeypatch.setattr(bucket, "_COPY_SIZE", PART)
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
