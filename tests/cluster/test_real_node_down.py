"""What `down` leaves of a real node: nothing, whatever state it is in."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cluster import cgroups
from tests.cluster.cluster import Cluster
from tests.cluster.fleet import REAL, REAL_TAINT
from tests.cluster.objects import until
from tests.cluster.real.network import FABRIC
from tests.cluster.real.node import PAUSE, group

pytestmark = [pytest.mark.real_node, pytest.mark.alone]

#: Where a kubelet and a containerd of the machine's own would write.
FIXED = (
    "/etc/cni",
    "/opt/cni",
    "/opt/containerd",
    "/run/containerd",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "spec": {
        "hostNetwork": True,
        "nodeName": REAL,
        "tolerations": [{**REAL_TAINT, "operator": "Equal"}],
        "containers": [{"name": "still", "image": PAUSE}],
        "volumes": [{"name": "memory", "emptyDir": {"medium": "Memory"}}],
    },
}


def processes_of(state: Path) -> set[int]:
    """Processes whose command line or mounts name the cluster's state; zombies have neither."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            text = (folder / "cmdline").read_bytes() + (folder / "mountinfo").read_bytes()
            if f"{state}/".encode() in text and int(folder.name) != os.getpid():
                found.add(int(folder.name))
    return found


def groups_of(name: str) -> list[Path]:
    return [root / name for root in cgroups.hierarchies() if (root / name).exists()]


def addresses() -> str:
    words = ["ip", "-oneline", "address", "show", "dev", "lo"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def runs(cluster: Cluster, name: str) -> None:
    """A pod of that name comes to run on the real node."""
    cluster.api.create({**POD, "metadata": {"name": name, "namespace": "default"}})
    until(
        f"pod {name} to run",
        lambda: cluster.api.get("v1", "Pod", name, "default")["status"]["phase"] == "Running",
        60,
    )


@pytest.mark.parametrize("after", ["work", "a crash", "a crash and a new start"])
def test_down_leaves_nothing(after: str) -> None:
    cluster = Cluster(f"real-{os.getpid()}")
    there = [path for path in FIXED if Path(path).exists()]
    others = addresses().count("203.0.113.")
    mounts = Path("/proc/self/mountinfo").read_text()
    cluster.up(nodes=1, dynamo=None)
    try:
        cluster.add_real_node()
        runs(cluster, "still")
        mine = cluster.real.taken()[REAL]
        inside = cgroups.processes(group(cluster.state))
        # the bridge's and the namespaces' holders, doors, kubelet, containerd, a shim, and the two
        # processes of the pod
        assert len(inside) >= 8 and groups_of(mine.cgroup)
        assert mine.address in addresses()
        if after != "work":
            for name in (f"kubelet-{REAL}", f"containerd-{REAL}"):
                pid = cluster.processes.pid(name)
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                until(f"{name} to be dead", lambda each=name: not cluster.processes.pid(each), 10)
            assert cgroups.processes(mine.cgroup), "shim and pod outlive them"
        if after == "a crash and a new start":
            cluster.add_real_node()
            fabric = cluster.processes.pid(FABRIC)
            assert [pid for pid in inside if Path(f"/proc/{pid}/exe").exists()] == [fabric]
            runs(cluster, "another")
            assert addresses().count("203.0.113.") == others + 1
    finally:
        cluster.down()
    assert not cluster.state.exists()
    assert processes_of(cluster.state) == set()
    assert [pid for pid in inside if Path(f"/proc/{pid}/exe").exists()] == []
    assert groups_of(group(cluster.state)) == []
    assert mine.address not in addresses()
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert [path for path in FIXED if Path(path).exists()] == there
