"""What `cache --preheat` and `bench` measured of the page cache of a cache's nodes. Pure.

The kernel drops the pages of a mount with it, so what was measured is over once the FUSE client of
the node is another one. Until then, the kernel may drop pages when it needs the memory.
"""

from __future__ import annotations

from kubectl_fluidmodel.fluid.fuse import uses_jnr_fuse
from kubectl_fluidmodel.fluid.pod_problems import is_ready
from kubectl_fluidmodel.inventory.cache import FUSE, Cache
from kubectl_fluidmodel.inventory.preheat_record import fuse_clients, preheat_records
from kubectl_fluidmodel.inventory.read_rates import read_rates
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.objects.time import parse_time
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

PREHEATING, BENCH = "preheating", "bench"
WELL_PREHEATED = 90
"""Percent of the model that a node keeps after preheating if it has enough memory."""


@dataclass(frozen=True)
class PageCache:
    """How much of the model was in the page cache of one node."""

    resident_bytes: int | None
    """None if an earlier version of the plugin read the model and did not measure."""
    total_bytes: int
    """Size of the model's files."""
    measured_at: str
    """RFC 3339, UTC; empty if unknown."""
    age: float | None
    """Seconds since then."""
    measured_by: str
    """`PREHEATING` or `BENCH`."""
    is_lost: bool
    """Whether the FUSE client of that time is gone, and its pages with it."""

    @property
    def percent(self) -> int | None:
        """The share of the model."""
        if self.resident_bytes is None or not self.total_bytes:
            return None
        return min(100, 100 * self.resident_bytes // self.total_bytes)


def page_caches(snapshot: Snapshot, cache: Cache) -> dict[str, PageCache]:
    """Return the latest measurement of each node that has one, by node.

    There is none where the FUSE client keeps no page: earlier ones are of another client.
    """
    if uses_jnr_fuse(cache.fuse_runtime):
        return {}
    pods = cache.pods.get(FUSE, [])
    clients = fuse_clients(pods) if snapshot.was_read(kinds.PODS, cache.namespace) else None
    measurements = {
        node: PageCache(
            record.resident_bytes,
            record.bytes,
            record.measured_at,
            _age(snapshot, record.measured_at),
            PREHEATING,
            # Where there was no client, as on simulated nodes, none can be lost.
            bool(record.client) and clients is not None and clients.get(node) != record.client,
        )
        for node, record in preheat_records(cache.dataset).items()
    }
    rates = read_rates(cache.dataset)
    if rates is None or rates.resident_bytes is None or not rates.total_bytes:
        return measurements
    before = measurements.get(rates.node)
    if before is None or parse_time(before.measured_at) < parse_time(rates.measured_at):
        measurements[rates.node] = PageCache(
            rates.resident_bytes,
            rates.total_bytes,
            rates.measured_at,
            _age(snapshot, rates.measured_at),
            BENCH,
            clients is not None
            and not _was_running(pods, rates.node, parse_time(rates.measured_at)),
        )
    return measurements


def is_read_again(cache: Cache, node: str) -> bool:
    """Whether a pod has become ready on a node with its present FUSE client.

    Such a pod has read the model, so the pages that it needs are in the page cache again.
    """
    for pod in cache.pods.get(FUSE, []):
        started = _start_of(pod)
        if get_path(pod, "spec", "nodeName") == node and started:
            return any(
                reader.node == node and is_ready(reader.pod) and _start_of(reader.pod) > started
                for reader in cache.readers
            )
    return False


def _age(snapshot: Snapshot, stamp: str) -> float | None:
    when = parse_time(stamp)
    return max(0.0, snapshot.taken_at - when) if when else None


def _was_running(pods: list[Object], node: str, when: float) -> bool:
    """Whether the node's FUSE client was running already at a time."""
    return any(
        0 < _start_of(pod) <= when for pod in pods if get_path(pod, "spec", "nodeName") == node
    )


def _start_of(pod: Object) -> float:
    """Return when the pod's containers last started, in seconds of Unix time; 0.0 if unknown."""
    starts = [
        parse_time(get_path(status, "state", "running", "startedAt"))
        for status in get_list(pod, "status", "containerStatuses")
    ]
    return max(starts, default=0.0)
