"""Doctor's checks of claims, labels and mounts, each broken for real.

There is no kubelet: what one would say of a mount is written as its event, in its own words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import objects
from tests.cluster.api import Object
from tests.cluster.broken_caches import BrokenCaches, create_healthy_cache, manage_broken_caches
from tests.cluster.cluster import Cluster
from tests.cluster.objects import until

pytestmark = pytest.mark.cluster

SYSTEM = "fluid-system"
PLUGIN = "csi-nodeplugin-fluid"


@pytest.fixture(scope="module")
def caches(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenCaches]:
    yield from manage_broken_caches(cluster, tmp_path_factory.mktemp("volumes"))


@pytest.fixture(scope="module")
def healthy(caches: BrokenCaches) -> str:
    return create_healthy_cache(caches)


def node_of(caches: BrokenCaches, name: str) -> str:
    return caches.wait_for_node(f"{name}-worker-0")


def volume(caches: BrokenCaches, name: str) -> str:
    return f"{caches.namespace}-{name}"


def remove(caches: BrokenCaches, *pods: str) -> None:
    for pod in pods:
        if caches.find("Pod", pod):
            caches.api.delete("v1", "Pod", pod, caches.namespace)
    until("the readers to go", lambda: not any(caches.find("Pod", pod) for pod in pods))


# -- claims -----------------------------------------------------------------------------------


@pytest.mark.breaks("FM401")
def test_quota_that_forbids_the_claim_is_reported(caches: BrokenCaches, healthy: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-claims", "namespace": caches.namespace},
        "spec": {"hard": {"persistentvolumeclaims": "0"}},
    }
    caches.api.apply(quota)
    caches.api.delete("v1", "PersistentVolumeClaim", healthy, caches.namespace)
    try:
        about = caches.reference("persistentvolumeclaim", healthy)

        def told() -> bool:
            found = caches.wait_for_root("FM401", healthy, about)
            return "exceeded quota: no-claims" in found.cause

        until("Fluid's reason", told)
    finally:
        caches.api.delete("v1", "ResourceQuota", "no-claims", caches.namespace)
    # What is left of it is FM402: the volume still belongs to the claim that was deleted.
    found = caches.wait_for_root("FM402", healthy, about, later=120)
    caches.doctor.run(found.fix)
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM402")
def test_claim_recreated_for_a_released_volume_is_reported(
    caches: BrokenCaches, healthy: str
) -> None:
    caches.api.delete("v1", "PersistentVolumeClaim", healthy, caches.namespace)
    found = caches.wait_for_root(
        "FM402", healthy, caches.reference("persistentvolumeclaim", healthy), later=120
    )
    assert found.cause.endswith("still belongs to an earlier claim of this name")
    assert found.fix is not None and found.fix.text.endswith(volume(caches, healthy))
    caches.doctor.run(found.fix)
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM403")
def test_foreign_claim_with_the_name_of_the_cache_is_reported(caches: BrokenCaches) -> None:
    caches.api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "taken", "namespace": caches.namespace},
            "spec": {
                "storageClassName": "standard",
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )
    caches.create_cache("taken")
    found = caches.wait_for_root(
        "FM403", "taken", caches.reference("persistentvolumeclaim", "taken")
    )
    assert found.cause.endswith("its storage class is standard")
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy("taken-2")
    assert caches.find("PersistentVolumeClaim", "taken"), "it may hold somebody's data"


@pytest.mark.breaks("FM406")
def test_claim_deleted_while_in_use_is_reported(caches: BrokenCaches, healthy: str) -> None:
    caches.create_reader("last-reader", healthy, node_of(caches, healthy))
    caches.wait_until_ready("last-reader")
    caches.api.delete("v1", "PersistentVolumeClaim", healthy, caches.namespace)
    found = caches.wait_for_root(
        "FM406", healthy, caches.reference("persistentvolumeclaim", healthy), later=120
    )
    assert found.cause == "the claim is deleted once its last readers are gone: last-reader"
    caches.doctor.run(found.fix)
    caches.wait_until_healthy(healthy, later=120)


# -- labels -----------------------------------------------------------------------------------


@pytest.mark.breaks("FM405")
def test_missing_node_label_after_a_failed_sync_is_reported(
    caches: BrokenCaches, cluster: Cluster, healthy: str
) -> None:
    stand_in = cluster.alluxio(caches.namespace, healthy)
    stand_in.set_knobs(fail={"fsadmin report": {"times": 999, "message": "no report"}})
    node, key = node_of(caches, healthy), f"fluid.io/s-{caches.namespace}-{healthy}"

    def away() -> bool:
        """Fluid's last sync may put it back once more."""
        caches.api.patch("v1", "Node", node, {"metadata": {"labels": {key: None}}})
        caches.doctor.diagnose(later=120)
        return "FM405" in caches.doctor.codes(healthy)

    until("the label to stay away", away)
    found = caches.wait_for_root("FM405", healthy, f"node {node}", later=120)
    assert found.cause.startswith("worker whole-worker-0 runs on it, but it does not have the")
    caches.doctor.run(found.fix)
    caches.doctor.diagnose(later=120)
    assert "FM405" not in caches.doctor.codes(healthy)
    stand_in.set_knobs(fail=None)
    caches.wait_until_healthy(healthy)


OLDER = "0b2d6a1e-5c1d-4f0e-9a57-3f1c2f7f4a11"
"""The UID of a Dataset that was there before, in the labels of what stayed of it."""


@pytest.mark.breaks("FM407")
def test_claim_label_of_an_earlier_dataset_is_reported(caches: BrokenCaches, healthy: str) -> None:
    """As it comes out of a backup: Fluid leaves a claim as it is, labels included."""
    labels = {f"fluid.io/s-{caches.namespace}-{healthy}": None, f"fluid.io/s-{OLDER}": "true"}
    body = {"metadata": {"labels": labels}}
    caches.api.patch("v1", "PersistentVolumeClaim", healthy, body, caches.namespace)
    found = caches.wait_for_root(
        "FM407", healthy, caches.reference("persistentvolumeclaim", healthy), later=120
    )
    caches.doctor.run(found.fix)
    caches.wait_until_healthy(healthy, later=120)


@pytest.mark.breaks("FM408")
def test_fuse_label_of_an_earlier_dataset_is_reported(caches: BrokenCaches) -> None:
    caches.wait_until_bound(caches.create_cache("keyed"))
    selector = {f"fluid.io/f-{caches.namespace}-keyed": None, f"fluid.io/f-{OLDER}": "true"}
    body = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
    caches.api.patch("apps/v1", "DaemonSet", "keyed-fuse", body, caches.namespace)
    found = caches.wait_for_root(
        "FM408", "keyed", caches.reference("daemonset", "keyed-fuse"), beside=("FM601",)
    )
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy("keyed")


@pytest.mark.breaks("FM409")
def test_fuse_selector_that_excludes_the_node_is_reported(caches: BrokenCaches) -> None:
    node = caches.add_node("pool")
    caches.create_cache("pooled", node=node, runtime={"fuse": {"nodeSelector": {"pool": "a"}}})
    caches.load_completely("pooled")
    found = caches.wait_for_root("FM409", "pooled", f"persistentvolume {volume(caches, 'pooled')}")
    assert f"cannot be mounted on node {node}" in found.cause
    assert found.fix is not None and found.fix.text == f"kubectl label node {node} pool=a"
    caches.doctor.run(found.fix)
    caches.wait_until_healthy("pooled")


# -- Fluid's CSI plugin -----------------------------------------------------------------------


def held(caches: BrokenCaches, name: str, claim: str) -> str:
    """A reader in ContainerCreating, on the node of the cache."""
    caches.create_reader(name, claim, node_of(caches, claim), hold=True)
    caches.wait_for_node(name)
    return name


@pytest.mark.breaks("FM420")
def test_unregistered_csi_driver_is_reported(caches: BrokenCaches, healthy: str) -> None:
    node, about = node_of(caches, healthy), ("storage.k8s.io/v1", "CSINode")
    drivers = caches.api.get(*about, node)["spec"]["drivers"]
    caches.api.patch(*about, node, {"spec": {"drivers": []}})
    pod = held(caches, "unknown-driver", healthy)
    words = "driver name fuse.csi.fluid.io not found in the list of registered CSI drivers"
    caches.create_warning_event(
        "Pod", pod, "FailedMount", f"MountVolume.MountDevice failed: {words}"
    )
    try:
        found = caches.wait_for_root("FM420", healthy, f"node {node}", later=120)
        assert words in found.evidence[1].text
        before = plugin(caches, node)["metadata"]["uid"]
        caches.doctor.run(found.fix)
        until("a new plugin", lambda: plugin(caches, node).get("metadata", {}).get("uid") != before)
    finally:  # the plugin of now registers with the kubelet
        caches.api.patch(*about, node, {"spec": {"drivers": drivers}})
        remove(caches, pod)
    caches.wait_until_healthy(healthy)


def plugin(caches: BrokenCaches, node: str) -> Object:
    found = caches.api.list("v1", "Pod", SYSTEM, labelSelector=f"app={PLUGIN}")
    return next((each for each in found if each["spec"].get("nodeName") == node), {})


@pytest.mark.breaks("FM421")
def test_crashing_csi_plugin_is_reported(caches: BrokenCaches, healthy: str) -> None:
    node = node_of(caches, healthy)
    pod = plugin(caches, node)["metadata"]["name"]
    crash = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}}
    caches.set_container_status(pod, "plugins", SYSTEM, **crash)
    found = caches.wait_for_root("FM421", healthy, f"pod {SYSTEM}/{pod}")
    assert "CrashLoopBackOff" in found.evidence[0].text
    caches.api.delete("v1", "Pod", pod, SYSTEM)
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM421")
def test_node_without_csi_plugin_is_reported(caches: BrokenCaches) -> None:
    """Fluid's chart keeps its plugin off nodes with this label."""
    node = caches.add_node("virtual", labels={"type": "virtual-kubelet"})
    caches.create_cache("virtual", node=node)
    caches.load_completely("virtual")
    found = caches.wait_for_root("FM421", "virtual", f"node {node}")
    assert f"no pod of {PLUGIN} runs on the node" in found.cause
    assert found.fix is not None and "--set" not in found.fix.text, "no toleration mends that"
    caches.api.patch("v1", "Node", node, {"metadata": {"labels": {"type": "kwok"}}})
    caches.wait_until_healthy("virtual")


# -- what kubelets say ------------------------------------------------------------------------

DEVICE = "MountVolume.MountDevice failed for volume"
CODE = "rpc error: code = Internal desc ="


@pytest.mark.breaks("FM423", "FM424", "FM431", "FM432", "FM433", "FM434", "FM442")
@pytest.mark.parametrize(
    ("code", "message", "cause"),
    [
        (
            "FM423",
            f"{DEVICE} {{}} : {CODE} NodeStageVolume: can't get node n: dial tcp: no such host",
            "cannot reach the API server",
        ),
        (
            "FM431",
            f"{DEVICE} {{}} : {CODE} timeout waiting for FUSE mount point /runtime-mnt to be ready",
            "did not mount the cache in time",
        ),
        (
            "FM432",
            "MountVolume.SetUp failed for volume {} : stat /pods: transport endpoint is not "
            "connected",
            "exited, so the mount of this pod is dead",
        ),
        (
            "FM433",
            f'{DEVICE} {{}} : {CODE} subPath "weights" not exists under FUSE mount',
            "the cache has no directory weights",
        ),
        (
            "FM424",
            f"{DEVICE} {{}} : rpc error: code = Unavailable desc = connection error: desc = "
            '"transport: Error while dialing: dial unix /var/lib/kubelet/csi-plugins/'
            'fuse.csi.fluid.io/csi.sock: connect: connection refused"',
            "does not respond",
        ),
        (
            "FM434",
            "MountVolume.SetUp failed for volume {} : kubernetes.io/csi: mounter.SetupAt failed: "
            "rpc error: code = InvalidArgument desc = exit status 1",
            "failed with exit status 1",
        ),
        ("FM442", f"{DEVICE} {{}} : {CODE} exit status 32", "cannot mount the cache into it"),
    ],
)
def test_failed_mount_is_reported(
    caches: BrokenCaches, healthy: str, code: str, message: str, cause: str
) -> None:
    pod = held(caches, f"reader-{code.lower()}", healthy)
    caches.create_warning_event(
        "Pod", pod, "FailedMount", message.format(f'"{volume(caches, healthy)}"')
    )
    try:
        found = caches.wait_for_root(code, healthy, caches.reference("pod", pod), later=120)
        assert cause in found.cause
        assert found.fix is not None
        if found.fix.text.startswith("kubectl delete"):
            caches.doctor.run(found.fix)
            until("the reader's end", lambda: not caches.find("Pod", pod))
    finally:
        remove(caches, pod)
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM420")
def test_kubelet_error_takes_precedence_over_the_csi_node(
    caches: BrokenCaches, healthy: str
) -> None:
    """The driver stands in the CSINode, and the kubelet does not know it."""
    pod = held(caches, "unregistered", healthy)
    words = "driver name fuse.csi.fluid.io not found in the list of registered CSI drivers"
    caches.create_warning_event(
        "Pod", pod, "FailedMount", f"MountVolume.MountDevice failed: {words}"
    )
    found = caches.wait_for_root("FM420", healthy, f"node {node_of(caches, healthy)}")
    assert found.cause.startswith("its kubelet does not know the driver")
    remove(caches, pod)
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM444")
def test_scheduling_gate_of_a_reader_is_reported(caches: BrokenCaches, healthy: str) -> None:
    gate = "grove.io/podgang-pending-creation"
    caches.create_reader("gated", healthy, gates=[gate])
    found = caches.wait_for_root("FM444", healthy, caches.reference("pod", "gated"), later=120)
    assert f"SchedulingGated by {gate} since" in found.cause
    assert "FM444" in caches.doctor.errors(healthy)
    remove(caches, "gated")
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM444")
def test_reader_without_a_scheduler_is_reported(caches: BrokenCaches, healthy: str) -> None:
    caches.create_reader("unseen", healthy, scheduler="nobody")
    found = caches.wait_for_root("FM444", healthy, caches.reference("pod", "unseen"), later=120)
    assert found.cause.endswith("is nobody running?")
    remove(caches, "unseen")
    caches.wait_until_healthy(healthy)


@pytest.mark.breaks("FM445")
def test_image_pull_error_of_a_reader_is_reported(caches: BrokenCaches, healthy: str) -> None:
    caches.create_reader("engine", healthy, node_of(caches, healthy))
    caches.wait_until_ready("engine")
    pull = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling"}}}
    caches.set_container_status("engine", "main", **pull)
    found = caches.wait_for_root("FM445", healthy, caches.reference("pod", "engine"))
    assert "ImagePullBackOff" in found.cause
    remove(caches, "engine")
    caches.wait_until_healthy(healthy)


# -- FUSE clients -----------------------------------------------------------------------------


def staged(caches: BrokenCaches, name: str) -> str:
    """As the CSI plugin does it for a node's first reader: the label that brings the client."""
    node = node_of(caches, name)
    key = f"fluid.io/f-{caches.namespace}-{name}"
    caches.api.patch("v1", "Node", node, {"metadata": {"labels": {key: "true"}}})
    return node


def client(caches: BrokenCaches, name: str) -> Object:
    labels = f"release={name},role=alluxio-fuse"

    def first() -> Object:
        return next(iter(caches.api.list("v1", "Pod", caches.namespace, labelSelector=labels)), {})

    return until(f"the FUSE client of {name}", first)


@pytest.mark.breaks("FM430")
def test_fuse_client_that_does_not_fit_is_reported(caches: BrokenCaches) -> None:
    memory = {"memory": "3Ti"}
    large = {"fuse": {"resources": {"requests": memory, "limits": memory}}}
    caches.create_cache("crowded", node=caches.add_node("crowded"), runtime=large)
    caches.wait_until_bound(
        "crowded"
    )  # and empty: Fluid takes 20 s longer to end a cache that is not
    node = staged(caches, "crowded")
    pod = client(caches, "crowded")["metadata"]["name"]
    about = caches.reference("pod", pod)
    found = caches.wait_for_root("FM430", "crowded", about, beside=("FM601",), later=300)
    assert f"on node {node} does not fit: Insufficient memory" in found.cause
    caches.doctor.run(found.fix, timeout=240)
    caches.wait_until_healthy("crowded", later=300)


@pytest.mark.breaks("FM430")
def test_crashing_fuse_client_is_reported(caches: BrokenCaches, healthy: str) -> None:
    node = staged(caches, healthy)
    pod = client(caches, healthy)["metadata"]["name"]
    caches.wait_until_ready(pod)
    crash = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}}
    caches.set_container_status(pod, "alluxio-fuse", **crash)
    try:
        found = caches.wait_for_root("FM430", healthy, caches.reference("pod", pod), later=300)
        assert f"the FUSE client on node {node} crashes" in found.cause
    finally:
        caches.api.delete("v1", "Pod", pod, caches.namespace)
    caches.wait_until_healthy(healthy)


# -- admission --------------------------------------------------------------------------------


def readers(caches: BrokenCaches, name: str, claim: str) -> None:
    """A Deployment whose pods mount a claim and ask for Fluid's injection."""
    labels = {"app": name, **objects.INJECT}
    main = {
        "name": "main",
        "image": "example.com/engine:1",
        "volumeMounts": [{"name": "model", "mountPath": "/model"}],
    }
    pod = {
        "tolerations": [{"operator": "Exists"}],
        "containers": [main],
        "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": claim}}],
    }
    caches.api.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": caches.namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
    )


@pytest.mark.breaks("FM440", "FM443")
def test_unavailable_webhook_is_reported(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """First Fluid's webhook refuses by silence; then it is gone, and pods come without it."""
    for ward in manage_broken_caches(cluster, tmp_path_factory.mktemp("webhook")):
        ward.create_cache("model")
        ward.load_completely("model")
        name = f"fluid-{ward.namespace}"
        ward.api.apply(objects.webhook(name, ward.namespace))
        try:
            readers(ward, "engine", "model")
            ward.doctor.see("the refusal", "FM440", name="model")
            [found] = ward.doctor.found("model")["FM440"]
            assert found.about.startswith(f"replicaset {ward.namespace}/engine-")
            assert "webhook fuse.serverful.fluid.io does not respond" in found.cause
        finally:
            ward.api.delete("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", name)
        listed: dict[str, Any] = {"labelSelector": "app=engine"}

        def pods(ward: BrokenCaches = ward, listed: dict[str, Any] = listed) -> list[Object]:
            return list(ward.api.list("v1", "Pod", ward.namespace, **listed))

        [pod] = until("the pod", pods)
        ward.wait_until_ready(pod["metadata"]["name"])
        ward.doctor.diagnose()
        [found] = ward.doctor.found("model")["FM443"]
        assert found.about == ward.reference("pod", pod["metadata"]["name"])
        ward.doctor.run(found.fix)
        assert [each for each in pods() if each["metadata"]["uid"] != pod["metadata"]["uid"]]
