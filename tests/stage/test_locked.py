"""A bucket with object lock: versions, a default retention, and a demand for checksums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.stage.verify import verify_staged_model
from tests.stage.harness import MIB, MODEL, PART, StagingHarness, random_bytes
from tests.stage.s3server import S3Server

BIG = "model.safetensors"
FILES = {
    BIG: random_bytes(3 * PART),
    "other.safetensors": random_bytes(MIB, 2),
    "config.json": b"{}",
}


@pytest.fixture
def locked(harness: StagingHarness, tmp_path: Path) -> Iterator[StagingHarness]:
    versions = tmp_path / "versions"
    versions.mkdir()
    server = S3Server(f"-versions={versions}")
    try:
        server.start()
        client = server.client()
        client.create_bucket(Bucket=harness.bucket, ObjectLockEnabledForBucket=True)
        client.put_object_lock_configuration(
            Bucket=harness.bucket,
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
            },
        )
        harness.s3, harness.endpoint = server, server.endpoint
        harness.add_model(FILES)
        yield harness
    finally:
        server.stop()


def test_a_model_is_staged_and_resumed_in_a_bucket_with_object_lock(locked: StagingHarness) -> None:
    locked.hub.add_fault("status", f"blobs.*{BIG}", on="cdn", status=451, skip=2)
    with pytest.raises(FluidModelError):
        locked.stage()
    locked.hub.faults.clear()
    locked.stage()
    locked.assert_staged()
    client, where = (
        locked.s3.client(),
        {"Bucket": locked.bucket, "Key": locked.layout.object_key(BIG)},
    )
    version = client.head_object(**where)["VersionId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(**where, VersionId=version)
    assert set(locked.stage().outcomes.values()) == {"found"}
    tree = list(locked.client().list_tree(MODEL, locked.layout.commit))
    assert (
        verify_staged_model(locked.s3.store(), locked.layout, tree, read_content=True).problems
        == []
    )
