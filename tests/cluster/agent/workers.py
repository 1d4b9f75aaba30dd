"""Alluxio's workers as far as its master knows them: which run, where, and how much they hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..alluxio.state import State
from ..api import Api, Object

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}


def of_pod(state: Path, pod: Object) -> State | None:
    """The Alluxio that an Alluxio pod belongs to."""
    labels = pod["metadata"].get("labels") or {}
    release = labels.get("release")
    if not release or labels.get("app") != "alluxio":
        return None
    return State(state, pod["metadata"]["namespace"], release)


def tier(api: Api, namespace: str, name: str) -> tuple[int, str]:
    """A worker's capacity in bytes and the medium of its first level, as Fluid rendered them."""
    config = api.find("v1", "ConfigMap", f"{name}-config", namespace) or {}
    text = (config.get("data") or {}).get("ALLUXIO_JAVA_OPTS", "")
    total = 0
    for quotas in re.findall(r"tieredstore\.level\d+\.dirs\.quota=(\S+)", text):
        for quota in quotas.split(","):
            found = re.fullmatch(r"([0-9.]+)\s*([KMGTP]?)i?B?", quota.strip(), re.IGNORECASE)
            if found:
                total += int(float(found.group(1)) * UNITS[found.group(2).upper()])
    medium = re.search(r"tieredstore\.level0\.dirs\.mediumtype=([A-Z]+)", text)
    return total, medium.group(1) if medium else "MEM"


def seen(api: Api, state: Path, pod: Object) -> None:
    """A worker pod was added or changed."""
    alluxio = of_pod(state, pod)
    if alluxio is None:
        return
    conditions = {
        each["type"]: each["status"] for each in (pod.get("status") or {}).get("conditions") or []
    }
    running = (
        (pod.get("status") or {}).get("phase") == "Running"
        and conditions.get("Ready") == "True"
        and not pod["metadata"].get("deletionTimestamp")
    )
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    known: dict[str, Any] = alluxio.read()["workers"].get(name) or {}
    if known.get("uid") == uid and known.get("running") == running:
        return
    capacity, medium = tier(api, pod["metadata"]["namespace"], alluxio.name)
    with alluxio.change() as value:
        if known.get("uid") not in (None, uid):
            _drop(value, name)
        value["workers"][name] = {
            "uid": uid,
            "running": running,
            "capacity": capacity,
            "medium": medium,
            "node": pod["spec"].get("nodeName", ""),
        }

    _publish_log(api, alluxio, pod)


def _publish_log(api: Api, alluxio: State, pod: Object) -> None:
    """Tell kwok where the log of a worker is."""
    log = alluxio.workers_log()
    log.touch()
    meta = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    names = [each["name"] for each in pod["spec"]["containers"]]
    file = {"logsFile": str(log), "previousLogsFile": str(log), "follow": False}
    api.apply(
        {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Logs",
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "ownerReferences": [owner],
            },
            "spec": {"logs": [{"containers": names, **file}]},
        },
        manager="agent",
    )


def lost(state: Path, pod: Object) -> None:
    """A worker pod is gone, and its blocks with it."""
    alluxio = of_pod(state, pod)
    if alluxio is None or not alluxio.path.exists():
        return
    name = pod["metadata"]["name"]
    with alluxio.change() as value:
        if (value["workers"].get(name) or {}).get("uid") == pod["metadata"]["uid"]:
            value["workers"].pop(name)
            _drop(value, name)


def master_lost(state: Path, pod: Object) -> None:
    """A master pod is gone, and its journal with it: the next one starts with an empty cache."""
    alluxio = of_pod(state, pod)
    if alluxio is None or not alluxio.path.exists():
        return
    with alluxio.change() as value:
        value["up"] = False
        value.pop("synced", None)
        value["mounts"], value["files"], value["blocks"] = {}, {}, {}


def _drop(value: dict[str, Any], worker: str) -> None:
    for path, blocks in list(value["blocks"].items()):
        blocks.pop(worker, None)
        if not blocks:
            value["blocks"].pop(path)
