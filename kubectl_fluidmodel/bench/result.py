"""What `bench` measured on the nodes of one cache, and the conclusions. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.bench.plan import Measurement, PagesMeasured, Pattern, Source
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from kubectl_fluidmodel.records import dataclass

_PARALLEL_BLOCK = 16 * 1024**2
_NEAR = 0.7
"""The share of the page cache's rate from which memory limits a read."""


@dataclass(frozen=True)
class NodeResult:
    """What the pod on one node measured."""

    node: str
    holds_cache: bool
    measurements: tuple[Measurement, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """(case, reason)."""
    pages: PagesMeasured | None = None
    """The node's page cache after all cases; None if not measured."""

    def rate(
        self, source: Source, pattern: Pattern | None = None, readers: int | None = None
    ) -> float | None:
        """The fastest rate of the cases that match, in bytes per second."""
        rates = [
            measurement.bytes_per_second
            for measurement in self.measurements
            if measurement.case.source is source
            and pattern in (None, measurement.case.pattern)
            and readers in (None, measurement.case.readers)
        ]
        return max(rates, default=None)


@dataclass(frozen=True)
class BenchResult:
    """The whole result."""

    namespace: str
    name: str
    measured_at: str
    """RFC 3339, UTC."""
    model_bytes: int
    """Size of the weight files."""
    nodes: tuple[NodeResult, ...]
    """The node of the cache first."""

    @property
    def local(self) -> NodeResult:
        """The node of the cache."""
        return self.nodes[0]

    def load_seconds(self, measurement: Measurement) -> float | None:
        """Return how long the whole model takes at the rate of one case."""
        rate = measurement.bytes_per_second
        return self.model_bytes / rate if rate else None

    def rates(self) -> ReadRates:
        """Return the result in the form that is saved on the Dataset."""
        local = self.local
        remote = next((node for node in self.nodes if not node.holds_cache), None)
        parallel = {
            measurement.case.readers: measurement.bytes_per_second
            for measurement in local.measurements
            if measurement.case.source is Source.MOUNT
            and measurement.case.pattern is Pattern.PREAD
            and measurement.case.block_bytes == _PARALLEL_BLOCK
        }
        return ReadRates(
            measured_at=self.measured_at,
            node=local.node,
            mapped=local.rate(Source.MOUNT, Pattern.MMAP),
            parallel=parallel,
            page_cache=local.rate(Source.PAGE_CACHE),
            store=local.rate(Source.STORE),
            off_node=remote.rate(Source.MOUNT, Pattern.MMAP) if remote else None,
            resident_bytes=local.pages.bytes if local.pages else None,
            total_bytes=local.pages.total_bytes if local.pages else None,
        )


@dataclass(frozen=True)
class Limit:
    """What limits a read from the cache."""

    code: str
    """memory, fuse-latency, fuse-throughput or unknown."""
    text: str


def find_limit(rates: ReadRates) -> Limit:
    """Return what limits reading, by comparing the rates.

    The page cache is read without Alluxio and without FUSE, so a rate close to it is limited by
    memory. If more threads read faster, one thread waits for responses of the FUSE client; if they
    do not, the client itself is the limit.
    """
    best = rates.best_parallel
    if best is None:
        return Limit("unknown", "nothing was read in parallel, so the limit is unknown")
    readers, rate = best
    if rates.page_cache and rate >= _NEAR * rates.page_cache:
        share = round(100 * rate / rates.page_cache)
        return Limit("memory", f"memory: the cache reads at {share}% of the page cache's rate")
    single = rates.parallel.get(1)
    if readers > 1 and single:
        return Limit(
            "fuse-latency",
            f"round trips to the FUSE client: {readers} threads read {rate / single:.1f} times as "
            "fast as one",
        )
    return Limit(
        "fuse-throughput", "the FUSE client or its worker: more threads do not read faster"
    )
