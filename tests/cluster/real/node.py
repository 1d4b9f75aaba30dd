"""One node that is none of kwok's: a kubelet with containerd, which runs pods in real containers.

Nothing of it is the machine's: its files are under the cluster's state directory, its processes in
a control group of their own (cgroups.py), its network and its mounts in namespaces that go with
them.  There the fixed places of kubelet, containerd and Fluid (`/run`, `/var/lib`, `/dev/shm`, …)
are in memory, and `/etc` is a copy.  What is left to take away is that group, and an address on the
machine's loopback interface, at which the API server reaches the kubelet.

The namespaces are held by a process that does nothing else, so that kubelet and containerd may be
restarted, each by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from .. import cgroups
from ..components import MOUNT_ROOT, Command, Layout
from ..fleet import REAL_TAINT, real_labels
from ..process import read_json
from .machine import PRIVATE

PAUSE = "fluidmodel.test/pause:1"
#: The same path on every node: Fluid's chart is told of one.
KUBELET_ROOT = "/var/lib/kubelet"
#: In the node's copy of /etc; Fluid's CSI plugin labels the node with the kubelet's own rights.
KUBELET_CONFIG = "/etc/kubernetes/kubelet.conf"
#: The API server as pods know it: the first address of the range for Services.
IN_CLUSTER = "10.96.0.1"


@dataclass(frozen=True)
class Node:
    """One node, and what it has of the machine's."""

    name: str
    address: str
    port: int
    cgroup: str
    #: Whether Fluid's CSI plugin runs here, and with it FUSE.
    data_plane: bool

    def home(self, state: Path) -> Path:
        return folder(state) / self.name

    def socket(self, state: Path) -> Path:
        """Where containerd listens."""
        return self.home(state) / "containerd.sock"

    def process(self, what: str) -> str:
        """What a process of the node is called among the cluster's (process.py)."""
        return f"{what}-{self.name}"


def folder(state: Path) -> Path:
    return state / "nodes"


def group(state: Path) -> str:
    """The control group of all real nodes of a cluster.

    Groups are the machine's: a cluster of the same name may be elsewhere on it.
    """
    mark = hashlib.sha256(str(state).encode()).hexdigest()[:6]
    return f"fluidmodel-{state.name}-{mark}"


def taken(state: Path) -> dict[str, Node]:
    """The cluster's real nodes by name, whether they run or not."""
    records = sorted(folder(state).glob("*/node.json"))
    found = [Node(**record) for record in map(read_json, records) if record]
    return {node.name: node for node in found}


def configure(layout: Layout, node: Node) -> None:
    """Write what kubelet and containerd are started with."""
    home = node.home(layout.state)
    (home / "resolv.conf").write_text(f"nameserver {node.address}\n")
    (home / "cni").mkdir(exist_ok=True)
    # Only so that the runtime calls its network ready; no pod of this node has one of its own.
    network = {
        "cniVersion": "0.4.0",
        "name": "none",
        "plugins": [{"type": "loopback"}],
    }
    (home / "cni" / "10-none.conflist").write_text(json.dumps(network))
    (home / "containerd.toml").write_text(_containerd_toml(layout, node))
    (home / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet_yaml(layout, node)))


def holder(layout: Layout, node: Node) -> Command:
    """The process that makes the node's namespaces, says so in a file `ready`, and keeps them."""
    home = node.home(layout.state)
    kubeconfig = layout.kubeconfig(node.process("kubelet"))
    script = f"""\
set -e
echo $$ > {_own_group(node.cgroup)}
# Mounts of FUSE and CSI containers are to reach the node; nothing reaches the machine.
mount --make-rshared /
for each in {" ".join(PRIVATE)}; do mount -t tmpfs -o mode=755 node $each; done
chmod 1777 /dev/shm
mkdir -p {MOUNT_ROOT} {KUBELET_ROOT} /run/etc /run/lock {home}/kubelet
mount --bind {home}/kubelet {KUBELET_ROOT}
cp -a /etc/. /run/etc
mount --bind /run/etc /etc
mkdir -p {Path(KUBELET_CONFIG).parent}
cp {kubeconfig} {KUBELET_CONFIG}
ip link set lo up
ip address add {IN_CLUSTER}/32 dev lo
touch {home}/ready
exec sleep infinity
"""
    argv = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", script]
    return argv, layout.base_env()


def containerd(layout: Layout, node: Node, pid: int) -> Command:
    home = node.home(layout.state)
    program = str(layout.binaries["containerd"])
    env = layout.base_env()
    # containerd finds its shim there.
    shim = layout.binaries["containerd-shim-runc-v2"].parent
    env["PATH"] = f"{shim}:{env.get('PATH', os.defpath)}"
    return _inside(node, pid, program, f"--config={home / 'containerd.toml'}"), env


def kubelet(layout: Layout, node: Node, pid: int) -> Command:
    labels = real_labels(node.data_plane)
    return _inside(
        node,
        pid,
        str(layout.binaries["kubelet"]),
        f"--config={node.home(layout.state) / 'kubelet.yaml'}",
        f"--kubeconfig={layout.kubeconfig(node.process('kubelet'))}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--root-dir={KUBELET_ROOT}",
        f"--node-labels={','.join(f'{key}={value}' for key, value in labels.items())}",
    ), layout.base_env()


def _inside(node: Node, pid: int, *arguments: str) -> list[str]:
    """The command in the node's namespaces and control group."""
    script = 'set -e; echo $$ > "$1"; shift; exec "$@"'
    return [
        *("sh", "-c", script, "node", _own_group(node.cgroup)),
        *("nsenter", f"--mount=/proc/{pid}/ns/mnt", f"--net=/proc/{pid}/ns/net", *arguments),
    ]


def _own_group(name: str) -> str:
    return str(cgroups.holder() / name / cgroups.OWN / "cgroup.procs")


def _containerd_toml(layout: Layout, node: Node) -> str:
    home = node.home(layout.state)
    # One overlay file system does not lie on another: in a container, layers are copied.
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", home], capture_output=True, text=True, check=True
    ).stdout.strip()
    snapshotter = "native" if kind == "overlayfs" else "overlayfs"
    return f"""\
version = 2
root = "{home}/containerd"
state = "{home}/containers"
# Neither ours to write to (/opt) nor wanted.
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{node.socket(layout.state)}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
stream_server_address = "127.0.0.1"
disable_apparmor = true
# A machine that itself is a container or a small virtual one may not lower it.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{layout.binaries["runc"]}"
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{home}/cni"
conf_dir = "{home}/cni"
"""


def _kubelet_yaml(layout: Layout, node: Node) -> dict[str, object]:
    home = node.home(layout.state)
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "port": node.port,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki / "server.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "server.key"),
        "containerRuntimeEndpoint": f"unix://{node.socket(layout.state)}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        # Of version 1 it only warns then.
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "podLogsDir": str(home / "logs"),
        "volumePluginDir": str(home / "volume-plugins"),
        "resolvConf": str(home / "resolv.conf"),
        "clusterDNS": [node.address],
        "clusterDomain": "cluster.local",
        # A full disk of the machine is not the node's to tidy up.
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "registerWithTaints": [REAL_TAINT],
        "nodeStatusUpdateFrequency": "5s",
    }
