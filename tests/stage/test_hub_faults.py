"""Everything that the Hub and the way to it can do wrong; the store is a real one."""

from __future__ import annotations

import threading
import time

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.stage.errors import ChecksumMismatchError, PartialFailureError
from kubectl_fluidmodel.stage.options import TransferOptions
from tests.stage.harness import MIB, MODEL, PART, StagingHarness, random_bytes

BIG = "model-00001.safetensors"
OTHER = "model-00002.safetensors"


def quick(**changes: float | int) -> TransferOptions:
    base = {"stall": 1.0, "patience": 1.5, "tick": 0.05, "part_size": PART, "memory": 1 << 30}
    settings = {**base, **changes}
    return TransferOptions(**settings)  # type: ignore[arg-type]


def test_limits_on_the_rate_are_waited_for(bench: StagingHarness) -> None:
    bench.add_model()
    limit = bench.hub.add_fault(
        "status", "resolve", status=429, times=3, headers={"Retry-After": "1"}
    )
    began = time.monotonic()
    bench.stage()
    assert limit.hits == 3 and time.monotonic() - began >= 1.0
    bench.assert_staged()


def test_a_wait_that_is_too_long_is_an_error_that_says_so(bench: StagingHarness) -> None:
    bench.add_model()
    plan = bench.plan()
    bench.hub.add_fault("status", "resolve", status=429, headers={"Retry-After": "7200"})
    with pytest.raises(UnreachableError, match="limits the rate") as told:
        bench.stage(plan, quick())
    assert "7200" in told.value.reason and told.value.exit_code == 3


@pytest.mark.parametrize("status", [408, 425, 500, 503, 520, 524, 530])
def test_answers_that_pass(bench: StagingHarness, status: int) -> None:
    bench.add_model({"m.safetensors": random_bytes(2 * PART)})
    fault = bench.hub.add_fault("status", "resolve|blobs", method="GET", status=status, times=3)
    bench.stage()
    assert fault.hits == 3
    bench.assert_staged()


@pytest.mark.parametrize("header", [{"Retry-After": "1"}, {"RateLimit": '"api";r=0;t=1'}, {}])
def test_a_limit_on_the_rate_at_the_very_first_request(
    bench: StagingHarness, header: dict[str, str]
) -> None:
    bench.add_model()
    limit = bench.hub.add_fault("status", on="hub", status=429, headers=header, times=1)
    bench.plan()
    assert limit.hits == 1
    first, second = bench.hub.requests[:2]
    assert second.path == first.path
    assert second.at - first.at >= (1.0 if header else 0.2)


@pytest.mark.parametrize("status", [501, 505, 451])
def test_answers_that_do_not_pass_are_told_at_once(bench: StagingHarness, status: int) -> None:
    bench.add_model({"m.safetensors": random_bytes(2 * PART)})
    plan = bench.plan()
    fault = bench.hub.add_fault("status", "blobs", method="GET", status=status)
    with pytest.raises(FluidModelError, match=str(status)):
        bench.stage(plan, quick(patience=300.0))
    assert fault.hits <= bench.options.workers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_storage_host_that_refuses_for_a_while(bench: StagingHarness, status: int) -> None:
    """A clock that is off, a link that is not known everywhere yet, a firewall: it passes."""
    bench.add_model({"m.safetensors": random_bytes(2 * PART)})
    fault = bench.hub.add_fault("status", "blobs", on="cdn", method="GET", status=status)
    later = threading.Timer(3.0, bench.hub.faults.clear)
    later.start()
    bench.stage()
    later.join()
    # Asked for anew again and again (what one part was given, another may use), no hot loop.
    assert 2 <= fault.hits <= 6 * 8
    assert len(bench.hub.requests_matching("resolve")) > fault.hits // 2
    bench.assert_staged()


def test_broken_connections_are_taken_up_where_they_broke(bench: StagingHarness) -> None:
    bench.add_model({"m.safetensors": random_bytes(4 * PART)})
    fault = bench.hub.add_fault("drop", "blobs", after=3 * MIB, times=6)
    run = bench.stage()
    assert fault.hits == 6
    bench.assert_staged()
    # What had come before each break was kept: little more than the file went over the wire.
    assert run.completed.read == run.completed.bytes


def test_a_connection_that_never_brings_anything_ends_in_an_error(bench: StagingHarness) -> None:
    bench.add_model({"m.safetensors": random_bytes(2 * PART)})
    bench.hub.add_fault("drop", "blobs", after=0)
    with pytest.raises(UnreachableError, match="hub"):
        bench.stage(options=quick())


def test_a_stall_is_noticed_and_slowness_is_not_one(bench: StagingHarness) -> None:
    bench.add_model({"m.safetensors": random_bytes(2 * PART)})
    stall = bench.hub.add_fault("stall", "blobs", after=MIB, seconds=300.0, times=1)
    began = time.monotonic()
    run = bench.stage(options=quick())
    assert stall.hits == 1 and time.monotonic() - began < 200
    assert any("timed out" in each.lower() for each in run.retries)
    bench.assert_staged()


def test_slow_is_not_dead(bench: StagingHarness) -> None:
    """A body that takes far longer than the stall limit, but never stops."""
    bench.add_model({"m.safetensors": random_bytes(700 << 10)})
    bench.hub.connection_rate = 200 << 10
    bench.stage(options=quick(stall=2.0, patience=1.0))
    assert not [each for each in bench.hub.requests_matching("blobs") if each.headers.get("range")]
    bench.assert_staged()


def test_a_server_that_ignores_range_is_read_in_order(bench: StagingHarness) -> None:
    bench.add_model()
    bench.hub.add_fault("norange", "")
    run = bench.stage()
    bench.assert_staged()
    # Not once per part from the beginning, which would be twice and a half as much.
    assert bench.hub.body_bytes < run.completed.bytes * 1.8


@pytest.mark.parametrize("times", [1, 2, 9, None], ids=["once", "twice", "often", "from then on"])
def test_a_server_that_ignores_range_after_it_did_not(
    bench: StagingHarness, times: int | None
) -> None:
    """As an edge of a CDN may: what has come by ranges has not to come again, nor to be waited
    for."""
    bench.add_model({"m.safetensors": random_bytes(8 * PART)})
    fault = bench.hub.add_fault("norange", "blobs", method="GET", skip=3, times=times)
    run = bench.stage(options=quick(patience=8.0))
    assert fault.hits >= (times or 1)
    bench.assert_staged()
    if times is not None and times <= 2:
        assert run.completed.read == run.completed.bytes


def test_a_server_that_ignores_range_in_the_middle_of_a_file_that_is_gone_on_with(
    bench: StagingHarness,
) -> None:
    bench.add_model({BIG: random_bytes(8 * PART)})
    plan = bench.plan()
    bench.hub.add_fault("status", "blobs", on="cdn", status=451, skip=4)
    with pytest.raises(FluidModelError):
        bench.stage(plan, quick(workers=1))
    bench.hub.faults.clear()
    bench.hub.add_fault("norange", "blobs", method="GET", skip=1)
    assert bench.stage(plan).outcomes == {BIG: "resumed"}
    bench.assert_staged()


def test_a_server_that_ignores_range_and_breaks(bench: StagingHarness) -> None:
    bench.add_model()
    bench.hub.add_fault("norange", "")
    bench.hub.add_fault("drop", "blobs.*00001", after=8 * MIB, skip=4, times=1)
    bench.stage()
    bench.assert_staged()


def test_bodies_without_a_length(bench: StagingHarness) -> None:
    bench.add_model()
    bench.hub.add_fault("nolength", "")
    bench.stage()
    bench.assert_staged()


@pytest.mark.parametrize("path", [BIG, OTHER, "config.json"])
def test_wrong_bytes_of_the_right_size_never_become_an_object(
    bench: StagingHarness, path: str
) -> None:
    bench.add_model()
    bench.hub.add_fault("wrong", path.replace(".", r"\."), after=7)
    with pytest.raises(PartialFailureError, match=path) as told:
        bench.stage()
    assert isinstance(told.value.failures[0], ChecksumMismatchError)
    keys = bench.objects()
    assert bench.layout.object_key(path) not in keys
    assert bench.layout.manifest_key not in keys
    assert not bench.uploads()
    # All others are there, and the next run needs this one only.
    bench.hub.faults.clear()
    run = bench.stage()
    assert [name for name, how in run.outcomes.items() if how != "found"] == [path]
    bench.assert_staged()


@pytest.mark.parametrize("kind", ["short", "long"])
@pytest.mark.parametrize("path", [BIG, OTHER, "sub/dir/tokenizer.json"])
def test_files_of_another_size_than_the_tree_says(
    bench: StagingHarness, kind: str, path: str
) -> None:
    bench.add_model()
    bench.hub.add_fault(kind, path.replace(".", r"\."), count=100)
    with pytest.raises(FluidModelError, match=path):
        bench.stage()
    assert bench.layout.object_key(path) not in bench.objects()
    assert bench.manifest() is None


def test_a_body_that_is_cut_once_is_read_again(bench: StagingHarness) -> None:
    bench.add_model()
    bench.hub.add_fault("short", "blobs", count=100, times=2)
    bench.stage()
    bench.assert_staged()


def test_links_that_expire_are_asked_for_anew(bench: StagingHarness) -> None:
    bench.add_model({"m.safetensors": random_bytes(6 * PART)})
    bench.hub.link_uses = 2
    bench.stage()
    assert len(bench.hub.requests_matching("resolve")) > 2
    bench.assert_staged()


def test_links_that_never_work_end_in_an_error(bench: StagingHarness) -> None:
    bench.add_model()
    bench.hub.link_uses = 0
    with pytest.raises(UnreachableError, match="cannot read"):
        bench.stage(options=quick())


def test_the_token_goes_to_the_hub_and_to_nobody_else(bench: StagingHarness) -> None:
    bench.add_model()
    bench.hub.private[MODEL] = {"hf_secret"}
    bench.stage(bench.plan("hf_secret"), token="hf_secret")
    bench.assert_staged()
    elsewhere = bench.hub.requests_matching(on="cdn")
    assert elsewhere and not any("authorization" in each.headers for each in elsewhere)
    assert all(each.token == "hf_secret" for each in bench.hub.requests_matching(on="hub"))


def test_gates_are_told_before_anything_is_made(bench: StagingHarness) -> None:
    bench.add_model()
    bench.hub.gated[MODEL] = {"hf_yes"}
    for token, words in (("", "no token was given"), ("hf_no", "has not been let in")):
        with pytest.raises(FluidModelError, match="gated") as told:
            bench.plan(token)
        assert words in told.value.reason
        assert f"{bench.hub.endpoint}/{MODEL}" in told.value.reason
    bench.stage(bench.plan("hf_yes"), token="hf_yes")
    bench.assert_staged()


def test_access_that_is_taken_away_meanwhile(bench: StagingHarness) -> None:
    bench.add_model()
    plan = bench.plan()
    bench.hub.gated[MODEL] = set()
    with pytest.raises(FluidModelError, match="gated"):
        bench.stage(plan)


def test_the_hub_is_away(bench: StagingHarness) -> None:
    bench.add_model()
    plan = bench.plan()
    bench.hub.stop()
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        bench.stage(plan, quick())
    assert time.monotonic() - began < 60
