"""Fluid's own admission webhook changes pods that ask for it, and `doctor` finds nothing wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import binaries, components, install
from tests.cluster.api import ApiError, Object
from tests.cluster.cluster import Cluster
from tests.cluster.objects import INJECT, until
from tests.cluster.plugin import Plugin
from tests.cluster.process import free_ports

#: Alone, as it changes pods of all namespaces.
pytestmark = [pytest.mark.cluster, pytest.mark.alone]

IN_USE = "fluid.io/datasets-in-use"
GROUP = "admissionregistration.k8s.io/v1"


@pytest.fixture(scope="module", autouse=True)
def webhook(cluster: Cluster) -> Iterator[None]:
    """The webhook's server, and what its chart adds, less the address of its Service.

    The API server reaches no Services here, but follows one that is the name of a host.
    """
    found = {
        each["kind"]: each for each in install.webhook_chart(cluster.layout.binaries["ddc-helm"])
    }
    port = free_ports(1)[0]
    for each in found["MutatingWebhookConfiguration"]["webhooks"]:
        each["clientConfig"]["service"]["port"] = port
    found["Service"]["spec"] = {"type": "ExternalName", "externalName": "localhost"}
    install.apply_all(cluster.api, found.values())
    program = binaries.ensure(programs=binaries.WEBHOOK)["fluid-webhook"]
    profile = found["ConfigMap"]["data"]["pluginsProfile"]
    command, environment = components.fluid_webhook(cluster.layout, program, profile, port)
    with (cluster.state / "logs" / "webhook.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    name = found["MutatingWebhookConfiguration"]["metadata"]["name"]

    def trusted() -> bool:
        assert process.poll() is None, (cluster.state / "logs" / "webhook.log").read_text()
        hooks = cluster.api.get(GROUP, "MutatingWebhookConfiguration", name)["webhooks"]
        return all(len(each["clientConfig"]["caBundle"]) > 8 for each in hooks)

    until("the webhook's certificate", trusted, 60)
    yield
    process.terminate()
    process.wait(30)
    for each in found.values():
        meta = each["metadata"]
        cluster.api.delete(each["apiVersion"], each["kind"], meta["name"], meta.get("namespace"))


def reader(namespace: str, name: str, **labels: str) -> Object:
    mount = {"name": "model", "mountPath": "/model", "readOnly": True}
    claim = {"claimName": "demo", "readOnly": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "containers": [{"name": "main", "image": "engine:1", "volumeMounts": [mount]}],
            "volumes": [{"name": "model", "persistentVolumeClaim": claim}],
        },
    }


def test_fluid_injects_what_was_asked_for(
    cluster: Cluster, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), "--name", "demo", timeout=300).ok()
    until("the server", lambda: admits(cluster, reader(namespace, "asks", **INJECT)), 60)
    made = cluster.api.create(reader(namespace, "asks", **INJECT))
    assert made["metadata"]["annotations"][IN_USE] == "demo"
    [mount] = [
        each for each in made["spec"]["containers"][0]["volumeMounts"] if each["name"] == "model"
    ]
    assert mount["mountPropagation"] == "HostToContainer"
    assert f"fluid.io/s-{namespace}-demo" in str(made["spec"]["affinity"])
    without = cluster.api.create(reader(namespace, "does-not-ask"))
    assert IN_USE not in without["metadata"].get("annotations", {})
    report = plugin("doctor", "demo", "-o", "short", timeout=120)
    assert not {"FM110", "FM111", "FM440", "FM443"} & set(report.out.split()), report.out


def admits(cluster: Cluster, pod: Object) -> bool:
    """Whether the API server admits a pod: not while the webhook's server does not listen yet."""
    try:
        return bool(cluster.api.create(pod, dryRun="All"))
    except ApiError:
        return False
