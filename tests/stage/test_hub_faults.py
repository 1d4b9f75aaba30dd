"""Everything that the Hub and the way to it can do wrong; the store is a real one."""

from __future__ import annotations

import threading
import time

import pytest

from kubectl_fluidmodel.errors import FluidModelError, Unreachable
from kubectl_fluidmodel.stage.errors import Mismatch, SomeFailed
from kubectl_fluidmodel.stage.options import Options
from tests.stage.harness import MIB, MODEL, PART, Bench, noise

BIG = "model-00001.safetensors"
OTHER = "model-00002.safetensors"


def quick(**changes: float | int) -> Options:
    base = {"stall": 1.0, "patience": 1.5, "tick": 0.05, "part_size": PART, "memory": 1 << 30}
    settings = {**base, **changes}
    return Options(**settings)  # type: ignore[arg-type]


def test_limits_on_the_rate_are_waited_for(bench: Bench) -> None:
    bench.model()
    limit = bench.hub.fault("status", "resolve", status=429, times=3, headers={"Retry-After": "1"})
    began = time.monotonic()
    bench.stage()
    assert limit.hits == 3 and time.monotonic() - began >= 1.0
    bench.assert_staged()


def test_a_wait_that_is_too_long_is_an_error_that_says_so(bench: Bench) -> None:
    bench.model()
    plan = bench.plan()
    bench.hub.fault("status", "resolve", status=429, headers={"Retry-After": "7200"})
    with pytest.raises(Unreachable, match="limits the rate") as told:
        bench.stage(plan, quick())
    assert "7200" in told.value.why and told.value.exit_code == 3


@pytest.mark.parametrize("status", [408, 425, 500, 503, 520, 524, 530])
def test_answers_that_pass(bench: Bench, status: int) -> None:
    bench.model({"m.safetensors": noise(2 * PART)})
    fault = bench.hub.fault("status", "resolve|blobs", method="GET", status=status, times=3)
    bench.stage()
    assert fault.hits == 3
    bench.assert_staged()


@pytest.mark.parametrize("header", [{"Retry-After": "1"}, {"RateLimit": '"api";r=0;t=1'}, {}])
def test_a_limit_on_the_rate_at_the_very_first_request(
    bench: Bench, header: dict[str, str]
) -> None:
    bench.model()
    limit = bench.hub.fault("status", on="hub", status=429, headers=header, times=1)
    bench.plan()
    assert limit.hits == 1
    first, second = bench.hub.requests[:2]
    assert second.path == first.path
    assert second.at - first.at >= (1.0 if header else 0.2)


@pytest.mark.parametrize("status", [501, 505, 451])
def test_answers_that_do_not_pass_are_told_at_once(bench: Bench, status: int) -> None:
    bench.model({"m.safetensors": noise(2 * PART)})
    plan = bench.plan()
    fault = bench.hub.fault("status", "blobs", method="GET", status=status)
    with pytest.raises(FluidModelError, match=str(status)):
        bench.stage(plan, quick(patience=300.0))
    assert fault.hits <= bench.options.workers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_storage_host_that_refuses_for_a_while(bench: Bench, status: int) -> None:
    """A clock that is off, a link that is not known everywhere yet, a firewall: it passes."""
    bench.model({"m.safetensors": noise(2 * PART)})
    fault = bench.hub.fault("status", "blobs", on="cdn", method="GET", status=status)
    later = threading.Timer(3.0, bench.hub.faults.clear)
    later.start()
    bench.stage()
    later.join()
    # Asked for anew again and again (what one part was given, another may use), no hot loop.
    assert 2 <= fault.hits <= 6 * 8
    assert len(bench.hub.seen("resolve")) > fault.hits // 2
    bench.assert_staged()


def test_broken_connections_are_taken_up_where_they_broke(bench: Bench) -> None:
    bench.model({"m.safetensors": noise(4 * PART)})
    fault = bench.hub.fault("drop", "blobs", after=3 * MIB, times=6)
    run = bench.stage()
    assert fault.hits == 6
    bench.assert_staged()
    # What had come before each break was kept: little more than the file went over the wire.
    assert run.ended.read == run.ended.bytes


def test_a_connection_that_never_brings_anything_ends_in_an_error(bench: Bench) -> None:
    bench.model({"m.safetensors": noise(2 * PART)})
    bench.hub.fault("drop", "blobs", after=0)
    with pytest.raises(Unreachable, match="hub"):
        bench.stage(options=quick())


def test_a_stall_is_noticed_and_slowness_is_not_one(bench: Bench) -> None:
    bench.model({"m.safetensors": noise(2 * PART)})
    stall = bench.hub.fault("stall", "blobs", after=MIB, seconds=300.0, times=1)
    began = time.monotonic()
    run = bench.stage(options=quick())
    assert stall.hits == 1 and time.monotonic() - began < 200
    assert any("timed out" in each.lower() for each in run.troubles)
    bench.assert_staged()


def test_slow_is_not_dead(bench: Bench) -> None:
    """A body that takes far longer than the stall limit, but never stops."""
    bench.model({"m.safetensors": noise(700 << 10)})
    bench.hub.connection_rate = 200 << 10
    bench.stage(options=quick(stall=2.0, patience=1.0))
    assert not [each for each in bench.hub.seen("blobs") if each.headers.get("range")]
    bench.assert_staged()


def test_a_server_that_ignores_range_is_read_in_order(bench: Bench) -> None:
    bench.model()
    bench.hub.fault("norange", "")
    run = bench.stage()
    bench.assert_staged()
    # Not once per part from the beginning, which would be twice and a half as much.
    assert bench.hub.body_bytes < run.ended.bytes * 1.8


@pytest.mark.parametrize("times", [1, 2, 9, None], ids=["once", "twice", "often", "from then on"])
def test_a_server_that_ignores_range_after_it_did_not(bench: Bench, times: int | None) -> None:
    """As an edge of a CDN may: what has come by ranges has not to come again, nor to be waited
    for."""
    bench.model({"m.safetensors": noise(8 * PART)})
    fault = bench.hub.fault("norange", "blobs", method="GET", skip=3, times=times)
    run = bench.stage(options=quick(patience=8.0))
    assert fault.hits >= (times or 1)
    bench.assert_staged()
    if times is not None and times <= 2:
        assert run.ended.read == run.ended.bytes


def test_a_server_that_ignores_range_in_the_middle_of_a_file_that_is_gone_on_with(
    bench: Bench,
) -> None:
    bench.model({BIG: noise(8 * PART)})
    plan = bench.plan()
    bench.hub.fault("status", "blobs", on="cdn", status=451, skip=4)
    with pytest.raises(FluidModelError):
        bench.stage(plan, quick(workers=1))
    bench.hub.faults.clear()
    bench.hub.fault("norange", "blobs", method="GET", skip=1)
    assert bench.stage(plan).how == {BIG: "resumed"}
    bench.assert_staged()


def test_a_server_that_ignores_range_and_breaks(bench: Bench) -> None:
    bench.model()
    bench.hub.fault("norange", "")
    bench.hub.fault("drop", "blobs.*00001", after=8 * MIB, skip=4, times=1)
    bench.stage()
    bench.assert_staged()


def test_bodies_without_a_length(bench: Bench) -> None:
    bench.model()
    bench.hub.fault("nolength", "")
    bench.stage()
    bench.assert_staged()


@pytest.mark.parametrize("path", [BIG, OTHER, "config.json"])
def test_wrong_bytes_of_the_right_size_never_become_an_object(bench: Bench, path: str) -> None:
    bench.model()
    bench.hub.fault("wrong", path.replace(".", r"\."), after=7)
    with pytest.raises(SomeFailed, match=path) as told:
        bench.stage()
    assert isinstance(told.value.failures[0], Mismatch)
    keys = bench.objects()
    assert bench.place.key(path) not in keys
    assert bench.place.manifest not in keys
    assert not bench.uploads()
    # All others are there, and the next run needs this one only.
    bench.hub.faults.clear()
    run = bench.stage()
    assert [name for name, how in run.how.items() if how != "found"] == [path]
    bench.assert_staged()


@pytest.mark.parametrize("kind", ["short", "long"])
@pytest.mark.parametrize("path", [BIG, OTHER, "sub/dir/tokenizer.json"])
def test_files_of_another_size_than_the_tree_says(bench: Bench, kind: str, path: str) -> None:
    bench.model()
    bench.hub.fault(kind, path.replace(".", r"\."), count=100)
    with pytest.raises(FluidModelError, match=path):
        bench.stage()
    assert bench.place.key(path) not in bench.objects()
    assert bench.manifest() is None


def test_a_body_that_is_cut_once_is_read_again(bench: Bench) -> None:
    bench.model()
    bench.hub.fault("short", "blobs", count=100, times=2)
    bench.stage()
    bench.assert_staged()


def test_links_that_expire_are_asked_for_anew(bench: Bench) -> None:
    bench.model({"m.safetensors": noise(6 * PART)})
    bench.hub.link_uses = 2
    bench.stage()
    assert len(bench.hub.seen("resolve")) > 2
    bench.assert_staged()


def test_links_that_never_work_end_in_an_error(bench: Bench) -> None:
    bench.model()
    bench.hub.link_uses = 0
    with pytest.raises(Unreachable, match="cannot read"):
        bench.stage(options=quick())


def test_the_token_goes_to_the_hub_and_to_nobody_else(bench: Bench) -> None:
    bench.model()
    bench.hub.private[MODEL] = {"hf_secret"}
    bench.stage(bench.plan("hf_secret"), token="hf_secret")
    bench.assert_staged()
    elsewhere = bench.hub.seen(on="cdn")
    assert elsewhere and not any("authorization" in each.headers for each in elsewhere)
    assert all(each.token == "hf_secret" for each in bench.hub.seen(on="hub"))


def test_gates_are_told_before_anything_is_made(bench: Bench) -> None:
    bench.model()
    bench.hub.gated[MODEL] = {"hf_yes"}
    for token, words in (("", "no token was given"), ("hf_no", "has not been let in")):
        with pytest.raises(FluidModelError, match="gated") as told:
            bench.plan(token)
        assert words in told.value.why
        assert f"{bench.hub.endpoint}/{MODEL}" in told.value.why
    bench.stage(bench.plan("hf_yes"), token="hf_yes")
    bench.assert_staged()


def test_access_that_is_taken_away_meanwhile(bench: Bench) -> None:
    bench.model()
    plan = bench.plan()
    bench.hub.gated[MODEL] = set()
    with pytest.raises(FluidModelError, match="gated"):
        bench.stage(plan)


def test_the_hub_is_away(bench: Bench) -> None:
    bench.model()
    plan = bench.plan()
    bench.hub.stop()
    began = time.monotonic()
    with pytest.raises(Unreachable):
        bench.stage(plan, quick())
    assert time.monotonic() - began < 60
