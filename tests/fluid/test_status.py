"""Sizes, percentages and phases as Fluid writes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.fluid import status
from tests.fluid import junk

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0.00B", 0),
        ("512.00B", 512),
        ("1.50KiB", 1536),
        ("130.37GiB", round(130.37 * GIB)),
        ("1.02TiB", round(1.02 * TIB)),
        ("2GB", 2 * GIB),
        ("300Gi", 300 * GIB),
        ("2G", 2 * GIB),
        (" 7 MiB ", 7 * MIB),
        ("3gib", 3 * GIB),
        (1024, 1024),
        ("1.00PiB", 1 << 50),
        ("[Calculating]", None),
        ("", None),
        (None, None),
        ("-1GiB", None),
        ("GiB", None),
        ("1..5GiB", None),
        ("12 parsecs", None),
        ({}, None),
        ("9" * 400 + "GiB", None),
    ],
)
def test_sizes(text: Any, count: int | None) -> None:
    assert status.parse_size(text) == count


@pytest.mark.parametrize(
    ("text", "slack"),
    [
        ("130.37GiB", GIB // 100),
        ("1.5MiB", MIB // 10),
        ("3GiB", GIB),
        ("512.00B", 0),
        ("[Calculating]", 0),
        (None, 0),
        ("1." + "0" * 400 + "GiB", 0),
    ],
)
def test_how_far_off_a_rounded_size_may_be(text: Any, slack: int) -> None:
    assert status.size_precision(text) == slack


@given(st.integers(min_value=0, max_value=8 << 50))
def test_what_fluid_writes_reads_back_within_its_rounding(count: int) -> None:
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024 or unit == "PiB":
            break
        value /= 1024
    text = f"{value:.2f}{unit}"
    size = status.parse_size(text)
    assert size is not None
    assert abs(size - count) <= status.size_precision(text) + 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("99.8%", 99.8), ("0.0%", 0.0), ("104.2%", 104.2), ("100 %", 100.0), ("", None), (None, None),
     ("99.8", None), ("[Calculating]", None)],
)  # fmt: skip
def test_percentages(text: Any, value: float | None) -> None:
    assert status.parse_percent(text) == value


class TestDataset:
    def test_absent(self) -> None:
        parsed = status.parse_dataset(None)
        assert (parsed.phase, parsed.is_bound, parsed.total) == ("Absent", False, None)

    @pytest.mark.parametrize("obj", [{}, {"status": None}, {"status": {"phase": ""}}])
    def test_before_fluid_saw_it(self, obj: dict[str, Any]) -> None:
        assert status.parse_dataset(obj).phase == "New"

    def test_bound_and_counted(self) -> None:
        parsed = status.parse_dataset(
            {
                "status": {
                    "phase": "Bound",
                    "ufsTotal": "131.42GiB",
                    "cacheStates": {
                        "cached": "65.71GiB",
                        "cacheCapacity": "141.00GiB",
                        "cachedPercentage": "50.0%",
                    },
                }
            }
        )
        assert parsed.is_bound
        assert parsed.total == round(131.42 * GIB)
        assert parsed.cached == round(65.71 * GIB)
        assert parsed.cached_precision == GIB // 100
        assert parsed.capacity == 141 * GIB

    def test_bound_and_not_yet_counted(self) -> None:
        parsed = status.parse_dataset({"status": {"phase": "Bound", "ufsTotal": "[Calculating]"}})
        assert (parsed.is_bound, parsed.total, parsed.cached) == (True, None, None)

    @pytest.mark.parametrize(
        ("phase", "conditions", "expected"),
        [
            ("NotBound", [{"type": "NotReady", "status": "True", "message": "no bucket"}],
             "no bucket"),
            ("Failed", [{"type": "NotReady", "status": "True", "reason": "DatasetFailedToSetup"}],
             "DatasetFailedToSetup"),
            ("NotBound", [{"type": "NotReady", "status": "True", "message": "Operation cannot be "
              "fulfilled on alluxioruntimes.data.fluid.io \"demo\": the object has been modified; "
              "please apply your changes to the latest version and try again"}], ""),
            ("NotBound", [{"type": "NotReady", "status": "False", "message": "old"}], ""),
            ("Bound", [{"type": "NotReady", "status": "True", "message": "old"}], ""),
            ("NotBound", [{"type": "Ready", "status": "True", "message": "fine"}], ""),
            ("NotBound", None, ""),
        ],
    )  # fmt: skip
    def test_the_setup_error(self, phase: str, conditions: Any, expected: str) -> None:
        obj = {"status": {"phase": phase, "conditions": conditions}}
        assert status.setup_error(obj) == status.parse_dataset(obj).setup_error == expected


@pytest.mark.parametrize(
    ("obj", "phase", "message", "over"),
    [
        (None, "Absent", "", False),
        ({}, "Pending", "", False),
        ({"status": {"phase": "Executing", "conditions": []}}, "Executing", "", False),
        ({"status": {"phase": "Complete", "conditions": [{"type": "Complete"}]}}, "Complete", "",
         True),
        ({"status": {"phase": "Failed", "conditions": [
            {"type": "Failed", "reason": "BackoffLimitExceeded", "message": "Job is over"}]}},
         "Failed", "Job is over", True),
        ({"status": {"phase": "Failed", "conditions": [{"reason": "DeadlineExceeded"}]}},
         "Failed", "DeadlineExceeded", True),
    ],
)  # fmt: skip
def test_dataload(obj: Any, phase: str, message: str, over: bool) -> None:
    parsed = status.parse_dataload(obj)
    assert (parsed.phase, parsed.message, parsed.finished) == (phase, message, over)


@given(junk.any_object)
def test_no_object_makes_the_readers_fail(obj: dict[str, Any]) -> None:
    parsed = status.parse_dataset(obj)
    assert isinstance(parsed.phase, str)
    assert isinstance(status.parse_dataload(obj).message, str)


@given(junk.any_value)
def test_no_value_makes_the_parsers_fail(value: Any) -> None:
    size = status.parse_size(value)
    assert size is None or size >= 0
    assert status.size_precision(value) >= 0
    assert status.parse_percent(value) is None or isinstance(value, str)
