"""The read rates of a cache that `bench` saved on the Dataset, and the loader they mean. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import annotations_of
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.records import dataclass

_RATES = ("mapped", "page_cache", "store", "off_node")
_WORTHWHILE = 1.3
"""A parallel loader is recommended if it reads at least this many times as fast."""
DEFAULT, PARALLEL = "default", "parallel"


@dataclass(frozen=True)
class ReadRates:
    """Bytes per second on one node of a cache; None if not measured."""

    measured_at: str
    """RFC 3339, UTC."""
    node: str
    mapped: float | None = None
    """One thread that copies from a memory map, as `safetensors` does."""
    parallel: Mapping[int, float] = field(default_factory=dict)
    """By the number of threads that read large blocks."""
    page_cache: float | None = None
    """The same bytes again, from the node's page cache."""
    store: float | None = None
    """The object store, without the cache."""
    off_node: float | None = None
    """One thread on a node without the cache."""
    resident_bytes: int | None = None
    """How much of the model's files was in the node's page cache at the end."""
    total_bytes: int | None = None
    """Size of these files."""

    @property
    def best_parallel(self) -> tuple[int, float] | None:
        """Return the fewest threads within 10% of the fastest rate, and their rate."""
        if not self.parallel:
            return None
        fastest = max(self.parallel.values())
        readers = min(count for count, rate in self.parallel.items() if rate >= 0.9 * fastest)
        return readers, self.parallel[readers]

    def to_annotation(self) -> str:
        """Return the value of the annotation; `read_rates` is the inverse."""
        document = {name: value for name, value in asdict(self).items() if value}
        for name in _RATES:
            if name in document:
                document[name] = round(document[name])
        if self.resident_bytes is not None:
            document["resident_bytes"] = self.resident_bytes
        document["parallel"] = {count: round(rate) for count, rate in self.parallel.items()}
        return json.dumps(document, separators=(",", ":"))


def read_rates(dataset: Mapping[str, Any] | None) -> ReadRates | None:
    """Parse the latest measurement of a cache; None if there is none or it is damaged."""
    text = annotations_of(dataset or {}).get(names.READ_RATES_ANNOTATION, "")
    try:
        document = json.loads(text) if text else None
        if not isinstance(document, dict):
            return None
        parallel = {int(key): _rate(rate) for key, rate in document.pop("parallel", {}).items()}
        rates = {key: _rate(document[key]) for key in _RATES if document.get(key) is not None}
        resident, total = (_size(document.get(key)) for key in ("resident_bytes", "total_bytes"))
        return ReadRates(
            str(document["measured_at"]),
            str(document["node"]),
            parallel=parallel,
            resident_bytes=resident,
            total_bytes=total,
            **rates,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True)
class LoaderAdvice:
    """The recommended loader."""

    loader: str
    """`DEFAULT` or `PARALLEL`."""
    readers: int
    """Reads at once on the node; 1 for the default loader."""
    text: str


def advise_loader(rates: ReadRates | None) -> LoaderAdvice | None:
    """Return whether engines should read with several threads; None if too little was measured."""
    best = rates.best_parallel if rates else None
    if rates is None or best is None or not rates.mapped:
        return None
    readers, rate = best
    if rate < _WORTHWHILE * rates.mapped:
        return LoaderAdvice(
            DEFAULT, 1, "the default loader: a parallel one reads less than 30% faster"
        )
    return LoaderAdvice(
        PARALLEL,
        readers,
        f"a loader with {pluralize(readers, 'parallel read')}: {rate / rates.mapped:.1f} times as "
        "fast as the default loader's memory map",
    )


def best_reads(dataset: Mapping[str, Any] | None) -> int:
    """Return the advised reads at once on a node of a cache; 0 if too little was measured."""
    advice = advise_loader(read_rates(dataset))
    return advice.readers if advice else 0


def _size(value: Any) -> int | None:
    return None if value is None else max(0, int(value))


def _rate(value: Any) -> float:
    """Parse a rate.

    Raises:
        ValueError: it is not a positive, finite number.
    """
    rate = float(value)
    if not math.isfinite(rate) or rate <= 0:
        raise ValueError(f"{value} is not a rate")
    return rate
