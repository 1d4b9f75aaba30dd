"""`pin` and `unpin` on live graphs, with the real scheduler and a stand-in for the operator."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from kubectl_fluidmodel.cli.main import main
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.pin import wait
from tests.cluster.api import ApiError, Object
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import Result
from tests.cluster.objects import bound, s3_model, until
from tests.cluster.operator import Operator
from tests.cluster.pinning import (
    GRAPHS,
    LITTLE,
    cache,
    component,
    graph,
    pods,
    running,
    schedulable,
)
from tests.cluster.plugin import error_line

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[Operator]:
    with Operator(cluster.api) as found:
        yield found


class Plugin:
    """The verbs in this process, in one namespace: a start of Python less for each run."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, *arguments: str) -> Result:
        out, err = io.StringIO(), io.StringIO()
        started = time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*arguments, "-n", self.namespace])
        return Result(code, out.getvalue(), err.getvalue(), time.monotonic() - started)


@pytest.fixture
def plugin(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return Plugin(namespace)


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[Callable[..., str]]:
    """Nodes of the test's own, which no other test's pods tolerate by accident."""
    made: list[str] = []

    def add(gpus: int = 8, memory: str = LITTLE, **options: Any) -> str:
        name = f"pin-{secrets.token_hex(4)}"
        cluster.add_node(name, gpus=gpus, memory=memory, **options)
        made.append(name)
        schedulable(cluster, {name})
        return name

    yield add
    for name in made:
        cluster.remove_node(name)


def read(cluster: Cluster, namespace: str, name: str) -> Object:
    found: Object = cluster.api.get(GRAPHS, "DynamoGraphDeployment", name, namespace)
    return found


def node_of(pod: Object) -> str:
    return str(pod["spec"].get("nodeName", ""))


def claims(pod: Object) -> list[str]:
    volumes = pod["spec"].get("volumes") or []
    return [
        v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v
    ]


def test_workers_go_to_the_cache_and_back(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str], operator: Operator
) -> None:
    home = nodes()
    cache(cluster, namespace, "llama", [home])
    made = graph(
        namespace,
        "chat",
        component("Front", "frontend", gpus=0),
        component("Work", replicas=2, gpus=2),
    )
    before = cluster.api.create(made)
    running(cluster, namespace, "chat", 3)

    done = plugin("pin", "llama", "chat", "--wait", "--diff", "--timeout", "180s").ok()
    assert "dynamographdeployment.nvidia.com/chat pinned to llama" in done.out
    assert "+                  - key: fluid.io/s-" in done.out.replace("    -", "  -") or (
        "fluid.io/s-" in done.out
    )
    lines = [line.split() for line in done.out.splitlines() if line.startswith("chat-work")]
    assert [line[2:] for line in lines] == [[home, "Ready", "yes"]] * 2
    assert "3 pods ready, 2 on a cache node" in done.err or "3 on a cache node" in done.err
    for pod in pods(cluster, namespace, "chat"):
        assert claims(pod) == ["llama"]
    workers = pods(cluster, namespace, "chat-work")
    assert {node_of(pod) for pod in workers} == {home}

    stored = read(cluster, namespace, "chat")
    again = plugin("pin", "llama", "chat", "--wait").ok()
    assert "unchanged (already pinned to llama)" in again.out
    assert (
        read(cluster, namespace, "chat")["metadata"]["generation"]
        == (stored["metadata"]["generation"])
    )
    assert {pod["metadata"]["name"] for pod in pods(cluster, namespace, "chat-work")} == {
        pod["metadata"]["name"] for pod in workers
    }

    plugin("unpin", "llama", "chat").ok()
    after = read(cluster, namespace, "chat")
    assert after["spec"] == before["spec"]
    assert after["metadata"].get("annotations") == before["metadata"].get("annotations")
    assert "unchanged" in plugin("unpin", "llama", "chat").ok().out


def test_a_cache_made_by_fluid_is_pinned(
    cluster: Cluster, plugin: Plugin, namespace: str, bucket: Bucket, operator: Operator
) -> None:
    bucket.put("m/model.safetensors", b"x" * 4096)
    s3_model(cluster, namespace, "llama", bucket)
    bound(cluster, namespace, "llama")
    label = f"fluid.io/s-{namespace}-llama=true"
    home = until(
        "Fluid to label the node", lambda: cluster.api.list("v1", "Node", labelSelector=label), 60
    )[0]["metadata"]["name"]
    cluster.api.create(graph(namespace, "chat", component("Work", gpus=0)))
    done = plugin("pin", "llama", "chat", "--wait", "--timeout", "180s").ok()
    assert [line.split()[2:] for line in done.out.splitlines() if "chat-work" in line] == [
        [home, "Ready", "yes"]
    ]


def test_two_models_are_both_required(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str], operator: Operator
) -> None:
    one, both, two = nodes(), nodes(), nodes()
    cache(cluster, namespace, "llama", [one, both])
    cache(cluster, namespace, "draft", [both, two])
    cluster.api.create(graph(namespace, "chat", component("Work")))
    plugin("pin", "llama", "chat").ok()
    done = plugin(
        "pin", "draft", "chat", "--mount-path", "/draft", "--wait", "--timeout", "180s"
    ).ok()
    assert both in done.out
    [pod] = pods(cluster, namespace, "chat")
    assert node_of(pod) == both
    assert claims(pod) == ["llama", "draft"]


@pytest.mark.parametrize("caches", [1, 20])
def test_a_pin_makes_at_most_twelve_requests(
    cluster: Cluster,
    namespace: str,
    nodes: Callable[..., str],
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    caches: int,
) -> None:
    cache(cluster, namespace, "llama", [nodes() for _ in range(caches)])
    cluster.api.create(graph(namespace, "chat", component("Work")))
    running(cluster, namespace, "chat", 1)
    asked: list[str] = []
    send = Client._send

    def counted(self: Client, request: Any, **options: Any) -> Any:
        asked.append(f"{request.method} {request.path}")
        return send(self, request, **options)

    monkeypatch.setattr(Client, "_send", counted)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    assert main(["pin", "llama", "chat", "-n", namespace]) == 0
    assert len(asked) <= 12, asked
    assert len(asked) >= (7 if caches == 1 else 10)


def test_dry_runs_show_the_change_and_make_none(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str]
) -> None:
    cache(cluster, namespace, "llama", [nodes()])
    cluster.api.create(graph(namespace, "chat", component("Work")))
    before = read(cluster, namespace, "chat")
    for how in ("--dry-run", "--dry-run=client", "--dry-run=server"):
        done = plugin("pin", "llama", "chat", how).ok()
        assert "+            claimName: llama" in done.out or "claimName: llama" in done.out
        assert "dry run)" in done.out
        after = read(cluster, namespace, "chat")
        assert after["spec"] == before["spec"]
        assert "annotations" not in after["metadata"]


def test_documents_go_to_stdout(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str]
) -> None:
    cache(cluster, namespace, "llama", [nodes()])
    cluster.api.create(graph(namespace, "chat", component("Work")))
    patch = yaml.safe_load(
        plugin("pin", "llama", "chat", "--dry-run=server", "-o", "patch").ok().out
    )
    [entry] = patch["patches"]
    assert entry["target"]["name"] == "chat"
    assert {"op": "test", "path": "/spec/components/0/name", "value": "Work"} in yaml.safe_load(
        entry["patch"]
    )
    [shown] = json.loads(plugin("pin", "llama", "chat", "--dry-run=server", "-o", "json").ok().out)[
        "items"
    ]
    assert "fluidmodel.io/pins" in shown["metadata"]["annotations"]
    assert yaml.safe_load(plugin("pin", "llama", "chat", "-o", "yaml").ok().out)["kind"] == (
        "DynamoGraphDeployment"
    )
    name = plugin("unpin", "llama", "chat", "-o", "name").ok().out
    assert name == "dynamographdeployment.nvidia.com/chat\n"


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("not bound", {"phase": "NotBound"}, {}, "the cache llama is not Bound but NotBound"),
    ("too big", {}, {"gpus": 16}, "cannot run on any cache node"),
    ("too many", {}, {"replicas": 3, "gpus": 4}, "1 cache node with 8 GPUs cannot hold the graph"),
    ("selector", {}, {"nodeSelector": {"disk": "tape"}}, "nodeSelector disk=tape"),
    (
        "taint",
        {},
        {"tolerations": []},
        "untolerated taint example.com/keep-out:NoSchedule",
    ),
]


@pytest.mark.parametrize(
    ("how", "with_", "worker", "message"), REFUSED, ids=[case[0] for case in REFUSED]
)
def test_a_pin_that_cannot_work_is_refused(
    cluster: Cluster,
    plugin: Plugin,
    namespace: str,
    nodes: Callable[..., str],
    how: str,
    with_: dict[str, Any],
    worker: dict[str, Any],
    message: str,
) -> None:
    taints = [{"key": "example.com/keep-out", "effect": "NoSchedule"}]
    cache(cluster, namespace, "llama", [nodes(taints=taints)], **with_)
    cluster.api.create(graph(namespace, "chat", component("Work", **worker)))
    refused = plugin("pin", "llama", "chat")
    assert refused.code == 1
    assert message in error_line(refused)
    assert "annotations" not in read(cluster, namespace, "chat")["metadata"]
    forced = plugin("pin", "llama", "chat", "--force").ok()
    assert message in forced.err


def test_a_preference_is_not_refused(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str], operator: Operator
) -> None:
    cache(cluster, namespace, "llama", [nodes(gpus=1)])
    cluster.api.create(graph(namespace, "chat", component("Work", gpus=2)))
    done = plugin("pin", "llama", "chat", "--preferred", "--wait", "--timeout", "180s").ok()
    assert "cannot run on any cache node" in done.err
    assert " no\n" in done.out


def test_a_cache_in_another_namespace_is_refused(
    cluster: Cluster, plugin: Plugin, namespace: str
) -> None:
    other = f"{namespace}-b"
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    name = f"far-{secrets.token_hex(3)}"
    cache(cluster, other, name, [])
    cluster.api.create(graph(namespace, "chat", component("Work")))
    refused = plugin("pin", name, "chat", "--force")
    assert refused.code == 1
    assert f"it is in {other}, and a pod can mount only claims in its own namespace" in refused.err
    cluster.api.delete("v1", "Namespace", other)


def test_gpus_held_by_other_pods_refuse(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str], operator: Operator
) -> None:
    home = nodes()
    cache(cluster, namespace, "llama", [home])
    cluster.api.create(graph(namespace, "squatter", component("Other", gpus=6, nodeName=home)))
    until("the squatter", lambda: pods(cluster, namespace, "squatter"))
    cluster.api.create(graph(namespace, "chat", component("Work", gpus=4)))
    refused = plugin("pin", "llama", "chat")
    assert refused.code == 1
    assert "the cache nodes have no free GPUs for 1 pod (1 of Work)" in error_line(refused)
    assert f"held by {namespace}/squatter-other" in refused.err


def test_a_surge_deadlock_is_refused(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str], operator: Operator
) -> None:
    home = nodes()
    cache(cluster, namespace, "llama", [home])
    at_home = {"kubernetes.io/hostname": home}
    cluster.api.create(graph(namespace, "chat", component("Work", gpus=8, nodeSelector=at_home)))
    running(cluster, namespace, "chat", 1)
    until(
        "its status", lambda: read(cluster, namespace, "chat").get("status", {}).get("components")
    )
    refused = plugin("pin", "llama", "chat")
    assert refused.code == 1
    line = error_line(refused)
    assert "the roll-out of Work would wait forever" in line
    assert "try: --recreate, which sets nvidia.com/deployment-strategy: Recreate" in line
    done = plugin("pin", "llama", "chat", "--recreate", "--wait", "--timeout", "180s").ok()
    assert home in done.out
    before = read(cluster, namespace, "chat")["spec"]["components"][0]["podTemplate"]
    assert before["metadata"]["annotations"] == {"nvidia.com/deployment-strategy": "Recreate"}
    plugin("unpin", "llama", "chat").ok()
    after = read(cluster, namespace, "chat")["spec"]["components"][0]["podTemplate"]
    assert "metadata" not in after


def test_an_unschedulable_pod_fails_with_the_schedulers_message(
    cluster: Cluster,
    namespace: str,
    nodes: Callable[..., str],
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(wait, "STALL_TIMEOUT", 2.0)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    cache(cluster, namespace, "llama", [nodes(gpus=1)])
    cluster.api.create(graph(namespace, "chat", component("Work", gpus=4)))
    code = main(["pin", "llama", "chat", "-n", namespace, "--force", "--wait"])
    captured = capsys.readouterr()
    assert code == 1
    assert "does not fit on any node: 0/" in captured.err
    assert "Insufficient nvidia.com/gpu" in captured.err
    [row] = [line.split() for line in captured.out.splitlines() if "Pending" in line]
    assert row[1:] == ["Work", "-", "Pending", "no"]


def test_wait_times_out(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str], operator: Operator
) -> None:
    cache(cluster, namespace, "llama", [nodes()])
    cluster.api.create(graph(namespace, "chat", component("Work")))
    running(cluster, namespace, "chat", 1)
    operator.held.add(namespace)
    done = plugin("pin", "llama", "chat", "--wait", "--timeout", "2s")
    operator.held.discard(namespace)
    assert done.code == 124
    assert "dgd/chat did not finish its roll-out in 2s" in error_line(done)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "Argo CD manages dgd/chat"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}, "Flux manages dgd/chat"),
        (
            {"annotations": {"meta.helm.sh/release-name": "prod"}},
            "Helm release prod manages dgd/chat and will revert this",
        ),
    ],
)
def test_a_gitops_tool_is_named_and_the_patch_for_git_printed(
    cluster: Cluster,
    plugin: Plugin,
    namespace: str,
    nodes: Callable[..., str],
    metadata: dict[str, Any],
    message: str,
) -> None:
    cache(cluster, namespace, "llama", [nodes()])
    cluster.api.create(graph(namespace, "chat", component("Work"), **metadata))
    done = plugin("pin", "llama", "chat", "--dry-run=server").ok()
    assert message in done.err
    assert "- op: add" in done.err


def test_a_label_of_a_uid_is_read_from_what_fluid_made(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str]
) -> None:
    key = cache(cluster, namespace, "llama", [nodes()], label="fluid.io/s-0b9c-uid")
    cluster.api.create(graph(namespace, "chat", component("Work")))
    plugin("pin", "llama", "chat").ok()
    assert key in json.dumps(read(cluster, namespace, "chat")["spec"])


def test_a_concurrent_write_is_not_lost(
    cluster: Cluster,
    namespace: str,
    nodes: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cache(cluster, namespace, "llama", [nodes()])
    cluster.api.create(graph(namespace, "chat", component("Work")))
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    patch = Client.patch
    writes: list[Object] = [{"metadata": {"labels": {"by": "somebody"}}}]

    def raced(self: Client, *args: Any, dry_run: bool = False, **options: Any) -> Object:
        if not dry_run and writes:
            cluster.api.patch(GRAPHS, "DynamoGraphDeployment", "chat", writes.pop(), namespace)
        return patch(self, *args, dry_run=dry_run, **options)

    monkeypatch.setattr(Client, "patch", raced)
    assert main(["pin", "llama", "chat", "-n", namespace]) == 0
    after = read(cluster, namespace, "chat")
    assert after["metadata"]["labels"] == {"by": "somebody"}
    assert "fluidmodel.io/pins" in after["metadata"]["annotations"]

    moved = component("Work")
    moved["podTemplate"]["spec"]["volumes"] = [{"name": "new", "emptyDir": {}}]
    main(["unpin", "llama", "chat", "-n", namespace])
    writes.append({"spec": {"components": [moved]}})
    capsys.readouterr()
    assert main(["pin", "llama", "chat", "-n", namespace]) == 1
    assert "dgd/chat was changed while it was being patched" in capsys.readouterr().err
    assert "annotations" not in read(cluster, namespace, "chat")["metadata"]


def test_without_permission_to_see_nodes_it_still_pins(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str]
) -> None:
    cache(cluster, namespace, "llama", [nodes()])
    cluster.api.create(graph(namespace, "chat", component("Work")))
    rules = [
        {"apiGroups": ["nvidia.com"], "resources": ["*"], "verbs": ["get", "patch"]},
        {"apiGroups": ["data.fluid.io"], "resources": ["datasets"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get"]},
    ]
    name = f"pinner-{secrets.token_hex(3)}"
    config = cluster.user_kubeconfig(name, rules, namespace)
    done = plugin("pin", "llama", "chat", "--kubeconfig", str(config)).ok()
    assert "whether the pods fit was not checked: nodes (" in done.err
    reader = cluster.user_kubeconfig(f"{name}-r", [{**rules[0], "verbs": ["get"]}], namespace)
    refused = plugin("unpin", "llama", "chat", "--kubeconfig", str(reader))
    assert refused.code == 1
    assert "cannot patch DynamoGraphDeployment chat" in error_line(refused)


def test_graphs_that_are_not_there_and_components_that_are_owned(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str], operator: Operator
) -> None:
    cache(cluster, namespace, "llama", [nodes()])
    missing = plugin("pin", "llama", "nope")
    assert missing.code == 1
    assert f"there is no DynamoGraphDeployment nope in namespace {namespace}" in error_line(missing)
    odd = plugin("pin", "llama", "pod/x")
    assert odd.code == 2
    spec = component("Work")
    parent = cluster.api.create(graph(namespace, "chat", component("Work")))
    owner = {
        "apiVersion": GRAPHS,
        "kind": "DynamoGraphDeployment",
        "name": "chat",
        "uid": parent["metadata"]["uid"],
    }
    for name, owners in (("owned", [owner]), ("lone", [])):
        cluster.api.create(
            {
                "apiVersion": GRAPHS,
                "kind": "DynamoComponentDeployment",
                "metadata": {"name": name, "namespace": namespace, "ownerReferences": owners},
                "spec": spec,
            }
        )
    refused = plugin("pin", "llama", "dcd/owned")
    assert refused.code == 1
    assert "DynamoGraphDeployment chat owns it and would overwrite the change" in error_line(
        refused
    )
    done = plugin("pin", "llama", "lone", "--wait", "--timeout", "180s").ok()
    assert "dynamocomponentdeployment.nvidia.com/lone pinned to llama" in done.out
    assert " yes\n" in done.out


def test_a_pin_made_by_hand_is_adopted_without_a_restart(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str], operator: Operator
) -> None:
    home = nodes()
    key = cache(cluster, namespace, "llama", [home])
    worker = component("Work", nodeSelector={key: "true"})
    spec = worker["podTemplate"]["spec"]
    spec["volumes"] = [{"name": "m", "persistentVolumeClaim": {"claimName": "llama"}}]
    spec["containers"][0]["volumeMounts"] = [{"name": "m", "mountPath": "/model"}]
    cluster.api.create(graph(namespace, "chat", worker))
    running(cluster, namespace, "chat", 1)
    before = read(cluster, namespace, "chat")
    uids = {pod["metadata"]["uid"] for pod in pods(cluster, namespace, "chat")}

    assert "pinned already, by hand" in plugin("pin", "llama", "chat").ok().out
    done = plugin("pin", "llama", "chat", "--adopt", "--wait", "--timeout", "60s").ok()
    assert "nvidia.com/chat adopted for llama" in done.out
    after = read(cluster, namespace, "chat")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert {pod["metadata"]["uid"] for pod in pods(cluster, namespace, "chat")} == uids
    assert "unchanged" in plugin("pin", "llama", "chat").ok().out
    plugin("unpin", "llama", "chat").ok()
    left = read(cluster, namespace, "chat")["spec"]["components"][0]["podTemplate"]["spec"]
    assert "volumes" not in left and "nodeSelector" not in left
    assert "volumeMounts" not in left["containers"][0]


def test_a_startup_probe_too_short_for_the_model_is_raised_and_restored(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str]
) -> None:
    cache(cluster, namespace, "llama", [nodes()])  # 10 GiB
    worker = component("Work")
    probe = {"tcpSocket": {"port": 9090}, "periodSeconds": 10, "failureThreshold": 3}
    worker["podTemplate"]["spec"]["containers"][0]["startupProbe"] = probe
    cluster.api.create(graph(namespace, "chat", worker))
    before = read(cluster, namespace, "chat")
    warned = plugin("pin", "llama", "chat", "--dry-run=server").ok()
    assert "the kubelet may kill component Work before its model is loaded" in warned.err
    done = plugin("pin", "llama", "chat", "--probe-budget").ok()
    assert "the kubelet may kill" not in done.err
    after = read(cluster, namespace, "chat")["spec"]["components"][0]["podTemplate"]["spec"]
    assert after["containers"][0]["startupProbe"]["failureThreshold"] > 60
    assert "unchanged" in plugin("pin", "llama", "chat").ok().out
    plugin("unpin", "llama", "chat").ok()
    assert read(cluster, namespace, "chat")["spec"] == before["spec"]


def test_several_graphs_at_once_each_on_its_own(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str]
) -> None:
    cache(cluster, namespace, "llama", [nodes()])
    for name in ("one", "two"):
        cluster.api.create(graph(namespace, name, component("Work")))
    done = plugin("pin", "llama", "one", "missing", "two")
    assert done.code == 1
    assert "there is no DynamoGraphDeployment missing" in error_line(done)
    assert "nvidia.com/one pinned to llama" in done.out
    assert "nvidia.com/two pinned to llama" in done.out


def test_a_request_is_refused_with_the_patch_for_it(
    cluster: Cluster, plugin: Plugin, namespace: str, nodes: Callable[..., str]
) -> None:
    plural = "dynamographdeploymentrequests"
    cluster.api.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.nvidia.com"},
            "spec": {
                "group": "nvidia.com",
                "scope": "Namespaced",
                "names": {"kind": "DynamoGraphDeploymentRequest", "plural": plural},
                "versions": [
                    {
                        "name": "v1beta1",
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            }
                        },
                    }
                ],
            },
        }
    )
    request = {
        "apiVersion": GRAPHS,
        "kind": "DynamoGraphDeploymentRequest",
        "metadata": {"name": "ask", "namespace": namespace},
    }

    def served() -> bool:
        with contextlib.suppress(ApiError):
            return bool(cluster.api.create(request))
        return False

    until("requests to be served", served)
    cache(cluster, namespace, "llama", [nodes()])
    for name in ("ask", "dgdr/ask"):
        refused = plugin("pin", "llama", name)
        assert refused.code == 1
        assert "immutable once profiling starts" in error_line(refused)
        assert "pvcName: llama" in refused.err
    cluster.api.delete(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.nvidia.com"
    )
