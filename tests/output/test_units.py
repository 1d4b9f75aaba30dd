"""Bytes, seconds and counts as people read them."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "unknown"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 << 20, "1.5 GiB"),
        (141_107_412_992, "131.4 GiB"),
        (5 << 60, "5120.0 PiB"),
        (12.7, "12 B"),
    ],
)
def test_bytes_take_the_largest_unit_of_1024(count: float | None, shown: str) -> None:
    assert format_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0s"),
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (200, "3m20s"),
        (3600, "1h"),
        (3659, "1h"),
        (7500, "2h5m"),
        (86400, "1d"),
        (90_000, "1d1h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


def test_only_one_is_singular() -> None:
    assert [pluralize(count, "file") for count in (0, 1, 2)] == [
        "0 files",
        "1 file",
        "2 files",
    ]
