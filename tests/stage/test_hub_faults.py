"""Everything that the Hub and the way to it can do wrong; the store is a real one."""

from __future__ import annotations

import threading
import time

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.stage.errors import ChecksumMismatchError, PartialFailureError
from kubectl_fluidmodel.stage.options import TransferOptions
from tests.stage.harness import MIB, MODEL, PART, StagingHarness, random_bytes, wait_until

BIG = "model-00001.safetensors"
OTHER = "model-00002.safetensors"


def quick(**changes: float | int) -> TransferOptions:
    base = {
        "stall_timeout": 1.0,
        "retry_timeout": 1.5,
        "progress_interval": 0.05,
        "part_size": PART,
        "memory": 1 << 30,
    }
    settings = {**base, **changes}
    return TransferOptions(**settings)  # type: ignore[arg-type]


def test_a_rate_limit_is_waited_for(harness: StagingHarness) -> None:
    harness.add_model()
    limit = harness.hub.add_fault(
        "status", "resolve", status=429, times=3, headers={"Retry-After": "1"}
    )
    began = time.monotonic()
    harness.stage()
    assert limit.hits == 3 and time.monotonic() - began >= 1.0
    harness.assert_staged()


def test_a_requested_delay_that_is_too_long_is_an_error(harness: StagingHarness) -> None:
    harness.add_model()
    plan = harness.plan()
    harness.hub.add_fault("status", "resolve", status=429, headers={"Retry-After": "7200"})
    with pytest.raises(UnreachableError, match="limits the rate") as caught:
        harness.stage(plan, quick())
    assert "7200" in caught.value.reason and caught.value.exit_code == 3


@pytest.mark.parametrize("status", [408, 425, 500, 503, 520, 524, 530])
def test_transient_statuses_are_retried(harness: StagingHarness, status: int) -> None:
    harness.add_model({"m.safetensors": random_bytes(2 * PART)})
    fault = harness.hub.add_fault("status", "resolve|blobs", method="GET", status=status, times=3)
    harness.stage()
    assert fault.hits == 3
    harness.assert_staged()


@pytest.mark.parametrize("header", [{"Retry-After": "1"}, {"RateLimit": '"api";r=0;t=1'}, {}])
def test_a_rate_limit_on_the_first_request_is_waited_for(
    harness: StagingHarness, header: dict[str, str]
) -> None:
    harness.add_model()
    limit = harness.hub.add_fault("status", on="hub", status=429, headers=header, times=1)
    harness.plan()
    assert limit.hits == 1
    first, second = harness.hub.requests[:2]
    assert second.path == first.path
    assert second.at - first.at >= (1.0 if header else 0.2)


@pytest.mark.parametrize("status", [501, 505, 451])
def test_permanent_statuses_fail_at_once(harness: StagingHarness, status: int) -> None:
    harness.add_model({"m.safetensors": random_bytes(2 * PART)})
    plan = harness.plan()
    fault = harness.hub.add_fault("status", "blobs", method="GET", status=status)
    with pytest.raises(FluidModelError, match=str(status)):
        harness.stage(plan, quick(retry_timeout=300.0))
    assert fault.hits <= harness.options.workers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_link_that_storage_refuses_for_a_while_is_requested_again(
    harness: StagingHarness, status: int
) -> None:
    """A skewed clock, or a link that not every edge knows yet."""
    harness.add_model({"m.safetensors": random_bytes(2 * PART)})
    fault = harness.hub.add_fault("status", "blobs", on="cdn", method="GET", status=status)

    def recover() -> None:
        wait_until(lambda: fault.hits >= 2)
        time.sleep(2.0)
        harness.hub.faults.clear()

    later = threading.Thread(target=recover)
    later.start()
    harness.stage()
    later.join()
    # Requested again and again (parts share a link), but in no hot loop.
    assert 2 <= fault.hits <= 6 * 8
    assert len(harness.hub.requests_matching("resolve")) > fault.hits // 2
    harness.assert_staged()


def test_broken_connections_are_resumed_where_they_broke(harness: StagingHarness) -> None:
    harness.add_model({"m.safetensors": random_bytes(4 * PART)})
    fault = harness.hub.add_fault("drop", "blobs", after=3 * MIB, times=6)
    run = harness.stage()
    assert fault.hits == 6
    harness.assert_staged()
    # What had come before each break was kept: little more than the file went over the wire.
    assert run.completed.read == run.completed.bytes


def test_connections_that_never_deliver_anything_are_an_error(harness: StagingHarness) -> None:
    harness.add_model({"m.safetensors": random_bytes(2 * PART)})
    harness.hub.add_fault("drop", "blobs", after=0)
    with pytest.raises(UnreachableError, match="Hub"):
        harness.stage(options=quick())


def test_a_stalled_connection_is_replaced(harness: StagingHarness) -> None:
    harness.add_model({"m.safetensors": random_bytes(2 * PART)})
    stall = harness.hub.add_fault("stall", "blobs", after=MIB, seconds=300.0, times=1)
    began = time.monotonic()
    run = harness.stage(options=quick())
    assert stall.hits == 1 and time.monotonic() - began < 200
    assert any("timed out" in reason.lower() for reason in run.retries)
    harness.assert_staged()


def test_a_slow_connection_is_not_replaced(harness: StagingHarness) -> None:
    """A body that takes far longer than the stall limit, but never stops."""
    harness.add_model({"m.safetensors": random_bytes(700 << 10)})
    harness.hub.connection_rate = 200 << 10
    harness.stage(options=quick(stall_timeout=2.0, retry_timeout=1.0))
    assert not [
        request
        for request in harness.hub.requests_matching("blobs")
        if request.headers.get("range")
    ]
    harness.assert_staged()


def test_a_server_that_ignores_range_is_read_in_order(harness: StagingHarness) -> None:
    harness.add_model()
    harness.hub.add_fault("norange", "")
    run = harness.stage()
    harness.assert_staged()
    # Not once per part from the beginning, which would be twice and a half as much.
    assert harness.hub.body_bytes < run.completed.bytes * 1.8


@pytest.mark.parametrize("times", [1, 2, 9, None], ids=["once", "twice", "often", "from then on"])
def test_a_server_that_starts_to_ignore_range_is_asked_again(
    harness: StagingHarness, times: int | None
) -> None:
    """As a CDN may do: data that arrived by ranges is neither read again nor waited for."""
    harness.add_model({"m.safetensors": random_bytes(8 * PART)})
    fault = harness.hub.add_fault("norange", "blobs", method="GET", skip=3, times=times)
    run = harness.stage(options=quick(retry_timeout=8.0))
    assert fault.hits >= (times or 1)
    harness.assert_staged()
    if times is not None and times <= 2:
        assert run.completed.read == run.completed.bytes


def test_a_part_that_breaks_off_before_a_server_ignores_range_is_stored_once(
    harness: StagingHarness,
) -> None:
    """The bytes before the break are not counted in the part's checksum again."""
    harness.add_model({"m.safetensors": random_bytes(8 * PART)})
    cut = harness.hub.add_fault("drop", "blobs", method="GET", after=MIB, skip=3, times=1)
    harness.hub.add_fault("norange", "blobs", method="GET", skip=4)
    harness.stage(options=quick(workers=1, retry_timeout=8.0))
    assert cut.hits == 1
    harness.assert_staged()


def test_a_resumed_file_is_staged_from_a_server_that_starts_to_ignore_range(
    harness: StagingHarness,
) -> None:
    harness.add_model({BIG: random_bytes(8 * PART)})
    plan = harness.plan()
    harness.hub.add_fault("status", "blobs", on="cdn", status=451, skip=4)
    with pytest.raises(FluidModelError):
        harness.stage(plan, quick(workers=1))
    harness.hub.faults.clear()
    harness.hub.add_fault("norange", "blobs", method="GET", skip=1)
    assert harness.stage(plan).outcomes == {BIG: "resumed"}
    harness.assert_staged()


def test_a_broken_connection_to_a_server_that_ignores_range_is_resumed(
    harness: StagingHarness,
) -> None:
    harness.add_model()
    harness.hub.add_fault("norange", "")
    harness.hub.add_fault("drop", "blobs.*00001", after=8 * MIB, skip=4, times=1)
    harness.stage()
    harness.assert_staged()


def test_bodies_without_a_content_length_are_read(harness: StagingHarness) -> None:
    harness.add_model()
    harness.hub.add_fault("nolength", "")
    harness.stage()
    harness.assert_staged()


@pytest.mark.parametrize("path", [BIG, OTHER, "config.json"])
def test_wrong_bytes_of_the_right_size_never_become_an_object(
    harness: StagingHarness, path: str
) -> None:
    harness.add_model()
    harness.hub.add_fault("wrong", path.replace(".", r"\."), after=7)
    with pytest.raises(PartialFailureError, match=path) as caught:
        harness.stage()
    assert isinstance(caught.value.failures[0], ChecksumMismatchError)
    keys = harness.objects()
    assert harness.layout.object_key(path) not in keys
    assert harness.layout.manifest_key not in keys
    assert not harness.uploads()
    # All others are there, and the next run needs this one only.
    harness.hub.faults.clear()
    run = harness.stage()
    assert [name for name, how in run.outcomes.items() if how != "found"] == [path]
    harness.assert_staged()


@pytest.mark.parametrize("kind", ["short", "long"])
@pytest.mark.parametrize("path", [BIG, OTHER, "sub/dir/tokenizer.json"])
def test_files_of_another_size_than_the_tree_lists_fail(
    harness: StagingHarness, kind: str, path: str
) -> None:
    harness.add_model()
    harness.hub.add_fault(kind, path.replace(".", r"\."), count=100)
    with pytest.raises(FluidModelError, match=path):
        harness.stage()
    assert harness.layout.object_key(path) not in harness.objects()
    assert harness.manifest() is None


def test_a_truncated_body_is_read_again(harness: StagingHarness) -> None:
    harness.add_model()
    harness.hub.add_fault("short", "blobs", count=100, times=2)
    harness.stage()
    harness.assert_staged()


def test_expired_links_are_requested_again(harness: StagingHarness) -> None:
    harness.add_model({"m.safetensors": random_bytes(6 * PART)})
    harness.hub.link_uses = 2
    harness.stage()
    assert len(harness.hub.requests_matching("resolve")) > 2
    harness.assert_staged()


def test_links_that_never_work_are_an_error(harness: StagingHarness) -> None:
    harness.add_model()
    harness.hub.link_uses = 0
    with pytest.raises(UnreachableError, match="cannot read"):
        harness.stage(options=quick())


def test_the_token_is_sent_to_the_hub_only(harness: StagingHarness) -> None:
    harness.add_model()
    harness.hub.private[MODEL] = {"hf_secret"}
    harness.stage(harness.plan("hf_secret"), token="hf_secret")
    harness.assert_staged()
    elsewhere = harness.hub.requests_matching(on="cdn")
    assert elsewhere and not any("authorization" in request.headers for request in elsewhere)
    assert all(request.token == "hf_secret" for request in harness.hub.requests_matching(on="hub"))


def test_a_gated_model_is_an_error_before_anything_is_written(harness: StagingHarness) -> None:
    harness.add_model()
    harness.hub.gated[MODEL] = {"hf_yes"}
    for token, reason in (("", "there is no token"), ("hf_no", "has no access")):
        with pytest.raises(FluidModelError, match="gated") as caught:
            harness.plan(token)
        assert reason in caught.value.reason
        assert f"{harness.hub.endpoint}/{MODEL}" in caught.value.reason
    harness.stage(harness.plan("hf_yes"), token="hf_yes")
    harness.assert_staged()


def test_access_that_is_revoked_during_the_transfer_is_an_error(harness: StagingHarness) -> None:
    harness.add_model()
    plan = harness.plan()
    harness.hub.gated[MODEL] = set()
    with pytest.raises(FluidModelError, match="gated"):
        harness.stage(plan)


def test_an_unreachable_hub_is_an_error_in_bounded_time(harness: StagingHarness) -> None:
    harness.add_model()
    plan = harness.plan()
    harness.hub.stop()
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        harness.stage(plan, quick())
    assert time.monotonic() - began < 60
