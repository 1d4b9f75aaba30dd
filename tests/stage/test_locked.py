"""A bucket with object lock: versions, a default retention, and a demand for checksums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.stage.verify import verify
from tests.stage.harness import MIB, MODEL, PART, Bench, noise
from tests.stage.s3server import S3Server

BIG = "model.safetensors"
FILES = {BIG: noise(3 * PART), "other.safetensors": noise(MIB, 2), "config.json": b"{}"}


@pytest.fixture
def locked(bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    versions = tmp_path / "versions"
    versions.mkdir()
    server = S3Server(backend=(f"--versioning-dir={versions}",))
    try:
        server.start()
        client = server.client()
        client.create_bucket(Bucket=bench.bucket, ObjectLockEnabledForBucket=True)
        client.put_object_lock_configuration(
            Bucket=bench.bucket,
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
            },
        )
        bench.s3, bench.endpoint = server, server.endpoint
        bench.model(FILES)
        yield bench
    finally:
        server.stop()


def test_a_model_is_staged_and_gone_on_with_in_a_locked_bucket(locked: Bench) -> None:
    locked.hub.fault("status", f"blobs.*{BIG}", on="cdn", status=451, skip=2)
    with pytest.raises(FluidModelError):
        locked.stage()
    locked.hub.faults.clear()
    locked.stage()
    locked.assert_staged()
    client, where = locked.s3.client(), {"Bucket": locked.bucket, "Key": locked.place.key(BIG)}
    version = client.head_object(**where)["VersionId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(**where, VersionId=version)
    assert set(locked.stage().how.values()) == {"found"}
    tree = list(locked.client().tree(MODEL, locked.place.commit))
    assert verify(locked.s3.store(), locked.place, tree, read=True).problems == []
