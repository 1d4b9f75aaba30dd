"""How `inspect -A` and `doctor -A` fare with a large cluster, against kubectl and the same lists.

    python -m bench.scale [--nodes 5000] [--pods 20000] [--datasets 200] [--rounds 5]
                          [--verbs inspect,doctor] [--keep]

Brings up a control plane of its own, fills it, and stops all of it but etcd and the API server, so
that nothing but the readers is at work. Each round runs, one after the other, `kubectl get --raw`
of each list that the verb reads, and the verb. Prints medians as JSON, and exits 1 where a verb
takes longer or more memory than is aimed at.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.snapshot import collector, queries
from kubectl_fluidmodel.snapshot.queries import ListQuery
from tests.cluster.api import Api, ApiError
from tests.cluster.cluster import Cluster
from tests.cluster.objects import until
from tests.inventory import samples

TEAMS = 10
"""Namespaces."""
AIMS = {"inspect": (1.5, 300 << 20), "doctor": (2.0, 400 << 20)}
"""At most: times kubectl's time, and bytes of resident memory."""
READS: dict[str, tuple[ListQuery, ...]] = {
    "inspect": queries.INSPECT_QUERIES,
    "doctor": queries.DOCTOR_QUERIES,
}
_QUIET = (
    "agent",
    "alluxioruntime-controller",
    "dataset-controller",
    "kwok",
    "kube-scheduler",
    "kube-controller-manager",
)
Object = dict[str, Any]


# -- the cluster -----------------------------------------------------------------------------------


def teams(cluster: Cluster) -> None:
    """The namespaces, with the ServiceAccounts that a controller makes in them."""
    for index in range(TEAMS):
        metadata = {"name": f"team-{index}"}
        cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def there() -> bool:
        found = cluster.api.list("v1", "ServiceAccount")
        return sum(obj["metadata"]["namespace"].startswith("team-") for obj in found) >= TEAMS

    until("the ServiceAccounts", there, 60)


def fill(cluster: Cluster, pods: int, datasets: int) -> None:
    """Caches with a master, a worker and two readers each; the rest are other pods."""
    nodes = [node["metadata"]["name"] for node in cluster.api.list("v1", "Node")]
    mine = [obj for index in range(datasets) for obj in cache(index, nodes)]
    plain = pods - sum(obj["kind"] == "Pod" for obj in mine)
    others = (busy(index, nodes[index % len(nodes)]) for index in range(plain))
    make(cluster.api, [*mine, *others])


def cache(index: int, nodes: list[str]) -> list[Object]:
    """One of the caches, on a node of its own."""
    name, namespace, node = f"model-{index:03d}", f"team-{index % TEAMS}", nodes[index]
    found = samples.cache(name, namespace, nodes=[node], source=f"s3://models/org/{name}")
    found = [obj for obj in found if obj["kind"] != "Node"]
    for far in range(2):
        pod = samples.reader(f"{name}-{far}", nodes[(index + far) % len(nodes)], name)
        pod["metadata"]["namespace"] = namespace
        found.append(pod)
    for obj in found:
        if obj["kind"] == "Pod":
            fatten(obj)
        if obj["kind"] in ("StatefulSet", "DaemonSet"):
            template = {"metadata": {"labels": obj["metadata"]["labels"]}, "spec": bare()}
            selector = {"matchLabels": obj["metadata"]["labels"]}
            obj["spec"] = {**obj.get("spec", {}), "selector": selector, "template": template}
            obj["spec"] |= {"serviceName": name} if obj["kind"] == "StatefulSet" else {}
        if obj["kind"] == "PersistentVolumeClaim":
            storage = {"requests": {"storage": "100Pi"}}
            obj["spec"] |= {"accessModes": ["ReadOnlyMany"], "resources": storage}
    label = {"metadata": {"labels": {names.cache_label(namespace, name): "true",
                                     "fluid.io/dataset-num": "1"}}}  # fmt: skip
    return [*found, {"kind": "Patch", "node": node, "body": label}]


def bare() -> Object:
    return {"containers": [{"name": "main", "image": "registry.example.com/team/service:1.2.3"}]}


def busy(index: int, node: str) -> Object:
    """A pod like most: an application of some team, of about 5 KB as JSON."""
    pod = samples.pod(
        f"service-{index:05d}-6f7d9c8b5-x2x4q",
        f"team-{index % TEAMS}",
        node=node,
        labels={"app": f"service-{index // 20}", "pod-template-hash": "6f7d9c8b5"},
    )
    return fatten(pod)


def fatten(pod: Object) -> Object:
    """What real pods carry besides: environment, probes, tolerations, conditions."""
    container = pod["spec"]["containers"][0]
    container.update(
        {
            "image": "registry.example.com/team/service:1.2.3",
            "env": [{"name": f"SETTING_{n}", "value": "v" * 40} for n in range(25)],
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"memory": "256Mi"},
            },
        }
    )
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    container["livenessProbe"] = container["readinessProbe"] = probe
    stamp = "2026-03-02T11:08:20Z"
    pod["status"]["conditions"] = [
        {"type": kind, "status": "True", "lastTransitionTime": stamp}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady",
                     "PodScheduled")
    ]  # fmt: skip
    pod["status"].update({"podIP": "10.1.2.3", "hostIP": "127.0.0.1", "startTime": stamp})
    return pod


def make(api: Api, objects: Iterable[Object]) -> None:
    """Create them, and write the status of those that have one."""

    def one(obj: Object) -> None:
        if obj["kind"] == "Patch":
            api.patch("v1", "Node", obj["node"], obj["body"])
            return
        status = obj.pop("status", None)
        try:
            api.create(obj)
        except ApiError as error:
            if error.status != 409:
                raise
        if status:
            meta = obj["metadata"]
            api.patch(
                obj["apiVersion"], obj["kind"], meta["name"], {"status": status},
                meta.get("namespace"), "status",
            )  # fmt: skip

    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(one, objects):
            pass


# -- measuring -------------------------------------------------------------------------------------


def paths(cluster: Cluster, verb: str) -> list[str]:
    """The lists that the verb reads of all namespaces, each once, as URLs with their selectors."""
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.kube.config import ConfigFlags

    client = Client.connect(ConfigFlags(kubeconfig=str(cluster.kubeconfig)))
    _, wanted = collector.discover(client, READS[verb])
    found = []
    for read in wanted:
        selectors = {"labelSelector": read.labels, "fieldSelector": read.fields}
        query = "&".join(f"{key}={value}" for key, value in selectors.items() if value)
        path = read.kind.path(collector.query_namespace(read, None))
        found.append(f"{path}?{query}" if query else path)
    return list(dict.fromkeys(found))


def timed(run: Callable[[], list[subprocess.Popen[bytes]]]) -> float:
    """Seconds until all that was started has ended."""
    began = time.perf_counter()
    for process in run():
        assert process.wait() in (0, 1), f"{process.args} ended with {process.returncode}"
    return time.perf_counter() - began


_RESIDENT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def resident(command: list[str], cluster: Cluster) -> int:
    """The most resident bytes of a command.

    A small process starts it: Linux counts what the parent held at the start as the child's, and
    this one has made the whole cluster.
    """
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    said = subprocess.run(
        [sys.executable, "-c", _RESIDENT, *command],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True,
    )  # fmt: skip
    return int(said.stdout)


def weight(path: str, cluster: Cluster) -> int:
    """Bytes of one answer."""
    command = [cluster.facts["binaries"]["kubectl"], f"--kubeconfig={cluster.kubeconfig}"]
    with subprocess.Popen([*command, "get", "--raw", path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        return sum(len(piece) for piece in iter(lambda: process.stdout.read(1 << 20), b""))  # type: ignore[union-attr]


def start(command: list[str], cluster: Cluster) -> subprocess.Popen[bytes]:
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    return subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def measure(cluster: Cluster, verb: str, rounds: int) -> Object:
    """Medians of the verb and of kubectl, interleaved."""
    kubectl = cluster.facts["binaries"]["kubectl"]
    lists = paths(cluster, verb)
    whole = [sys.executable, "-m", "kubectl_fluidmodel", verb, "-A"]
    columns: dict[str, list[float]] = {"verb": [], "kubectl": [], "kubectl_at_once": []}
    memory, (times, most) = 0, AIMS[verb]
    for _ in range(rounds):
        columns["kubectl"].append(
            sum(timed(lambda p=path: [start([kubectl, "get", "--raw", p], cluster)])  # type: ignore[misc]
                for path in lists)
        )  # fmt: skip
        columns["kubectl_at_once"].append(
            timed(lambda: [start([kubectl, "get", "--raw", path], cluster) for path in lists])
        )
        columns["verb"].append(timed(lambda: [start(whole, cluster)]))
        memory = max(memory, resident(whole, cluster))
    ratios = [a / b for a, b in zip(columns["verb"], columns["kubectl"], strict=True)]
    return {
        "verb": f"{verb} -A",
        "lists": len(lists),
        "bytes": sum(weight(path, cluster) for path in lists),
        **{f"{key}_s": round(statistics.median(found), 2) for key, found in columns.items()},
        "range_s": [round(min(columns["verb"]), 2), round(max(columns["verb"]), 2)],
        "times_kubectl": round(statistics.median(ratios), 2),
        "rss_mib": round(memory / (1 << 20)),
        "met": statistics.median(ratios) <= times and memory <= most,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--datasets", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--verbs", default="inspect,doctor")
    parser.add_argument("--name", default="scale")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up, for another run")
    options = parser.parse_args()
    cluster = Cluster(options.name)
    mark = Path(cluster.state, "filled")
    try:
        cluster.up(nodes=options.nodes)
        if not mark.exists():
            teams(cluster)
            for name in _QUIET:
                cluster.stop(name)
            fill(cluster, options.pods, options.datasets)
            mark.touch()
        results = [measure(cluster, verb, options.rounds) for verb in options.verbs.split(",")]
    finally:
        if not options.keep:
            cluster.down()
    head = {key: getattr(options, key) for key in ("nodes", "pods", "datasets", "rounds")}
    print(json.dumps({**head, "load": round(os.getloadavg()[0], 1), "results": results}, indent=1))
    return 0 if all(result["met"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
