"""Put into the API server what an administrator would have installed: CRDs, Fluid, its chart."""

from __future__ import annotations

import concurrent.futures
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import yaml

from . import assets
from .api import Api, Object

#: Kinds that others build upon come first.
FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role",
         "ConfigMap", "CSIDriver")


def apply_all(api: Api, objects: Iterable[Object], manager: str = "harness") -> None:
    """Server-side apply in parallel, in two rounds."""
    everything = list(objects)
    rounds = [
        [each for each in everything if each["kind"] in FIRST],
        [each for each in everything if each["kind"] not in FIRST],
    ]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for each in rounds:
            list(pool.map(lambda obj: api.apply(obj, manager), each))


def wait_established(api: Api, names: Iterable[str], seconds: float = 30) -> None:
    """Wait until the API server serves these CRDs."""
    deadline = time.monotonic() + seconds
    waiting = set(names)
    while waiting:
        for name in sorted(waiting):
            crd = api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
            conditions = (crd.get("status") or {}).get("conditions") or []
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                waiting.discard(name)
        if waiting and time.monotonic() > deadline:
            raise RuntimeError(f"CRDs not established: {', '.join(sorted(waiting))}")
        if waiting:
            time.sleep(0.05)


def crds(api: Api, found: list[Object]) -> None:
    apply_all(api, found)
    wait_established(api, [each["metadata"]["name"] for each in found])


def fluid_chart(helm: Path, csi: bool = True) -> list[Object]:
    """Fluid's own chart, rendered as ``helm install fluid`` would, without its hooks.

    The admission webhook's configuration is left out: its server does not run here, and with its
    failure policy every labelled pod would be refused.
    """
    chart = assets.fluid_charts() / "fluid" / "fluid"
    done = subprocess.run(
        [str(helm), "template", "fluid", str(chart), "--namespace", "fluid-system",
         "--kube-version", "1.36.0", "--set", "runtime.alluxio.enabled=true",
         "--set", f"csi.enabled={str(csi).lower()}", "--set", "webhook.enabled=false"],
        capture_output=True, text=True, check=True,
    )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    objects: list[Object] = []
    for obj in yaml.load_all(done.stdout, loader):  # noqa: S506 - a safe loader, in C or not
        if not obj or "helm.sh/hook" in (obj["metadata"].get("annotations") or {}):
            continue
        if obj["kind"] in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            continue
        if obj["kind"] not in ("ClusterRole", "ClusterRoleBinding", "CSIDriver"):
            obj["metadata"].setdefault("namespace", "fluid-system")
        obj["metadata"].setdefault("labels", {})["app.kubernetes.io/managed-by"] = "Helm"
        objects.append(obj)
    return objects


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
