"""A stand-in for the Dynamo operator: graphs in, Deployments and status out.

It does what matters for where pods run, as deploy/operator does it (internal/dynamo/graph.go,
internal/controller/dynamographdeployment_controller.go): it renders each component's pod template
with the operator's labels and defaults, rolls all workers when one changes, takes the pace from
the same annotations, and reports generation and readiness. One replica of n nodes becomes n pods.
"""

from __future__ import annotations

import concurrent.futures
import copy
import functools
import hashlib
import json
import threading
import time
from typing import Any

import urllib3

from .api import Api, ApiError, Object
from .follow import Act, follow

GROUP = "nvidia.com"
KINDS = ("DynamoGraphDeployment", "DynamoComponentDeployment")
Key = tuple[str, str, str]
"""Kind, namespace and name of a graph."""
WORKERS = ("worker", "prefill", "decode")
STRATEGY = "nvidia.com/deployment-strategy"
SURGE = "nvidia.com/deployment-rolling-update-max-surge"
UNAVAILABLE = "nvidia.com/deployment-rolling-update-max-unavailable"


class Held:
    """Namespaces that no operator works on, for tests of what happens before one does.

    A label, because every test process has an operator of its own on the one cluster.
    """

    LABEL = "fluidmodel.test/held"

    def __init__(self, api: Api) -> None:
        self.api = api

    def names(self) -> set[str]:
        found = self.api.list("v1", "Namespace", labelSelector=self.LABEL)
        return {each["metadata"]["name"] for each in found}

    def add(self, namespace: str) -> None:
        self._set(namespace, "true")
        time.sleep(1.0)  # whoever is at it has read the label before

    def discard(self, namespace: str) -> None:
        self._set(namespace, None)

    def _set(self, namespace: str, value: str | None) -> None:
        body = {"metadata": {"labels": {self.LABEL: value}}}
        self.api.patch("v1", "Namespace", namespace, body)


class Operator:
    """Works on graphs of one version until it is stopped; use it as a context manager.

    Like the real one, it watches graphs and Deployments, and works only on those that change.
    """

    def __init__(self, api: Api, version: str = "v1beta1", *, first: bool = False) -> None:
        self.api = api
        self.first = first
        """Whether pods have the selector as their only label, as up to 0.5."""
        self.version = f"{GROUP}/{version}"
        self.held = Held(api)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self._seen: dict[tuple[str, str, str], tuple[int, str]] = {}
        self._graphs: dict[Key, Object] = {}
        self._deployments: dict[tuple[str, str], Object] = {}
        self._held_now: set[str] = set()
        self._changed = threading.Condition()
        self._due: set[Key] = set()

    def __enter__(self) -> Operator:
        self._held_now = self.held.names()
        self._follow("v1", "Namespace", self._on_held, labelSelector=Held.LABEL)
        selector = "nvidia.com/selector"
        self._follow("apps/v1", "Deployment", self._on_deployment, labelSelector=selector)
        for kind in KINDS:
            self._follow(self.version, kind, functools.partial(self._on_graph, kind))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _follow(self, version: str, kind: str, act: Act, **query: Any) -> None:
        options = {"stopped": self._stop.is_set, "seconds": 10, **query}
        words = (self.api, version, kind, act)
        threading.Thread(target=follow, args=words, kwargs=options, daemon=True).start()

    # -- what changes ------------------------------------------------------------------------

    def _on_graph(self, kind: str, change: str, graph: Object) -> None:
        key = (kind, graph["metadata"]["namespace"], graph["metadata"]["name"])
        with self._changed:
            if change == "DELETED":
                self._graphs.pop(key, None)
            else:
                self._graphs[key] = {**graph, "kind": kind, "apiVersion": self.version}
                self._add_due({key})

    def _on_deployment(self, change: str, deployment: Object) -> None:
        meta = deployment["metadata"]
        with self._changed:
            if change == "DELETED":
                self._deployments.pop((meta["namespace"], meta["name"]), None)
            else:
                self._deployments[meta["namespace"], meta["name"]] = deployment
            owners = meta.get("ownerReferences") or []
            self._add_due({(each["kind"], meta["namespace"], each["name"]) for each in owners})

    def _on_held(self, change: str, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        with self._changed:
            if change == "DELETED":  # or no longer labelled
                self._held_now.discard(name)
                self._add_due({key for key in self._graphs if key[1] == name})
            else:
                self._held_now.add(name)

    def _add_due(self, keys: set[Key]) -> None:
        self._due |= keys
        self._changed.notify()

    # -- what is done ------------------------------------------------------------------------

    def _run(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            while not self._stop.is_set():
                with self._changed:
                    if not self._due:
                        self._changed.wait(0.5)
                    due, self._due = self._due, set()
                failed = set(due) - {key for key in pool.map(self._reconcile_key, due) if key}
                with self._changed:
                    self._due |= failed
                self._stop.wait(0.15)  # what changes meanwhile is worked on at once

    def _reconcile_key(self, key: Key) -> Key | None:
        """Work on a graph; returns its key unless that failed."""
        graph = self._graphs.get(key)
        if graph and key[1] not in self._held_now:
            try:
                self._reconcile(graph, self._deployments)
            except (ApiError, urllib3.exceptions.HTTPError):
                return None
        return key

    def _reconcile(self, graph: Object, deployments: dict[tuple[str, str], Object]) -> None:
        meta = graph["metadata"]
        key = (graph["kind"], meta["namespace"], meta["uid"])
        wanted = render(graph, first=self.first)
        generation = meta["generation"]
        if self._seen.get(key, (0, ""))[0] != generation:
            for deployment in wanted:
                self.api.apply(deployment, manager="dynamo-operator")
            self._seen[key] = (generation, "")
            return
        status = self._status(graph, wanted, deployments)
        text = json.dumps(status, sort_keys=True)
        if self._seen[key][1] != text:
            self.api.patch(
                self.version,
                graph["kind"],
                meta["name"],
                {"status": status},
                meta["namespace"],
                "status",
            )
            self._seen[key] = (generation, text)

    def _status(
        self, graph: Object, wanted: list[Object], deployments: dict[tuple[str, str], Object]
    ) -> Object:
        ready = True
        components = {}
        for each in wanted:
            found = deployments.get((each["metadata"]["namespace"], each["metadata"]["name"]), {})
            status = found.get("status") or {}
            replicas = each["spec"]["replicas"]
            done = (
                status.get("observedGeneration") == (found.get("metadata") or {}).get("generation")
                and status.get("updatedReplicas", 0) == replicas
                and status.get("readyReplicas", 0) == replicas
                and status.get("replicas", 0) == replicas
            )
            ready = ready and done
            components[each["metadata"]["labels"]["nvidia.com/dynamo-component"]] = {
                "componentKind": "Deployment",
                "componentNames": [each["metadata"]["name"]],
                "replicas": replicas,
                "updatedReplicas": status.get("updatedReplicas", 0),
                "readyReplicas": status.get("readyReplicas", 0),
            }
        status = {
            "state": "successful" if ready else "pending",
            "observedGeneration": graph["metadata"]["generation"],
        }
        if graph["kind"] == "DynamoGraphDeployment" and self.version.endswith("v1beta1"):
            status["components"] = components
        return status


def render(graph: Object, *, first: bool = False) -> list[Object]:
    """The Deployments of a graph, with the same worker hash on all its workers."""
    meta = graph["metadata"]
    alone = graph["kind"] == "DynamoComponentDeployment"
    spec = graph.get("spec") or {}
    if alone:
        components = {spec.get("name") or spec.get("serviceName") or meta["name"]: spec}
    elif "components" in spec:
        components = {each["name"]: each for each in spec["components"]}
    else:
        components = spec.get("services") or {}
    pods = {name: template(each) for name, each in components.items()}
    hashed = {name: pods[name] for name, each in components.items() if type_of(each) in WORKERS}
    digest = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:8]
    owner = {
        "apiVersion": graph["apiVersion"],
        "kind": graph["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }
    made = []
    for name, each in components.items():
        full = meta["name"] if alone else f"{meta['name']}-{name.lower()}"
        labels = {
            "nvidia.com/selector": full,
            "nvidia.com/dynamo-component": name,
            "nvidia.com/dynamo-component-type": type_of(each) or "none",
        }
        if not alone and "dynamoGraph" not in spec:
            labels["nvidia.com/dynamo-graph-deployment-name"] = meta["name"]
        if type_of(each) in WORKERS:
            labels["nvidia.com/dynamo-worker-hash"] = digest
        pod = copy.deepcopy(pods[name])
        marks = {"nvidia.com/selector": full} if first else labels
        pod["metadata"]["labels"] = {**pod["metadata"].get("labels", {}), **marks}
        everywhere = spec.get("annotations") or {}
        annotations = {**everywhere, **pod["metadata"].get("annotations", {})}
        replicas = each.get("replicas", 1) * ((each.get("multinode") or {}).get("nodeCount") or 1)
        made.append(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {
                    "name": full,
                    "namespace": meta["namespace"],
                    "labels": labels,
                    "ownerReferences": [owner],
                },
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": {"nvidia.com/selector": full}},
                    "strategy": strategy(annotations),
                    "template": pod,
                },
            }
        )
    return made


def strategy(annotations: dict[str, str]) -> Object:
    if annotations.get(STRATEGY) == "Recreate":
        return {"type": "Recreate"}

    def number(key: str) -> str | int:
        text = annotations.get(key, "25%")
        return text if text.endswith("%") else int(text)

    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": number(SURGE), "maxUnavailable": number(UNAVAILABLE)},
    }


def type_of(component: Object) -> str:
    sub = component.get("subComponentType") or ""
    return str(component.get("type") or sub or component.get("componentType") or "")


def template(component: Object) -> Object:
    """The pod template of a component, in whichever shape it is written."""
    if "extraPodSpec" in component or "podTemplate" not in component:
        pod, annotations = _alpha(component)
    else:
        given = copy.deepcopy(component["podTemplate"])
        pod = given.get("spec") or {}
        annotations = (given.get("metadata") or {}).get("annotations") or {}
    pod.setdefault("containers", [])
    if not any(each["name"] == "main" for each in pod["containers"]):
        pod["containers"].insert(0, {"name": "main"})
    main = next(each for each in pod["containers"] if each["name"] == "main")
    if component.get("compilationCache"):
        pod.setdefault("volumes", [])
    known = {each["name"] for each in pod.get("volumes") or []}
    for mount in main.get("volumeMounts") or []:
        if mount["name"] not in known:
            known.add(mount["name"])
            pod.setdefault("volumes", []).append(_claim(mount["name"]))
    for each in pod["containers"]:
        each.setdefault("image", "example.com/runtime/default:1")
        for field in ("livenessProbe", "readinessProbe", "startupProbe"):
            each.pop(field, None)
    pod.setdefault("terminationGracePeriodSeconds", 0)
    return {"metadata": {"annotations": annotations}, "spec": pod}


def _alpha(component: Object) -> tuple[Object, dict[str, str]]:
    pod = copy.deepcopy(component.get("extraPodSpec") or {})
    main = pod.pop("mainContainer", None) or {}
    main["name"] = "main"
    resources = component.get("resources") or {}
    for side in ("requests", "limits"):
        for name, amount in (resources.get(side) or {}).items():
            if name in ("cpu", "memory", "gpu"):
                full = "nvidia.com/gpu" if name == "gpu" else name
                main.setdefault("resources", {}).setdefault(side, {})[full] = amount
    mounts = [(m["name"], m["mountPoint"]) for m in component.get("volumeMounts") or []]
    claim: dict[str, Any] = component.get("pvc") or {}
    if claim.get("name"):
        mounts.append((claim["name"], claim["mountPoint"]))
    for name, where in mounts:
        pod.setdefault("volumes", []).append(_claim(name))
        main.setdefault("volumeMounts", []).append({"name": name, "mountPath": where})
    pod["containers"] = [main, *pod.get("containers", [])]
    return pod, dict(component.get("annotations") or {})


def _claim(name: str) -> Object:
    return {"name": name, "persistentVolumeClaim": {"claimName": name}}
