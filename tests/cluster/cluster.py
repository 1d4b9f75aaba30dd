"""A cluster: up, down, and what tests want of it in between."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import assets, binaries, components, exec_bridge, fleet, install, paths
from .alluxio.state import State
from .api import Api, Object
from .components import ORDER, Layout
from .dynamo.crds import crds
from .pki import Authority
from .process import Processes, end_process, free_ports, locked, read_json, write_json
from .real import nodes as real_nodes
from .real import policy
from .s3 import S3, new_credentials

PORTS = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "front",
    "s3",
    "alluxio",
    "dataset-controller",
    "alluxioruntime-controller",
)
SYSTEM_USERS = {
    "admin": ("kubernetes-admin", ["system:masters"]),
    "controller-manager": ("system:kube-controller-manager", []),
    "scheduler": ("system:kube-scheduler", []),
    "kwok": ("kwok", ["system:masters"]),
    "agent": ("node-agent", ["system:masters"]),
    "fluid": ("fluid-controllers", ["system:masters"]),
}


class Cluster:
    """One cluster, by its name; several can run side by side."""

    def __init__(self, name: str = "default") -> None:
        self.name = name
        self.state = paths.state_dir(name)
        self.processes = Processes(self.state)
        self._api: Api | None = None

    # -- what it is ----------------------------------------------------------------------------

    @property
    def facts(self) -> dict[str, Any]:
        """What ``up`` has written down."""
        value = read_json(self.state / "cluster.json")
        if not isinstance(value, dict):
            raise RuntimeError(f"there is no cluster {self.name} in {self.state}")
        return value

    @property
    def layout(self) -> Layout:
        facts = self.facts
        return Layout(
            self.state,
            {k: Path(v) for k, v in facts["binaries"].items()},
            facts["ports"],
            facts["nodes"],
            facts["options"],
        )

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfigs" / "admin.yaml"

    @property
    def bin(self) -> Path:
        """A directory for a PATH, with the cluster's kubectl and no plugin of it."""
        return self.state / "bin"

    @property
    def api(self) -> Api:
        if self._api is None:
            self._api = Api(self.kubeconfig)
        return self._api

    @property
    def s3(self) -> S3:
        facts = self.facts
        return S3(self.state, facts["ports"]["s3"], facts["options"]["s3"], self.api)

    def running(self) -> bool:
        """Whether it is up: every process of it runs, or was stopped on purpose."""
        facts = read_json(self.state / "cluster.json")
        return bool(facts and facts.get("up")) and not self._crashed()

    def _crashed(self) -> list[str]:
        """Processes that ended by themselves; one that was stopped has no id in its record."""
        return [
            name
            for name in self.processes.names()
            if (self.processes.spec(name) or {}).get("pid") and not self.processes.pid(name)
        ]

    def kubectl(
        self, *arguments: str, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl against the cluster."""
        return subprocess.run(
            [self.facts["binaries"]["kubectl"], f"--kubeconfig={self.kubeconfig}", *arguments],
            capture_output=True,
            text=True,
            check=check,
            **options,
        )

    def alluxio(self, namespace: str, name: str) -> State:
        """The Alluxio stand-in of a Dataset: ``read()`` its state, ``set_knobs()`` to bend it."""
        return State(self.state, namespace, name)

    # -- up and down ---------------------------------------------------------------------------

    def up(
        self, nodes: int | None = None, dynamo: str | None = "current", **options: Any
    ) -> Cluster:
        """Start everything and wait until it can be used; a running cluster is left alone."""
        with locked(self.state.parent / f".{self.name}.lock"):
            if self.running():
                return self
            self.down()
            try:
                self._up(nodes, dynamo, options)
            except BaseException:
                if not os.environ.get("FLUIDMODEL_KEEP_STATE"):
                    self._stop_all()
                raise
        return self

    def _up(self, nodes: int | None, dynamo: str | None, options: dict[str, Any]) -> None:
        found = {**binaries.ensure(), "kubectl": binaries.kubectl()}
        assets.fluid_charts()
        self.state.mkdir(parents=True, mode=0o700)
        options.setdefault("s3", new_credentials())
        layout = Layout(
            self.state,
            found,
            dict(zip(PORTS, free_ports(len(PORTS)), strict=True)),
            nodes or 5,
            options,
        )
        write_json(
            self.state / "cluster.json",
            {
                "name": self.name,
                "binaries": {k: str(v) for k, v in found.items()},
                "ports": layout.ports,
                "nodes": layout.nodes,
                "options": options,
                "up": False,
                "dynamo": dynamo,
            },
        )
        authority = Authority(layout.pki)
        authority.make()
        for name, (user, groups) in SYSTEM_USERS.items():
            authority.kubeconfig(layout.kubeconfig(name), layout.server, user, groups)
        self._write_files(layout)
        for name in ("etcd", "kube-apiserver", "s3", "alluxio"):
            self._start(layout, name)
        self.s3.wait()
        self._wait_api()
        for name in ("kube-controller-manager", "kube-scheduler"):
            self._start(layout, name)
        small = layout.nodes <= 200
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            kwok_crds = pool.submit(install.crds, self.api, assets.kwok_crds())
            fluid_crds = pool.submit(install.crds, self.api, assets.fluid_crds())
            kwok_crds.result()
            self._start(layout, "kwok")
            self._start(layout, "front")
            everyone = fleet.default_fleet(nodes)
            fleet_made = pool.submit(fleet.create, self.api, everyone[:5], small)
            self.api.apply(install.namespace("fluid-system"))
            rendered = install.fluid_chart(found["ddc-helm"], csi=small)
            fluid_crds.result()
            for name in ("dataset-controller", "alluxioruntime-controller"):
                self._start(layout, name)
            self._start(layout, "agent")
            install.apply_all(self.api, rendered, manager="helm")
            if dynamo:
                self.install_dynamo(dynamo)
            fleet_made.result()
        # A large fleet keeps the API server busy: it comes when everything else is there.
        port = layout.ports["front"]
        fleet.create(self.api, [fleet.already_ready(each, port) for each in everyone[5:]], small)
        self.wait("nodes", lambda: fleet.ready(self.api) >= layout.nodes, 120 + layout.nodes / 20)
        self.wait(
            "the default ServiceAccount",
            lambda: bool(self.api.find("v1", "ServiceAccount", "default", "default")),
            120,
        )
        self._write_env()
        write_json(self.state / "cluster.json", {**self.facts, "up": True})

    def _write_files(self, layout: Layout) -> None:
        exec_bridge.make(self.state, layout.ports["alluxio"])
        components.prepare_fluid_home(layout)
        for folder in ("bin", "pods", "s3/data", "s3/iam", "s3/meta"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        for name in ("ddc-helm", "kubectl"):
            (self.state / "bin" / name).symlink_to(layout.binaries[name])
        (self.state / "pods" / "any.log").touch()
        hosts = Path("/etc/hosts")
        (self.state / "hosts").write_text(hosts.read_text() if hosts.exists() else "")
        text = (paths.HERE / "kwok.yaml").read_text().replace("@STATE@", str(self.state))
        (self.state / "kwok.yaml").write_text(text)

    def _write_env(self) -> None:
        """An env file for a shell: the kubeconfig and the S3 server's root credentials."""
        values = {"KUBECONFIG": str(self.kubeconfig), **self.s3.env()}
        path = self.state / "env"
        path.touch(mode=0o600)
        path.write_text("".join(f"export {key}='{value}'\n" for key, value in values.items()))

    def _start(self, layout: Layout, name: str) -> None:
        argv, env = components.COMMANDS[name](layout)
        self.processes.start(name, argv, env)

    def _wait_api(self) -> None:
        self.wait("the API server", self.api.ready, 180, "kube-apiserver")

    def wait(
        self, what: str, check: Callable[[], bool], seconds: float, component: str = ""
    ) -> None:
        """Wait for a condition, as long as no process of the cluster ends by itself.

        Raises:
            RuntimeError: one did, or it took too long.
        """
        deadline = time.monotonic() + seconds
        while not check():
            for name in self._crashed():
                tail = self.processes.log(name).read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{name} ended while waiting for {what}:\n{tail}")
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{what} not ready in {seconds:.0f} s; logs: "
                    f"{self.processes.log(component or 'kwok').parent}"
                )
            time.sleep(0.05)

    def down(self) -> None:
        """End exactly the processes that ``up`` (and its agent) started, and remove the state."""
        self._stop_all()
        shutil.rmtree(paths.data_dir(self.state), ignore_errors=True)
        if self.state.exists():
            for _ in range(20):
                shutil.rmtree(self.state, ignore_errors=True)
                if not self.state.exists():
                    return
                time.sleep(0.1)

    def _stop_all(self) -> None:
        names = set(self.processes.names())
        for name in [each for each in reversed(ORDER) if each in names] + sorted(
            names - set(ORDER)
        ):
            # Nothing here has anything to lose: the state goes with the cluster.
            self.processes.stop(name, grace=2.0, force=name not in ("agent", "kwok"))
        for path in (self.state / "pods").glob("*/*.pid.json"):
            record = read_json(path)
            if record and record.get("start"):
                end_process(int(record["pid"]), record["start"], 0)
        real_nodes.clean(self.state)

    # -- components ----------------------------------------------------------------------------

    def _held(self, name: str) -> Path:
        return self.processes.records / f"{name}.held"

    def stop(self, name: str, force: bool = False) -> None:
        """Stop one component, and keep it stopped until ``start``."""
        self._held(name).touch()
        # An API server with open watches would take its minute to leave.
        grace = 3.0 if name == "kube-apiserver" else 15.0
        self.processes.stop(name, grace, force)

    def start(self, name: str) -> None:
        """Start a stopped component again, with the command and ports it had."""
        self._held(name).unlink(missing_ok=True)
        self.processes.again(name)
        if name == "kube-apiserver":
            self._wait_api()

    def restart(self, name: str, force: bool = False) -> None:
        """Stop and start one component; the API server is waited for."""
        self.stop(name, force)
        self.start(name)

    def scale(self, controller: str, replicas: int, seconds: float = 20) -> None:
        """Scale one of Fluid's controllers as an administrator would, and wait for its process."""
        self.api.patch(
            "apps/v1", "Deployment", controller, {"spec": {"replicas": replicas}}, "fluid-system"
        )
        deadline = time.monotonic() + seconds
        while bool(self.processes.pid(controller)) != (replicas > 0):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{controller} did not follow its Deployment in {seconds:.0f} s")
            time.sleep(0.05)

    # -- nodes, users, CRDs --------------------------------------------------------------------

    def add_node(self, name: str, **options: Any) -> Object:
        """Add a node (see ``fleet.node`` for what it can have) and wait until it is Ready."""
        fleet.create(self.api, [fleet.node(name, **options)])

        self.wait(f"node {name}", lambda: self.is_ready(name), 120)
        return self.api.get("v1", "Node", name)  # type: ignore[no-any-return]

    def is_ready(self, name: str) -> bool:
        """Whether a node is there, and Ready."""
        found = self.api.find("v1", "Node", name) or {}
        return any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in (found.get("status") or {}).get("conditions") or []
        )

    @property
    def real(self) -> real_nodes.RealNodes:
        """The nodes that run pods in real containers (see real/node.py)."""
        return real_nodes.RealNodes(self)

    def add_real_node(self, name: str = fleet.REAL, data_plane: bool = False) -> None:
        """Add a node that runs pods in real containers, unless it is there.

        Args:
            name: the node's.
            data_plane: with FUSE, Fluid's CSI plugin and Alluxio's image.

        Raises:
            MachineLacks: this machine cannot have one; the message says why.
        """
        self.real.add([name], data_plane)

    def add_real_nodes(self, count: int) -> None:
        """Add real-0, real-1, … with a data plane, and let the default namespace's pods go there.

        Raises:
            MachineLacks: this machine cannot have them; the message says why.
        """
        self.real.add([f"real-{number}" for number in range(count)], data_plane=True)
        policy.direct(self.api, "default")

    def load_image(self, archive: Path) -> None:
        """Bring an image (image.py) to the real nodes, as a registry would."""
        self.real.load(archive)

    def remove_node(self, name: str) -> None:
        if name in self.real.names():
            self.real.remove(name)
            return
        self.api.delete("v1", "Node", name)
        self.api.delete("storage.k8s.io/v1", "CSINode", name)

    def install_dynamo(self, generation: str = "current") -> None:
        """Serve DynamoGraphDeployment as one generation of the operator does, and nothing else."""
        generation = generation.removesuffix("-only")
        facts = self.facts
        if facts.get("dynamo_installed") == generation:
            return
        install.replace_crds(self.api, crds(self.api, generation))
        write_json(self.state / "cluster.json", {**self.facts, "dynamo_installed": generation})

    def user_kubeconfig(
        self,
        name: str,
        rules: list[Object] | None = None,
        namespace: str = "default",
        cluster_rules: list[Object] | None = None,
    ) -> Path:
        """A kubeconfig for a user with exactly these RBAC rules, in one namespace and overall."""
        group = "rbac.authorization.k8s.io"
        subject = [{"apiGroup": group, "kind": "User", "name": name}]
        for prefix, given, meta in (
            ("", rules, {"name": name, "namespace": namespace}),
            ("Cluster", cluster_rules, {"name": f"test-{name}"}),
        ):
            if given is None:
                continue
            kind = f"{prefix}Role"
            self.api.apply(
                {"apiVersion": f"{group}/v1", "kind": kind, "metadata": meta, "rules": given}
            )
            self.api.apply(
                {
                    "apiVersion": f"{group}/v1",
                    "kind": f"{kind}Binding",
                    "metadata": meta,
                    "roleRef": {"apiGroup": group, "kind": kind, "name": meta["name"]},
                    "subjects": subject,
                }
            )
        path = self.state / "kubeconfigs" / f"user-{name}.yaml"
        return Authority(self.layout.pki).kubeconfig(
            path, self.layout.server, name, namespace=namespace
        )

    def image(
        self,
        pattern: str,
        path: list[str] | None = None,
        env: dict[str, str] | None = None,
        entrypoint: list[str] | None = None,
    ) -> None:
        """Say how containers of an image are played: programs first on PATH, variables."""
        file = self.state / "images.json"
        value = read_json(file) or {}
        value[pattern] = {"path": path or [], "env": env or {}, "entrypoint": entrypoint or []}
        write_json(file, value)
