"""Measures how much of a model is in the page cache of a node; runs in a pod, without privileges.

mincore(2) does not tell: since Linux 5.2, it reports every page as resident to a process that may
not write the file (mm/mincore.c, can_do_mincore). So a sample of the pages is touched in a memory
map, and the kernel counts the touches for which it had to read (getrusage(2), ru_majflt).
"""

from __future__ import annotations

import json
import mmap
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from kubectl_fluidmodel.records import dataclass

_MODULE = "kubectl_fluidmodel.model.page_cache"
_SAMPLES = 1024
"""Pages to touch: enough for a standard error of at most 1.6 percentage points."""
_TIMEOUT = 20.0
"""Seconds after which a measurement is given up: each page that is not resident is read."""


@dataclass(frozen=True)
class Residency:
    """How much of the files below a directory is in the page cache, as a sample shows it."""

    bytes: int
    total_bytes: int


def measure_residency(root: Path) -> Residency | None:
    """Measure the files below a directory; None if that fails or takes too long.

    A page that cannot be read ends the process that touches it with SIGBUS, so another process
    does.
    """
    command = [sys.executable, "-m", _MODULE, str(root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT)
        return Residency(**json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None


def sample_residency(root: Path) -> Residency:
    """Touch a sample of the pages of all files below a directory, evenly spread.

    The first is a random one: pages that an earlier measurement touched are resident since.

    Raises:
        OSError: a file cannot be read.
    """
    sizes = [(path, path.stat().st_size) for path in sorted(root.rglob("*")) if path.is_file()]
    total = sum(size for _, size in sizes)
    stride = max(mmap.PAGESIZE, total // _SAMPLES)
    first = random.randrange(min(stride, total) or 1)  # noqa: S311 - a sample, no secret
    touched = resident = 0
    for path, offsets in _spread(sizes, first, stride):
        touched += len(offsets)
        resident += len(offsets) - _count_reads(path, offsets)
    return Residency(total * resident // touched if touched else 0, total)


def _spread(
    sizes: Sequence[tuple[Path, int]], first: int, stride: int
) -> Iterator[tuple[Path, Sequence[int]]]:
    """Yield the offsets to touch in each file, as if the files were one after the other."""
    for path, size in sizes:
        offsets = range(first, size, stride)
        if offsets:
            yield path, offsets
            first = offsets[-1] + stride
        first -= size


def _count_reads(path: Path, offsets: Sequence[int]) -> int:
    """Touch pages of a file; returns how many of them the kernel had to read."""
    import resource  # Windows, where only the commands run and no pod, does not have it

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        mapped.madvise(mmap.MADV_RANDOM)  # else the kernel reads the next pages, too
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_majflt
        for offset in offsets:
            mapped[offset]
        reads = resource.getrusage(resource.RUSAGE_THREAD).ru_majflt - before
    return min(reads, len(offsets))


def main() -> int:
    """Run in the process that may be killed: measure, print."""
    sys.stdout.write(json.dumps(asdict(sample_residency(Path(sys.argv[1])))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
