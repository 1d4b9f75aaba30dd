"""Every fixture, on an API server with the Dynamo CRDs of its age, before and after pinning.

It has a cluster of its own: changing what an API server serves is nothing to do beside others.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from kubectl_fluidmodel.cli.main import main
from tests.cluster.api import Object, plural
from tests.cluster.cluster import Cluster
from tests.cluster.objects import until
from tests.cluster.operator import Operator
from tests.cluster.pinning import cache, claim, running
from tests.dynamo.conftest import FIXTURES

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

GENERATIONS: dict[str, tuple[str, str]] = {
    "2025-08": ("v1alpha1", "legacy-"),
    "v1alpha1": ("v1alpha1", "alpha-"),
    "current": ("v1beta1", "beta-"),
}
"""What the harness installs, the version that it serves first, and the fixtures of that age."""


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    cluster = Cluster(f"pin-ages-{os.getpid()}")
    try:
        yield cluster.up(dynamo="2025-08")
    finally:
        cluster.down()


def run(*arguments: str) -> str:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    assert code == 0, f"{arguments}: {err.getvalue()}"
    return out.getvalue() + err.getvalue()


def fixtures(prefix: str, namespace: str) -> list[Object]:
    found = []
    for path in sorted(FIXTURES.glob(f"{prefix}*.yaml")):
        for each in yaml.safe_load_all(path.read_text()):
            if each and str(each["kind"]).startswith("Dynamo"):
                each["metadata"]["namespace"] = namespace
                found.append(each)
    return found


def strict(cluster: Cluster, obj: Object, **query: Any) -> None:
    """Create it with every unknown or duplicate field an error."""
    cluster.api.create(obj, fieldValidation="Strict", **query)


def test_every_shape_at_every_age(own: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(own.kubeconfig))
    for age, (version, prefix) in GENERATIONS.items():
        own.install_dynamo(age)
        namespace = f"age-{age}"
        own.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        key = cache(own, namespace, "llama", ["gpu-0", "gpu-1"])
        for other in ("scratch", "results", "hub-cache", "shared-cache"):
            claim(own, namespace, other)
        given = fixtures(prefix, namespace)
        assert len(given) >= 2
        with Operator(own.api, version, first=age == "2025-08"):
            for obj in given:
                one_by_one(own, obj, key)
            workers_on_the_cache(own, given[0], namespace)


def one_by_one(own: Cluster, obj: Object, key: str) -> None:
    """Created as it is, pinned live, unpinned; and pinned offline, created as that."""
    meta = obj["metadata"]
    short = "dcd" if obj["kind"] == "DynamoComponentDeployment" else "dgd"
    name, namespace = meta["name"], meta["namespace"]
    strict(own, obj)
    before = own.api.get(obj["apiVersion"], obj["kind"], name, namespace)
    said = run("pin", "llama", f"{short}/{name}", "-n", namespace, "--force", "--use-model-path")
    assert "pinned to llama" in said
    after = own.api.get(obj["apiVersion"], obj["kind"], name, namespace)
    assert key in yaml.safe_dump(after["spec"])
    if obj["apiVersion"].endswith("v1alpha1") and "legacy" in name:
        assert any(
            service.get("pvc", {}).get("name") == "llama"
            for service in after["spec"]["services"].values()
        )
    run("unpin", "llama", f"{short}/{name}", "-n", namespace)
    restored = own.api.get(obj["apiVersion"], obj["kind"], name, namespace)
    assert restored["spec"] == before["spec"], name
    own.api.request(
        "DELETE",
        f"/apis/{obj['apiVersion']}/namespaces/{namespace}/{plural(obj['kind'])}/{name}",
    )
    text = yaml.safe_dump(obj)
    file = own.state / f"{name}.yaml"
    file.write_text(text)
    pinned = yaml.safe_load(run_file(str(file), namespace))
    strict(own, pinned, dryRun="All")


def run_file(file: str, namespace: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = main(["pin", "llama", "-f", file, "-n", namespace])
    assert code == 0
    return out.getvalue()


def workers_on_the_cache(own: Cluster, obj: Object, namespace: str) -> None:
    """One graph of this age, pinned and followed to its end."""
    name = obj["metadata"]["name"]
    short = "dcd" if obj["kind"] == "DynamoComponentDeployment" else "dgd"
    # The pods of the graphs before hold GPUs until they are gone.
    until("them to go", lambda: not own.api.list("v1", "Pod", namespace))
    strict(own, obj)
    running(own, namespace, name, pods_of(obj))
    said = run("pin", "llama", f"{short}/{name}", "-n", namespace, "--wait", "--timeout", "180s")
    rows = [line.split() for line in said.splitlines() if line.startswith(f"{name}-")]
    assert rows, said
    worker = [row for row in rows if "ront" not in row[1]]
    assert worker
    assert {row[2] for row in worker} <= {"gpu-0", "gpu-1"}, said
    assert all(row[-1] == "yes" for row in worker), said


def pods_of(obj: Object) -> int:
    spec = obj["spec"]
    if obj["kind"] == "DynamoComponentDeployment":
        return int(spec.get("replicas", 1))
    listed = spec.get("components") or list(spec["services"].values())
    return sum(int(each.get("replicas", 1)) for each in listed)
