"""Ratios of what was measured, and the targets. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.settings.variants import CACHE_NAME, SEED_NAME

STORE, STORE_PARALLEL = "store", "store, 4 connections"
LOCAL, LOCAL_PARALLEL = "local file, memory map", "local file, 4 threads"
"""What has nothing to do with a variant; the files are in the page cache."""
LOAD = "DataLoad"
COLD, COLD_PARALLEL = "cold, memory map", "cold, 4 threads"
WARM, WARM_PARALLEL = "warm, memory map", "warm, 4 threads"
DISK = "tier off the page cache, memory map"
DISK_PARALLEL = "tier off the page cache, 4 threads"
PAGES, PAGES_PARALLEL = "preheated, memory map", "preheated, 4 threads"
CASES = (
    LOAD, COLD, COLD_PARALLEL, WARM, WARM_PARALLEL, DISK, DISK_PARALLEL, PAGES, PAGES_PARALLEL
)  # fmt: skip

Rates = Sequence[float]
"""Bytes per second, one of each round."""


@dataclass(frozen=True)
class Read:
    """How one read through a cache went."""

    rate: float
    """Bytes per second."""
    client_cpu: float
    """Seconds of CPU time of the FUSE client for each GiB."""
    worker_cpu: float
    """The worker's."""


class Measured:
    """The rates of every case, by variant; the variant of what has none is empty."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], list[float]] = {}
        self._reads: dict[tuple[str, str], list[Read]] = {}

    def __bool__(self) -> bool:
        return bool(self._rates)

    def add(self, variant: str, case: str, rate: float) -> None:
        self._rates.setdefault((variant, case), []).append(rate)

    def add_read(self, variant: str, case: str, read: Read) -> None:
        self.add(variant, case, read.rate)
        self._reads.setdefault((variant, case), []).append(read)

    def reads(self, variant: str, case: str) -> Sequence[Read]:
        """Return the reads in the order of the rounds; empty if there was none."""
        return self._reads.get((variant, case), [])

    def of(self, variant: str, case: str) -> Rates:
        """Return the rates in the order of the rounds; empty if it was not measured."""
        return self._rates.get((variant, case), [])


def ratios(above: Rates, below: Rates) -> list[float]:
    """Return the ratios round by round, as far as both were measured."""
    return [a / b for a, b in zip(above, below, strict=False)]


def ratio_text(found: Sequence[float]) -> str:
    """Format ratios as their median and range; empty without any."""
    if not found:
        return ""
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def rate_text(rates: Rates) -> str:
    """Format rates as their median and range in MB/s; empty without any."""
    if not rates:
        return ""
    low, middle, high = (f"{each / 1e6:.0f}" for each in (min(rates), *_median(rates), max(rates)))
    return f"{middle} ({low} to {high})"


def _median(rates: Rates) -> tuple[float]:
    return (statistics.median(rates),)


def rates_table(measured: Measured, variants: Sequence[str]) -> str:
    """Return a Markdown table: each variant's rates, with the ratio to the first one's."""
    from tabulate import tabulate

    first = variants[0]
    rows = []
    for case in CASES:
        if not any(measured.of(each, case) for each in variants):
            continue
        row = [case]
        for each in variants:
            row.append(rate_text(measured.of(each, case)))
            if each != first:
                row.append(ratio_text(ratios(measured.of(each, case), measured.of(first, case))))
        rows.append(row)
    for case in (STORE, STORE_PARALLEL, LOCAL, LOCAL_PARALLEL):
        if measured.of("", case):
            rows.append([case, rate_text(measured.of("", case))])
    titles = ["MB/s, median (range)", f"`{first}`"]
    for each in variants[1:]:
        titles += [f"`{each}`", f"/ {first}"]
    return str(tabulate(rows, headers=titles, tablefmt="github", disable_numparse=True))


def costs_table(measured: Measured, variants: Sequence[str]) -> str:
    """Return a Markdown table of the CPU time of each variant's reads; empty without any."""
    from tabulate import tabulate

    rows = []
    for case in CASES:
        reads = [measured.reads(each, case) for each in variants]
        if any(reads):
            rows.append([case, *map(_cost_text, reads)])
    titles = ["CPU s/GiB of FUSE client + worker", *(f"`{each}`" for each in variants)]
    return str(tabulate(rows, headers=titles, tablefmt="github")) if rows else ""


def _cost_text(reads: Sequence[Read]) -> str:
    if not reads:
        return ""
    client = statistics.median(each.client_cpu for each in reads)
    worker = statistics.median(each.worker_cpu for each in reads)
    return f"{client:.1f} + {worker:.1f}"


@dataclass(frozen=True)
class Target:
    """A ratio that has to come out."""

    text: str
    above: tuple[str, str]
    """Variant and case."""
    below: tuple[str, str]
    least: float


TARGETS = (
    Target("preload / the write-up's", (CACHE_NAME, LOAD), (SEED_NAME, LOAD), 4),
    Target("preload / one client that reads the store", (CACHE_NAME, LOAD), ("", STORE), 0.6),
    Target(
        "warm read, parallel loader / the write-up's default loader",
        (CACHE_NAME, WARM_PARALLEL),
        (SEED_NAME, WARM),
        2,
    ),
    Target(
        "cold read, parallel loader / the write-up's default loader",
        (CACHE_NAME, COLD_PARALLEL),
        (SEED_NAME, COLD),
        5,
    ),
    Target("preheated / the write-up's warm read", (CACHE_NAME, PAGES), (SEED_NAME, WARM), 4),
    Target(
        "preheated, parallel loader / the write-up's warm read",
        (CACHE_NAME, PAGES_PARALLEL),
        (SEED_NAME, WARM),
        4,
    ),
    Target("preheated / a local file in the page cache", (CACHE_NAME, PAGES), ("", LOCAL), 0.7),
    Target(
        "preheated / a local file in the page cache, parallel loader",
        (CACHE_NAME, PAGES_PARALLEL),
        ("", LOCAL_PARALLEL),
        0.7,
    ),
)


def targets_table(measured: Measured) -> str:
    """Return a Markdown table of the targets, and which were met."""
    from tabulate import tabulate

    rows = []
    for target in TARGETS:
        found = ratios(measured.of(*target.above), measured.of(*target.below))
        if found:
            result = "met" if statistics.median(found) >= target.least else "**missed**"
            rows.append([target.text, ratio_text(found), f"{target.least:g}", result])
    titles = ("ratio", "here (range)", "target", "")
    return str(tabulate(rows, headers=titles, tablefmt="github", disable_numparse=True))


@dataclass(frozen=True)
class Load:
    """How one DataLoad went."""

    rate: float
    """Bytes per second of the loading itself."""
    seconds_besides: float
    """Of its Job."""
    cpu_per_gib: float
    """Seconds of CPU time of the worker and its job worker for each GiB."""


def loads_text(name: str, loads: Sequence[Load]) -> str:
    """Return what the loads of a variant cost, as medians."""
    cpu = statistics.median(each.cpu_per_gib for each in loads)
    besides = statistics.median(each.seconds_besides for each in loads)
    return f"DataLoads of {name}: {cpu:.1f} CPU s/GiB, {besides:.0f} s besides the loading"


def load_seconds(log: str) -> float:
    """Return the seconds of a DataLoad's `distributedLoad`: the last that its script timed.

    Raises:
        ValueError: the log has none.
    """
    for line in reversed(log.splitlines()):
        word, _, rest = line.partition("\t")
        if word.strip() == "real":
            minutes, _, seconds = rest.strip().removesuffix("s").partition("m")
            return int(minutes) * 60 + float(seconds)
    raise ValueError("the log of the DataLoad has no time of distributedLoad")
