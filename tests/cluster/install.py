"""Put into the API server what an administrator would have installed: CRDs, Fluid, its chart."""

from __future__ import annotations

import concurrent.futures
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import yaml

from . import assets
from .api import Api, ApiError, Object
from .components import MOUNT_ROOT

#: Kinds that others build upon come first.
FIRST = (
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ConfigMap",
    "CSIDriver",
)
WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


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


def wait_established(api: Api, names: Iterable[str], seconds: float = 180) -> None:
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


def replace_crds(api: Api, wanted: list[Object]) -> None:
    """Make CRDs serve and store exactly these versions, whatever they did before.

    In place, because an API server takes ten seconds to forget a CRD: all objects go; then, since a
    version may only leave once nothing is recorded as stored in it, the old versions stay unserved
    for a moment.
    """
    group = "apiextensions.k8s.io/v1"
    for crd in wanted:
        name = crd["metadata"]["name"]
        old = api.find(group, "CustomResourceDefinition", name)
        if old is None:
            continue
        empty(api, old)
        new = [each["name"] for each in crd["spec"]["versions"]]
        leaving = [
            {**each, "served": False, "storage": False}
            for each in old["spec"]["versions"]
            if each["name"] not in new
        ]
        spec = {**crd["spec"], "versions": [*crd["spec"]["versions"], *leaving]}
        api.apply({**crd, "spec": spec})
        stored = [each["name"] for each in crd["spec"]["versions"] if each["storage"]]
        api.patch(
            group,
            "CustomResourceDefinition",
            name,
            {"status": {"storedVersions": stored}},
            None,
            "status",
        )
    crds(api, wanted)
    wait_served(api, wanted)


def wait_served(api: Api, wanted: list[Object], seconds: float = 20) -> None:
    """Wait for discovery, which follows within a moment; until then it has the old versions."""
    for crd in wanted:
        served = sorted(each["name"] for each in crd["spec"]["versions"] if each["served"])
        names = crd["spec"]["names"]
        deadline = time.monotonic() + seconds
        while discovered(api, crd["spec"]["group"], names["plural"]) != served:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{names['plural']} is not served as {', '.join(served)}")
            time.sleep(0.1)


def empty(api: Api, crd: Object) -> None:
    """Delete all objects of a CRD and wait for their end, finalizers or not."""
    spec = crd["spec"]
    version = f"{spec['group']}/{next(v['name'] for v in spec['versions'] if v['storage'])}"
    plural = spec["names"]["plural"]
    for item in api.list(version, plural):
        meta = item["metadata"]
        if meta.get("finalizers"):
            api.patch(
                version,
                plural,
                meta["name"],
                {"metadata": {"finalizers": None}},
                meta.get("namespace"),
            )
        api.delete(version, plural, meta["name"], meta.get("namespace"))
    deadline = time.monotonic() + 15
    while api.list(version, plural) and time.monotonic() < deadline:
        time.sleep(0.1)


def discovered(api: Api, group: str, plural: str) -> list[str]:
    """The versions under which discovery has a resource."""
    found = []
    try:
        versions = api.request("GET", f"/apis/{group}")["versions"]
        for version in versions:
            listed = api.request("GET", f"/apis/{version['groupVersion']}")["resources"]
            if any(each["name"] == plural for each in listed):
                found.append(version["version"])
    except ApiError:
        return []
    return sorted(found)


def fluid_chart(helm: Path, csi: bool = True) -> list[Object]:
    """Fluid's own chart, rendered as ``helm install fluid`` would, without its hooks.

    The admission webhook is left out: its server runs only in its own tests (webhook.py), and with
    its failure policy every labelled pod would be refused.
    """
    found = _render(helm, f"csi.enabled={str(csi).lower()}", "webhook.enabled=false")
    return [each for each in found if each["kind"] not in WEBHOOKS]


def webhook_chart(helm: Path) -> list[Object]:
    """What the chart adds with the admission webhook."""
    without = {(each["kind"], each["metadata"]["name"]) for each in fluid_chart(helm)}
    found = _render(helm, "webhook.enabled=true")
    return [each for each in found if (each["kind"], each["metadata"]["name"]) not in without]


def _render(helm: Path, *settings: str) -> list[Object]:
    chart = assets.fluid_charts() / "fluid" / "fluid"
    given = (
        "runtime.alluxio.enabled=true",
        # As the real nodes need it: they have no network but the host's.
        "csi.config.hostNetwork=true",
        f"runtime.mountRoot={MOUNT_ROOT}",
        *settings,
    )
    words = [str(helm), "template", "fluid", str(chart), "--namespace", "fluid-system"]
    words += ["--kube-version", "1.36.0", *(word for each in given for word in ("--set", each))]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    objects: list[Object] = []
    for obj in yaml.load_all(done.stdout, loader):
        if not obj or "helm.sh/hook" in (obj["metadata"].get("annotations") or {}):
            continue
        if obj["kind"] not in ("ClusterRole", "ClusterRoleBinding", "CSIDriver", *WEBHOOKS):
            obj["metadata"].setdefault("namespace", "fluid-system")
        obj["metadata"].setdefault("labels", {})["app.kubernetes.io/managed-by"] = "Helm"
        objects.append(obj)
    return objects


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
