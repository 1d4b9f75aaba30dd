"""Quotas, heaps and the choice between memory and disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.model.sizing import (
    BLOCK_BYTES,
    DISK_PATH,
    GIB,
    HIGH_WATERMARK_PERCENT,
    MEMORY_PATH,
    MIB,
    RESERVED_BYTES,
    HeapSizes,
    NodeCapacity,
    choose_medium,
    fits_memory,
    heap_sizes,
    max_model_bytes,
    quota_for,
)

SIZES = st.integers(min_value=1, max_value=20 << 40)
LLAMA_70B = 141_107_412_992


@given(SIZES)
def test_a_computed_quota_fits_its_model(model: int) -> None:
    free = quota_for(model) - RESERVED_BYTES - BLOCK_BYTES
    assert free * HIGH_WATERMARK_PERCENT >= 100 * model


@given(st.integers(min_value=40, max_value=1 << 20), st.integers(min_value=-2, max_value=2))
def test_it_does_so_to_the_byte_at_the_edge_of_a_unit(units: int, off: int) -> None:
    model = max_model_bytes(units * 64 * MIB) + off
    free = quota_for(model) - RESERVED_BYTES - BLOCK_BYTES
    assert free * HIGH_WATERMARK_PERCENT >= 100 * model


@given(SIZES)
def test_a_quota_wastes_less_than_a_unit(model: int) -> None:
    quota = quota_for(model)
    unit = GIB if quota > 16 * GIB else 64 * MIB
    assert quota % unit == 0
    assert max_model_bytes(quota - unit) < model


@given(SIZES, SIZES)
def test_more_bytes_never_need_less(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert quota_for(small) <= quota_for(large)
    assert max_model_bytes(small) <= max_model_bytes(large)


@given(SIZES)
def test_watermark_reserve_and_one_block_stay_free(model: int) -> None:
    free = quota_for(model) - RESERVED_BYTES - BLOCK_BYTES
    assert free * HIGH_WATERMARK_PERCENT >= 100 * model


@pytest.mark.parametrize(
    ("model", "quota"),
    [
        (0, RESERVED_BYTES + BLOCK_BYTES),
        (1, RESERVED_BYTES + BLOCK_BYTES + 64 * MIB),
        (LLAMA_70B, 141 * GIB),
        (16 * GIB, 19 * GIB),
    ],
)
def test_quotas_of_known_models(model: int, quota: int) -> None:
    assert quota_for(model) == quota


def test_a_quota_below_the_reserve_fits_no_model() -> None:
    assert max_model_bytes(RESERVED_BYTES) == 0


@pytest.mark.parametrize(
    ("model", "files", "web", "expected"),
    [
        (100 * MIB, 3, False, HeapSizes(GIB, GIB, GIB, GIB, GIB)),
        (LLAMA_70B, 40, False, HeapSizes(GIB, 4 * GIB, 4 * GIB, 4 * GIB, 4 * GIB)),
        (LLAMA_70B, 40, True, HeapSizes(GIB, 4 * GIB, 8 * GIB, 4 * GIB, 8 * GIB)),
        (LLAMA_70B, 300_000, False, HeapSizes(3 * GIB, 4 * GIB, 4 * GIB, 4 * GIB, 4 * GIB)),
    ],
)
def test_heaps(model: int, files: int, web: bool, expected: HeapSizes) -> None:
    assert heap_sizes(model, files, web=web) == expected


JVM = HeapSizes(GIB, GIB, GIB, GIB, GIB)


@pytest.mark.parametrize(
    ("free", "total", "fits"),
    [
        # 10 cache + 4 JVMs + 8 engine
        (22 * GIB, 22 * GIB, True),
        (22 * GIB - 1, 22 * GIB - 1, False),
        # a quarter of a large node counts for the engine, whatever is free
        (40 * GIB, 104 * GIB, True),
        (40 * GIB - 1, 104 * GIB, False),
        (None, None, False),
    ],
)
def test_memory_is_chosen_if_it_fits_with_the_engine(
    free: int | None, total: int | None, fits: bool
) -> None:
    assert fits_memory(10 * GIB, JVM, 8 * GIB, NodeCapacity(free, None, total))[0] is fits


@given(SIZES, SIZES)
def test_what_fits_in_less_memory_fits_in_more(free: int, more: int) -> None:
    small, large = sorted((free, more))
    total = large
    if fits_memory(10 * GIB, JVM, 8 * GIB, NodeCapacity(small, None, total))[0]:
        assert fits_memory(10 * GIB, JVM, 8 * GIB, NodeCapacity(large, None, total))[0]


ROOMY = NodeCapacity(100 * GIB, 0, 100 * GIB)
NARROW = NodeCapacity(20 * GIB, 0, 20 * GIB)


@pytest.mark.parametrize(
    ("requested", "path", "room", "medium", "where", "why"),
    [
        ("MEM", None, NARROW, "MEM", MEMORY_PATH, "--medium MEM"),
        ("SSD", None, ROOMY, "SSD", DISK_PATH, "--medium SSD"),
        ("HDD", "/mnt/d", None, "HDD", "/mnt/d", "--medium HDD"),
        ("auto", None, None, "SSD", DISK_PATH, "no node was checked"),
        ("auto", None, ROOMY, "MEM", MEMORY_PATH, "memory fits: 10.0 GiB cache"),
        ("auto", None, NARROW, "SSD", DISK_PATH, "22.0 GiB"),
        ("auto", "/mnt/nvme", ROOMY, "SSD", "/mnt/nvme", "--path /mnt/nvme is a disk"),
        ("auto", "/dev/shm/m", ROOMY, "MEM", "/dev/shm/m", "memory fits"),
    ],
)
def test_the_medium_and_its_reason(
    requested: str, path: str | None, room: NodeCapacity | None, medium: str, where: str, why: str
) -> None:
    chosen = choose_medium(requested, path, 10 * GIB, JVM, 8 * GIB, room)
    assert (chosen.type, chosen.path) == (medium, where)
    if why == "22.0 GiB":
        assert "memory does not fit beside the engine" in chosen.reason
        assert "of 20.0 GiB free" in chosen.reason
    else:
        assert why in chosen.reason
