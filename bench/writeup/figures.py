"""The write-up's figures, ours beside them, and what has to come out. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """Where the model is when a worker starts: a row of the write-up's table."""

    key: str
    text: str
    seconds: float
    """The write-up's start-up time."""


HUB = Placement("hub", "no cache: download from the Hub, then load", 9 * 60)
ELSEWHERE = Placement("elsewhere", "cache on two nodes, reader elsewhere", 18 * 60)
BESIDE = Placement("beside", "cache on two nodes, reader on one of them", 10 * 60)
WHOLE = Placement("whole", "whole on one node, reader there", 80)
PLACEMENTS = (HUB, ELSEWHERE, BESIDE, WHOLE)
LARGEST_SHARE = 1 / 5
"""Of the first row, for the last."""


@dataclass(frozen=True)
class LinkRates:
    """Bytes per second of the shaped links."""

    hub: float
    node: float


def link_rates(local: float, amplification: float) -> LinkRates:
    """The rates at which links are to this machine what the write-up's were to its own.

    The write-up's node read 141 GB in 80 s from a complete cache of its own. A start without a
    cache loads what it has downloaded too, so the Hub sent 141 GB in 9 min less 80 s. From other
    nodes, 141 GB came in 18 min; Alluxio sends each byte several times, which the link has to carry
    as the write-up's did. The store is not read while a model loads.

    Args:
        local: Bytes per second at which this machine loads a model from a cache on the own node.
        amplification: Bytes on the wire for each byte of a model that is read from another node.
    """
    hub = WHOLE.seconds / (HUB.seconds - WHOLE.seconds)
    node = WHOLE.seconds / ELSEWHERE.seconds * amplification
    return LinkRates(local * hub, local * node)


@dataclass(frozen=True)
class Load:
    """One load of the model."""

    bytes: int
    """Of all tensors."""
    download: float
    load: float
    """Both in seconds."""
    wire: int
    """Bytes that the node received over its link meanwhile."""

    @property
    def seconds(self) -> float:
        return self.download + self.load

    @property
    def rate(self) -> float:
        """Bytes per second, without the download."""
        return self.bytes / self.load


@dataclass(frozen=True)
class Row:
    """A placement's measurements in seconds, one per round."""

    placement: Placement
    seconds: tuple[float, ...]
    wire: float = 0.0
    """Bytes that the node received over its link, for each byte of the model."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def problems(rows: Sequence[Row]) -> list[str]:
    """What did not come out: the write-up's order, and the last row's share of the first.

    The share is the median of the rounds': what else the machine does differs between them.
    """
    by_time = sorted(rows, key=lambda row: row.median)
    wanted = sorted(rows, key=lambda row: row.placement.seconds)
    found = []
    if by_time != wanted:
        order = " < ".join(row.placement.key for row in by_time)
        found.append(
            f"the order is {order} instead of {' < '.join(row.placement.key for row in wanted)}"
        )
    times = {row.placement.key: row.seconds for row in rows}
    pairs = zip(times[WHOLE.key], times[HUB.key], strict=True)
    share = statistics.median(whole / hub for whole, hub in pairs)
    if share > LARGEST_SHARE:
        found.append(f"{WHOLE.key} takes {share:.2f} of {HUB.key}, more than {LARGEST_SHARE:.2f}")
    return found


def markdown_table(rows: Sequence[Row]) -> str:
    """The table: the write-up's seconds, ours, and both as multiples of the last row."""
    from tabulate import tabulate

    last = next(row for row in rows if row.placement == WHOLE)
    cells = [
        [
            row.placement.text,
            _minutes(row.placement.seconds),
            f"{row.placement.seconds / WHOLE.seconds:.1f}",
            f"{row.median:.1f} s ({min(row.seconds):.1f} to {max(row.seconds):.1f})",
            f"{row.median / last.median:.1f}",
            f"{row.wire:.1f}",
        ]
        for row in rows
    ]
    titles = (
        "where the model is",
        "write-up",
        "times the last",
        "here (range)",
        "times the last",
        "on the wire",
    )
    return str(tabulate(cells, headers=titles, tablefmt="github", disable_numparse=True))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def rows_of(measured: Mapping[str, Sequence[Load]]) -> list[Row]:
    """The rows in the write-up's order, from the loads of each placement by its key."""
    return [
        Row(
            each,
            tuple(load.seconds for load in measured[each.key]),
            statistics.median(load.wire / load.bytes for load in measured[each.key]),
        )
        for each in PLACEMENTS
    ]


def preheating_text(
    preheated: Sequence[Load], local: Sequence[Load], downloaded: Sequence[Load]
) -> str:
    """What the page cache is worth, in a line; by the rounds' rates.

    Args:
        preheated: Loads of a complete cache on the own node whose pages the node has.
        local: The same without the pages.
        downloaded: Loads from the Hub; what was downloaded is in a local disk's page cache.
    """
    seconds = [each.load for each in preheated]
    rounds = list(zip(preheated, local, downloaded, strict=True))
    times = statistics.median(hot.rate / cold.rate for hot, cold, _ in rounds)
    share = statistics.median(hot.rate / disk.rate for hot, _, disk in rounds)
    return (
        f"whole on one node and preheated: {statistics.median(seconds):.1f} s "
        f"({min(seconds):.1f} to {max(seconds):.1f}), {times:.1f} times as fast as without, and "
        f"{share:.2f} times as fast as files in a local disk's page cache"
    )
