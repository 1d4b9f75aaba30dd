"""One node that is none of kwok's: a kubelet with containerd, which runs pods in real containers.

Nothing of it is the machine's: its files are under the cluster's state directory, its processes in
a control group of their own (cgroups.py), and its mounts in a mount namespace that goes with them,
in which the fixed places of kubelet and containerd (`/run/containerd`, `/var/lib/kubelet`,
`/var/log/containers`) are in memory.  What is left to take away is that group, and an address on
the loopback interface: a kubelet refuses a loopback address for its node, and the API server has to
reach it.  There is no pod network: only pods of the host's network can run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from . import cgroups, image, runtime
from .components import Command, Layout
from .fleet import REAL, REAL_LABELS, REAL_TAINT
from .process import free_ports, locked, read_json, write_json

#: Of the block that is set aside for documentation: nobody's, and routed nowhere.
ADDRESSES = [f"203.0.113.{n}" for n in range(1, 255)]
PAUSE = "fluidmodel.test/pause:1"
#: What is in memory within the node's mount namespace.
PRIVATE = ("/run", "/var/lib", "/var/log")


def check(state: Path) -> None:
    """Refuse where there can be no real node.

    Raises:
        NoContainers: this machine cannot have one.
    """
    reason = obstacle(state)
    if reason:
        raise runtime.NoContainers(f"no real node on this machine: {reason}")


def obstacle(state: Path) -> str | None:
    """Why this machine cannot have a real node, in a line; None where it can."""
    if sys.platform != "linux":
        return f"it needs Linux, and this is {sys.platform}"
    if os.getuid() != 0:
        return "it needs root, for containers"
    missing = [each for each in ("ip", "unshare", "nsenter", "mount") if not shutil.which(each)]
    if missing:
        return f"there is no {' and no '.join(missing)} on PATH"
    found = cgroups.hierarchies()
    if not any(each.name == "memory" or _has_memory(each) for each in found):
        return "no cgroup hierarchy with a memory controller is mounted"
    if not os.access(cgroups.holder(), os.W_OK):
        return f"{cgroups.holder()} is mounted read-only"
    hidden = [each for each in PRIVATE if state.is_relative_to(each)]
    if hidden:
        return f"the cluster's state lies under {hidden[0]}, which the node has for itself"
    return runtime.obstacle()


def _has_memory(root: Path) -> bool:
    file = root / "cgroup.controllers"
    return file.exists() and "memory" in file.read_text().split()


def folder(state: Path) -> Path:
    return state / "node"


@dataclass(frozen=True)
class Taken:
    """What the node has of the machine's."""

    address: str
    port: int
    cgroup: str


def taken(state: Path) -> Taken | None:
    """What was taken; None where there is no such node."""
    found = read_json(folder(state) / "node.json")
    return Taken(**found) if found else None


def prepare(layout: Layout) -> Taken:
    """Take what of the machine has to be taken, and write the configuration.

    Written down before it is taken: `clean` finds it whatever happens in between.
    """
    home = folder(layout.state)
    home.mkdir(mode=0o700, exist_ok=True)
    # Two clusters that start together would choose the same address.
    with locked(layout.state.parent / ".addresses.lock"):
        there = _addresses()
        address = next(each for each in ADDRESSES if each not in there)
        # Groups are the machine's: a cluster of the same name may be elsewhere on it.
        mark = hashlib.sha256(str(layout.state).encode()).hexdigest()[:6]
        mine = Taken(address, free_ports(1)[0], f"fluidmodel-{layout.state.name}-{mark}")
        write_json(home / "node.json", asdict(mine))
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    cgroups.make(mine.cgroup)
    resolver = Path("/etc/resolv.conf")
    (home / "resolv.conf").write_text(resolver.read_text() if resolver.exists() else "")
    (home / "cni").mkdir(exist_ok=True)
    # Only so that the runtime calls its network ready; no pod of this node has one of its own.
    network = {
        "cniVersion": "0.4.0",
        "name": "none",
        "plugins": [{"type": "loopback"}],
    }
    (home / "cni" / "10-none.conflist").write_text(json.dumps(network))
    (home / "containerd.toml").write_text(_containerd_toml(layout))
    (home / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet_yaml(layout, mine)))
    return mine


def clean(state: Path) -> None:
    """End and remove all that is the node's outside of the state directory."""
    mine = taken(state)
    if mine is None:
        return
    cgroups.remove(mine.cgroup)
    if mine.address in _addresses():
        words = ["ip", "address", "del", f"{mine.address}/32", "dev", "lo"]
        subprocess.run(words, check=True)
    shutil.rmtree(folder(state), ignore_errors=True)


def _addresses() -> set[str]:
    words = ["ip", "-json", "address", "show", "dev", "lo"]
    shown = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return {info["local"] for link in shown for info in link.get("addr_info") or []}


def _containerd_toml(layout: Layout) -> str:
    home = folder(layout.state)
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
address = "{socket(layout.state)}"
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


def _kubelet_yaml(layout: Layout, mine: Taken) -> dict[str, object]:
    home = folder(layout.state)
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": mine.address,
        "port": mine.port,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki / "server.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "server.key"),
        "containerRuntimeEndpoint": f"unix://{socket(layout.state)}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{mine.cgroup}",
        # Of version 1 it only warns then.
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "podLogsDir": str(home / "logs"),
        "volumePluginDir": str(home / "volume-plugins"),
        "resolvConf": str(home / "resolv.conf"),
        # A full disk of the machine is not the node's to tidy up.
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "registerWithTaints": [REAL_TAINT],
        "nodeStatusUpdateFrequency": "5s",
    }


def socket(state: Path) -> Path:
    """Where containerd listens."""
    return folder(state) / "containerd.sock"


def _own_group(mine: Taken) -> str:
    return str(cgroups.holder() / mine.cgroup / cgroups.OWN / "cgroup.procs")


def containerd(layout: Layout, mine: Taken) -> Command:
    """It makes the mount namespace, of which `pid` tells the kubelet."""
    home = folder(layout.state)
    script = (
        'set -e; echo $$ > "$1"; shift; '
        f"for each in {' '.join(PRIVATE)}; do mount -t tmpfs -o mode=755 node $each; done; "
        'echo $$ > "$1"; shift; exec "$@"'
    )
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "node"]
    argv += [_own_group(mine), str(home / "pid")]
    argv += [str(layout.binaries["containerd"]), f"--config={home / 'containerd.toml'}"]
    env = layout.base_env()
    # containerd finds its shim there.
    shim = layout.binaries["containerd-shim-runc-v2"].parent
    env["PATH"] = f"{shim}:{env.get('PATH', os.defpath)}"
    return argv, env


def kubelet(layout: Layout, mine: Taken) -> Command:
    home = folder(layout.state)
    script = (
        'set -e; echo $$ > "$1"; shift; pid=$(cat "$1"); shift; '
        'exec nsenter --mount=/proc/$pid/ns/mnt "$@"'
    )
    argv = ["sh", "-c", script, "node", _own_group(mine), str(home / "pid")]
    argv += [
        str(layout.binaries["kubelet"]),
        f"--config={home / 'kubelet.yaml'}",
        f"--kubeconfig={layout.kubeconfig('kubelet')}",
        f"--hostname-override={REAL}",
        f"--node-ip={mine.address}",
        f"--root-dir={home / 'kubelet'}",
        f"--node-labels={','.join(f'{key}={value}' for key, value in REAL_LABELS.items())}",
    ]
    return argv, layout.base_env()


def load(layout: Layout, archive: Path) -> None:
    """Bring an image to the node, as a registry would.

    Raises:
        RuntimeError: containerd does not take it.
    """
    words = [str(layout.binaries["ctr"]), f"--address={socket(layout.state)}"]
    words += ["--namespace=k8s.io", "images", "import", str(archive)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{archive} cannot be imported: {done.stderr.strip()}")


def load_pause(layout: Layout) -> None:
    """The image of every pod's first container; waits for containerd, which has just started."""
    archive = folder(layout.state) / "pause.tar"
    image.write(
        archive,
        PAUSE,
        {"/pause": layout.binaries["pause"]},
        {"Entrypoint": ["/pause"], "User": "65535:65535"},
    )
    deadline = time.monotonic() + 30
    while True:
        try:
            return load(layout, archive)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
