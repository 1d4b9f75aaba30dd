"""Our quantities are those of the `kubernetes` package."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity as kubernetes_parse_quantity

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objects.quantity import (
    MIB,
    bytes_to_quantity,
    parse_quantity,
    parse_size_flag,
    quantity_to_int,
)

GIB = 1024 * MIB

SUFFIXES = ("", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
NUMBERS = st.from_regex(r"[+-]?([0-9]{1,9}(\.[0-9]{0,6})?|\.[0-9]{1,6})", fullmatch=True)


@given(NUMBERS, st.sampled_from(SUFFIXES))
def test_the_same_number_as_the_kubernetes_package(number: str, suffix: str) -> None:
    assert parse_quantity(number + suffix) == kubernetes_parse_quantity(number + suffix)


@given(NUMBERS, st.sampled_from("eE"), st.integers(-9, 9))
def test_exponents(number: str, mark: str, exponent: int) -> None:
    text = f"{number}{mark}{exponent}"
    assert parse_quantity(text) == Decimal(text)


@given(st.text(alphabet="0123456789.eEKMGTPkmnui+- x", max_size=10))
def test_what_the_kubernetes_package_refuses_we_refuse(text: str) -> None:
    try:
        ours = parse_quantity(text)
    except ValueError:
        return
    assert ours == kubernetes_parse_quantity(text.strip())


@pytest.mark.parametrize(
    "text",
    ["", "Gi", "1 Gi", "1gi", "1K", "1ki", "1ni", "--1", "1e", "0x10", "1Gi ok", "٣Gi", "nan"],
)
def test_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity such as 300Gi"):
        parse_quantity(text)
    assert quantity_to_int(text) is None


@pytest.mark.parametrize(
    "text", ["1e999999999", "9e99999", "1e-999999999", "1e9999999999999999999"]
)
def test_numbers_beyond_all_measure_are_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)
    assert quantity_to_int(text) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [("1Ki", 1024), ("1k", 1000), ("100m", 1), ("1500m", 2), ("0", 0), (7, 7), (None, None)],
)
def test_sizes_are_rounded_up_to_whole_units(text: str | int | None, count: int | None) -> None:
    assert quantity_to_int(text) == count


@given(st.integers(min_value=0, max_value=1 << 62))
def test_bytes_are_written_exactly(count: int) -> None:
    assert quantity_to_int(bytes_to_quantity(count)) == count


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1000, "1000"), (1024, "1Ki"), (300 << 30, "300Gi"), (1536 << 20, "1536Mi")],
)
def test_the_shortest_form(count: int, text: str) -> None:
    assert bytes_to_quantity(count) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("300Gi", 300 * GIB),
        ("300GiB", 300 * GIB),
        ("1Ti", 1024 * GIB),
        ("1.5Gi", 1536 * MIB),
        ("300GB", -(-300 * 10**9 // MIB) * MIB),
        ("5000000000", -(-5 * 10**9 // MIB) * MIB),
        ("1", MIB),
        ("1048576B", MIB),
        ("2e9", -(-2 * 10**9 // MIB) * MIB),
    ],
)
def test_a_size_flag_is_rounded_up_to_mebibytes(text: str, size: int) -> None:
    assert parse_size_flag(text, "--quota") == size


@pytest.mark.parametrize(
    "text", ["", "0", "-1Gi", "lots", "1 GB", "0.4", "1e999999999", "9" * 5000, "1XB", "B", "500m"]
)
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--quota") as caught:
        parse_size_flag(text, "--quota")
    assert caught.value.reason == "use a size such as 300Gi"


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    try:
        size = parse_size_flag(text, "--quota")
    except UsageError:
        return
    assert size >= MIB
    assert size % MIB == 0
