"""How a bench on real nodes runs: what the machine must have, and how it ends."""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.quantity import parse_size_flag
from kubectl_fluidmodel.output.units import format_bytes
from tests.cluster.cluster import Cluster
from tests.cluster.real import nodes
from tests.cluster.real.machine import MachineLacks

LIBRARIES = ("safetensors", "numpy")
"""What the loader in the pods needs, from this machine."""


def say(text: str) -> None:
    """Print what is going on, beside the result."""
    print(text, file=sys.stderr, flush=True)


def add_flags(parser: argparse.ArgumentParser, name: str, size: str) -> None:
    """Add the flags that these benches share."""
    parser.add_argument("--size", default=size, help="of the model (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default=name, help="of the control plane")
    parser.add_argument("--keep", action="store_true", help="leave the nodes up, for another run")


def run_bench(
    options: argparse.Namespace,
    memory: Callable[[int], int],
    measure: Callable[[Cluster, int], int],
) -> int:
    """Check, measure, and take down what was started.

    Args:
        options: The flags of `add_flags`.
        memory: The bytes of memory that a model of this many bytes needs.
        measure: Measures a model of this many bytes; returns the exit code.

    Returns:
        The exit code: 1 after an error, which is one line, and 130 after an interruption.
    """
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cluster = Cluster(options.name)
    try:
        size = parse_size_flag(options.size, "--size")
        check(cluster, size, memory(size))
        return measure(cluster, size)
    except KeyboardInterrupt:
        say("error: interrupted; nothing is left")
        return 130
    except (MachineLacks, FluidModelError, RuntimeError, AssertionError) as err:
        say(f"error: {' '.join(str(err).split())}")
        return 1
    finally:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        if not options.keep:
            cluster.down()
        for each, handler in before.items():
            signal.signal(each, handler)


def check(cluster: Cluster, size: int, needed_memory: int) -> None:
    """Refuse before anything is started.

    Raises:
        MachineLacks: no FUSE, no room, or no library for the loader.
    """
    nodes.check(cluster.state, data_plane=True)
    for name in LIBRARIES:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            hint = "python -m pip install -c constraints.txt -e '.[bench]'"
            raise MachineLacks(f"{name} is not installed; try: {hint}") from None
    lines = Path("/proc/meminfo").read_text().splitlines()
    memory = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    there = next(each for each in cluster.state.parents if each.exists())
    for what, free, needed in (
        ("memory", memory, needed_memory),
        ("disk", shutil.disk_usage(there).free, 3 * size + (4 << 30)),
    ):
        if free < needed:
            raise MachineLacks(
                f"no room: a model of {format_bytes(size)} needs {format_bytes(needed)} of {what}, "
                f"and {format_bytes(free)} are free; try a smaller --size"
            )
