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
import random
import statistics
import sys
from functools import partial
from pathlib import Path

from bench.plane.program import add_flags, run_bench, say
from bench.settings.variants import CACHE, parse_variant
from bench.writeup.chart import svg_chart
from bench.writeup.figures import (
    BESIDE,
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
from bench.writeup.plane import Plane
from kubectl_fluidmodel.output.units import format_bytes
from tests.cluster.cluster import Cluster

CALIBRATION = 3
WARM_UP = 3
"""Loads after which the JVMs have compiled what they run often."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.writeup", description=(__doc__ or "").partition("\n")[0]
    )
    add_flags(parser, "writeup", "2Gi")
    parser.add_argument(
        "--set",
        type=parse_variant,
        default=CACHE,
        metavar="KEY=VALUE[,…]",
        help="a change of the cache on two nodes, as in bench.settings",
    )
    parser.add_argument("--chart", type=Path, default=Path("writeup.svg"), help="file to write")
    options = parser.parse_args(argv)
    if {key for key, _ in options.set.changes} & {"medium", "readahead"}:
        parser.error("argument --set: medium and readahead are for bench.settings")
    # Two caches, and the JVMs of three nodes.
    return run_bench(options, lambda size: 2 * size + (6 << 30), partial(measure, options))


def measure(options: argparse.Namespace, cluster: Cluster, size: int) -> int:
    """Set up, measure in rounds, and print.

    Returns:
        The exit code: 1 if the write-up's order does not come out.
    """
    plane = Plane(cluster, size, options.set)
    try:
        plane.up()
        for node, share in plane.shares().items():
            say(f"{node} holds {share:.0%} of the model")
        plane.unshape()  # an earlier run may have been kept
        for placement in (WHOLE, BESIDE, ELSEWHERE):
            for _ in range(WARM_UP):
                plane.load(placement)
        first = plane.load(ELSEWHERE)
        amplification = first.wire / first.bytes
        say(f"from another node, each byte is {amplification:.1f} on the wire")
        measured: dict[str, list[Load]] = {each.key: [] for each in PLACEMENTS}
        preheated: list[Load] = []
        for number in range(options.rounds):
            # What else the machine does changes its speed: so the links are shaped in each round.
            local = statistics.median(plane.load(WHOLE).rate for _ in range(CALIBRATION))
            preheated.append(plane.load(WHOLE, keep_pages=True))
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
