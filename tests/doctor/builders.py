"""Snapshots for the table tests: a healthy cache that is pinned and read, and ways to break it.

The objects are what a real control plane with Fluid 1.0.8 holds after `cache` and `pin`, less what
no check reads. `healthy()` gives zero findings; a test breaks one thing and asks for `codes`.
"""

from __future__ import annotations

import copy

from kubectl_fluidmodel.doctor import checks
from kubectl_fluidmodel.doctor.check import Finding, container_log_key, select_checks
from kubectl_fluidmodel.doctor.diagnosis import Diagnosis, diagnose
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.document import snapshot_from_document, snapshot_to_document
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot
from tests.doctor import fluid, platform, pods, stores
from tests.doctor.fluid import NAME, NS, RECENT, SNAPSHOT_TIME, meta

assert checks.__all__, "importing the package registers the checks"


def healthy_snapshot() -> Snapshot:
    """A cluster with one cache on gpu-0, whole, pinned and read; nothing is wrong with it."""
    versions = {
        read.kind.resource: read.kind.version
        for read in (*queries.DOCTOR_QUERIES, queries.ListQuery(kinds.SECRETS))
    }
    snapshot = Snapshot(None, SNAPSHOT_TIME, "v1.36.3", versions=versions)
    for resource in versions:
        snapshot.objects[resource] = []
    everything = {
        names.DATASETS: [fluid.dataset()],
        names.ALLUXIO_RUNTIMES: [fluid.runtime()],
        names.DATA_LOADS: [fluid.load()],
        kinds.SECRETS: [fluid.secret()],
        kinds.PVCS: [fluid.claim()],
        kinds.PVS: [fluid.volume()],
        kinds.STATEFUL_SETS: [pods.stateful_set("master"), pods.stateful_set("worker")],
        kinds.DAEMON_SETS: [pods.daemon_set(), platform.csi_daemon_set()],
        kinds.JOBS: [pods.loader_job()],
        kinds.PODS: [
            pods.master_pod(),
            pods.worker_pod(),
            pods.fuse_pod(),
            pods.loader_pod(),
            pods.reader_pod(),
            *(platform.csi_pod(node) for node in ("gpu-0", "gpu-1", "cpu-0")),
            *(
                platform.controller_pod(controller)
                for controller in ("dataset-controller", "alluxioruntime-controller")
            ),
        ],
        kinds.NODES: [
            platform.node("gpu-0", caches=[f"{NS}-{NAME}"]),
            platform.node("gpu-1"),
            platform.node("cpu-0", gpus=0),
        ],
        kinds.DEPLOYMENTS: [
            platform.controller("dataset-controller"),
            platform.controller("alluxioruntime-controller"),
            platform.controller("fluid-webhook"),
            platform.controller("juicefsruntime-controller", 0),
        ],
        kinds.CSI_DRIVERS: [
            {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver"}
            | {"metadata": meta(names.CSI_DRIVER, ""), "spec": {"attachRequired": False}}
        ],
        kinds.CSI_NODES: [platform.csi_node(node) for node in ("gpu-0", "gpu-1", "cpu-0")],
        kinds.WEBHOOKS: [platform.webhook()],
        kinds.NAMESPACES: [platform.namespace(NS), platform.namespace(names.SYSTEM_NAMESPACE)],
        queries.GRAPHS: [platform.graph()],
    }
    for kind, objects in everything.items():
        snapshot.objects[kind.resource] = objects
    snapshot.probe_results[(NS, NAME)] = (stores.ok_result(),)
    return snapshot


def get_object(snapshot: Snapshot, kind: Kind, name: str, namespace: str = NS) -> Object:
    """One object of a snapshot, to change in place."""
    for obj in snapshot.objects[kind.resource]:
        if name_of(obj) == name and namespace_of(obj) == (namespace if kind.namespaced else ""):
            return obj
    raise AssertionError(f"no {kind.name} {namespace}/{name}")


def add_objects(snapshot: Snapshot, kind: Kind, *objects: Object) -> None:
    snapshot.objects.setdefault(kind.resource, []).extend(objects)


def remove_object(snapshot: Snapshot, kind: Kind, name: str, namespace: str = NS) -> Object:
    """Take an object out; returns it."""
    removed = get_object(snapshot, kind, name, namespace)
    snapshot.objects[kind.resource].remove(removed)
    return removed


def refer_to_source(snapshot: Snapshot) -> Object:
    """Turn the cache into a reference to a copy of it, `source`; returns the copy's runtime."""
    dataset = get_object(snapshot, names.DATASETS, NAME)
    runtime = remove_object(snapshot, names.ALLUXIO_RUNTIMES, NAME)
    source, runtime = copy.deepcopy(dataset), copy.deepcopy(runtime)
    source["metadata"]["name"] = runtime["metadata"]["name"] = "source"
    add_objects(snapshot, names.DATASETS, source)
    add_objects(snapshot, names.ALLUXIO_RUNTIMES, runtime)
    dataset["spec"]["mounts"] = [{"mountPoint": f"dataset://{NS}/source", "name": "source"}]
    return runtime


def forbid_listing(snapshot: Snapshot, kind: Kind) -> None:
    """As if RBAC forbade to list a kind."""
    snapshot.objects.pop(kind.resource, None)
    why = f'{kind.resource} is forbidden: User "u" cannot list resource "{kind.plural}"'
    snapshot.read_failures.append(ReadFailure(kind.resource, "", why, forbidden=True))


def add_warning_event(
    snapshot: Snapshot, obj: Object, reason: str, message: str, *, when: str = RECENT
) -> None:
    """A Warning event about an object."""
    add_objects(
        snapshot,
        kinds.EVENTS,
        {
            "apiVersion": "v1",
            "kind": "Event",
            "type": "Warning",
            "reason": reason,
            "message": message,
            "count": 3,
            "lastTimestamp": when,
            "metadata": meta(f"{name_of(obj)}.{len(snapshot.objects['events'])}"),
            "involvedObject": {
                "kind": obj["kind"],
                "name": name_of(obj),
                "namespace": namespace_of(obj),
                "uid": obj["metadata"].get("uid", ""),
            },
        },
    )


def set_log(
    snapshot: Snapshot, obj: Object, container: str, text: str, *, previous: bool = False
) -> None:
    """What a container of a pod has logged."""
    snapshot.logs[container_log_key(obj, container, previous=previous)] = text


def _set_condition(obj: Object, kind: str, status: str, **more: str) -> None:
    others = [condition for condition in obj["status"]["conditions"] if condition["type"] != kind]
    obj["status"]["conditions"] = [*others, {"type": kind, "status": status, **more}]


def make_unready(obj: Object) -> Object:
    """A pod, or a node, that is not Ready."""
    _set_condition(obj, "Ready", "False")
    for container in obj["status"].get("containerStatuses", []):
        container["ready"] = False
    return obj


def make_container_wait(
    obj: Object, container: str, reason: str, message: str = "", restarts: int = 0
) -> Object:
    """Let a container of a pod wait for a reason such as `CrashLoopBackOff`."""
    make_unready(obj)
    for container_status in obj["status"]["containerStatuses"]:
        if container_status["name"] == container:
            state = {"waiting": {"reason": reason, "message": message}}
            container_status.update(state=state, restartCount=restarts, started=False)
    if reason == "ContainerCreating":
        obj["status"]["phase"] = "Pending"
    return obj


def make_container_restart(
    obj: Object, container: str, reason: str = "Error", code: int = 1, restarts: int = 1
) -> Object:
    """A pod one container of which has ended before and runs again."""
    for container_status in obj["status"]["containerStatuses"]:
        if container_status["name"] == container:
            last = {"exitCode": code, "reason": reason, "finishedAt": RECENT}
            container_status.update(lastState={"terminated": last}, restartCount=restarts)
    return obj


def make_unschedulable(obj: Object, message: str) -> Object:
    """A pod that the scheduler finds no node for."""
    obj["spec"].pop("nodeName", None)
    obj["status"] = {
        "phase": "Pending",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastTransitionTime": RECENT,
            }
        ],
    }
    return obj


# -- answers -------------------------------------------------------------------------------------


def run_checks(snapshot: Snapshot, *only: str) -> Diagnosis:
    """Run the checks (all, or codes and areas) on a copy, as they would run on a bundle."""
    return diagnose(snapshot_from_document(snapshot_to_document(snapshot)), select_checks(only, ()))


def found_codes(snapshot: Snapshot, *only: str) -> list[str]:
    """The codes of all findings, in order, each once."""
    diagnosis = run_checks(snapshot, *only)
    return sorted({result.check.code for result in diagnosis.results if result.problems})


def root_codes(snapshot: Snapshot, *only: str) -> list[str]:
    """The codes of the findings that nothing else explains."""
    return sorted({problem.check.code for problem in run_checks(snapshot, *only).roots})


def findings_of(snapshot: Snapshot, code: str) -> list[Finding]:
    """What one check finds."""
    return [
        problem.finding
        for outcome in run_checks(snapshot, code).results
        for problem in outcome.problems
    ]


def skip_reasons(snapshot: Snapshot, code: str) -> list[str]:
    """Why one check was skipped, once for each time."""
    return [
        result.skip_reason for result in run_checks(snapshot, code).results if result.skip_reason
    ]


def assert_finds(snapshot: Snapshot, code: str, about: str, cause: str, fix: str) -> None:
    """The check finds one thing: about that object, in these words, with evidence and this fix."""
    [finding] = findings_of(snapshot, code)
    assert finding.about == about
    assert cause in finding.cause, finding.cause
    assert finding.evidence and all(evidence.text for evidence in finding.evidence)
    assert finding.fix is not None and fix in finding.fix.text, finding.fix
