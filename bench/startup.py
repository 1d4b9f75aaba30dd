"""How long the frozen plugin takes to start and to answer, against kubectl.

    make dist && python -m bench.startup [--rounds 15] [--name startup] [--keep]

Brings up a control plane with one cached model. Each round runs every command once, in an order
that is drawn anew, so that what else the machine does hits all alike; a ratio is that of two runs
of one round. Prints medians as JSON, and exits 1 where an aim is missed.

    python -m bench.startup --program .venv/bin/kubectl-fluidmodel     what is not frozen
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "build/frozen/out/kubectl-fluidmodel/kubectl-fluidmodel"
GRAPH = ROOT / "tests/fixtures/dgd/beta-agg.yaml"
MODEL = "tiny"
TAB = 300.0
"""Milliseconds that a completion may take."""


@dataclass(frozen=True)
class Case:
    """A command, and what it is held against."""

    name: str
    command: tuple[str, ...]
    """Its first word is `kubectl` or `plugin`."""
    against: str = ""
    aim: float = 0.0
    """Times the other's duration at most; 0 for no aim."""
    says: str = ""
    """What its output has to have: a command that fails fast is not a fast one."""


CASES = (
    Case("version --client", ("kubectl", "version", "--client"), says="Client Version"),
    Case("get", ("kubectl", "get", "dataset,pvc,pod"), says=MODEL),
    Case("--help", ("plugin", "--help"), "version --client", 1.2, "Verbs"),
    Case(
        "TAB: a flag",
        ("plugin", "__complete", "inspect", "--of"),
        "version --client",
        2,
        "--offline",
    ),
    Case("TAB: a name", ("plugin", "__complete", "inspect", ""), "version --client", 0, MODEL),
    Case(
        "pin --dry-run -f",
        ("plugin", "pin", MODEL, "-f", str(GRAPH), "--dry-run=client", "-o", "yaml"),
        "version --client",
        3,
        MODEL,
    ),
    Case("inspect", ("plugin", "inspect"), "get", 2.5, MODEL),
    Case("inspect NAME --offline", ("plugin", "inspect", MODEL, "--offline"), "get", 3, MODEL),
    Case("inspect NAME", ("plugin", "inspect", MODEL), "get", 0, MODEL),
)


@dataclass(frozen=True)
class Run:
    """One run of a command."""

    wall: float
    cpu: float
    """Both in seconds; they differ where the machine is busy, or the command waits."""
    answered: bool


def run(command: list[str], env: Mapping[str, str], says: str) -> Run:
    start, used = time.perf_counter(), _cpu()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return Run(time.perf_counter() - start, _cpu() - used, says in done.stdout)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(programs: Mapping[str, str], env: Mapping[str, str], rounds: int) -> list[Any]:
    """Every case's runs, interleaved; the first round only warms what the machine caches."""
    found: dict[str, list[Run]] = {case.name: [] for case in CASES}
    for turn in range(rounds + 1):
        for case in random.sample(CASES, len(CASES)):
            command = [programs[case.command[0]], *case.command[1:]]
            done = run(command, env, case.says)
            if turn:
                found[case.name].append(done)
    return [row(case, found) for case in CASES]


def row(case: Case, found: Mapping[str, list[Run]]) -> dict[str, Any]:
    """A case's line in the result."""
    runs = found[case.name]
    times = [1000 * each.wall for each in runs]
    met = [all(each.answered for each in runs)]
    made: dict[str, Any] = {
        "case": case.name,
        "ms": round(statistics.median(times)),
        "range_ms": [round(min(times)), round(max(times))],
        "cpu_ms": round(1000 * statistics.median(each.cpu for each in runs)),
        "answered": sum(each.answered for each in runs),
    }
    if case.against:
        pairs = list(zip(runs, found[case.against], strict=True))
        times_wall = statistics.median(one.wall / other.wall for one, other in pairs)
        times_cpu = statistics.median(one.cpu / other.cpu for one, other in pairs)
        made |= {"against": case.against, "times": round(times_wall, 2)}
        made["times_cpu"] = round(times_cpu, 2)
        met.append(not case.aim or times_wall <= case.aim)
    if case.name.startswith("TAB"):
        made["aim_ms"] = TAB
        met.append(made["ms"] <= TAB)
    if case.aim:
        made["aim"] = case.aim
    return {**made, "met": all(met)}


def cached(cluster: Cluster, program: str, env: Mapping[str, str]) -> None:
    """The one cache, unless an earlier run has left it."""
    if cluster.api.find("data.fluid.io/v1alpha1", "Dataset", MODEL, "default") is None:
        Bucket(cluster.s3, "startup").put_model("org/tiny")
        command = [program, "cache", "s3://startup/org/tiny", "--name", MODEL]
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--name", default="startup", help="of the control plane")
    parser.add_argument("--program", type=Path, default=PROGRAM, help="default: of `make dist`")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up, for another run")
    options = parser.parse_args()
    program = str(options.program.absolute())
    cluster = Cluster(options.name)
    try:
        cluster.up()
        programs = {"kubectl": cluster.facts["binaries"]["kubectl"], "plugin": program}
        env = {**os.environ, **cluster.s3.env(), "KUBECONFIG": str(cluster.kubeconfig)}
        cached(cluster, program, env)
        results = measure(programs, env, options.rounds)
    finally:
        if not options.keep:
            cluster.down()
    head = {"rounds": options.rounds, "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({**head, "results": results}, indent=1))
    return 0 if all(result["met"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
