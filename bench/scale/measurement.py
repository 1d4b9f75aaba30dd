"""Measures a verb against `kubectl get --raw` of the lists that the verb reads."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.snapshot import collector, queries
from kubectl_fluidmodel.snapshot.queries import ListQuery
from tests.cluster.cluster import Cluster

MIB = 1 << 20


@dataclass(frozen=True)
class Target:
    """What a verb reads, and its limits."""

    queries: tuple[ListQuery, ...]
    max_ratio: float
    """Times kubectl's time."""
    max_memory: int
    """Resident bytes."""


TARGETS = {
    "inspect": Target(queries.INSPECT_QUERIES, 1.5, 300 * MIB),
    "doctor": Target(queries.DOCTOR_QUERIES, 2.0, 400 * MIB),
}

_PRINT_MEMORY = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def measure(cluster: Cluster, verb: str, rounds: int) -> dict[str, Any]:
    """Measure a verb and kubectl in turns.

    Returns:
        Medians in seconds, the ratio to kubectl, memory, and whether the target is met.
    """
    target = TARGETS[verb]
    get_list = [cluster.facts["binaries"]["kubectl"], "get", "--raw"]
    paths = _list_paths(cluster, target.queries)
    command = [sys.executable, "-m", "kubectl_fluidmodel", verb, "-A"]
    in_sequence, at_once, by_verb, memory = [], [], [], []
    for _ in range(rounds):
        in_sequence.append(sum(_seconds(cluster, [*get_list, path]) for path in paths))
        at_once.append(_seconds(cluster, *([*get_list, path] for path in paths)))
        by_verb.append(_seconds(cluster, command))
        memory.append(_max_memory(cluster, command))
    ratio = statistics.median(
        verb_time / kubectl_time
        for verb_time, kubectl_time in zip(by_verb, in_sequence, strict=True)
    )
    return {
        "verb": f"{verb} -A",
        "lists": len(paths),
        "bytes": sum(_response_bytes(cluster, [*get_list, path]) for path in paths),
        "verb_s": round(statistics.median(by_verb), 2),
        "kubectl_s": round(statistics.median(in_sequence), 2),
        "kubectl_at_once_s": round(statistics.median(at_once), 2),
        "range_s": [round(min(by_verb), 2), round(max(by_verb), 2)],
        "times_kubectl": round(ratio, 2),
        "rss_mib": round(max(memory) / MIB),
        "met": ratio <= target.max_ratio and max(memory) <= target.max_memory,
    }


def _list_paths(cluster: Cluster, wanted_queries: tuple[ListQuery, ...]) -> list[str]:
    """Return the URLs of the lists of all namespaces, each once, with their selectors."""
    client = Client.connect(ConfigFlags(kubeconfig=str(cluster.kubeconfig)))
    _, served = collector.discover(client, wanted_queries)
    paths = []
    for query in served:
        selectors = {"labelSelector": query.labels, "fieldSelector": query.fields}
        parameters = "&".join(f"{key}={value}" for key, value in selectors.items() if value)
        path = query.kind.path(collector.query_namespace(query, None))
        paths.append(f"{path}?{parameters}" if parameters else path)
    return list(dict.fromkeys(paths))


def _seconds(cluster: Cluster, *commands: list[str]) -> float:
    """Return how long commands take that run at the same time."""
    started_at = time.perf_counter()
    processes = [
        subprocess.Popen(
            command,
            env=_environment(cluster),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]
    for process in processes:
        code = process.wait()
        if code not in (0, 1):  # 1: doctor found problems
            raise RuntimeError(f"{process.args!r} ended with {code}")
    return time.perf_counter() - started_at


def _max_memory(cluster: Cluster, command: list[str]) -> int:
    """Return the maximum of resident bytes of a command.

    A small process starts it. Linux counts what the parent held at the start as the child's, and
    this process may have filled the whole cluster.
    """
    result = subprocess.run(
        [sys.executable, "-c", _PRINT_MEMORY, *command],
        env=_environment(cluster),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return int(result.stdout)


def _response_bytes(cluster: Cluster, command: list[str]) -> int:
    """Return the size of what a command prints."""
    result = subprocess.run(command, env=_environment(cluster), capture_output=True, check=True)
    return len(result.stdout)


def _environment(cluster: Cluster) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
