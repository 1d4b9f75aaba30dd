"""Kubernetes quantities (`300Gi`, `250m`, `1e3`) without the Kubernetes client.

Grammar: k8s.io/apimachinery/pkg/api/resource. The tests compare the results with the `kubernetes`
package.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from kubectl_fluidmodel.errors import UsageError

MIB = 1024**2

_FACTORS: dict[str, Decimal] = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{
        suffix: Decimal(1024) ** power
        for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)
    },
}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]i?|Ki)?)", re.ASCII)
_DIGITS = 60
"""Maximum digits before or after the point. More are a typing error and take minutes to compute."""


def parse_quantity(text: str | int | float) -> Decimal:
    """Parse a quantity.

    Raises:
        ValueError: it is not a quantity.
    """
    match = _FORM.fullmatch(str(text).strip())
    number, exponent, suffix = match.groups() if match else ("", None, None)
    try:
        value = Decimal(number + (exponent or ""))
        if abs(value.adjusted()) <= _DIGITS:
            return value * _FACTORS[suffix or ""]
    except (InvalidOperation, KeyError):
        pass
    raise ValueError(f"'{text}' is not a quantity such as 300Gi")


def quantity_to_int(text: str | int | float | None) -> int | None:
    """Return a quantity as an integer, rounded up; None for None or an invalid quantity."""
    if text is None:
        return None
    try:
        return int(parse_quantity(text).to_integral_value(rounding=ROUND_CEILING))
    except ValueError:
        return None


def bytes_to_quantity(count: int) -> str:
    """Format bytes as the shortest exact binary quantity: `300Gi`, `512Mi`, `1000`."""
    for suffix, factor in (("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if count and count % factor == 0:
            return f"{count // factor}{suffix}"
    return str(count)


def parse_size_flag(text: str, flag: str) -> int:
    """Parse a size flag: `300Gi`, also `300GiB` and `300GB`.

    Kubernetes rewrites other numbers (`5000000000` to `5G`), which would look like a change, so
    the size is rounded up to a multiple of 1 MiB.

    Returns:
        Bytes.

    Raises:
        UsageError: it is not a positive size.
    """
    try:
        size = parse_quantity(re.sub(r"(?<=[KMGTPk\di])B$", "", text))
    except ValueError:
        size = Decimal(0)
    if size < 1:
        raise UsageError(f"{flag} '{text}' is not a size", "use a size such as 300Gi")
    return -(-int(size) // MIB) * MIB
