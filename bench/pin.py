"""How long `pin -f` of a file with 50 graphs takes, beyond the start of Python itself.

    python bench/pin.py [--graphs 50] [--rounds 7]

The file mixes the shapes of tests/fixtures/dgd. Prints the medians in seconds, and exits 1 where
the target (0.5 s over Python's own start) is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = 0.5
SHAPES = ("beta-agg", "beta-disagg", "beta-multinode", "beta-epp-sidecar", "alpha-pvcs",
          "alpha-extrapodspec", "legacy-disagg")  # fmt: skip


def manifest(graphs: int) -> str:
    """A file of that many graphs, each under a name of its own."""
    texts = [(ROOT / f"tests/fixtures/dgd/{name}.yaml").read_text() for name in SHAPES]
    parts = []
    for index, text in zip(range(graphs), itertools.cycle(texts), strict=False):
        name = text.split("  name: ", 1)[1].split("\n", 1)[0]
        parts.append(text.replace(f"  name: {name}\n", f"  name: {name}-{index}\n", 1))
    return "---\n".join(parts)


def seconds(command: list[str], rounds: int) -> tuple[float, float]:
    """Median wall time and CPU time of a command; they differ where the machine is busy."""
    wall, cpu = [], []
    for _ in range(rounds):
        start, used = time.perf_counter(), _cpu()
        subprocess.run(command, check=True, capture_output=True)
        wall.append(time.perf_counter() - start)
        cpu.append(_cpu() - used)
    return statistics.median(wall), statistics.median(cpu)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graphs.yaml"
        path.write_text(manifest(options.graphs))
        start, start_cpu = seconds([sys.executable, "-c", "pass"], options.rounds)
        verb = [sys.executable, "-m", "kubectl_fluidmodel", "pin", "llama", "-f", str(path)]
        total, total_cpu = seconds(
            [*verb, "-n", "prod", "--use-model-path", "-o", "yaml"], options.rounds
        )
        lines = path.read_text().count("\n")
    over = total - start
    print(json.dumps({
        "graphs": options.graphs, "lines": lines, "python_start_s": round(start, 3),
        "pin_s": round(total, 3), "over_start_s": round(over, 3),
        "over_start_cpu_s": round(total_cpu - start_cpu, 3), "target_s": TARGET,
    }))  # fmt: skip
    return 0 if over <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
