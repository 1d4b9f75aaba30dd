"""Faults on a real data plane: what a reader sees, what `doctor` says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.fluid import alluxio_cli, names
from tests.cluster import cgroups
from tests.cluster.api import Object
from tests.cluster.dataplane import DROP, HASH, HOLDER, OTHER, Cached
from tests.cluster.objects import FLUID, until
from tests.cluster.real import csi

pytestmark = [pytest.mark.real]

MIB = 1 << 20
FILE = "model-00001-of-00002.safetensors"


def pod_on(cached: Cached, node: str, role: str) -> Object:
    """The cache's pod with this role on a node; empty while there is none."""
    pods = [
        pod
        for pod in cached.pods(role=role)
        if pod["spec"].get("nodeName") == node and "deletionTimestamp" not in pod["metadata"]
    ]
    return pods[0] if pods else {}


def container(cached: Cached, node: str, role: str, name: str) -> dict[str, Any]:
    """The status of a container of that pod; empty while it has none."""
    statuses = pod_on(cached, node, role).get("status", {}).get("containerStatuses", [])
    return next((each for each in statuses if each["name"] == name), {})


def group_of(cached: Cached, node: str, role: str, name: str) -> Path:
    """The control group of that container.

    For a moment, the status still has the container before, whose group is gone.
    """
    root = cgroups.holder() / cached.plane.real.taken()[node].cgroup

    def groups() -> list[Path]:
        container_id = str(container(cached, node, role, name).get("containerID", "none"))
        return list(root.glob(f"kubepods/**/{container_id.rpartition('/')[2]}"))

    until(f"the control group of {name}", lambda: bool(groups()), 60)
    [group] = groups()
    return group


def kill(cached: Cached, node: str, role: str, name: str) -> None:
    """Kill a container, and wait until the kubelet has started it again."""
    restarts = int(container(cached, node, role, name)["restartCount"])
    for pid in (group_of(cached, node, role, name) / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    until_restarted(cached, node, role, name, restarts)


def until_restarted(cached: Cached, node: str, role: str, name: str, restarts: int) -> None:
    def again() -> bool:
        status = container(cached, node, role, name)
        return bool(status and status["restartCount"] > restarts and status["ready"])

    until(f"{name} to be started again", again, 120)


def kill_fuse(cached: Cached) -> None:
    kill(cached, HOLDER, "alluxio-fuse", "alluxio-fuse")


def exhaust_fuse(cached: Cached) -> None:
    """Let the FUSE client's container reach its memory limit, so that the kernel kills it."""
    role = name = "alluxio-fuse"
    restarts = int(container(cached, HOLDER, role, name)["restartCount"])
    group = group_of(cached, HOLDER, role, name)
    version_1 = (group / "memory.limit_in_bytes").exists()
    used = "memory.usage_in_bytes" if version_1 else "memory.current"
    limit = "memory.limit_in_bytes" if version_1 else "memory.max"
    (group / limit).write_text(str(int((group / used).read_text()) + 8 * MIB))
    # Less than the client has, which therefore is what the kernel kills.
    script = 'x=$(head -c 64000000 /dev/zero | tr "\\0" x); echo ${#x}'
    pod = pod_on(cached, HOLDER, role)
    cached.execute(pod["metadata"]["name"], "bash", "-c", script, container=name)
    until_restarted(cached, HOLDER, role, name, restarts)


def is_emptied(cached: Cached) -> bool:
    """Free all blocks; whether no weights are left. A small block in use may stay."""
    alluxio(cached, "fs", "free", "/")
    workers = alluxio_cli.parse_capacity_report(alluxio(cached, *alluxio_cli.CAPACITY_COMMAND[1:]))
    return sum(worker.used_bytes for worker in workers) < MIB


def plans_a_load(cached: Cached) -> bool:
    said = alluxio(cached, "fs", "distributedLoad", "--replication", "2", "/")
    return "Total completed file count" in said


@pytest.fixture
def fresh_fuse(cached: Cached) -> Iterator[None]:
    """Replace FUSE clients that were killed: `doctor` reports repeated restarts."""
    yield
    for pod in cached.pods(role="alluxio-fuse"):
        name = pod["metadata"]["name"]
        cached.plane.api.delete("v1", "Pod", name, cached.namespace)
        until(f"{name} to be gone", lambda name=name: not cached.phase(name), 120)


def report(cached: Cached) -> str:
    """What `doctor` says in short, at most 90 s later."""
    return cached.plugin("doctor", cached.name, "-o", "short", timeout=90).out


def test_a_killed_fuse_client_breaks_old_readers_and_serves_new_ones(
    cached: Cached, fresh_fuse: None
) -> None:
    cached.start_reader("old", HOLDER)
    for _ in ("once", "twice"):
        kill_fuse(cached)
        said = report(cached)
        assert "FM432" in said, said
    broken = cached.execute("old", "python", "-c", HASH, "/models")
    assert broken.returncode != 0
    cached.start_reader("new", HOLDER)
    assert cached.read("new") == cached.digests()
    cached.end_reader("old")
    cached.end_reader("new")


def test_a_fuse_client_that_runs_out_of_memory_is_named(cached: Cached, fresh_fuse: None) -> None:
    until(
        "the FUSE client",
        lambda: container(cached, HOLDER, "alluxio-fuse", "alluxio-fuse").get("ready"),
    )
    exhaust_fuse(cached)
    said = report(cached)
    assert "FM321" in said and f"alluxio-fuse on node {HOLDER} was killed: out of memory" in said


@pytest.fixture
def unrecorded(cached: Cached) -> Iterator[None]:
    """Forget preheating, which the FUSE clients of other tests did not see."""
    yield
    forgotten = {"metadata": {"annotations": {names.PREHEATED_ANNOTATION: None}}}
    cached.plane.api.patch(FLUID, "Dataset", cached.name, forgotten, cached.namespace)


def test_preheated_pages_are_shown_and_missed_once_their_client_was_killed(
    cached: Cached, with_image: str, fresh_fuse: None, unrecorded: None
) -> None:
    assert preheated_percent(cached, with_image) >= 90
    assert "FM827" not in report(cached)
    kill_fuse(cached)
    said = report(cached)
    assert "FM827" in said, said
    assert preheated_percent(cached, with_image) >= 90
    assert "FM827" not in report(cached)


def preheated_percent(cached: Cached, with_image: str) -> int:
    """Preheat the cache; returns how much of the model `inspect` then sees in the page cache."""
    words = ("cache", cached.bucket.uri(cached.name), "--name", cached.name, "--node", HOLDER)
    cached.plugin(*words, "--image", with_image, "--preheat", "on", timeout=300).ok()
    document = json.loads(cached.plugin("inspect", cached.name, "-o", "json").ok().out)
    [node] = [each for each in document["nodes"] if each["name"] == HOLDER]
    assert not node["pageCache"]["lost"]
    return int(100 * node["pageCache"]["bytes"] / node["pageCache"]["ofBytes"])


def test_a_node_without_its_csi_plugin_is_named_and_heals_with_it(cached: Cached) -> None:
    api = cached.plane.api
    start_csi(cached, OTHER, False)
    try:
        cached.start_reader("stuck", OTHER, wait=False)
        said = until("FM421", lambda: said_with(cached, "FM421"), 120)
        assert f"no pod of {csi.DAEMONSET} runs on the node" in said, said
        assert cached.phase("stuck") == "Pending"
    finally:
        start_csi(cached, OTHER, True)
    until("the reader to run", lambda: cached.phase("stuck") == "Running", 180)
    assert cached.read("stuck") == cached.digests()
    cached.end_reader("stuck")
    assert api.find("v1", "Pod", "stuck", cached.namespace) is None


def test_fuse_recovery_mends_the_mounts_of_pods_that_run(cached: Cached, fresh_fuse: None) -> None:
    recover_mounts(cached, True)
    try:
        cached.start_reader("old", HOLDER)
        kill_fuse(cached)

        def mended() -> bool:
            done = cached.execute("old", "python", "-c", HASH, "/models")
            return done.returncode == 0 and json.loads(done.stdout) == cached.digests()

        until("the old mount to be mended", mended, 90)
        said = report(cached)
        assert "FM432" not in said, said
        cached.end_reader("old")
    finally:
        recover_mounts(cached, False)


def recover_mounts(cached: Cached, wanted: bool) -> None:
    """Let Fluid's CSI plugin mend mounts or not, by the flag that its chart sets."""
    api = cached.plane.api
    found = api.get("apps/v1", "DaemonSet", csi.DAEMONSET, csi.NAMESPACE)
    containers = found["spec"]["template"]["spec"]["containers"]
    [plugin] = [each for each in containers if each["name"] == "plugins"]
    gate = f"--feature-gates=FuseRecovery={str(wanted).lower()}"
    args = [each for each in plugin["args"] if not each.startswith("--feature-gates")]
    changed = {"name": plugin["name"], "args": [*args, gate]}
    template = {"template": {"spec": {"containers": [changed]}}}
    patch = {"spec": {**template, "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}}}}
    cached.plane.kubectl(
        *("patch", "daemonset", csi.DAEMONSET, "-n", csi.NAMESPACE, "-p", json.dumps(patch))
    )

    def real() -> list[Object]:
        pods = api.list("v1", "Pod", csi.NAMESPACE, labelSelector=f"app={csi.DAEMONSET}")
        return [each for each in pods if each["spec"].get("nodeName") in (HOLDER, OTHER)]

    def running() -> bool:
        found = real()
        return len(found) == 2 and all(
            gate in str(each["spec"]) and is_ready(each) for each in found
        )

    until(f"the CSI plugin with {gate}", running, 180)


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def said_with(cached: Cached, code: str) -> str:
    said = report(cached)
    return said if code in said else ""


def start_csi(cached: Cached, node: str, wanted: bool) -> None:
    """Let Fluid's CSI plugin run on a node or not, by the label that its chart excludes."""
    api = cached.plane.api
    label = None if wanted else "virtual-kubelet"
    api.patch("v1", "Node", node, {"metadata": {"labels": {"type": label}}})

    def there() -> list[Object]:
        pods = api.list("v1", "Pod", csi.NAMESPACE, labelSelector=f"app={csi.DAEMONSET}")
        return [each for each in pods if each["spec"].get("nodeName") == node]

    until(f"the CSI plugin on {node}: {wanted}", lambda: bool(there()) is wanted, 120)


def test_doctor_and_bench_answer_while_the_store_is_gone_and_pods_read(
    cached: Cached, with_image: str, fresh_fuse: None
) -> None:
    cached.start_reader("reader", HOLDER)
    alluxio(cached, "fs", "free", f"/{FILE}")  # gives up after 10 s, and is done some time later
    until("it to be freed", lambda: " 0% " in alluxio(cached, "fs", "ls", f"/{FILE}"), 90)
    cached.execute("reader", "python", "-c", DROP, "/models")
    cached.plane.stop("s3")
    try:
        with reading(cached, "reader", FILE) as hanging:
            said = report(cached)
            assert "FM511" in said, said
            assert hanging.poll() is None, "what is not cached cannot be read now"
            hanging.kill()
        words = ("bench", cached.name, "--image", with_image, "--full", "--timeout", "40s")
        stuck = cached.plugin(*words, timeout=90)
        assert stuck.code == 1 and "error: reading hangs at cache" in stuck.err, stuck.err
    finally:
        cached.plane.start("s3")
    cached.plane.s3.wait()
    cached.end_reader("reader")
    words = ("cache", cached.bucket.uri(cached.name), "--name", cached.name, "--node", HOLDER)
    assert "every byte proven" in cached.plugin(*words, timeout=300).ok().out


def test_lost_blocks_are_loaded_again_by_the_first_load(cached: Cached) -> None:
    """Alluxio's job master forgets in time where they were; by Fluid's default, it would not."""
    [master] = cached.pods(role="alluxio-master")
    # Once started again, it remembers nothing.
    kill(cached, master["spec"]["nodeName"], "alluxio-master", "alluxio-job-master")
    # A load of one copy more: now it has asked where each block is.
    until("the job master to plan a load", lambda: plans_a_load(cached), 60)
    until("the cache to be empty", lambda: is_emptied(cached), 60)
    words = ("cache", cached.bucket.uri(cached.name), "--name", cached.name, "--node", HOLDER)
    again = cached.plugin(*words, timeout=400).ok()
    assert "every byte proven" in again.out
    assert "loading again" not in again.err


def alluxio(cached: Cached, *words: str) -> str:
    """What Alluxio's shell prints in the master."""
    master = f"{cached.name}-master-0"
    return cached.execute(master, "alluxio", *words, container="alluxio-master").stdout


def reading(cached: Cached, pod: str, name: str) -> subprocess.Popen[str]:
    """A pod that reads one file to its end, if it comes to it."""
    where = ["-n", cached.namespace, pod, "--", "python", "-c", f"open('/models/{name}').read(1)"]
    kubectl = [str(cached.plane.bin / "kubectl"), f"--kubeconfig={cached.plane.kubeconfig}"]
    return subprocess.Popen([*kubectl, "exec", *where], text=True)
