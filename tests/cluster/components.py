"""The command line of every process of a cluster: what runs, with which flags, and why.

One function per component; each returns the arguments and the environment, nothing is started here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import paths
from .assets import fluid_charts
from .real.alluxio import NAME as RUNTIME_IMAGE

Command = tuple[list[str], dict[str, str]]

#: Start order. Fluid's controllers come last: they insist on their CRDs.
ORDER = (
    "etcd",
    "kube-apiserver",
    "s3",
    "alluxio",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "front",
    "agent",
    "dataset-controller",
    "alluxioruntime-controller",
)
#: Where Fluid's FUSE clients mount; its default, /runtime-mnt, is no place that a real node has
#: for itself. Below a root of several directories, Fluid repairs no mounts (FuseRecovery).
MOUNT_ROOT = "/mnt"


@dataclass
class Layout:
    """Everything a component needs to know about its cluster."""

    state: Path
    binaries: dict[str, Path]
    ports: dict[str, int]
    nodes: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.ports['kube-apiserver']}"

    def kubeconfig(self, name: str = "admin") -> Path:
        return self.state / "kubeconfigs" / f"{name}.yaml"

    def base_env(self) -> dict[str, str]:
        """A small environment: a test's own KUBECONFIG or proxies must not leak in.

        An API server of a few nodes spends 40% of its CPU time on Go's usual garbage collection.
        That of a large fleet would take many GiB with less of it.
        """
        keep = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
        kept = {key: os.environ[key] for key in keep if key in os.environ}
        return {**kept, "GOGC": "400" if self.nodes <= 200 else "100"}


def etcd(layout: Layout) -> Command:
    client = f"http://127.0.0.1:{layout.ports['etcd']}"
    peer = f"http://127.0.0.1:{layout.ports['etcd-peer']}"
    return [
        str(layout.binaries["etcd"]),
        f"--data-dir={paths.data_dir(layout.state)}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync=true",
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    ], layout.base_env()


def kube_apiserver(layout: Layout) -> Command:
    pki = layout.pki
    return [
        str(layout.binaries["kube-apiserver"]),
        f"--etcd-servers=http://127.0.0.1:{layout.ports['etcd']}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={layout.ports['kube-apiserver']}",
        f"--tls-cert-file={pki / 'server.crt'}",
        f"--tls-private-key-file={pki / 'server.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'kubelet.crt'}",
        f"--kubelet-client-key={pki / 'kubelet.key'}",
        # kwok answers as the kubelet of every node on one loopback port.
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        "--max-requests-inflight=1000",
        "--max-mutating-requests-inflight=500",
        "--shutdown-delay-duration=0s",
        "--profiling=false",
    ], layout.base_env()


def kube_controller_manager(layout: Layout) -> Command:
    return [
        str(layout.binaries["kube-controller-manager"]),
        f"--kubeconfig={layout.kubeconfig('controller-manager')}",
        "--bind-address=127.0.0.1",
        f"--secure-port={layout.ports['kube-controller-manager']}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={layout.pki / 'sa.key'}",
        f"--root-ca-file={layout.pki / 'ca.crt'}",
        # The client's own limit would otherwise cost seconds at every start.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        # A large fleet's heartbeats are rare, and it takes minutes to be all there.
        f"--node-monitor-grace-period={'40s' if layout.nodes <= 200 else '1200s'}",
        f"--node-startup-grace-period={'60s' if layout.nodes <= 200 else '1200s'}",
        # No kube-proxy, no cloud, no certificates to sign, no CIDRs to hand out.
        "--controllers=*,-node-ipam-controller,-service-lb-controller,-node-route-controller,"
        "-cloud-node-lifecycle-controller,-certificatesigningrequest-signing-controller,"
        "-certificatesigningrequest-approving-controller,"
        "-certificatesigningrequest-cleaner-controller",
        "--profiling=false",
    ], layout.base_env()


def kube_scheduler(layout: Layout) -> Command:
    return [
        str(layout.binaries["kube-scheduler"]),
        f"--kubeconfig={layout.kubeconfig('scheduler')}",
        "--bind-address=127.0.0.1",
        f"--secure-port={layout.ports['kube-scheduler']}",
        "--leader-elect=false",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--profiling=false",
    ], layout.base_env()


def kwok(layout: Layout) -> Command:
    argv = [
        str(layout.binaries["kwok"]),
        f"--kubeconfig={layout.kubeconfig('kwok')}",
        f"--config={layout.state / 'kwok.yaml'}",
        # All but the real one: fleet.REAL_LABELS.
        "--manage-all-nodes=false",
        "--manage-nodes-with-label-selector=real-node!=true",
        "--node-ip=127.0.0.1",
        # Nodes' kubelets are the front (go/front); behind it kwok answers.
        f"--node-port={layout.ports['front']}",
        f"--server-address=127.0.0.1:{layout.ports['kwok']}",
        f"--tls-cert-file={layout.pki / 'server.crt'}",
        f"--tls-private-key-file={layout.pki / 'server.key'}",
        f"--node-lease-duration-seconds={40 if layout.nodes <= 200 else 900}",
        "--cidr=10.200.0.1/16",
        "--enable-crds=Exec,Logs,PortForward,ClusterPortForward,Attach,ClusterAttach",
    ]
    env = layout.base_env()
    # ``kubectl exec`` looks programs up on kwok's PATH: doors come first (doors.py).
    env["PATH"] = f"{layout.state / 'doors'}:{env.get('PATH', os.defpath)}"
    env["FLUIDMODEL_HOST_PATH"] = layout.base_env().get("PATH", os.defpath)
    root = layout.state / "kwok-root"
    if (root / "enter").exists():
        argv = [str(root / "enter"), *argv]
    return argv, env


def front(layout: Layout) -> Command:
    return [
        str(layout.binaries["kubelet-front"]),
        f"-listen=127.0.0.1:{layout.ports['front']}",
        f"-to=https://127.0.0.1:{layout.ports['kwok']}",
        f"-cert={layout.pki / 'server.crt'}",
        f"-key={layout.pki / 'server.key'}",
        f"-index={layout.state / 'logindex'}",
    ], layout.base_env()


def s3(layout: Layout) -> Command:
    credentials = layout.options["s3"]
    base = layout.state / "s3"
    return [
        str(layout.binaries["versitygw"]),
        f"-listen=127.0.0.1:{layout.ports['s3']}",
        f"-users={base / 'iam'}",
        f"-metadata={base / 'meta'}",
        f"-data={base / 'data'}",
    ], {
        **layout.base_env(),
        "ROOT_ACCESS_KEY_ID": credentials["access_key"],
        "ROOT_SECRET_ACCESS_KEY": credentials["secret_key"],
    }


def alluxio(layout: Layout) -> Command:
    return [
        *(sys.executable, "-m", "tests.cluster.alluxio.server"),
        *(str(layout.state), str(layout.ports["alluxio"])),
    ], _python_env(layout)


def agent(layout: Layout) -> Command:
    return [sys.executable, "-m", "tests.cluster.agent", str(layout.state)], _python_env(layout)


def _python_env(layout: Layout) -> dict[str, str]:
    return {**layout.base_env(), "PYTHONPATH": str(paths.REPO), "PYTHONDONTWRITEBYTECODE": "1"}


def _fluid_env(layout: Layout) -> dict[str, str]:
    home = layout.state / "fluid-home"
    return {
        **layout.base_env(),
        "HOME": str(home),
        "PATH": f"{layout.state / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "KUBECONFIG": str(layout.kubeconfig("fluid")),
        "TMPDIR": str(layout.state / "tmp"),
        "HELM_DRIVER": "configmap",
        "MOUNT_ROOT": MOUNT_ROOT,
        "MY_POD_NAMESPACE": "fluid-system",
        "FLUID_WORKDIR": "/tmp",
        "ALLUXIO_RUNTIME_IMAGE_ENV": RUNTIME_IMAGE,
        "ALLUXIO_FUSE_IMAGE_ENV": RUNTIME_IMAGE,
        "DEFAULT_INIT_IMAGE_ENV": "fluidcloudnative/init-users:v1.0.8",
        "ALLUXIO_MOUNT_CONFIG_STORAGE": "configmap",
        # Documented knobs (chart: runtime.syncRetryDuration; FLUID_RUNTIME_RECONCILE_DURATION is
        # the controllers' own). The defaults are 15 s and 90 s; tests have no such time.
        "FLUID_SYNC_RETRY_DURATION": str(layout.options.get("fluid_sync", "1s")),
        "FLUID_RUNTIME_RECONCILE_DURATION": str(layout.options.get("fluid_reconcile", 2)),
        "FLUID_RUNTIME_RECONCILE_DURATION_OFFSET": "0",
    }


def dataset_controller(layout: Layout) -> Command:
    return [
        str(layout.binaries["dataset-controller"]),
        "start",
        f"--metrics-addr=127.0.0.1:{layout.ports['dataset-controller']}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--development=false",
    ], _fluid_env(layout)


def alluxioruntime_controller(layout: Layout) -> Command:
    return [
        str(layout.binaries["alluxioruntime-controller"]),
        "start",
        f"--metrics-addr=127.0.0.1:{layout.ports['alluxioruntime-controller']}",
        # The default draws ports that other caches may have: now and then a worker fits nowhere.
        "--port-allocate-policy=bitmap",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--development=false",
    ], _fluid_env(layout)


def thinruntime_controller(layout: Layout, binary: Path) -> Command:
    """The controller of reference Datasets, which only some tests start."""
    return [
        str(binary),
        "start",
        "--metrics-addr=127.0.0.1:0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--development=false",
    ], _fluid_env(layout)


def fluid_webhook(layout: Layout, binary: Path, profile: str, port: int) -> Command:
    """Fluid's admission webhook, which only some tests start.

    It reads its profile at a fixed place in /etc, so it gets a copy of that directory.
    """
    home = layout.state / "webhook"
    home.mkdir(exist_ok=True)
    (home / "plugins.profile").write_text(profile)
    script = f"""\
set -e
mount -t tmpfs webhook /mnt
mkdir /mnt/etc
cp -a /etc/. /mnt/etc
mkdir -p /mnt/etc/fluid
cp {home}/plugins.profile /mnt/etc/fluid/
mount --bind /mnt/etc /etc
exec {binary} start --webhook-port={port} --webhook-cert-dir={home}/certs --metrics-addr=127.0.0.1:0
"""
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    return argv, _fluid_env(layout)


def prepare_fluid_home(layout: Layout) -> None:
    """The directory that Fluid's controllers take for their home: their charts are in it."""
    home = layout.state / "fluid-home"
    home.mkdir(exist_ok=True)
    (layout.state / "tmp").mkdir(exist_ok=True)
    charts = home / "charts"
    if not charts.is_symlink():
        charts.symlink_to(fluid_charts())


COMMANDS: dict[str, Callable[[Layout], Command]] = {
    "etcd": etcd,
    "kube-apiserver": kube_apiserver,
    "kube-controller-manager": kube_controller_manager,
    "kube-scheduler": kube_scheduler,
    "kwok": kwok,
    "front": front,
    "s3": s3,
    "alluxio": alluxio,
    "agent": agent,
    "dataset-controller": dataset_controller,
    "alluxioruntime-controller": alluxioruntime_controller,
}
