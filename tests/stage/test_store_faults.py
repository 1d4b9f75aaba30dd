"""Everything that the store and the way to it can do wrong: a real one behind a proxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from kubectl_fluidmodel.errors import FluidModelError, Unreachable
from kubectl_fluidmodel.objectstore.s3 import Credentials
from kubectl_fluidmodel.stage.bucket import Bucket, Gone
from kubectl_fluidmodel.stage.engine import stage
from kubectl_fluidmodel.stage.file_hasher import Crc32
from kubectl_fluidmodel.stage.options import Options
from kubectl_fluidmodel.stage.verify import verify
from tests.stage.faultproxy import FaultProxy
from tests.stage.harness import MIB, MODEL, PART, Bench, noise, until

Faulty = Callable[[], Bench]
BIG = "model.safetensors"
QUICK = Options(part_size=PART, stall=1.0, patience=1.5, tick=0.05, memory=1 << 30)


def test_parts_that_fail_are_sent_again(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model()
    troubles = [
        proxy.trouble("refuse", "PUT", "partNumber=1\\b", times=2),
        proxy.trouble("refuse", "PUT", "partNumber=2\\b", times=1, status=503, code="SlowDown"),
        proxy.trouble("reset", "PUT", "partNumber=3\\b", times=1),
        proxy.trouble("lose", "PUT", "partNumber=4\\b", times=1),
        proxy.trouble("refuse", "PUT", "config.json", times=1),
    ]
    run = bench.stage()
    assert [each.hits for each in troubles] == [2, 1, 1, 1, 1]
    assert run.ended.read == run.ended.bytes  # nothing was read from the hub for it again
    bench.assert_staged()


@pytest.mark.parametrize("status", [408, 429, 520, 530])
def test_answers_that_pass_whoever_gives_them(
    faulty: Faulty, proxy: FaultProxy, status: int
) -> None:
    """A gateway in front of a store (Cloudflare's before R2) speaks HTML, not S3."""
    bench = faulty()
    bench.model({BIG: noise(2 * PART), "config.json": b"{}"})
    troubles = [
        proxy.trouble("refuse", method, match, status=status, html=True, times=1)
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
    bench.stage()
    assert [each.hits for each in troubles] == [1] * len(troubles)
    bench.assert_staged()


def test_a_pause_that_the_store_asks_for(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model({"config.json": b"{}"})
    slow = {"status": 503, "code": "SlowDown", "headers": {"Retry-After": "2"}}
    proxy.trouble("refuse", "PUT", "config.json", times=1, **slow)
    began = time.monotonic()
    bench.stage()
    assert time.monotonic() - began >= 2.0
    bench.assert_staged()


def test_a_store_that_is_busy_for_longer_than_a_few_attempts(
    faulty: Faulty, proxy: FaultProxy
) -> None:
    bench = faulty()
    bench.model({"config.json": b"{}"})
    proxy.trouble("refuse", "", status=520, html=True)
    later = threading.Timer(4.0, proxy.troubles.clear)
    later.start()
    bench.stage()
    later.join()
    bench.assert_staged()


def test_a_store_that_takes_a_request_and_never_answers(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model({BIG: noise(2 * PART), "config.json": b"{}"})
    silent = proxy.trouble("stall", "PUT", "partNumber=1|config.json", seconds=60.0, times=2)
    run = bench.stage(options=QUICK)
    assert silent.hits == 2
    assert run.ended.seconds < 60
    bench.assert_staged()


def test_a_list_that_tells_other_etags_than_head(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model()
    proxy.trouble("etags", "GET", "list-type")
    bench.stage()
    again = bench.stage()
    assert set(again.how.values()) == {"found"} and again.ended.sent == 0
    store, place = bench.s3.store(bench.endpoint), bench.place
    assert verify(store, place, list(bench.client().tree(MODEL, place.commit))).problems == []
    # What somebody else writes there is seen all the same.
    bench.s3.client().put_object(
        Bucket=bench.bucket, Key=place.key("model-00002.safetensors"), Body=noise(MIB, 7)
    )
    assert bench.stage().how["model-00002.safetensors"] == "staged"
    bench.assert_staged()


def test_half_an_object_under_the_final_name(bench: Bench) -> None:
    """What a tool left that writes in place; with our own metadata even, as a copy has it."""
    repo = bench.model()
    client = bench.s3.client()
    client.create_bucket(Bucket=bench.bucket)
    name = "model-00001.safetensors"
    whole = repo.files[name]
    for metadata in ({}, {"fluidmodel-content": f"sha256:{whole.sha256}"}):
        half = {"Body": whole.data[: whole.size // 2], "Metadata": metadata}
        client.put_object(Bucket=bench.bucket, Key=bench.place.key(name), **half)
        assert bench.stage().how[name] == "staged"
        bench.assert_staged()


def test_bytes_that_change_on_their_way_are_refused_and_sent_again(
    faulty: Faulty, proxy: FaultProxy
) -> None:
    bench = faulty()
    bench.model()
    spoilt = [
        proxy.trouble("spoil", "PUT", "partNumber=2\\b", times=1),
        proxy.trouble("spoil", "PUT", "00002.safetensors", times=1),
    ]
    bench.stage()
    assert all(each.hits == 1 for each in spoilt)
    bench.assert_staged()


def test_an_answer_to_complete_that_is_lost(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model()
    lost = proxy.trouble("lose", "POST", "00001.*uploadId=", times=1)
    run = bench.stage()
    assert lost.hits == 1 and "starts over" not in run.notes
    bench.assert_staged()


@pytest.fixture
def before_the_end(faulty: Faulty, proxy: FaultProxy) -> Bench:
    """A run that ended between the last part of its large file and the word to join them."""
    bench = faulty()
    bench.model({BIG: noise(4 * PART + 1), "config.json": b"{}"})
    refused = proxy.trouble("refuse", "POST", "uploadId=", status=403, code="AccessDenied")
    with pytest.raises(FluidModelError, match="complete the upload"):
        bench.stage()
    proxy.troubles.remove(refused)
    bench.hub.forget()
    return bench


def join(bench: Bench) -> None:
    """What the store does when it was told to, whoever told it is there still or not."""
    [upload] = bench.uploads()
    client, where = bench.s3.client(), {"Bucket": bench.bucket, "Key": upload["Key"]}
    held = client.list_parts(**where, UploadId=upload["UploadId"])["Parts"]
    kept = ("PartNumber", "ETag", "ChecksumCRC32")
    listed = [{name: part[name] for name in kept if name in part} for part in held]
    client.complete_multipart_upload(
        **where, UploadId=upload["UploadId"], MultipartUpload={"Parts": listed}
    )


def test_a_file_that_has_only_to_be_joined_is_not_read_again(before_the_end: Bench) -> None:
    run = before_the_end.stage()
    assert run.how[BIG] == "resumed"
    assert before_the_end.hub.body_bytes <= 2  # config.json, if that
    before_the_end.assert_staged()


def test_a_file_that_the_store_still_joins_is_waited_for(
    before_the_end: Bench, proxy: FaultProxy
) -> None:
    """Some stores hide an upload from the moment on that they are told to complete it."""
    hidden = proxy.trouble("refuse", "GET", "uploadId=", status=404, code="NoSuchUpload")

    def join_later() -> None:
        until(lambda: hidden.hits > 0)
        time.sleep(1.5)
        join(before_the_end)

    later = threading.Thread(target=join_later)
    later.start()
    run = before_the_end.stage()
    later.join()
    assert hidden.hits and run.how[BIG] == "resumed" and "starts over" not in run.notes
    assert f"the store still puts {BIG} together" in run.troubles
    assert before_the_end.hub.body_bytes <= 2
    before_the_end.assert_staged()


def test_a_file_that_is_not_joined_in_time_starts_over(
    before_the_end: Bench, proxy: FaultProxy
) -> None:
    hidden = proxy.trouble("refuse", "GET", "uploadId=", status=404, code="NoSuchUpload", times=1)
    run = before_the_end.stage()
    assert hidden.hits == 1 and run.how[BIG] == "staged"
    assert run.ended.read >= 4 * PART
    before_the_end.assert_staged()


@pytest.mark.parametrize("workers", [1, 4])
def test_an_upload_that_is_aborted_by_somebody_starts_over(
    faulty: Faulty, proxy: FaultProxy, workers: int
) -> None:
    """Of several workers, a part arrives while it is aborted, and the store keeps that one."""
    bench = faulty()
    bench.model({"m.safetensors": noise(6 * PART), "config.json": b"{}"})
    client = bench.s3.client()

    def abort() -> None:
        for each in bench.uploads():
            client.abort_multipart_upload(
                Bucket=bench.bucket, Key=each["Key"], UploadId=each["UploadId"]
            )

    proxy.trouble("call", "PUT", "partNumber=4\\b", times=1, action=abort)
    run = bench.stage(options=replace(bench.options, workers=workers))
    assert "starts over" in run.notes
    bench.assert_staged()


def test_an_upload_that_lost_parts_is_not_waited_for(faulty: Faulty, proxy: FaultProxy) -> None:
    """A store that answers InternalError for good to the end of an upload that is not whole."""
    bench = faulty()
    bench.model({"m.safetensors": noise(2 * PART)})
    plan = bench.plan()
    bench.s3.client().create_bucket(Bucket=bench.bucket)
    bucket = Bucket(bench.s3.store(bench.endpoint), bench.bucket, patience=120.0)
    key = "models/m.safetensors"
    upload, _ = bucket.begin(key, plan.files[0], plan.commit)
    crc = Crc32()
    crc.add(b"x" * PART)
    held = bucket.part(key, upload, 0, b"x" * PART, crc.text())
    failing = proxy.trouble("refuse", "POST", "uploadId=", status=500, code="InternalError")
    began = time.monotonic()
    with pytest.raises(Gone):
        bucket.complete(key, upload, {0: held, 1: held}, 0.0)
    assert failing.hits == 2
    assert time.monotonic() - began < 60


def test_a_store_without_checksums_gets_md5(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model()
    old = proxy.trouble("refuse", "POST", "uploads", status=501, code="NotImplemented", times=1)
    spoilt = proxy.trouble("spoil", "PUT", "partNumber=2\\b", times=1)
    bench.stage()
    assert old.hits == 1 and spoilt.hits == 1
    bench.assert_staged()


@pytest.mark.parametrize(
    ("status", "code"), [(507, "XMinioStorageFull"), (507, "InsufficientStorage")]
)
def test_a_full_store_ends_it_and_says_so(
    faulty: Faulty, proxy: FaultProxy, status: int, code: str
) -> None:
    bench = faulty()
    bench.model()
    proxy.trouble("refuse", "PUT", "partNumber=3\\b", status=status, code=code)
    with pytest.raises(FluidModelError, match="store is full") as told:
        bench.stage()
    assert told.value.exit_code == 1
    proxy.troubles.clear()
    bench.stage()
    bench.assert_staged()


def test_a_clock_that_is_off(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model()
    proxy.trouble("refuse", "PUT", "partNumber", status=403, code="RequestTimeTooSkewed")
    with pytest.raises(FluidModelError) as told:
        bench.stage()
    assert "clock" in told.value.why


def test_what_may_not_be_written(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model()
    proxy.trouble("refuse", "POST", "uploads", status=403, code="AccessDenied")
    with pytest.raises(FluidModelError) as told:
        bench.stage()
    assert "access denied" in told.value.why and "CreateMultipartUpload" in told.value.why


def test_a_bucket_that_may_not_be_made(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model()
    proxy.trouble("refuse", "PUT", f"^/{bench.bucket}$", status=403, code="AccessDenied")
    with pytest.raises(FluidModelError, match="does not exist and cannot be made"):
        bench.stage()


def test_keys_that_are_wrong(bench: Bench) -> None:
    bench.model()
    bad = replace(bench.s3.store(), credentials=Credentials("FMSTAGINGTESTS", "wrong"))
    with pytest.raises(FluidModelError) as told:
        list(stage(bench.plan(), bad, bench.to, QUICK, bench.client()))
    assert "wrong" not in str(told.value).replace("is wrong", "")


def test_a_store_that_stays_away_is_told_in_bounded_time(faulty: Faulty, proxy: FaultProxy) -> None:
    bench = faulty()
    bench.model()
    proxy.trouble("reset", "PUT", "partNumber")
    with pytest.raises(Unreachable):
        bench.stage(options=QUICK)
    proxy.troubles.clear()
    bench.stage()
    bench.assert_staged()


def test_a_store_that_restarts_is_waited_for(bench: Bench, faulty: Faulty) -> None:
    """The server itself, killed and started again in the middle."""
    from tests.stage.s3server import S3Server

    own = S3Server().start()
    try:
        bench.s3, bench.endpoint = own, own.endpoint
        bench.model({"m.safetensors": noise(6 * PART), "config.json": b"{}"})
        bench.hub.hold_at = 4 * PART

        def restart() -> None:
            until(lambda: bench.hub.body_bytes >= 4 * PART)
            own.kill()
            bench.hub.hold_at = None
            time.sleep(0.7)
            own.start()

        thread = threading.Thread(target=restart)
        thread.start()
        bench.stage()
        thread.join()
        bench.assert_staged()
    finally:
        own.stop()


def test_a_store_that_joins_for_longer_than_a_stall_is_not_asked_twice(
    faulty: Faulty, proxy: FaultProxy
) -> None:
    bench = faulty()
    bench.model({BIG: noise(2 * PART), "config.json": b"{}"})
    proxy.trouble("delay", "POST", "uploadId=", seconds=3.0)
    bench.stage(options=QUICK)
    assert proxy.count("POST", "uploadId=") == 1
    bench.assert_staged()
