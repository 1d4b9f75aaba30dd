"""The real nodes of a cluster: made, taken away, and given images."""

from __future__ import annotations

import concurrent.futures
import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .. import binaries, cgroups, image
from ..api import Object
from ..components import Layout
from ..pki import Authority
from ..process import free_ports, locked, write_json
from . import alluxio, containers, csi, doors, machine, network, node
from .machine import MachineLacks
from .node import Node

if TYPE_CHECKING:
    from ..cluster import Cluster


def check(state: Path, data_plane: bool = False) -> None:
    """Refuse where there can be no real node, or none with FUSE and Alluxio.

    Raises:
        MachineLacks: this machine cannot have one; the message says why.
    """
    reason = machine.obstacle(state) or containers.obstacle()
    if not reason and data_plane:
        reason = machine.no_fuse() or alluxio.obstacle()
    if reason:
        raise MachineLacks(f"no real node on this machine: {reason}")


def prepare(data_plane: bool) -> dict[str, Path]:
    """Build and fetch what the cache lacks; returns where each program is."""
    wanted = binaries.NODE + (binaries.DATA_PLANE if data_plane else ())
    found = {**binaries.ensure(programs=wanted), **containers.ensure()}
    if data_plane:
        alluxio.archive()
    return found


def clean(state: Path) -> None:
    """End and remove all that the nodes have outside of the state directory."""
    if not node.folder(state).exists():
        return
    cgroups.remove(node.group(state))
    for each in node.taken(state).values():
        network.release(each.address)
    shutil.rmtree(node.folder(state), ignore_errors=True)


class RealNodes:
    """The real nodes of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.state = cluster.state
        self.processes = cluster.processes

    def taken(self) -> dict[str, Node]:
        """The nodes by name, whether they run or not."""
        return node.taken(self.state)

    def names(self) -> list[str]:
        return list(self.taken())

    def add(self, names: Sequence[str], data_plane: bool) -> None:
        """Add nodes, unless they are there and run, and wait until they are Ready.

        Raises:
            MachineLacks: this machine cannot have them; the message says why.
        """
        check(self.state, data_plane)
        wanted = [name for name in names if not self._runs(name)]
        if not wanted:
            return
        for name in wanted:  # one that did not come up, or has crashed
            if name in self.taken():
                self.remove(name)
        layout = self._with_binaries(prepare(data_plane))
        self._fabric(layout)
        archives = self._images(layout, data_plane)
        made = [self._take(layout, name, data_plane) for name in wanted]
        with concurrent.futures.ThreadPoolExecutor(len(made)) as pool:
            list(pool.map(lambda each: self._start(layout, each, archives), made))

    def remove(self, name: str) -> None:
        """End a node and all that runs on it."""
        mine = self.taken()[name]
        for process in self.processes.names():
            if process.endswith(f"-{name}"):
                self.processes.stop(process, force=True)
        cgroups.remove(mine.cgroup)
        network.release(mine.address)
        shutil.rmtree(mine.home(self.state), ignore_errors=True)
        # Else a new one of that name would seem ready before it is.
        self.cluster.api.delete("v1", "Node", name)
        self.cluster.api.delete("storage.k8s.io/v1", "CSINode", name)

    def load(self, archive: Path) -> None:
        """Bring an image to all of them, as a registry would.

        Raises:
            RuntimeError: containerd does not take it.
        """
        for each in self.taken().values():
            self._import(self.cluster.layout, each, archive)

    @contextlib.contextmanager
    def door(self, *ports: int) -> Iterator[None]:
        """Let containers reach ports of this machine's loopback interface, at the same address."""
        name = "-".join(["door", *map(str, ports)])
        try:
            for each in self.taken().values():
                command = network.doors(self.state, each, self._pid(each), ports)
                self.processes.start(each.process(name), *command)
                self._until(f"{each.name}'s {name}", doors.opened(self.state, each, ports).exists)
            yield
        finally:
            for each in self.taken().values():
                self.processes.stop(each.process(name), force=True)
                doors.opened(self.state, each, ports).unlink(missing_ok=True)

    def set_link(self, name: str, up: bool) -> None:
        """Unplug a node from the others, or plug it in again."""
        fabric = self.processes.pid(network.FABRIC) or 0
        network.set_link(self.taken()[name], fabric, up)

    # -- how ------------------------------------------------------------------------------------

    def _runs(self, name: str) -> bool:
        return bool(self.processes.pid(f"kubelet-{name}"))

    def _pid(self, mine: Node) -> int:
        """The process that holds the node's namespaces."""
        return self.processes.pid(mine.process("node")) or 0

    def _with_binaries(self, found: dict[str, Path]) -> Layout:
        facts = self.cluster.facts
        facts["binaries"].update({name: str(path) for name, path in found.items()})
        write_json(self.state / "cluster.json", facts)
        return self.cluster.layout

    def _fabric(self, layout: Layout) -> None:
        if self.processes.pid(network.FABRIC):
            return
        # There before the group is: by the folder `clean` knows that there is something to do.
        node.folder(self.state).mkdir(mode=0o700, exist_ok=True)
        cgroups.make(node.group(self.state))
        pid = self.processes.start(network.FABRIC, *network.fabric(layout, node.group(self.state)))
        self._until("the bridge", lambda: network.has_bridge(pid))

    def _take(self, layout: Layout, name: str, data_plane: bool) -> Node:
        """Take what of the machine has to be taken, and write the configuration.

        Written down before it is taken: `clean` finds it whatever happens in between.
        """
        home = node.folder(self.state) / name
        home.mkdir(mode=0o700)
        # Two clusters that start together would choose the same address.
        with locked(self.state.parent / ".addresses.lock"):
            there = network.addresses()
            address = next(each for each in network.ADDRESSES if each not in there)
            group = f"{node.group(self.state)}/{name}"
            mine = Node(name, address, free_ports(1)[0], group, data_plane)
            write_json(home / "node.json", asdict(mine))
            network.claim(address)
        cgroups.make(mine.cgroup)
        node.configure(layout, mine)
        user = f"system:node:{name}"
        kubeconfig = layout.kubeconfig(mine.process("kubelet"))
        Authority(layout.pki).kubeconfig(kubeconfig, layout.server, user, ["system:nodes"])
        return mine

    def _start(self, layout: Layout, mine: Node, archives: Sequence[Path]) -> None:
        pid = self.processes.start(mine.process("node"), *node.holder(layout, mine))
        self._until(f"{mine.name}'s namespaces", (mine.home(self.state) / "ready").exists)
        network.plug(mine, pid, self.processes.pid(network.FABRIC) or 0)
        self.processes.start(mine.process("doors"), *network.doors(self.state, mine, pid))
        self._until(f"{mine.name}'s doors", doors.opened(self.state, mine).exists)
        self.processes.start(mine.process("containerd"), *node.containerd(layout, mine, pid))
        self._until(f"{mine.name}'s containerd", mine.socket(self.state).exists)
        # Before the kubelet: nothing is started, and fails, for want of its image.
        for archive in archives:
            self._import(layout, mine, archive)
        self.processes.start(mine.process("kubelet"), *node.kubelet(layout, mine, pid))
        self._until(f"node {mine.name}", lambda: self._is_up(mine), 90)

    def _is_up(self, mine: Node) -> bool:
        return self.cluster.is_ready(mine.name) and (not mine.data_plane or self._has_csi(mine))

    def _has_csi(self, mine: Node) -> bool:
        found: Object = self.cluster.api.find("storage.k8s.io/v1", "CSINode", mine.name) or {}
        return bool((found.get("spec") or {}).get("drivers"))

    def _images(self, layout: Layout, data_plane: bool) -> list[Path]:
        pause = {"/pause": layout.binaries["pause"]}
        settings = {"Entrypoint": ["/pause"], "User": "65535:65535"}
        found = [image.archived(node.PAUSE, pause, settings)]
        if data_plane:
            found += [*csi.archives(self.cluster.api, layout.binaries), alluxio.archive()]
        return found

    def _import(self, layout: Layout, mine: Node, archive: Path) -> None:
        words = [str(layout.binaries["ctr"]), f"--address={mine.socket(self.state)}"]
        words += ["--namespace=k8s.io", "images", "import", str(archive)]
        deadline = time.monotonic() + 30
        while True:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if not done.returncode:
                return
            # containerd listens a moment before it can be used.
            if time.monotonic() > deadline:
                raise RuntimeError(f"{archive} cannot be imported: {done.stderr.strip()}")
            time.sleep(0.2)

    def _until(self, what: str, check: Callable[[], bool], seconds: float = 30) -> None:
        self.cluster.wait(what, check, seconds)
