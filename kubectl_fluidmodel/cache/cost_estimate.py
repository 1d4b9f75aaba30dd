"""What a cache takes: bytes, time, requests, room and money, and when it pays off. Pure.

A rate is measured where `bench` has measured it for this cache, and assumed otherwise; the texts
say which. A load's own duration is no measure: it may have found files in the cache already. The
assumed rates are those of the Dynamo project's page on Fluid, with Llama-3.3-70B (131.4 GiB): 9
minutes from the Hub in the pod, 80 seconds from a cache on the node.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from kubectl_fluidmodel.fluid import alluxio_runtime, names
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from kubectl_fluidmodel.model.sizing import BLOCK_BYTES, GIB, MIB
from kubectl_fluidmodel.objects.access import Object, get_path
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.parts import DEFAULT_PART

ASSUMED_HUB_RATE = 250 * MIB
"""Bytes per second: 131.4 GiB in 9 minutes."""
ASSUMED_CACHE_RATE = 1680 * MIB
"""Bytes per second: 131.4 GiB in 80 seconds."""
ASSUMED_STORE_RATE = 500 * MIB
"""Bytes per second of one node: less than half of a 10 Gbit/s link."""
_LIST_PAGE = 1000
"""Objects of one page of a bucket's list."""
HUB, STORE = "the Hub", "the store"


@dataclass(frozen=True)
class Rate:
    """Bytes per second, and where the figure comes from."""

    bytes_per_second: float
    measured_by: str = ""
    """`bench`; empty if it is assumed."""

    def __str__(self) -> str:
        origin = f"measured by {self.measured_by}" if self.measured_by else "assumed"
        return f"{format_bytes(self.bytes_per_second)}/s, {origin}"


@dataclass(frozen=True)
class Transfer:
    """Bytes that are moved once."""

    origin: str
    """HUB or STORE."""
    bytes: int
    rate: Rate
    streams: int
    """Nodes that transfer at the same time, each at the rate."""
    requests: int
    writes: int = 0
    """Requests that write to the store."""

    @property
    def seconds(self) -> float:
        return self.bytes / (self.rate.bytes_per_second * self.streams)


@dataclass(frozen=True)
class NodeRoom:
    """What a cache takes of each of its nodes."""

    nodes: int
    medium: str
    """MEM, SSD or HDD."""
    quota: int
    """Bytes of the tier."""
    heaps: int
    """Bytes of the JVMs beside it."""

    @property
    def memory(self) -> int:
        """Bytes of memory."""
        return self.heaps + (self.quota if self.medium == "MEM" else 0)


@dataclass(frozen=True)
class CostEstimate:
    """What a cache of a model takes, and what each start of a reader then saves."""

    model_bytes: int
    staging: Transfer | None
    """From the Hub into the bucket; None for a model that lies in a store already."""
    load: Transfer
    """From the store into the cache."""
    room: NodeRoom | None
    """None if there is no runtime."""
    direct: Rate
    """Of a pod that downloads the model itself, from where the model comes."""
    cached: Rate
    """Of a pod that reads the cache."""

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        return (self.staging, self.load) if self.staging else (self.load,)

    @property
    def bytes(self) -> int:
        """All bytes that are moved before the first start."""
        return sum(transfer.bytes for transfer in self.transfers)

    @property
    def seconds(self) -> float:
        """Until the first start."""
        return sum(transfer.seconds for transfer in self.transfers)

    @property
    def direct_start(self) -> float:
        """Seconds that a pod takes to download the model."""
        return self.model_bytes / self.direct.bytes_per_second

    @property
    def cached_start(self) -> float:
        """Seconds that a pod takes to read the model from the cache."""
        return self.model_bytes / self.cached.bytes_per_second

    @property
    def starts_until_bytes_pay_off(self) -> int:
        """Starts of pods after which downloads would have moved at least as many bytes."""
        return math.ceil(self.bytes / self.model_bytes)

    @property
    def starts_until_time_pays_off(self) -> int | None:
        """Starts after which the time to prepare is saved; None where a start saves none."""
        saved = self.direct_start - self.cached_start
        return math.ceil(self.seconds / saved) if saved > 0 else None

    def price(self, per_gib: float) -> float:
        """What moving the bytes costs once."""
        return self.bytes / GIB * per_gib

    def start_price(self, per_gib: float) -> float:
        """What each start costs where every pod downloads the model."""
        return self.model_bytes / GIB * per_gib


def room_of_runtime(runtime: Object | None) -> NodeRoom | None:
    """What an AlluxioRuntime takes of each node; None for any other or without a tier."""
    if runtime is None or runtime.get("kind") != names.ALLUXIO_RUNTIMES.name:
        return None
    medium, _, quota = alluxio_runtime.parse_tier(runtime)
    if not medium or quota is None:
        return None
    options = ("-Xmx", "-XX:MaxDirectMemorySize=")
    heaps = sum(
        alluxio_runtime.jvm_option_bytes(runtime, part, option)
        for part in ("worker", "fuse")
        for option in options
    )
    nodes = int(get_path(runtime, "spec", "replicas", default=1))
    return NodeRoom(nodes, medium, quota, heaps)


def estimate_cost(
    model_bytes: int,
    files: int,
    *,
    copies: int,
    from_hub: bool,
    room: NodeRoom | None,
    rates: ReadRates | None = None,
) -> CostEstimate | None:
    """Estimate what a cache takes.

    Args:
        model_bytes: Of the model.
        files: Of the model.
        copies: Nodes that each hold the whole model.
        from_hub: Whether the model is staged from the Hub.
        room: What the cache takes of a node.
        rates: What `bench` measured of this cache.

    Returns:
        None for a model without bytes.
    """
    if model_bytes <= 0:
        return None
    hub_rate = Rate(ASSUMED_HUB_RATE)
    store_rate = _measured_rate(rates.store if rates else None, ASSUMED_STORE_RATE)
    blocks = model_bytes // BLOCK_BYTES + files
    return CostEstimate(
        model_bytes=model_bytes,
        staging=_staging(model_bytes, files, hub_rate) if from_hub else None,
        load=Transfer(
            STORE,
            model_bytes * copies,
            store_rate,
            copies,
            requests=blocks * copies + math.ceil(files / _LIST_PAGE),
        ),
        room=room,
        direct=hub_rate if from_hub else store_rate,
        cached=_measured_rate(rates.mapped if rates else None, ASSUMED_CACHE_RATE),
    )


def _measured_rate(measured: float | None, assumed: float) -> Rate:
    return Rate(measured, "bench") if measured else Rate(assumed)


def _staging(model_bytes: int, files: int, rate: Rate) -> Transfer:
    """A file of several parts is begun and completed; the manifest is one more object."""
    parts = model_bytes // DEFAULT_PART + files
    large = min(files, model_bytes // DEFAULT_PART)
    return Transfer(HUB, model_bytes, rate, 1, requests=parts + 2, writes=parts + 2 * large + 1)


def estimate_rows(
    estimate: CostEstimate, price_per_gib: float | None = None
) -> Iterator[tuple[str, str]]:
    """An estimate as labels and texts.

    Args:
        estimate: What to show.
        price_per_gib: Of each GiB that leaves the Hub or the store; None shows no money.
    """
    for transfer in estimate.transfers:
        writes = f", {transfer.writes:,} writes to the store" if transfer.writes else ""
        yield (
            "staging" if transfer.origin == HUB else "loading",
            f"{format_bytes(transfer.bytes)} from {transfer.origin} in "
            f"{format_duration(transfer.seconds)} ({transfer.rate}), {transfer.requests:,} "
            f"requests{writes}",
        )
    room = estimate.room
    if room is not None:
        disk = "" if room.medium == "MEM" else f"{format_bytes(room.quota)} of disk and "
        each_of = "its node" if room.nodes == 1 else f"each of {room.nodes} nodes"
        yield "room", f"{disk}up to {format_bytes(room.memory)} of memory on {each_of}"
    yield (
        "a start",
        f"reads {format_bytes(estimate.model_bytes)} in {format_duration(estimate.cached_start)} "
        f"({estimate.cached}); by download in {format_duration(estimate.direct_start)} "
        f"({estimate.direct})",
    )
    yield "pays off", _break_even(estimate)
    if price_per_gib is not None:
        yield (
            "price",
            f"{estimate.price(price_per_gib):.2f} once; "
            f"{estimate.start_price(price_per_gib):.2f} for each start that downloads",
        )


def _break_even(estimate: CostEstimate) -> str:
    by_bytes = pluralize(estimate.starts_until_bytes_pay_off, "start")
    starts = estimate.starts_until_time_pays_off
    by_time = (
        f"{pluralize(starts, 'start')} by time"
        if starts is not None
        else "never by time: a start is as slow as a download"
    )
    return f"after {by_bytes} by bytes and {by_time}, against a download in every pod"


def estimate_document(
    estimate: CostEstimate, price_per_gib: float | None = None
) -> dict[str, object]:
    """An estimate as `inspect -o json` has it."""
    room = estimate.room
    return {
        "transfers": [
            {
                "from": "hub" if transfer.origin == HUB else "store",
                "bytes": transfer.bytes,
                "seconds": round(transfer.seconds, 1),
                "bytesPerSecond": round(transfer.rate.bytes_per_second),
                "measuredBy": transfer.rate.measured_by or None,
                "requests": transfer.requests,
                "writes": transfer.writes,
            }
            for transfer in estimate.transfers
        ],
        "perNode": None
        if room is None
        else {
            "memoryBytes": room.memory,
            "diskBytes": 0 if room.medium == "MEM" else room.quota,
        },
        "startSeconds": {
            "cached": round(estimate.cached_start, 1),
            "cachedMeasuredBy": estimate.cached.measured_by or None,
            "download": round(estimate.direct_start, 1),
        },
        "breakEvenStarts": {
            "bytes": estimate.starts_until_bytes_pay_off,
            "time": estimate.starts_until_time_pays_off,
        },
        "price": None
        if price_per_gib is None
        else {
            "perGiB": price_per_gib,
            "once": round(estimate.price(price_per_gib), 2),
            "perDownload": round(estimate.start_price(price_per_gib), 2),
        },
    }
