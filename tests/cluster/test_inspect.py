"""Every number that `inspect` shows, against what the API objects and Alluxio's stand-in hold."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kubectl_fluidmodel.fluid.status import parse_size
from kubectl_fluidmodel.output.units import format_bytes as shown_size
from tests import weights
from tests.cluster.objects import FLUID, until
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.test_cache_rbac import bind
from tests.hub import FakeHub, Repo

pytestmark = pytest.mark.cluster

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "inspection.schema.json").read_text())


def document(result: Any) -> dict[str, Any]:
    """What `-o json` printed, after it was held against the schema."""
    found: dict[str, Any] = json.loads(result.ok().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def reader(namespace: str, name: str, node: str, claim: str, gpus: int = 1) -> dict[str, Any]:
    """A pod that is placed by hand, as an operator's would be by the scheduler."""
    main = {
        "name": "main",
        "image": "example.com/engine",
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
        "volumeMounts": [{"name": "model", "mountPath": "/model"}],
    }
    volume = {"name": "model", "persistentVolumeClaim": {"claimName": claim}}
    labels = {
        "nvidia.com/dynamo-graph-deployment-name": "chat",
        "nvidia.com/dynamo-component": "Worker",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "nodeName": node,
            "tolerations": [{"operator": "Exists"}],
            "containers": [main],
            "volumes": [volume],
        },
    }


def running(cluster: Any, namespace: str, name: str) -> bool:
    pod = cluster.api.find("v1", "Pod", name, namespace)
    conditions = (pod or {}).get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def test_before_and_after_there_is_a_cache(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    none = plugin("inspect").ok()
    assert (none.out, none.err) == (
        "",
        f"No models cached in {namespace} namespace; try: kubectl fluidmodel cache --help\n",
    )
    assert error_line(plugin("inspect", "demo")).startswith("error: there is no cache demo in")

    bucket.put_model("demo")
    made = json.loads(
        plugin("cache", bucket.uri("demo"), "--name", "demo", "-o", "json", timeout=240).ok().out
    )
    found = document(plugin("inspect", "demo", "-o", "json"))
    dataset = cluster.api.get(FLUID, "Dataset", "demo", namespace)
    runtime = cluster.api.get(FLUID, "AlluxioRuntime", "demo", namespace)
    status, states = dataset["status"], dataset["status"]["cacheStates"]

    assert found["size"]["bytes"] == made["bytes"] == sum(bucket.sizes("demo/").values())
    assert found["size"]["files"] == made["files"] == len(bucket.sizes("demo/"))
    assert found["size"]["countedBytes"] == parse_size(status["ufsTotal"])
    # Byte by byte from the master's list; Fluid's own count is rounded.
    assert found["cached"]["bytes"] == made["bytes"]
    assert abs(parse_size(states["cached"]) - made["bytes"]) < 0.005 * (1 << 20) + 1
    assert found["cached"]["capacityBytes"] == parse_size(states["cacheCapacity"])
    assert found["cached"]["whole"] is True and found["cached"]["percent"] == 100
    assert found["phase"] == status["phase"] == "Bound"
    assert found["nodeLabel"] == f"fluid.io/s-{namespace}-demo"

    level = runtime["spec"]["tieredstore"]["levels"][0]
    assert found["runtime"]["tiers"] == [
        {
            "medium": level["mediumtype"],
            "path": level["path"],
            "quotaBytes": made["quotaBytes"],
        }
    ]
    for part, kind in (("master", "StatefulSet"), ("worker", "StatefulSet"), ("fuse", "DaemonSet")):
        workload = cluster.api.get("apps/v1", kind, f"demo-{part}", namespace)
        shown = next(each for each in found["runtime"]["parts"] if each["name"] == part)
        ready = "numberReady" if kind == "DaemonSet" else "readyReplicas"
        assert shown["ready"] == workload["status"].get(ready, 0)
        assert shown["object"] == f"{kind} demo-{part}"
        assert shown["phase"] == runtime["status"][f"{part}Phase"]

    worker = cluster.api.get("v1", "Pod", "demo-worker-0", namespace)
    held = cluster.alluxio(namespace, "demo").read()
    (node,) = found["nodes"]
    assert node["name"] == worker["spec"]["nodeName"] == made["nodes"][0]
    assert node["whole"] is True and node["readers"] == 0 and node["trouble"] is None
    assert {each["path"] for each in found["files"]} == {
        path.removeprefix("demo/") for path in bucket.sizes("demo/")
    }
    assert {each["path"]: each["bytes"] for each in found["files"]} == {
        path.removeprefix("demo/"): count for path, count in bucket.sizes("demo/").items()
    }
    assert all(each["cachedPercent"] == 100 for each in found["files"] if each["bytes"])
    assert held["up"] is True
    (load,) = found["dataLoads"]
    assert load["phase"] == "Complete"
    assert found["placement"]["verdict"] == "unread"

    table = plugin("inspect", "--no-headers").ok().out.split()
    total = shown_size(made["bytes"]).split()
    assert table[:4] == ["demo", bucket.uri("demo"), *total]
    assert table[4:7] == ["100%", *shown_size(parse_size(states["cached"])).split()]
    assert table[7:11] == [level["mediumtype"], node["name"], "Bound", "0/0"]


def test_readers_near_and_far_and_what_pin_would_do(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), "--name", "demo", "--node", "gpu-1", timeout=240).ok()
    for name, node in (("near", "gpu-1"), ("far", "gpu-2")):
        cluster.api.create(reader(namespace, name, node, "demo"))
    until("the readers", lambda: all(running(cluster, namespace, n) for n in ("near", "far")), 180)
    found = document(plugin("inspect", "demo", "-o", "json"))
    assert {row["pod"]: (row["node"], row["local"]) for row in found["readers"]} == {
        "near": ("gpu-1", True),
        "far": ("gpu-2", False),
    }
    assert found["placement"]["verdict"] == "off-node"
    assert found["placement"]["command"] == f"kubectl fluidmodel pin demo chat -n {namespace}"
    assert [node["readers"] for node in found["nodes"]] == [1]
    assert " 1/2 " in plugin("inspect").ok().out
    drawn = plugin("inspect", "demo", "-o", "tree").ok().out
    assert re.search(r"node gpu-1 .*\n.*reader near ", drawn)
    assert re.search(r"node gpu-2 .*holds nothing of it\n.*reader far ", drawn)

    cluster.api.delete("v1", "Pod", "far", namespace)
    until("the pod to go", lambda: not cluster.api.find("v1", "Pod", "far", namespace), 180)
    assert document(plugin("inspect", "demo", "-o", "json"))["placement"]["verdict"] == (
        "whole-on-node"
    )


def test_a_load_that_skipped_a_file(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    """Fluid calls it Complete; the master's list of files says what is not there."""
    bucket.put_model("demo")
    cluster.alluxio(namespace, "demo").set_knobs(skip_files={"*00001-of*": 99})
    assert plugin("cache", bucket.uri("demo"), "--name", "demo", timeout=300).code == 1
    found = document(plugin("inspect", "demo", "-o", "json"))
    lacking = [each["path"] for each in found["files"] if each["cachedPercent"] < 100]
    assert len(lacking) == 1 and "00001-of" in lacking[0]
    assert found["cached"]["whole"] is False
    assert found["cached"]["percent"] < 100
    text = plugin("inspect", "demo").ok().out
    assert re.search(rf"✗ {re.escape(lacking[0])} .* 0%", text)


def test_a_dataset_that_is_not_bound_shows_its_runtime(
    cluster: Any, namespace: str, plugin: Plugin
) -> None:
    dataset = {
        "apiVersion": FLUID,
        "kind": "Dataset",
        "metadata": {"name": "stuck", "namespace": namespace},
        "spec": {"mounts": [{"mountPoint": "s3://nowhere-at-all", "name": "stuck", "path": "/"}]},
    }
    level = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "1Gi"}
    runtime = {
        "apiVersion": FLUID,
        "kind": "AlluxioRuntime",
        "metadata": {"name": "stuck", "namespace": namespace},
        "spec": {"replicas": 1, "tieredstore": {"levels": [level]}},
    }
    for obj in (dataset, runtime):
        cluster.api.create(obj)
    until(
        "the master's StatefulSet",
        lambda: cluster.api.find("apps/v1", "StatefulSet", "stuck-master", namespace),
        60,
    )
    found = document(plugin("inspect", "stuck", "-o", "json"))
    assert found["phase"] == "NotBound"
    master = next(each for each in found["runtime"]["parts"] if each["name"] == "master")
    assert (master["ready"], master["desired"]) == (0, 1)
    assert found["size"]["bytes"] is None and found["cached"]["percent"] is None


def test_a_model_of_the_hub_that_moves_on(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    files = {"model.safetensors": weights.random_safetensors(1 << 20), "config.json": b"{}"}
    with FakeHub(Repo("acme/tiny", files)) as hub:
        hf = {"HF_ENDPOINT": hub.endpoint}
        plugin(
            "cache", "acme/tiny", "--to", bucket.uri("models"), "--name", "demo",
            "--stage-on", "client", "--endpoint-hub", hub.endpoint, timeout=240,
        ).ok()  # fmt: skip
        head = hub.repos["acme/tiny"].head
        found = document(plugin("inspect", "demo", "-o", "json", env=hf))
        assert found["source"]["commit"] == head
        assert found["source"]["hub"] == {"commit": head, "current": True, "why": None}
        staged = found["staging"]
        assert staged["verified"] is True
        assert (staged["files"], staged["bytes"]) == (2, (1 << 20) + 2)
        assert staged["to"] == bucket.uri(f"models/acme/tiny/{head}")

        moved = hub.repos["acme/tiny"].commit({**files, "config.json": b"[]"})
        found = document(plugin("inspect", "demo", "-o", "json", env=hf))
        assert found["source"]["hub"] == {"commit": moved, "current": False, "why": None}
        assert f"has moved to {moved[:12]}" in plugin("inspect", "demo", env=hf).ok().out
        offline = document(plugin("inspect", "demo", "-o", "json", "--offline", env=hf))
        assert offline["source"]["hub"] is None and offline["staging"]["verified"] is None
        assert offline["files"] is None

    gone = document(plugin("inspect", "demo", "-o", "json", env=hf))
    assert gone["source"]["hub"]["commit"] is None and gone["source"]["hub"]["why"]


def test_the_roles_of_the_docs_are_enough(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), "--name", "demo", timeout=240).ok()
    least = {"KUBECONFIG": str(bind(cluster, namespace, f"in-{namespace}", "inspect"))}
    table = plugin("inspect", env=least).ok()
    assert re.search(r"demo .* 100% .* MEM +gpu-\d +Bound +0/0 ", table.out)
    (note,) = table.err.splitlines()  # one for all rights that lack
    named = note.partition("no permission to list ")[2].partition(" (")[0]
    assert set(named.split(", ")) == {"nodes", "persistentvolumes"}
    one = plugin("inspect", "demo", env=least).ok()
    assert (
        "could not query the Alluxio master: no permission to get and create pods/exec" in one.out
    )

    both = bind(cluster, namespace, f"better-{namespace}", "inspect", "inspect-better")
    better = plugin("inspect", "demo", env={"KUBECONFIG": str(both)}).ok()
    assert better.err == ""
    assert "✓ config.json" in better.out

    everywhere = plugin("inspect", "-A", env=least)
    assert everywhere.code == 1
    assert "cannot list datasets.data.fluid.io in all namespaces" in error_line(everywhere)
    nothing = cluster.user_kubeconfig(f"none-{namespace}", rules=[], namespace=namespace)
    refused = plugin("inspect", env={"KUBECONFIG": str(nothing)})
    assert refused.code == 1
    assert "kubectl auth can-i list datasets.data.fluid.io" in error_line(refused)


def test_changes_are_lines_without_a_terminal(
    cluster: Any, namespace: str, bucket: Any, plugin: Plugin, tmp_path: Path
) -> None:
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), "--name", "demo", "--node", "gpu-0", timeout=240).ok()
    out = tmp_path / "out"
    with out.open("w") as file:
        watch = plugin.popen("inspect", "-w", stdout=file, stderr=subprocess.PIPE)
        try:
            until("the table", lambda: "0/0" in out.read_text(), 180)
            cluster.api.create(reader(namespace, "near", "gpu-0", "demo"))
            until("the reader", lambda: "1/1" in out.read_text(), 180)
            cluster.api.delete("v1", "Pod", "near", namespace)
            until("it to go", lambda: out.read_text().rstrip().splitlines()[-1].count("0/0"), 180)
        finally:
            watch.terminate()
        _, err = watch.communicate(timeout=90)
    assert watch.returncode == 130
    assert "Traceback" not in err
    lines = out.read_text().splitlines()
    assert lines[0].startswith("NAME ") and sum(line.startswith("NAME") for line in lines) == 1
    assert [re.search(r" (\d/\d) ", line)[1] for line in lines[1:]] == ["0/0", "1/1", "0/0"]
