"""Fills a cluster with caches, their readers, and many pods of other applications."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object
from tests.cluster.api import Api, ApiError
from tests.cluster.cluster import Cluster
from tests.cluster.objects import until
from tests.inventory import samples

_NAMESPACES = 10
_READERS = 2
"""Pods that read each cache."""
_STOPPED = (
    "agent",
    "alluxioruntime-controller",
    "dataset-controller",
    "kwok",
    "kube-scheduler",
    "kube-controller-manager",
)
"""Programs that would work on the objects, and so disturb the measurement."""
_PARALLEL_REQUESTS = 16
_TIMESTAMP = "2026-03-02T11:08:20Z"
_IMAGE = "registry.example.com/team/service:1.2.3"
_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)


def fill(cluster: Cluster, pods: int, datasets: int) -> None:
    """Create the namespaces, stop the programs that would react, and create all objects.

    Args:
        cluster: A cluster that is up, with at least as many nodes as datasets.
        pods: How many pods there are in the end.
        datasets: How many of them have a cache with a master, a worker and two readers.
    """
    _create_namespaces(cluster)
    _stop_controllers(cluster)
    nodes = [str(node["metadata"]["name"]) for node in cluster.api.list("v1", "Node")]
    caches = [obj for index in range(datasets) for obj in _cache_objects(index, nodes)]
    applications = pods - sum(obj["kind"] == "Pod" for obj in caches)
    _create_all(
        cluster.api,
        [*caches, *(_application_pod(i, nodes[i % len(nodes)]) for i in range(applications))],
    )
    for index in range(datasets):
        labels = {names.cache_label(*_cache_key(index)): "true", "fluid.io/dataset-num": "1"}
        cluster.api.patch("v1", "Node", nodes[index], {"metadata": {"labels": labels}})


def _stop_controllers(cluster: Cluster) -> None:
    """Leave only etcd and the API server at work."""
    for program in _STOPPED:
        cluster.stop(program)


def _create_namespaces(cluster: Cluster) -> None:
    """Create the namespaces, and wait for the ServiceAccounts that a controller creates in them."""
    for index in range(_NAMESPACES):
        metadata = {"name": f"team-{index}"}
        cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def have_accounts() -> bool:
        accounts = cluster.api.list("v1", "ServiceAccount")
        teams = [a for a in accounts if a["metadata"]["namespace"].startswith("team-")]
        return len(teams) >= _NAMESPACES

    until("the ServiceAccounts", have_accounts, 60)


def _cache_key(index: int) -> tuple[str, str]:
    """Return the namespace and the name of a cache."""
    return f"team-{index % _NAMESPACES}", f"model-{index:03d}"


def _cache_objects(index: int, nodes: list[str]) -> list[Object]:
    """Return the objects of a cache on a node of its own, and the pods that read it."""
    namespace, name = _cache_key(index)
    source = f"s3://models/org/{name}"
    objects = samples.cache(name, namespace, nodes=[nodes[index]], source=source)
    objects = [obj for obj in objects if obj["kind"] != "Node"]
    for number in range(_READERS):
        node = nodes[(index + number) % len(nodes)]
        reader = samples.reader(f"{name}-{number}", node, name)
        reader["metadata"]["namespace"] = namespace
        objects.append(reader)
    for obj in objects:
        _complete(obj)
    return objects


def _complete(obj: Object) -> None:
    """Add what a real API server requires, and what real pods have besides."""
    kind = obj["kind"]
    if kind == "Pod":
        _add_usual_fields(obj)
    elif kind in ("StatefulSet", "DaemonSet"):
        labels = obj["metadata"]["labels"]
        pod_spec = {"containers": [{"name": "main", "image": _IMAGE}]}
        obj["spec"] = {
            **obj.get("spec", {}),
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec},
        }
        if kind == "StatefulSet":
            obj["spec"]["serviceName"] = obj["metadata"]["name"]
    elif kind == "PersistentVolumeClaim":
        obj["spec"]["accessModes"] = ["ReadOnlyMany"]
        obj["spec"]["resources"] = {"requests": {"storage": "100Pi"}}


def _application_pod(index: int, node: str) -> Object:
    """Return a pod like most: of some team's application, about 5 KB as JSON."""
    pod = samples.pod(
        f"service-{index:05d}-6f7d9c8b5-x2x4q",
        f"team-{index % _NAMESPACES}",
        node=node,
        labels={"app": f"service-{index // 20}", "pod-template-hash": "6f7d9c8b5"},
    )
    _add_usual_fields(pod)
    return pod


def _add_usual_fields(pod: Object) -> None:
    """Add the environment, probes, resources and conditions that real pods have."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    pod["spec"]["containers"][0].update(
        image=_IMAGE,
        env=[{"name": f"SETTING_{number}", "value": "v" * 40} for number in range(25)],
        resources={
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "256Mi"},
        },
        livenessProbe=probe,
        readinessProbe=probe,
    )
    pod["status"].update(
        conditions=[
            {"type": condition, "status": "True", "lastTransitionTime": _TIMESTAMP}
            for condition in _CONDITIONS
        ],
        podIP="10.1.2.3",
        hostIP="127.0.0.1",
        startTime=_TIMESTAMP,
    )


def _create_all(api: Api, objects: Iterable[Object]) -> None:
    with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
        for _ in pool.map(lambda obj: _create(api, obj), objects):
            pass


def _create(api: Api, obj: Object) -> None:
    """Create an object unless it exists, and write its status if it has one."""
    status = obj.pop("status", None)
    try:
        api.create(obj)
    except ApiError as err:
        if err.status != 409:
            raise
    if status:
        metadata = obj["metadata"]
        api.patch(
            obj["apiVersion"],
            obj["kind"],
            metadata["name"],
            {"status": status},
            metadata.get("namespace"),
            "status",
        )
