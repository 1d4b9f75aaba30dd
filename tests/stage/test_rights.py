"""With exactly the rights of docs/s3-policies.md: users and policies of a real S3 server."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_objects import list_prefix
from kubectl_fluidmodel.stage import checkpoint
from kubectl_fluidmodel.stage.engine import stage_plan
from kubectl_fluidmodel.stage.events import Event
from kubectl_fluidmodel.stage.report import format_verification
from kubectl_fluidmodel.stage.stale_uploads import abort_stale_uploads
from kubectl_fluidmodel.stage.status import read_status
from kubectl_fluidmodel.stage.verify import verify_staged_model
from tests.stage.faultproxy import FaultProxy
from tests.stage.harness import MIB, MODEL, PART, StagingHarness, StagingRun, random_bytes
from tests.stage.s3server import S3Server

PAGE = Path(__file__).parents[2] / "docs" / "s3-policies.md"
BIG = "model.safetensors"
OPTIONAL = [
    "s3:ListBucket",
    "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
]
FILES = {
    BIG: random_bytes(3 * PART),
    "other.safetensors": random_bytes(MIB, 2),
    "config.json": b"{}",
}
_numbers = itertools.count()

Statement = dict[str, Any]


def documented(*names: str) -> list[Statement]:
    """The statements of the page whose Sid begins so."""
    policies = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    statements = [statement for text in policies for statement in json.loads(text)["Statement"]]
    chosen = [statement for statement in statements if statement["Sid"].startswith(names)]
    assert chosen
    return chosen


def without(right: str) -> list[Statement]:
    """What is advised for `stage`, less one right."""
    statements = [
        {**statement, "Action": [action for action in statement["Action"] if action != right]}
        for statement in documented("StageAll", "StageList")
    ]
    return [statement for statement in statements if statement["Action"]]


Allowed = Callable[[list[Statement]], S3Store]


@pytest.fixture
def allowed(harness: StagingHarness, s3_server: S3Server) -> Iterator[Allowed]:
    """A user of the server with the rights of some statements, in the test's own bucket."""
    harness.destination = replace(harness.destination, prefix="llm")
    harness.add_model(FILES)
    client = harness.s3.client()
    client.create_bucket(Bucket=harness.bucket)
    name = f"user{os.getpid()}n{next(_numbers)}"
    user = s3_server.user(name)

    def made(statements: list[Statement]) -> S3Store:
        policy = json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {**statement, "Sid": f"S{number}", "Principal": {"AWS": [name]}}
                    for number, statement in enumerate(statements)
                ],
            }
        ).replace("arn:aws:s3:::models", f"arn:aws:s3:::{harness.bucket}")
        client.put_bucket_policy(Bucket=harness.bucket, Policy=policy)
        return user

    yield made


def staged(harness: StagingHarness, store: S3Store, workers: int = 6) -> StagingRun:
    run = StagingRun()
    options = replace(harness.options, workers=workers)
    events: Iterator[Event] = stage_plan(
        harness.plan(), store, harness.destination, options, harness.client()
    )
    for event in events:
        run.events.append(event)
    return run


def interrupted(harness: StagingHarness, store: S3Store) -> None:
    """A run that ends with half of the large file stored, and its record written."""
    harness.hub.add_fault("status", f"blobs.*{BIG}", on="cdn", status=451, skip=2)
    with pytest.raises(FluidModelError):
        staged(harness, store, workers=1)
    harness.hub.faults.clear()
    harness.hub.clear_requests()


def assert_there(harness: StagingHarness) -> None:
    for path, content in FILES.items():
        assert harness.get(harness.layout.object_key(path)) == content
    assert harness.manifest() is not None


@pytest.mark.parametrize("hidden", [False, True], ids=["told 404", "told 403"])
def test_the_minimal_permissions_stage_and_resume_a_model(
    harness: StagingHarness, allowed: Allowed, proxy: FaultProxy, hidden: bool
) -> None:
    """Amazon's S3 says 403 of what is not there to who may not list; other stores say 404."""
    least = allowed(documented("StageLeast"))
    if hidden:
        proxy.add_fault("hide", "GET")
        proxy.add_fault("hide", "HEAD")
        least = replace(least, endpoint=proxy.endpoint)
    interrupted(harness, least)
    run = staged(harness, least)
    assert f"restarting {BIG}" in run.messages and "does not list which parts" in run.messages
    assert_there(harness)
    again = staged(harness, least)
    assert set(again.outcomes.values()) == {"found"}
    assert again.completed.read == 0


def test_the_recommended_permissions_leave_nothing_behind(
    harness: StagingHarness, allowed: Allowed
) -> None:
    user = allowed(documented("StageAll", "StageList"))
    interrupted(harness, user)
    run = staged(harness, user)
    assert run.outcomes[BIG] == "resumed"
    harness.assert_staged()


@pytest.mark.parametrize("right", OPTIONAL)
def test_staging_works_without_each_optional_permission(
    harness: StagingHarness, allowed: Allowed, right: str
) -> None:
    user = allowed(without(right))
    interrupted(harness, user)
    run = staged(harness, user)
    goes_on = right != "s3:ListMultipartUploadParts"
    assert run.outcomes[BIG] == ("resumed" if goes_on else "staged")
    assert_there(harness)
    assert set(staged(harness, user).outcomes.values()) == {"found"}
    place = harness.layout
    report = verify_staged_model(
        user, place, list(harness.client().list_tree(MODEL, place.commit)), read_content=True
    )
    assert report.problems == []
    assert bool(report.notes) == (right == "s3:ListBucket")


def test_verify_without_the_list_permission_finds_missing_files(
    harness: StagingHarness, allowed: Allowed
) -> None:
    user = allowed(documented("StageLeast"))
    place = harness.layout
    with pytest.raises(FluidModelError, match="is not staged"):
        verify_staged_model(user, place, None)
    staged(harness, user)
    harness.s3.client().delete_object(Bucket=harness.bucket, Key=place.object_key("config.json"))
    report = verify_staged_model(user, place, None)
    assert report.problems == ["config.json: missing"]
    assert "s3:ListBucket" in report.notes[0] or "denied" in report.notes[0]
    text = format_verification(report, read_content=False)
    assert "config.json: missing" in text and "note: could not check for other objects" in text


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (405, "MethodNotAllowed")])
@pytest.mark.parametrize(
    ("method", "match"),
    [("GET", "uploadId="), ("DELETE", "uploadId="), ("DELETE", r"\.fluidmodel")],
    ids=["list parts", "abort", "delete"],
)
def test_staging_works_on_stores_without_an_optional_operation(
    with_proxy: Callable[[], StagingHarness],
    proxy: FaultProxy,
    method: str,
    match: str,
    status: int,
    code: str,
) -> None:
    harness = with_proxy()
    harness.add_model(FILES)
    store = harness.s3.store(harness.endpoint)
    proxy.add_fault("refuse", method, match, status=status, code=code)
    interrupted(harness, store)
    staged(harness, store)
    assert_there(harness)


def test_a_failed_part_is_retried_without_the_permission_to_list_parts(
    with_proxy: Callable[[], StagingHarness], proxy: FaultProxy
) -> None:
    harness = with_proxy()
    harness.add_model(FILES)
    proxy.add_fault("refuse", "GET", "uploadId=", status=403, code="AccessDenied")
    failing = proxy.add_fault("refuse", "PUT", "partNumber=2", status=500, times=4)
    harness.stage()
    assert failing.hits == 4
    assert_there(harness)


def test_a_missing_read_permission_is_named(harness: StagingHarness, allowed: Allowed) -> None:
    [least] = documented("StageLeast")
    user = allowed([{**least, "Action": ["s3:PutObject"]}])
    with pytest.raises(FluidModelError, match="cannot look up") as caught:
        staged(harness, user)
    assert "denied" in caught.value.reason and "HeadObject" in caught.value.reason


def test_a_missing_abort_or_list_permission_is_named(
    harness: StagingHarness, allowed: Allowed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "ACTIVE_FOR", 0.0)
    user = allowed(without("s3:AbortMultipartUpload"))
    interrupted(harness, user)
    with pytest.raises(FluidModelError, match="cannot abort") as caught:
        abort_stale_uploads(user, harness.destination, MODEL, 0.0)
    assert "s3:AbortMultipartUpload" in caught.value.hint
    user = allowed(without("s3:ListBucket"))
    with pytest.raises(FluidModelError, match="cannot look for stale uploads") as caught:
        abort_stale_uploads(user, harness.destination, MODEL, 0.0)
    assert "s3:ListBucket" in caught.value.hint
    user = allowed(without("s3:ListMultipartUploadParts"))
    assert [
        upload.aborted for upload in abort_stale_uploads(user, harness.destination, MODEL, 0.0)
    ] == [True]
    assert not harness.uploads()


def test_the_status_needs_only_the_minimal_permissions(
    harness: StagingHarness, allowed: Allowed
) -> None:
    user = allowed(documented("StageLeast"))
    plan = harness.plan()
    assert read_status(user, plan, harness.destination).remaining_bytes == plan.bytes
    staged(harness, user)
    status = read_status(user, plan, harness.destination)
    assert status.remaining_bytes == 0 and status.has_manifest


def test_the_read_permissions_suffice_to_list_a_model(
    harness: StagingHarness, allowed: Allowed
) -> None:
    harness.stage()
    reader = allowed(documented("Read"))
    listed = list_prefix(reader, harness.bucket, harness.layout.files_prefix)
    assert {file.path: file.size for file in listed.files} == {
        path: len(content) for path, content in FILES.items()
    }
    assert set(staged(harness, reader).outcomes.values()) == {"found"}
    harness.add_model({"new.json": b"1"})
    with pytest.raises(FluidModelError, match="cannot write") as caught:
        staged(harness, reader)
    assert "denied" in caught.value.reason and "PutObject" in caught.value.reason
