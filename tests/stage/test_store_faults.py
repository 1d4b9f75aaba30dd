"""Everything that the store and the way to it can do wrong: a real one behind a proxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials
from kubectl_fluidmodel.stage.bucket import Bucket
from kubectl_fluidmodel.stage.engine import stage_plan
from kubectl_fluidmodel.stage.file_hasher import Crc32
from kubectl_fluidmodel.stage.multipart import NoSuchUploadError
from kubectl_fluidmodel.stage.options import TransferOptions
from kubectl_fluidmodel.stage.verify import verify_staged_model
from tests.stage.faultproxy import FaultProxy
from tests.stage.harness import MIB, MODEL, PART, StagingHarness, random_bytes, wait_until

WithProxy = Callable[[], StagingHarness]
BIG = "model.safetensors"
QUICK = TransferOptions(
    part_size=PART, stall_timeout=1.0, retry_timeout=1.5, progress_interval=0.05, memory=1 << 30
)


def test_failed_parts_are_retried(with_proxy: WithProxy, proxy: FaultProxy) -> None:
    harness = with_proxy()
    harness.add_model()
    faults = [
        proxy.add_fault("refuse", "PUT", "partNumber=1\\b", times=2),
        proxy.add_fault("refuse", "PUT", "partNumber=2\\b", times=1, status=503, code="SlowDown"),
        proxy.add_fault("reset", "PUT", "partNumber=3\\b", times=1),
        proxy.add_fault("lose", "PUT", "partNumber=4\\b", times=1),
        proxy.add_fault("refuse", "PUT", "config.json", times=1),
    ]
    run = harness.stage()
    assert [fault.hits for fault in faults] == [2, 1, 1, 1, 1]
    assert run.completed.read == run.completed.bytes  # nothing was read from the hub for it again
    harness.assert_staged()


@pytest.mark.parametrize("status", [408, 429, 520, 530])
def test_transient_statuses_of_a_gateway_are_retried(
    with_proxy: WithProxy, proxy: FaultProxy, status: int
) -> None:
    """A gateway in front of a store (Cloudflare's before R2) speaks HTML, not S3."""
    harness = with_proxy()
    harness.add_model({BIG: random_bytes(2 * PART), "config.json": b"{}"})
    faults = [
        proxy.add_fault("refuse", method, match, status=status, html=True, times=1)
        for method, match in (
            ("HEAD", ""),
            ("GET", "list-type"),
            ("POST", "uploads"),
            ("PUT", "partNumber=2"),
            ("PUT", "config.json"),
            ("POST", "uploadId="),
            ("DELETE", ""),
        )
    ]
    harness.stage()
    assert [fault.hits for fault in faults] == [1] * len(faults)
    harness.assert_staged()


def test_a_requested_delay_is_waited_for(with_proxy: WithProxy, proxy: FaultProxy) -> None:
    harness = with_proxy()
    harness.add_model({"config.json": b"{}"})
    slow = {"status": 503, "code": "SlowDown", "headers": {"Retry-After": "2"}}
    proxy.add_fault("refuse", "PUT", "config.json", times=1, **slow)
    began = time.monotonic()
    harness.stage()
    assert time.monotonic() - began >= 2.0
    harness.assert_staged()


def test_a_store_that_is_busy_for_seconds_is_retried(
    with_proxy: WithProxy, proxy: FaultProxy
) -> None:
    harness = with_proxy()
    harness.add_model({"config.json": b"{}"})
    busy = proxy.add_fault("refuse", "", status=520, html=True)

    def recover() -> None:
        wait_until(lambda: busy.hits > 0)
        time.sleep(4.0)
        proxy.faults.clear()

    later = threading.Thread(target=recover)
    later.start()
    harness.stage()
    later.join()
    harness.assert_staged()


def test_a_request_without_an_answer_is_retried(with_proxy: WithProxy, proxy: FaultProxy) -> None:
    harness = with_proxy()
    harness.add_model({BIG: random_bytes(2 * PART), "config.json": b"{}"})
    # One each: two stalls of one request would exceed the retry timeout.
    faults = [
        proxy.add_fault("stall", "PUT", match, seconds=60.0, times=1)
        for match in ("partNumber=1", "config.json")
    ]
    run = harness.stage(options=QUICK)
    assert [fault.hits for fault in faults] == [1, 1]
    assert run.completed.seconds < 60
    harness.assert_staged()


def test_etags_of_a_list_may_differ_from_those_of_head(
    with_proxy: WithProxy, proxy: FaultProxy
) -> None:
    harness = with_proxy()
    harness.add_model()
    proxy.add_fault("etags", "GET", "list-type")
    harness.stage()
    again = harness.stage()
    assert set(again.outcomes.values()) == {"found"} and again.completed.sent == 0
    store, place = harness.s3.store(harness.endpoint), harness.layout
    assert (
        verify_staged_model(
            store, place, list(harness.client().list_tree(MODEL, place.commit))
        ).problems
        == []
    )
    # What somebody else writes there is seen all the same.
    harness.s3.client().put_object(
        Bucket=harness.bucket,
        Key=place.object_key("model-00002.safetensors"),
        Body=random_bytes(MIB, 7),
    )
    assert harness.stage().outcomes["model-00002.safetensors"] == "staged"
    harness.assert_staged()


def test_half_an_object_under_the_final_name_is_replaced(harness: StagingHarness) -> None:
    """What a tool left that writes in place; with our own metadata even, as a copy has it."""
    repo = harness.add_model()
    client = harness.s3.client()
    client.create_bucket(Bucket=harness.bucket)
    name = "model-00001.safetensors"
    whole = repo.files[name]
    for metadata in ({}, {"fluidmodel-content": f"sha256:{whole.sha256}"}):
        half = {"Body": whole.data[: whole.size // 2], "Metadata": metadata}
        client.put_object(Bucket=harness.bucket, Key=harness.layout.object_key(name), **half)
        assert harness.stage().outcomes[name] == "staged"
        harness.assert_staged()


def test_bytes_that_are_damaged_in_transit_are_sent_again(
    with_proxy: WithProxy, proxy: FaultProxy
) -> None:
    harness = with_proxy()
    harness.add_model()
    spoilt = [
        proxy.add_fault("spoil", "PUT", "partNumber=2\\b", times=1),
        proxy.add_fault("spoil", "PUT", "00002.safetensors", times=1),
    ]
    harness.stage()
    assert all(fault.hits == 1 for fault in spoilt)
    harness.assert_staged()


def test_a_lost_response_to_complete_does_not_restart_the_file(
    with_proxy: WithProxy, proxy: FaultProxy
) -> None:
    harness = with_proxy()
    harness.add_model()
    lost = proxy.add_fault("lose", "POST", "00001.*uploadId=", times=1)
    run = harness.stage()
    assert lost.hits == 1 and "restarting" not in run.messages
    harness.assert_staged()


@pytest.fixture
def before_the_end(with_proxy: WithProxy, proxy: FaultProxy) -> StagingHarness:
    """A run that ended between the last part of its large file and the word to join them."""
    harness = with_proxy()
    harness.add_model({BIG: random_bytes(4 * PART + 1), "config.json": b"{}"})
    refused = proxy.add_fault("refuse", "POST", "uploadId=", status=403, code="AccessDenied")
    with pytest.raises(FluidModelError, match="complete the upload"):
        harness.stage()
    proxy.faults.remove(refused)
    harness.hub.clear_requests()
    return harness


def join(harness: StagingHarness) -> None:
    """What the store does once it has a request, even if its client is gone."""
    [upload] = harness.uploads()
    client, where = harness.s3.client(), {"Bucket": harness.bucket, "Key": upload["Key"]}
    held = client.list_parts(**where, UploadId=upload["UploadId"])["Parts"]
    fields = ("PartNumber", "ETag", "ChecksumCRC32")
    listed = [{name: part[name] for name in fields if name in part} for part in held]
    client.complete_multipart_upload(
        **where, UploadId=upload["UploadId"], MultipartUpload={"Parts": listed}
    )


def test_a_verified_upload_is_completed_without_reading_the_file(
    before_the_end: StagingHarness,
) -> None:
    run = before_the_end.stage()
    assert run.outcomes[BIG] == "resumed"
    assert before_the_end.hub.body_bytes <= 2  # config.json, if that
    before_the_end.assert_staged()


def test_an_object_that_the_store_is_assembling_is_waited_for(
    before_the_end: StagingHarness, proxy: FaultProxy
) -> None:
    """Some stores hide an upload from the moment on that they are told to complete it."""
    hidden = proxy.add_fault("refuse", "GET", "uploadId=", status=404, code="NoSuchUpload")

    def join_later() -> None:
        wait_until(lambda: hidden.hits > 0)
        time.sleep(1.5)
        join(before_the_end)

    later = threading.Thread(target=join_later)
    later.start()
    run = before_the_end.stage()
    later.join()
    assert hidden.hits and run.outcomes[BIG] == "resumed" and "restarting" not in run.messages
    assert f"the store is still assembling {BIG}" in run.retries
    assert before_the_end.hub.body_bytes <= 2
    before_the_end.assert_staged()


def test_an_object_that_is_not_assembled_in_time_restarts(
    before_the_end: StagingHarness, proxy: FaultProxy
) -> None:
    hidden = proxy.add_fault("refuse", "GET", "uploadId=", status=404, code="NoSuchUpload", times=1)
    run = before_the_end.stage()
    assert hidden.hits == 1 and run.outcomes[BIG] == "staged"
    assert run.completed.read >= 4 * PART
    before_the_end.assert_staged()


@pytest.mark.parametrize("workers", [1, 4])
def test_an_upload_that_is_aborted_restarts(
    with_proxy: WithProxy, proxy: FaultProxy, workers: int
) -> None:
    """Of several workers, a part arrives while it is aborted, and the store keeps that one."""
    harness = with_proxy()
    harness.add_model({"m.safetensors": random_bytes(6 * PART), "config.json": b"{}"})
    client = harness.s3.client()

    def abort() -> None:
        for upload in harness.uploads():
            client.abort_multipart_upload(
                Bucket=harness.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )

    proxy.add_fault("call", "PUT", "partNumber=4\\b", times=1, action=abort)
    run = harness.stage(options=replace(harness.options, workers=workers))
    assert "restarting" in run.messages
    harness.assert_staged()


def test_completing_an_upload_that_lost_parts_is_not_retried(
    with_proxy: WithProxy, proxy: FaultProxy
) -> None:
    """A store that answers InternalError for good to the end of an upload that is not whole."""
    harness = with_proxy()
    harness.add_model({"m.safetensors": random_bytes(2 * PART)})
    plan = harness.plan()
    harness.s3.client().create_bucket(Bucket=harness.bucket)
    bucket = Bucket(harness.s3.store(harness.endpoint), harness.bucket, retry_timeout=120.0)
    key = "models/m.safetensors"
    upload, _ = bucket.create_multipart_upload(key, plan.files[0], plan.commit)
    crc = Crc32()
    crc.update(b"x" * PART)
    held = bucket.upload_part(key, upload, 0, b"x" * PART, crc.base64())
    failing = proxy.add_fault("refuse", "POST", "uploadId=", status=500, code="InternalError")
    began = time.monotonic()
    with pytest.raises(NoSuchUploadError):
        bucket.complete_multipart_upload(key, upload, {0: held, 1: held}, 0.0)
    assert failing.hits == 2
    assert time.monotonic() - began < 60


def test_a_store_without_crc32_gets_md5(with_proxy: WithProxy, proxy: FaultProxy) -> None:
    harness = with_proxy()
    harness.add_model()
    old = proxy.add_fault("refuse", "POST", "uploads", status=501, code="NotImplemented", times=1)
    spoilt = proxy.add_fault("spoil", "PUT", "partNumber=2\\b", times=1)
    harness.stage()
    assert old.hits == 1 and spoilt.hits == 1
    harness.assert_staged()


@pytest.mark.parametrize(
    ("status", "code"), [(507, "XMinioStorageFull"), (507, "InsufficientStorage")]
)
def test_a_full_store_is_an_error(
    with_proxy: WithProxy, proxy: FaultProxy, status: int, code: str
) -> None:
    harness = with_proxy()
    harness.add_model()
    proxy.add_fault("refuse", "PUT", "partNumber=3\\b", status=status, code=code)
    with pytest.raises(FluidModelError, match="store is full") as caught:
        harness.stage()
    assert caught.value.exit_code == 1
    proxy.faults.clear()
    harness.stage()
    harness.assert_staged()


def test_a_skewed_clock_is_named(with_proxy: WithProxy, proxy: FaultProxy) -> None:
    harness = with_proxy()
    harness.add_model()
    proxy.add_fault("refuse", "PUT", "partNumber", status=403, code="RequestTimeTooSkewed")
    with pytest.raises(FluidModelError) as caught:
        harness.stage()
    assert "clock" in caught.value.reason


def test_a_missing_write_permission_is_named(with_proxy: WithProxy, proxy: FaultProxy) -> None:
    harness = with_proxy()
    harness.add_model()
    proxy.add_fault("refuse", "POST", "uploads", status=403, code="AccessDenied")
    with pytest.raises(FluidModelError) as caught:
        harness.stage()
    assert "access denied" in caught.value.reason and "CreateMultipartUpload" in caught.value.reason


def test_a_bucket_that_cannot_be_created_is_an_error(
    with_proxy: WithProxy, proxy: FaultProxy
) -> None:
    harness = with_proxy()
    harness.add_model()
    proxy.add_fault("refuse", "PUT", f"^/{harness.bucket}$", status=403, code="AccessDenied")
    with pytest.raises(FluidModelError, match="does not exist and cannot be created"):
        harness.stage()


def test_an_error_does_not_show_the_keys(harness: StagingHarness) -> None:
    harness.add_model()
    bad = replace(harness.s3.store(), credentials=S3Credentials("FMSTAGINGTESTS", "wrong"))
    with pytest.raises(FluidModelError) as caught:
        list(stage_plan(harness.plan(), bad, harness.destination, QUICK, harness.client()))
    assert "wrong" not in str(caught.value).replace("is wrong", "")


def test_an_unreachable_store_is_an_error_in_bounded_time(
    with_proxy: WithProxy, proxy: FaultProxy
) -> None:
    harness = with_proxy()
    harness.add_model()
    proxy.add_fault("reset", "PUT", "partNumber")
    with pytest.raises(UnreachableError):
        harness.stage(options=QUICK)
    proxy.faults.clear()
    harness.stage()
    harness.assert_staged()


def test_a_store_that_restarts_is_waited_for(
    harness: StagingHarness, with_proxy: WithProxy
) -> None:
    """The server itself, killed and started again in the middle."""
    from tests.stage.s3server import S3Server

    own = S3Server().start()
    try:
        harness.s3, harness.endpoint = own, own.endpoint
        harness.add_model({"m.safetensors": random_bytes(6 * PART), "config.json": b"{}"})
        harness.hub.pause_after = 4 * PART

        def restart() -> None:
            wait_until(lambda: harness.hub.body_bytes >= 4 * PART)
            own.kill()
            harness.hub.pause_after = None
            time.sleep(0.7)
            own.start()

        thread = threading.Thread(target=restart)
        thread.start()
        harness.stage()
        thread.join()
        harness.assert_staged()
    finally:
        own.stop()


def test_a_slow_assembly_is_not_requested_twice(with_proxy: WithProxy, proxy: FaultProxy) -> None:
    harness = with_proxy()
    harness.add_model({BIG: random_bytes(2 * PART), "config.json": b"{}"})
    proxy.add_fault("delay", "POST", "uploadId=", seconds=3.0)
    harness.stage(options=QUICK)
    assert proxy.count("POST", "uploadId=") == 1
    harness.assert_staged()
