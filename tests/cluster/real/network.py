"""The network of the real nodes: a bridge in a namespace of its own, and doors (doors.py).

The machine's own network has nothing of it but an address for each node on the loopback interface:
there the API server finds the kubelets.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import cgroups, paths
from ..components import Command, Layout
from .node import Node

#: Of the block that is set aside for documentation: nobody's, and routed nowhere.
NETWORK = 24
ADDRESSES = [f"203.0.113.{n}" for n in range(1, 255)]
FABRIC = "fabric"
BRIDGE = "bridge"


def addresses() -> set[str]:
    """What the machine's loopback interface has."""
    words = ["ip", "-json", "address", "show", "dev", "lo"]
    shown = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return {info["local"] for link in shown for info in link.get("addr_info") or []}


def claim(address: str) -> None:
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)


def release(address: str) -> None:
    if address in addresses():
        subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)


def fabric(layout: Layout, group: str) -> Command:
    """The process that makes and keeps the bridge."""
    own = cgroups.holder() / group / cgroups.OWN / "cgroup.procs"
    script = (
        f"set -e; echo $$ > {own}; ip link add {BRIDGE} type bridge; ip link set {BRIDGE} up; "
        "exec sleep infinity"
    )
    return ["unshare", "--net", "sh", "-c", script], layout.base_env()


def has_bridge(pid: int) -> bool:
    """Whether the bridge is there and up, in the namespace of that process."""
    words = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-oneline", "link", "show", "up", BRIDGE]
    return BRIDGE in subprocess.run(words, capture_output=True, text=True, check=False).stdout


def link(node: Node) -> str:
    """The node's end at the bridge: what may be shaped, or set down as if it were unplugged."""
    return f"to-{node.name}"[:15]


def plug(node: Node, pid: int, fabric_pid: int) -> None:
    """Join the node to the bridge and give it its address."""
    _ip(
        fabric_pid,
        *("link", "add", link(node), "master", BRIDGE, "up", "type", "veth"),
        *("peer", "name", "eth0", "netns", str(pid)),
    )
    _ip(pid, "address", "add", f"{node.address}/{NETWORK}", "dev", "eth0")
    _ip(pid, "link", "set", "eth0", "up")


def set_link(node: Node, fabric_pid: int, up: bool) -> None:
    """Plug or unplug a node; it still reaches the API server and the store."""
    _ip(fabric_pid, "link", "set", link(node), "up" if up else "down")


def doors(state: Path, node: Node, pid: int, ports: Sequence[int] = ()) -> Command:
    """The process that lets a node reach the machine's loopback interface, and the way back."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(paths.REPO), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "tests.cluster.real.doors", str(state), node.name, str(pid)]
    return [*words, *map(str, ports)], env


def _ip(pid: int, *arguments: str) -> None:
    within = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *arguments]
    done = subprocess.run(within, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
