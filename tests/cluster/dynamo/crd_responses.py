"""What an API server with these CRDs says of a graph: refused, pruned, filled in.

``python -m tests.cluster.dynamo.crd_responses`` (with FLUIDMODEL_CRDS and FLUIDMODEL_CLUSTER) asks
the real CRDs about every graph of tests/fixtures and of `BROKEN`, and records what they say in
tests/fixtures/dynamo/crd_responses.json, so that ours can be compared where the real ones are not.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from .. import install, paths
from ..api import Api, ApiError, Object
from ..cluster import Cluster
from .crds import GENERATIONS, given, ours, real
from .pods import published

RECORD = paths.REPO / "tests" / "fixtures" / "dynamo" / "crd_responses.json"
GRAPHS = paths.REPO / "tests" / "fixtures" / "dgd"
#: By generation, then by graph.
CrdResponses = dict[str, dict[str, Any]]
Edit = Callable[[Any], object]


# -- graphs that are wrong in one point -----------------------------------------------------------


def worker(spec: Any) -> Any:
    """The part of a graph that has the model."""
    if "components" in spec:
        return next(each for each in spec["components"] if each["type"] != "frontend")
    return next(each for each in spec["services"].values() if "extraPodSpec" in each)


def main_container(spec: Any) -> Any:
    part = worker(spec)
    if "podTemplate" in part:
        return part["podTemplate"]["spec"]["containers"][0]
    return part["extraPodSpec"]["mainContainer"]


def pod(spec: Any) -> Any:
    part = worker(spec)
    return part["podTemplate"]["spec"] if "podTemplate" in part else part["extraPodSpec"]


def affinity(**term: Any) -> Object:
    wanted = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"nodeAffinity": {wanted: {"nodeSelectorTerms": [term]}}}


def many(spec: Any) -> None:
    """More parts than there may be."""
    if "components" in spec:
        spec["components"] += [{"name": f"more-{n}", "type": "worker"} for n in range(25)]
    else:
        spec["services"] |= {f"more-{n}": {"componentType": "worker"} for n in range(25)}


def set_in(where: Callable[[Any], Any], **values: Any) -> Edit:
    return lambda spec: where(spec).update(values)


def whole(spec: Any) -> Any:
    return spec


#: Each fault by its name: what it does to a graph's spec.
FAULTS: dict[str, Edit] = {
    "a field that is not there": set_in(whole, modelCache={"pvcName": "llama"}),
    "a field of the pod that is not there": set_in(pod, volume=[{"name": "llama"}]),
    "a field of the container that is not there": set_in(
        main_container, volumeMount=[{"name": "a"}]
    ),
    "a field of the part that is not there": set_in(worker, cache={"name": "llama"}),
    "the other versions' claim": set_in(worker, pvc={"name": "llama", "mountPoint": "/model"}),
    "the other versions' mounts": set_in(worker, volumeMounts=[{"name": "a", "mountPoint": "/m"}]),
    "the other versions' claims": set_in(whole, pvcs=[{"name": "llama", "create": False}]),
    "a claim to be created without a size": set_in(whole, pvcs=[{"name": "a", "create": True}]),
    "a claim without a name": set_in(whole, pvcs=[{"create": False}]),
    "a backend that is not there": set_in(whole, backendFramework="onnx"),
    "a type that is not there": set_in(worker, type="engine", componentType="engine"),
    "replicas in words": set_in(worker, replicas="two"),
    "fewer replicas than none": set_in(worker, replicas=-1),
    "more at the least than there are": set_in(worker, replicas=1, minAvailable=2),
    "several nodes that are one": set_in(worker, multinode={"nodeCount": 1}),
    "several nodes, not said how many": set_in(worker, multinode={}),
    "an affinity without terms": set_in(pod, affinity={"nodeAffinity": {"required": []}}),
    "an affinity that is empty": set_in(pod, affinity={}),
    "a term without an operator": set_in(pod, affinity=affinity(matchExpressions=[{"key": "a"}])),
    "a term that is text": set_in(pod, affinity=affinity(matchExpressions="a=b")),
    "a mount without a path": set_in(main_container, volumeMounts=[{"name": "a"}]),
    "one path mounted twice": set_in(
        main_container,
        volumeMounts=[{"name": "a", "mountPath": "/m"}, {"name": "b", "mountPath": "/m"}],
    ),
    "one volume twice": set_in(
        pod, volumes=[{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]
    ),
    "one variable twice": set_in(
        main_container, env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    ),
    "a variable that is a number": set_in(main_container, env=[{"name": "A", "value": 1}]),
    "a port without a protocol": set_in(main_container, ports=[{"containerPort": 8000}]),
    "a limit that is no quantity": set_in(
        main_container, resources={"limits": {"nvidia.com/gpu": "one"}}
    ),
    "a volume's quantity as a number": set_in(
        pod, volumes=[{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": 1024}}]
    ),
    "a container without a name": set_in(pod, containers=[{"image": "example.com/vllm:1"}]),
    "a sidecar without an image": set_in(pod, containers=[{"name": "main"}, {"name": "side"}]),
    "an init container without an image": set_in(pod, initContainers=[{"name": "fetch"}]),
    "no containers": lambda spec: pod(spec).pop("containers", None),
    "a restart at birth": set_in(whole, restart={"id": "1"}),
    "too many parts": many,
    "shared memory without a size": set_in(worker, sharedMemory={"disabled": False}),
    "a runtime's version that is none": set_in(worker, runtimeVersionOverride="1.2"),
    "a model without a name": set_in(worker, modelRef={"revision": "main"}),
    "a compilation cache without a claim": set_in(worker, compilationCache={"mountPath": "/c"}),
    "a cache's config without type epp": set_in(
        worker, eppConfig={"configMapRef": {"name": "epp", "key": "config"}}
    ),
    "a transfer policy of nothing": set_in(
        whole, experimental={"kvTransferPolicy": {"domain": "rack"}}
    ),
    "a transfer's weight without preferring": set_in(
        whole,
        experimental={"kvTransferPolicy": {"domain": "a", "labelKey": "b", "preferredWeight": 1}},
    ),
    "pods beside a GPU memory service": set_in(
        worker,
        gpuMemoryService={"enabled": True, "extraClientPods": [{"name": "a", "podTemplate": {}}]},
        experimental={
            "gpuMemoryService": {"extraClientPods": [{"name": "a", "podTemplate": {}}]},
            "checkpoint": {"job": {}, "checkpointRef": "a"},
        },
    ),
    "what is filled in": set_in(
        worker,
        checkpoint={"identity": {"backendFramework": "vllm", "model": "a"}},
        scalingAdapter={},
        failover={"enabled": True},
        gpuMemoryService={"enabled": True},
        experimental={"failover": {}, "gpuMemoryService": {}, "checkpoint": {"enabled": True}},
    ),
    "metrics of nothing": set_in(worker, autoscaling={"enabled": True, "metrics": [{}]}),
    "no list of parts": lambda spec: spec.update(components="none", services="none"),
}
#: The fixture that is broken, for each generation.
SOUND = {
    "current": ("beta-disagg", "alpha-extrapodspec"),
    "v1alpha1": ("alpha-extrapodspec",),
    "2025-08": ("legacy-disagg",),
}


def same_name(spec: Any) -> None:
    """Two components whose names differ in case alone."""
    spec["components"].append({"name": spec["components"][0]["name"].upper(), "type": "worker"})


# -- graphs to ask about --------------------------------------------------------------------------


def graphs(folder: Path) -> dict[str, Object]:
    """Dynamo's objects in a folder's files, by file and place."""
    found = {}
    for path in sorted(folder.rglob("*.yaml")):
        for number, each in enumerate(yaml.safe_load_all(path.read_text())):
            if each and str(each.get("apiVersion")).startswith("nvidia.com/"):
                found[f"{path.stem}.{number}"] = each
    return found


def broken(generation: str) -> dict[str, Object]:
    """Each fault, in a graph of each version that this generation serves."""
    found = {}
    for stem in SOUND[generation]:
        sound = yaml.safe_load((GRAPHS / f"{stem}.yaml").read_text().split("\n---\n")[0])
        faults = dict(FAULTS)
        if "components" in sound["spec"]:
            faults["names that differ in case"] = same_name
        for told, edit in faults.items():
            made = copy.deepcopy(sound)
            edit(made["spec"])
            found[f"{stem}: {told}"] = made
    return found


# -- asking ---------------------------------------------------------------------------------------


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that is no object or list with something in it, with its path."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from leaves(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from leaves(each, f"{path}[{number}]")
    else:
        yield path, value


def crd_response(api: Api, given: Object, group: str) -> Object:
    """What the API server says of creating it (server-side dry run, unknown fields allowed)."""
    version = given["apiVersion"].split("/")[1]
    sent = {**given, "apiVersion": f"{group}/{version}"}
    sent["metadata"] = {"name": given["metadata"]["name"], "namespace": "default"}
    try:
        received = api.create(sent, dryRun="All", fieldValidation="Ignore")
    except ApiError as error:
        causes = error.details.get("causes") or []
        if error.status == 404:
            return {"refused": "not served"}
        if error.status not in (400, 422) or (error.status == 422 and not causes):
            raise
        return {"refused": sorted({f"{each['field']}: {each['reason']}" for each in causes})}
    before, after = dict(leaves(sent["spec"])), dict(leaves(received.get("spec")))
    return {
        "pruned": sorted(set(before) - set(after)),
        "filled": {key: after[key] for key in sorted(set(after) - set(before))},
    }


@contextlib.contextmanager
def served(api: Api, crds: list[Object], group: str) -> Iterator[None]:
    """Serve these CRDs under another group, beside what is there."""
    renamed = []
    for each in copy.deepcopy(crds):
        plural = each["spec"]["names"]["plural"]
        each["metadata"]["name"] = f"{plural}.{group}"
        each["spec"]["group"] = group
        # A second short name would make `kubectl get dgd` ambiguous.
        each["spec"]["names"].pop("shortNames")
        renamed.append(each)
    install.crds(api, renamed)
    try:
        install.wait_served(api, renamed)
        yield
    finally:
        for each in renamed:
            api.delete(
                "apiextensions.k8s.io/v1", "CustomResourceDefinition", each["metadata"]["name"]
            )


def ask(api: Api, which: str, folder: Path, faults: bool = True) -> CrdResponses:
    """Every generation of ``which`` (``ours`` or ``real``) about every graph."""
    copies = given()
    types = published(api)
    found: CrdResponses = {}
    for generation in GENERATIONS:
        if which == "ours":
            crds = ours(types, generation)
        else:
            assert copies, "FLUIDMODEL_CRDS does not say where the real CRDs are"
            crds = real(copies, generation)
        group = f"g{generation}.{which}.test"
        with served(api, crds, group):
            asked = graphs(folder) | (broken(generation) if faults else {})
            found[generation] = {
                name: crd_response(api, each, group) for name, each in asked.items()
            }
    return found


def main() -> int:
    api = Cluster(os.environ["FLUIDMODEL_CLUSTER"]).api
    RECORD.parent.mkdir(exist_ok=True)
    found = ask(api, "real", GRAPHS)
    RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(f"{sum(map(len, found.values()))} responses in {RECORD}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
