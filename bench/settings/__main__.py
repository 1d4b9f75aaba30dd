"""Which settings of a cache are fast: `python -m bench.settings [--set KEY=VALUE]…`.

On one real node (as `make test-real`: Linux, root, FUSE, Maven, a JDK), builds a cache of the same
model for the write-up's own YAML, for what `cache` writes, and for that with each change given by
`--set` (`variants.py` has their form). Then, in rounds and in an order that is drawn anew in each,
it loads every cache, and reads it warm, preheated and cold, by a memory map and by 4 threads. The
first rounds do not count (`--warm-up`): in a first load, Java spends more than half of the CPU time
on compiling what it runs, which is nothing for a model of 100 GB. Prints tables in Markdown: rates,
CPU time, ratios, targets; of what it has, if it is interrupted.

    .venv/bin/python -m pip install -c constraints.txt -e '.[bench]'     what the loader needs
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from bench.plane.program import add_flags, run_bench, say
from bench.settings import figures
from bench.settings.caches import COLD_FOLDER, PARALLEL, Caches
from bench.settings.figures import Load, Measured
from bench.settings.variants import CACHE, SEED, Variant, parse_variant
from tests.cluster.cluster import Cluster

CASES = ("load", "warm", "disk", "pages", "cold")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.settings", description=(__doc__ or "").partition("\n")[0]
    )
    add_flags(parser, "settings", "1Gi")
    parser.add_argument(
        "--set",
        type=parse_variant,
        action="append",
        default=[],
        metavar="KEY=VALUE[,…]",
        help="another variant",
    )
    parser.add_argument(
        "--warm-up", type=int, default=2, metavar="N", help="rounds before those that count"
    )
    parser.add_argument("--no-seed", action="store_true", help="without the write-up's YAML")
    parser.add_argument(
        "--only", choices=CASES, action="append", help="measure only this (default: everything)"
    )
    options = parser.parse_args(argv)
    variants = [*([] if options.no_seed else [SEED]), CACHE, *options.set]
    # Each cache has the model twice, in its tier and in the page cache, and its JVMs.
    return run_bench(
        options,
        lambda size: len(variants) * (2 * size + (2 << 30)) + (2 << 30),
        partial(measure, options, variants),
    )


def measure(
    options: argparse.Namespace, variants: list[Variant], cluster: Cluster, size: int
) -> int:
    """Set up, measure in rounds, and print; returns the exit code."""
    only = set(options.only or CASES)
    measured, loads = Measured(), dict[str, list[Load]]()
    caches = Caches(cluster, size, variants, options.warm_up + options.rounds)
    try:
        caches.up()
        if "load" in only:
            load_rounds(caches, options.warm_up, measured, loads)
        elif only != {"cold"}:
            caches.load_all()
        caches.start_pods()
        # What each round adds its rates to: those of the first rounds are shown nowhere.
        by_round = [Measured()] * options.warm_up + [measured] * options.rounds
        for number, rates in enumerate(by_round):
            read_round(caches, only, rates)
            load = os.getloadavg()[0]
            say(f"round {number + 1} of {caches.rounds} of reads done; load {load:.1f}")
        if "cold" in only:
            for number, rates in enumerate(by_round):
                read_cold(caches, number, rates)
    finally:  # what was measured is shown however it ends
        print_tables(measured, [each.name for each in variants], loads)
        caches.close()
    return 0


def print_tables(
    measured: Measured, variants: list[str], loads: Mapping[str, Sequence[Load]]
) -> None:
    """Print what was measured; nothing if that is nothing."""
    if not measured:
        return
    print(figures.rates_table(measured, variants))
    if costs := figures.costs_table(measured, variants):
        print(f"\n{costs}")
    if SEED.name in variants:
        print(f"\n{figures.targets_table(measured)}")
    for name, found in loads.items():
        print(f"\n{figures.loads_text(name, found)}")
    sys.stdout.flush()


def load_rounds(
    caches: Caches, warm_up: int, measured: Measured, loads: dict[str, list[Load]]
) -> None:
    """Load every cache once in each round; in the end they are loaded but for the cold files.

    Args:
        caches: The caches, empty.
        warm_up: How many rounds come before those that count.
        measured: Gets the rates.
        loads: Gets what each load took, by variant.
    """
    for number in range(caches.rounds):
        for variant in random.sample(caches.variants, len(caches.variants)):
            load = caches.load(variant)
            if number >= warm_up:
                measured.add(variant.name, figures.LOAD, load.rate)
                loads.setdefault(variant.name, []).append(load)
            say(
                f"loaded {variant.name} at {load.rate / 1e6:.0f} MB/s with {load.cpu_per_gib:.1f} "
                f"CPU s/GiB; load {os.getloadavg()[0]:.1f}"
            )
            caches.free(variant, "/" if number < caches.rounds - 1 else f"/{COLD_FOLDER}")


def read_round(caches: Caches, only: set[str], measured: Measured) -> None:
    """Read everything once, in an order that is drawn."""

    def note(case: str, rate: float) -> None:
        measured.add("", case, rate)
        say(f"without a cache: {case}: {rate / 1e6:.0f} MB/s")

    note(figures.STORE, caches.read_store(1))
    note(figures.STORE_PARALLEL, caches.read_store(4))
    caches.read_local("--keep-pages", *PARALLEL)  # from now on they are in the page cache
    note(figures.LOCAL, caches.read_local("--keep-pages"))
    note(figures.LOCAL_PARALLEL, caches.read_local("--keep-pages", *PARALLEL))
    for variant in random.sample(caches.variants, len(caches.variants)):
        read = partial(read_once, caches, variant, measured)
        if "warm" in only:
            read(figures.WARM)
            read(figures.WARM_PARALLEL, *PARALLEL)
        if "disk" in only and variant.medium != "MEM":
            for case, words in ((figures.DISK, ()), (figures.DISK_PARALLEL, PARALLEL)):
                caches.drop_tier()
                read(case, *words)
        if "pages" in only:
            caches.read(variant, "--keep-pages", *PARALLEL)
            read(figures.PAGES, "--keep-pages")
            read(figures.PAGES_PARALLEL, "--keep-pages", *PARALLEL)


def read_once(
    caches: Caches, variant: Variant, measured: Measured, case: str, *words: str, folder: str = ""
) -> None:
    """Read a cache once, and say how that went."""
    read = caches.read(variant, *words, folder=folder)
    measured.add_read(variant.name, case, read)
    say(
        f"{variant.name}: {case}: {read.rate / 1e6:.0f} MB/s, CPU s/GiB: FUSE client "
        f"{read.client_cpu:.1f}, worker {read.worker_cpu:.1f}"
    )


def read_cold(caches: Caches, number: int, measured: Measured) -> None:
    """Read files that no cache has yet. This takes longest, and so it comes last."""
    for variant in random.sample(caches.variants, len(caches.variants)):
        for offset, case, words in ((0, figures.COLD, ()), (1, figures.COLD_PARALLEL, PARALLEL)):
            folder = f"{COLD_FOLDER}/{2 * number + offset}"
            read_once(caches, variant, measured, case, *words, folder=folder)


if __name__ == "__main__":
    sys.exit(main())
