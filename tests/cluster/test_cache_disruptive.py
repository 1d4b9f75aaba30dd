"""`cache` while the control plane itself breaks: on a cluster of its own, one test at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import Cli
from tests.cluster.objects import until
from tests.cluster.plugin import Plugin, error_line

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

FLUID = "data.fluid.io/v1alpha1"


@pytest.fixture
def run(fragile: Cluster, tmp_path: Path) -> Plugin:
    return Plugin(Cli(fragile, tmp_path), "default")


@pytest.fixture
def model(fragile: Cluster, request: pytest.FixtureRequest) -> Iterator[Bucket]:
    made = Bucket(fragile.s3, f"models-{abs(hash(request.node.name)) % 10**8}")
    made.put_model("demo")
    yield made
    made.delete()


def test_the_api_server_restarts_in_the_middle_of_the_wait(
    fragile: Cluster, run: Plugin, model: Bucket
) -> None:
    fragile.alluxio("default", "restart").set_knobs(load_bytes_per_second=400_000)
    running = run.popen("cache", model.uri("demo"), "--name", "restart")
    until("the load", lambda: fragile.api.find(FLUID, "DataLoad", "restart", "default"), 180)
    fragile.restart("kube-apiserver")
    fragile.alluxio("default", "restart").set_knobs(load_bytes_per_second=None)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert "every byte proven" in out


def test_a_controller_that_is_scaled_to_zero(fragile: Cluster, run: Plugin, model: Bucket) -> None:
    fragile.scale("dataset-controller", 0)
    try:
        done = run("cache", model.uri("demo"), "--name", "nobody")
    finally:
        fragile.scale("dataset-controller", 1)
    assert done.code == 1
    assert "dataset-controller is scaled to 0" in error_line(done)
    assert "kubectl scale deployment dataset-controller -n fluid-system" in error_line(done)


def test_fluid_scales_its_runtime_controller_up_when_it_is_needed(
    fragile: Cluster, run: Plugin, model: Bucket
) -> None:
    """At 0 replicas, the chart's default, it is no failure: the dataset controller mends it."""
    fragile.scale("alluxioruntime-controller", 0)
    done = run("cache", model.uri("demo"), "--name", "ondemand", timeout=120).ok()
    assert "every byte proven" in done.out


def test_a_runtime_controller_without_a_pod_is_reported_and_waited_for(
    fragile: Cluster, run: Plugin, model: Bucket
) -> None:
    """Its pods fit no node: nothing happens to the Dataset, and no event says why."""
    selector: dict[str, Any] = {"spec": {"template": {"spec": {"nodeSelector": {"no": "such"}}}}}
    deployment = ("apps/v1", "Deployment", "alluxioruntime-controller")
    fragile.api.patch(
        *deployment,
        {"spec": {"strategy": {"rollingUpdate": None, "type": "Recreate"}}},
        "fluid-system",
    )
    fragile.api.patch(*deployment, selector, "fluid-system")
    fragile.stop("alluxioruntime-controller")
    running = run.popen("cache", model.uri("demo"), "--name", "late")
    lines: list[str] = []

    def collect() -> None:
        assert running.stderr is not None
        lines.extend(iter(running.stderr.readline, ""))

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    try:
        until(
            "the word on the controller",
            lambda: any("alluxioruntime-controller has no ready pod" in line for line in lines),
            40,
        )
    finally:
        selector["spec"]["template"]["spec"]["nodeSelector"] = None
        fragile.api.patch(*deployment, selector, "fluid-system")
        fragile.start("alluxioruntime-controller")
    running.wait(timeout=120)
    reader.join(timeout=10)
    assert running.returncode == 0, "".join(lines)


def test_a_fluid_that_is_too_old(fragile: Cluster, run: Plugin, model: Bucket) -> None:
    path = {"spec": {"template": {"spec": {"containers": []}}}}
    found = fragile.api.get("apps/v1", "Deployment", "dataset-controller", "fluid-system")
    containers = found["spec"]["template"]["spec"]["containers"]
    old = [{**containers[0], "image": "fluidcloudnative/dataset-controller:v0.9.3-abc"}]
    path["spec"]["template"]["spec"]["containers"] = old
    fragile.api.patch("apps/v1", "Deployment", "dataset-controller", path, "fluid-system")
    try:
        done = run("cache", model.uri("demo"), "--name", "old")
    finally:
        path["spec"]["template"]["spec"]["containers"] = containers
        fragile.api.patch("apps/v1", "Deployment", "dataset-controller", path, "fluid-system")
    assert done.code == 1
    assert "Fluid 0.9.3 is too old" in error_line(done)
    assert "helm upgrade fluid" in error_line(done)


def test_no_fluid_at_all(fragile: Cluster, run: Plugin, model: Bucket) -> None:
    """The last test of this file: it takes Fluid away."""
    for crd in fragile.api.list("apiextensions.k8s.io/v1", "CustomResourceDefinition"):
        if crd["spec"]["group"] == "data.fluid.io":
            fragile.api.delete(
                "apiextensions.k8s.io/v1", "CustomResourceDefinition", crd["metadata"]["name"]
            )
    deadline = time.monotonic() + 60
    while True:
        done = run("cache", model.uri("demo"), "--name", "none")
        if "not installed" in done.err or time.monotonic() > deadline:
            break
        time.sleep(1)  # discovery follows the CRDs with a delay
    assert done.code == 1
    assert "Fluid is not installed" in error_line(done)
    assert "helm install fluid fluid/fluid" in error_line(done)
