"""The write-up's table on real nodes: `python -m bench.writeup [--size 2Gi] [--rounds 3]`.

Brings up a control plane with three real nodes (as `make test-real`: Linux, root, FUSE, Maven, a
JDK), a model of random safetensors, a Hub, a cache of one complete copy on one node and one that is
spread over two. Then each round loads the model in every placement, in an order that is drawn anew.
Prints the table in Markdown and writes a chart. Exits 1 if the write-up's order does not come out.
`docs/performance.md` says how the links are shaped.

    .venv/bin/python -m pip install -c constraints.txt -e '.[bench]'     what the loader needs
"""

from __future__ import annotations

import argparse
import importlib.metadata
import random
import shutil
import signal
import statistics
import sys
from pathlib import Path

from bench.writeup.chart import svg_chart
from bench.writeup.figures import (
    ELSEWHERE,
    HUB,
    PLACEMENTS,
    WHOLE,
    Load,
    link_rates,
    markdown_table,
    preheating_text,
    problems,
    rows_of,
)
from bench.writeup.plane import Plane, say
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.quantity import parse_size_flag
from kubectl_fluidmodel.output.units import format_bytes
from tests.cluster.cluster import Cluster
from tests.cluster.real import nodes
from tests.cluster.real.machine import MachineLacks

CALIBRATION = 3


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.writeup", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--size", default="2Gi", help="of the model (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chart", type=Path, default=Path("writeup.svg"), help="file to write")
    parser.add_argument("--name", default="writeup", help="of the control plane")
    parser.add_argument("--keep", action="store_true", help="leave the nodes up, for another run")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cluster = Cluster(options.name)
    try:
        size = parse_size_flag(options.size, "--size")
        check(cluster, size)
        return measure(cluster, size, options)
    except KeyboardInterrupt:
        say("error: interrupted; nothing is left")
        return 130
    except (MachineLacks, FluidModelError, RuntimeError, AssertionError) as err:
        say(f"error: {' '.join(str(err).split())}")
        return 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not options.keep:
            cluster.down()


def check(cluster: Cluster, size: int) -> None:
    """Refuse before anything is started.

    Raises:
        MachineLacks: no FUSE, no room, or no library for the loader.
    """
    nodes.check(cluster.state, data_plane=True)
    for name in ("safetensors", "numpy"):
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            hint = "python -m pip install -c constraints.txt -e '.[bench]'"
            raise MachineLacks(f"{name} is not installed; try: {hint}") from None
    lines = Path("/proc/meminfo").read_text().splitlines()
    memory = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    for what, there, needed in (
        ("memory", memory, 2 * size + (6 << 30)),
        ("disk", shutil.disk_usage(cluster.state.parents[1]).free, 3 * size + (4 << 30)),
    ):
        if there < needed:
            raise MachineLacks(
                f"no room: a model of {format_bytes(size)} needs {format_bytes(needed)} of {what}, "
                f"and {format_bytes(there)} are free; try a smaller --size"
            )


def measure(cluster: Cluster, size: int, options: argparse.Namespace) -> int:
    """Set up, measure in rounds, and print.

    Returns:
        The exit code: 1 if the write-up's order does not come out.
    """
    plane = Plane(cluster, size)
    try:
        plane.up()
        for node, share in plane.shares().items():
            say(f"{node} holds {share:.0%} of the model")
        plane.load(WHOLE)  # starts what is started only once
        plane.unshape()  # an earlier run may have been kept
        first = plane.load(ELSEWHERE)
        amplification = first.wire / first.bytes
        say(f"from another node, each byte is {amplification:.1f} on the wire")
        measured: dict[str, list[Load]] = {each.key: [] for each in PLACEMENTS}
        preheated: list[Load] = []
        for number in range(options.rounds):
            # What else the machine does changes its speed: so the links are shaped in each round.
            local = statistics.median(plane.load(WHOLE).rate for _ in range(CALIBRATION))
            preheated.append(plane.load(WHOLE, "page-cache"))
            rates = link_rates(local, amplification)
            plane.shape(rates)
            what = f"round {number + 1} of {options.rounds}"
            say(
                f"{what}: a node of the cache loads {local / 1e6:.0f} MB/s, so the Hub sends "
                f"{rates.hub / 1e6:.0f} and a node {rates.node / 1e6:.0f}"
            )
            for placement in random.sample(PLACEMENTS, len(PLACEMENTS)):
                found = plane.load(placement)
                measured[placement.key].append(found)
                say(f"{what}: {placement.key}: {found.seconds:.1f} s")
    finally:
        plane.close()
    rows = rows_of(measured)
    print(markdown_table(rows))
    print(f"\n{preheating_text(preheated, measured[WHOLE.key], measured[HUB.key])}")
    options.chart.write_text(svg_chart(rows, f"{format_bytes(size)}, Alluxio 2.9.3"))
    say(f"chart: {options.chart}")
    wrong = problems(rows)
    for each in wrong:
        say(f"not as in the write-up: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
