"""What a cache takes: bytes, time, requests, room, money, and when it pays off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.cache.cost_estimate import (
    ASSUMED_CACHE_RATE,
    ASSUMED_HUB_RATE,
    ASSUMED_STORE_RATE,
    CostEstimate,
    NodeRoom,
    Rate,
    estimate_cost,
    estimate_document,
    estimate_rows,
    room_of_runtime,
)
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from tests.cache.adoption.samples import load_fixture
from tests.cache.samples import plan

MIB, GIB = 1 << 20, 1 << 30
MODEL, FILES = round(131.4 * GIB), 48
ROOM = NodeRoom(1, "MEM", 141 * GIB, 16 * GIB)
MEASURED = ReadRates("2026-11-01T00:00:00Z", "gpu-0", mapped=2.0 * GIB, store=1.0 * GIB)


def estimate(**given_: Any) -> CostEstimate:
    values: dict[str, Any] = {"copies": 1, "from_hub": True, "room": ROOM, **given_}
    cost = estimate_cost(values.pop("bytes", MODEL), values.pop("files", FILES), **values)
    assert cost is not None
    return cost


def rows(cost: CostEstimate, price: float | None = None) -> dict[str, str]:
    return dict(estimate_rows(cost, price))


def test_a_model_of_the_hub_is_moved_twice() -> None:
    cost = estimate()
    assert cost.staging is not None
    assert (cost.staging.bytes, cost.load.bytes, cost.bytes) == (MODEL, MODEL, 2 * MODEL)


def test_a_model_in_a_store_is_moved_once() -> None:
    cost = estimate(from_hub=False)
    assert cost.staging is None and cost.bytes == MODEL


def test_each_node_loads_its_own_copy_at_the_same_time() -> None:
    one, three = estimate(from_hub=False), estimate(from_hub=False, copies=3)
    assert three.bytes == 3 * one.bytes
    assert three.seconds == pytest.approx(one.seconds)
    assert three.load.requests == pytest.approx(3 * one.load.requests, abs=3)


def test_the_assumed_rates_give_the_times_of_the_write_up() -> None:
    cost = estimate()
    assert cost.direct_start == pytest.approx(9 * 60, rel=0.01)
    assert cost.cached_start == pytest.approx(80, rel=0.01)


def test_a_measured_rate_replaces_the_assumed_one_and_is_named() -> None:
    assumed, measured = rows(estimate()), rows(estimate(rates=MEASURED))
    assert "500.0 MiB/s, assumed" in assumed["loading"]
    assert "1.0 GiB/s, measured by bench" in measured["loading"]
    assert "2.0 GiB/s, measured by bench" in measured["a start"]
    assert "250.0 MiB/s, assumed" in measured["staging"], "bench does not measure the Hub"


def test_what_was_not_measured_stays_assumed() -> None:
    cost = estimate(rates=replace(MEASURED, store=None))
    assert cost.load.rate == Rate(ASSUMED_STORE_RATE)
    assert cost.cached == Rate(2.0 * GIB, "bench")


def test_a_model_in_a_store_is_compared_with_pods_that_read_the_store() -> None:
    assert estimate().direct == Rate(ASSUMED_HUB_RATE)
    assert estimate(from_hub=False).direct == Rate(ASSUMED_STORE_RATE)
    assert estimate(from_hub=False, rates=MEASURED).direct == Rate(1.0 * GIB, "bench")


class TestPaysOff:
    def test_by_bytes_after_as_many_starts_as_the_model_is_moved(self) -> None:
        assert estimate(from_hub=False).starts_until_bytes_pay_off == 1
        assert estimate().starts_until_bytes_pay_off == 2
        assert estimate(copies=3).starts_until_bytes_pay_off == 4

    def test_by_time_after_the_starts_that_save_the_preparation(self) -> None:
        cost = estimate()
        starts = cost.starts_until_time_pays_off
        assert starts is not None
        saved = cost.direct_start - cost.cached_start
        assert (starts - 1) * saved < cost.seconds <= starts * saved

    def test_never_by_time_where_the_cache_is_as_slow_as_the_source(self) -> None:
        slow = replace(MEASURED, mapped=0.5 * GIB)
        cost = estimate(from_hub=False, rates=slow)
        assert cost.starts_until_time_pays_off is None
        assert "never by time" in rows(cost)["pays off"]


class TestRequests:
    def test_of_staging_are_parts_and_of_a_load_blocks(self) -> None:
        cost = estimate(bytes=1 * GIB, files=2)
        assert cost.staging is not None
        assert cost.staging.requests == 1024 // 16 + 2 + 2
        assert cost.staging.writes == 1024 // 16 + 2 + 2 * 2 + 1
        assert cost.load.requests == 1024 // 128 + 2 + 1

    def test_of_small_files_is_one_each(self) -> None:
        cost = estimate(bytes=1000, files=3)
        assert cost.staging is not None
        assert (cost.staging.writes, cost.load.requests) == (3 + 1, 3 + 1)


class TestMoney:
    def test_is_shown_only_where_a_price_is_given(self) -> None:
        assert "price" not in rows(estimate())
        assert "price" in rows(estimate(), 0.0)

    def test_is_of_the_bytes_that_are_moved(self) -> None:
        cost = estimate(bytes=100 * GIB, copies=2)
        assert cost.price(0.05) == pytest.approx(15.0)
        assert rows(cost, 0.05)["price"] == "15.00 once; 5.00 for each start that downloads"


class TestRoom:
    def test_of_what_cache_makes_is_what_it_computes(self) -> None:
        desired = plan({"replicas": 2, "medium": "SSD"})
        room = room_of_runtime(desired.runtime)
        assert room == NodeRoom(2, "SSD", desired.quota, 16 * GIB)
        text = rows(estimate(room=room))["room"]
        assert "of disk and" in text and "on each of 2 nodes" in text

    def test_of_memory_is_tier_and_heaps(self) -> None:
        assert rows(estimate())["room"] == "up to 157.0 GiB of memory on its node"

    def test_of_a_runtime_made_by_hand_has_the_heaps_that_fluid_gives(self) -> None:
        room = room_of_runtime(load_fixture("full")[1])
        assert room == NodeRoom(1, "MEM", 300 * GIB, (12 + 32 + 16 + 32) * GIB)

    @pytest.mark.parametrize(
        "runtime", [None, {"kind": "JindoRuntime"}, {"kind": "AlluxioRuntime", "spec": {}}]
    )
    def test_of_another_runtime_is_not_known(self, runtime: dict[str, Any] | None) -> None:
        assert room_of_runtime(runtime) is None
        assert "room" not in rows(estimate(room=None))


def test_a_model_of_unknown_size_has_no_estimate() -> None:
    assert estimate_cost(0, 0, copies=1, from_hub=True, room=None) is None


def test_the_document_has_the_same_numbers() -> None:
    document: Any = estimate_document(estimate(rates=MEASURED), 0.09)
    assert [transfer["from"] for transfer in document["transfers"]] == ["hub", "store"]
    assert document["transfers"][1]["measuredBy"] == "bench"
    assert document["perNode"] == {"memoryBytes": 157 * GIB, "diskBytes": 0}
    assert document["breakEvenStarts"]["bytes"] == 2
    assert document["price"]["once"] == pytest.approx(2 * 131.4 * 0.09, abs=0.01)
    assert estimate_document(estimate())["price"] is None


@given(
    st.integers(1, 1 << 50), st.integers(1, 100_000), st.integers(1, 100), st.booleans(),
    st.one_of(st.none(), st.floats(1, 1e12)),
)  # fmt: skip
def test_any_model_has_positive_numbers(
    size: int, files: int, copies: int, from_hub: bool, mapped: float | None
) -> None:
    rates = ReadRates("", "n", mapped=mapped)
    cost = estimate_cost(size, files, copies=copies, from_hub=from_hub, room=ROOM, rates=rates)
    assert cost is not None
    assert cost.seconds > 0 and cost.bytes >= size and cost.starts_until_bytes_pay_off >= 1
    assert all(text for _, text in estimate_rows(cost, 1.0))
    assert ASSUMED_CACHE_RATE > ASSUMED_HUB_RATE
