"""Doctor's checks of claims, labels and mounts, each broken for real.

There is no kubelet: what one would say of a mount is written as its event, in its own words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import objects
from tests.cluster.api import Object
from tests.cluster.broken_caches import Ward, ward_of, whole_of
from tests.cluster.cluster import Cluster
from tests.cluster.objects import until

pytestmark = pytest.mark.cluster

SYSTEM = "fluid-system"
PLUGIN = "csi-nodeplugin-fluid"


@pytest.fixture(scope="module")
def ward(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    yield from ward_of(cluster, tmp_path_factory.mktemp("volumes"))


@pytest.fixture(scope="module")
def whole(ward: Ward) -> str:
    return whole_of(ward)


def node_of(ward: Ward, name: str) -> str:
    return ward.placed(f"{name}-worker-0")


def volume(ward: Ward, name: str) -> str:
    return f"{ward.namespace}-{name}"


def remove(ward: Ward, *pods: str) -> None:
    for pod in pods:
        if ward.find("Pod", pod):
            ward.api.delete("v1", "Pod", pod, ward.namespace)
    until("the readers to go", lambda: not any(ward.find("Pod", pod) for pod in pods))


# -- claims -----------------------------------------------------------------------------------


@pytest.mark.breaks("FM401")
def test_a_quota_that_allows_no_claim(ward: Ward, whole: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-claims", "namespace": ward.namespace},
        "spec": {"hard": {"persistentvolumeclaims": "0"}},
    }
    ward.api.apply(quota)
    ward.api.delete("v1", "PersistentVolumeClaim", whole, ward.namespace)
    try:
        about = ward.ref("persistentvolumeclaim", whole)

        def told() -> bool:
            found = ward.sees("FM401", whole, about)
            return "exceeded quota: no-claims" in found.cause

        until("Fluid's reason", told)
    finally:
        ward.api.delete("v1", "ResourceQuota", "no-claims", ward.namespace)
    # What is left of it is FM402: the volume still belongs to the claim that was deleted.
    found = ward.sees("FM402", whole, about, later=120)
    ward.doctor.run(found.fix)
    ward.well(whole)


@pytest.mark.breaks("FM402")
def test_a_claim_that_was_deleted_without_its_volume(ward: Ward, whole: str) -> None:
    ward.api.delete("v1", "PersistentVolumeClaim", whole, ward.namespace)
    found = ward.sees("FM402", whole, ward.ref("persistentvolumeclaim", whole), later=120)
    assert found.cause.endswith("still belongs to an earlier claim of this name")
    assert found.fix is not None and found.fix.text.endswith(volume(ward, whole))
    ward.doctor.run(found.fix)
    ward.well(whole)


@pytest.mark.breaks("FM403")
def test_a_claim_that_was_there_before(ward: Ward) -> None:
    ward.api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "taken", "namespace": ward.namespace},
            "spec": {
                "storageClassName": "standard",
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )
    ward.cache("taken")
    found = ward.sees("FM403", "taken", ward.ref("persistentvolumeclaim", "taken"))
    assert found.cause.endswith("its storage class is standard")
    ward.doctor.run(found.fix, timeout=240)
    ward.well("taken-2")
    assert ward.find("PersistentVolumeClaim", "taken"), "it may hold somebody's data"


@pytest.mark.breaks("FM406")
def test_a_claim_that_is_deleted_while_it_is_read(ward: Ward, whole: str) -> None:
    ward.reader("last-reader", whole, node_of(ward, whole))
    ward.running("last-reader")
    ward.api.delete("v1", "PersistentVolumeClaim", whole, ward.namespace)
    found = ward.sees("FM406", whole, ward.ref("persistentvolumeclaim", whole), later=120)
    assert found.cause == "the claim waits for its last readers to go: last-reader"
    ward.doctor.run(found.fix)
    ward.well(whole, later=120)


# -- labels -----------------------------------------------------------------------------------


@pytest.mark.breaks("FM405")
def test_a_sync_that_fails_before_the_labels(ward: Ward, cluster: Cluster, whole: str) -> None:
    stand_in = cluster.alluxio(ward.namespace, whole)
    stand_in.set_knobs(fail={"fsadmin report": {"times": 999, "message": "no report"}})
    node, key = node_of(ward, whole), f"fluid.io/s-{ward.namespace}-{whole}"

    def away() -> bool:
        """Fluid's last sync may put it back once more."""
        ward.api.patch("v1", "Node", node, {"metadata": {"labels": {key: None}}})
        ward.doctor.look(later=120)
        return "FM405" in ward.doctor.codes(whole)

    until("the label to stay away", away)
    found = ward.sees("FM405", whole, f"node {node}", later=120)
    assert found.cause.startswith("worker whole-worker-0 runs on it, and it lacks the")
    ward.doctor.run(found.fix)
    ward.doctor.look(later=120)
    assert "FM405" not in ward.doctor.codes(whole)
    stand_in.set_knobs(fail=None)
    ward.well(whole)


OLDER = "0b2d6a1e-5c1d-4f0e-9a57-3f1c2f7f4a11"
"""The UID of a Dataset that was there before, in the labels of what stayed of it."""


@pytest.mark.breaks("FM407")
def test_a_claim_of_an_earlier_dataset(ward: Ward, whole: str) -> None:
    """As it comes out of a backup: Fluid leaves a claim as it is, labels included."""
    labels = {f"fluid.io/s-{ward.namespace}-{whole}": None, f"fluid.io/s-{OLDER}": "true"}
    body = {"metadata": {"labels": labels}}
    ward.api.patch("v1", "PersistentVolumeClaim", whole, body, ward.namespace)
    found = ward.sees("FM407", whole, ward.ref("persistentvolumeclaim", whole), later=120)
    ward.doctor.run(found.fix)
    ward.well(whole, later=120)


@pytest.mark.breaks("FM408")
def test_fuse_clients_of_an_earlier_dataset(ward: Ward) -> None:
    ward.bound(ward.cache("keyed"))
    selector = {f"fluid.io/f-{ward.namespace}-keyed": None, f"fluid.io/f-{OLDER}": "true"}
    body = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
    ward.api.patch("apps/v1", "DaemonSet", "keyed-fuse", body, ward.namespace)
    found = ward.sees("FM408", "keyed", ward.ref("daemonset", "keyed-fuse"), beside=("FM601",))
    ward.doctor.run(found.fix, timeout=240)
    ward.well("keyed")


@pytest.mark.breaks("FM409")
def test_a_fuse_selector_that_leaves_the_node_out(ward: Ward) -> None:
    node = ward.node("pool")
    ward.cache("pooled", node=node, runtime={"fuse": {"nodeSelector": {"pool": "a"}}})
    ward.loaded("pooled")
    found = ward.sees("FM409", "pooled", f"persistentvolume {volume(ward, 'pooled')}")
    assert f"must not be mounted on node {node}" in found.cause
    assert found.fix is not None and found.fix.text == f"kubectl label node {node} pool=a"
    ward.doctor.run(found.fix)
    ward.well("pooled")


# -- Fluid's CSI plugin -----------------------------------------------------------------------


def held(ward: Ward, name: str, claim: str) -> str:
    """A reader in ContainerCreating, on the node of the cache."""
    ward.reader(name, claim, node_of(ward, claim), hold=True)
    ward.placed(name)
    return name


@pytest.mark.breaks("FM420")
def test_a_node_whose_kubelet_does_not_know_the_driver(ward: Ward, whole: str) -> None:
    node, about = node_of(ward, whole), ("storage.k8s.io/v1", "CSINode")
    drivers = ward.api.get(*about, node)["spec"]["drivers"]
    ward.api.patch(*about, node, {"spec": {"drivers": []}})
    pod = held(ward, "unknown-driver", whole)
    words = "driver name fuse.csi.fluid.io not found in the list of registered CSI drivers"
    ward.event("Pod", pod, "FailedMount", f"MountVolume.MountDevice failed: {words}")
    try:
        found = ward.sees("FM420", whole, f"node {node}", later=120)
        assert words in found.evidence[1].text
        before = plugin(ward, node)["metadata"]["uid"]
        ward.doctor.run(found.fix)
        until("a new plugin", lambda: plugin(ward, node).get("metadata", {}).get("uid") != before)
    finally:  # the plugin of now registers with the kubelet
        ward.api.patch(*about, node, {"spec": {"drivers": drivers}})
        remove(ward, pod)
    ward.well(whole)


def plugin(ward: Ward, node: str) -> Object:
    found = ward.api.list("v1", "Pod", SYSTEM, labelSelector=f"app={PLUGIN}")
    return next((each for each in found if each["spec"].get("nodeName") == node), {})


@pytest.mark.breaks("FM421")
def test_a_plugin_that_crashes(ward: Ward, whole: str) -> None:
    node = node_of(ward, whole)
    pod = plugin(ward, node)["metadata"]["name"]
    crash = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}}
    ward.ill(pod, "plugins", SYSTEM, **crash)
    found = ward.sees("FM421", whole, f"pod {SYSTEM}/{pod}")
    assert "CrashLoopBackOff" in found.evidence[0].text
    ward.api.delete("v1", "Pod", pod, SYSTEM)
    ward.well(whole)


@pytest.mark.breaks("FM421")
def test_a_node_that_the_plugin_leaves_out(ward: Ward) -> None:
    """Fluid's chart keeps its plugin off nodes with this label."""
    node = ward.node("virtual", labels={"type": "virtual-kubelet"})
    ward.cache("virtual", node=node)
    ward.loaded("virtual")
    found = ward.sees("FM421", "virtual", f"node {node}")
    assert f"no pod of {PLUGIN} runs on the node" in found.cause
    assert found.fix is not None and "--set" not in found.fix.text, "no toleration mends that"
    ward.api.patch("v1", "Node", node, {"metadata": {"labels": {"type": "kwok"}}})
    ward.well("virtual")


# -- what kubelets say ------------------------------------------------------------------------

DEVICE = "MountVolume.MountDevice failed for volume"
CODE = "rpc error: code = Internal desc ="


@pytest.mark.breaks("FM423", "FM424", "FM431", "FM432", "FM433", "FM434", "FM442")
@pytest.mark.parametrize(
    ("code", "words", "cause"),
    [
        (
            "FM423",
            f"{DEVICE} {{}} : {CODE} NodeStageVolume: can't get node n: dial tcp: no such host",
            "does not reach the API server",
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
            "ended behind the mount of this pod",
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
            "does not answer",
        ),
        (
            "FM434",
            "MountVolume.SetUp failed for volume {} : kubernetes.io/csi: mounter.SetupAt failed: "
            "rpc error: code = InvalidArgument desc = exit status 1",
            "ended with exit status 1",
        ),
        ("FM442", f"{DEVICE} {{}} : {CODE} exit status 32", "cannot mount the cache into it"),
    ],
)
def test_a_mount_that_fails(ward: Ward, whole: str, code: str, words: str, cause: str) -> None:
    pod = held(ward, f"reader-{code.lower()}", whole)
    ward.event("Pod", pod, "FailedMount", words.format(f'"{volume(ward, whole)}"'))
    try:
        found = ward.sees(code, whole, ward.ref("pod", pod), later=120)
        assert cause in found.cause
        assert found.fix is not None
        if found.fix.text.startswith("kubectl delete"):
            ward.doctor.run(found.fix)
            until("the reader's end", lambda: not ward.find("Pod", pod))
    finally:
        remove(ward, pod)
    ward.well(whole)


@pytest.mark.breaks("FM420")
def test_the_kubelets_word_goes_before_the_csi_node(ward: Ward, whole: str) -> None:
    """The driver stands in the CSINode, and the kubelet does not know it."""
    pod = held(ward, "unregistered", whole)
    words = "driver name fuse.csi.fluid.io not found in the list of registered CSI drivers"
    ward.event("Pod", pod, "FailedMount", f"MountVolume.MountDevice failed: {words}")
    found = ward.sees("FM420", whole, f"node {node_of(ward, whole)}")
    assert found.cause.startswith("its kubelet does not know the driver")
    remove(ward, pod)
    ward.well(whole)


@pytest.mark.breaks("FM444")
def test_a_reader_behind_a_gate(ward: Ward, whole: str) -> None:
    gate = "grove.io/podgang-pending-creation"
    ward.reader("gated", whole, gates=[gate])
    found = ward.sees("FM444", whole, ward.ref("pod", "gated"), later=120)
    assert f"SchedulingGated by {gate} since" in found.cause
    assert "FM444" in ward.doctor.errors(whole)
    remove(ward, "gated")
    ward.well(whole)


@pytest.mark.breaks("FM444")
def test_a_reader_that_no_scheduler_looks_at(ward: Ward, whole: str) -> None:
    ward.reader("unseen", whole, scheduler="nobody")
    found = ward.sees("FM444", whole, ward.ref("pod", "unseen"), later=120)
    assert found.cause.endswith("is nobody running?")
    remove(ward, "unseen")
    ward.well(whole)


@pytest.mark.breaks("FM445")
def test_a_reader_whose_image_does_not_come(ward: Ward, whole: str) -> None:
    ward.reader("engine", whole, node_of(ward, whole))
    ward.running("engine")
    pull = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling"}}}
    ward.ill("engine", "main", **pull)
    found = ward.sees("FM445", whole, ward.ref("pod", "engine"))
    assert "ImagePullBackOff" in found.cause
    remove(ward, "engine")
    ward.well(whole)


# -- FUSE clients -----------------------------------------------------------------------------


def staged(ward: Ward, name: str) -> str:
    """As the CSI plugin does it for a node's first reader: the label that brings the client."""
    node = node_of(ward, name)
    key = f"fluid.io/f-{ward.namespace}-{name}"
    ward.api.patch("v1", "Node", node, {"metadata": {"labels": {key: "true"}}})
    return node


def client(ward: Ward, name: str) -> Object:
    labels = f"release={name},role=alluxio-fuse"

    def first() -> Object:
        return next(iter(ward.api.list("v1", "Pod", ward.namespace, labelSelector=labels)), {})

    return until(f"the FUSE client of {name}", first)


@pytest.mark.breaks("FM430")
def test_a_fuse_client_that_finds_no_room(ward: Ward) -> None:
    memory = {"memory": "3Ti"}
    large = {"fuse": {"resources": {"requests": memory, "limits": memory}}}
    ward.cache("crowded", node=ward.node("crowded"), runtime=large)
    ward.bound("crowded")  # and empty: Fluid takes 20 s longer to end a cache that is not
    node = staged(ward, "crowded")
    pod = client(ward, "crowded")["metadata"]["name"]
    about = ward.ref("pod", pod)
    found = ward.sees("FM430", "crowded", about, beside=("FM601",), later=300)
    assert f"on node {node} has no room: Insufficient memory" in found.cause
    ward.doctor.run(found.fix, timeout=240)
    ward.well("crowded", later=300)


@pytest.mark.breaks("FM430")
def test_a_fuse_client_that_crashes(ward: Ward, whole: str) -> None:
    node = staged(ward, whole)
    pod = client(ward, whole)["metadata"]["name"]
    ward.running(pod)
    crash = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}}
    ward.ill(pod, "alluxio-fuse", **crash)
    try:
        found = ward.sees("FM430", whole, ward.ref("pod", pod), later=300)
        assert f"the FUSE client on node {node} crashes" in found.cause
    finally:
        ward.api.delete("v1", "Pod", pod, ward.namespace)
    ward.well(whole)


# -- admission --------------------------------------------------------------------------------


def readers(ward: Ward, name: str, claim: str) -> None:
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
    ward.api.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": ward.namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
    )


@pytest.mark.breaks("FM440", "FM443")
def test_a_webhook_that_does_not_answer(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """First Fluid's webhook refuses by silence; then it is gone, and pods come without it."""
    for ward in ward_of(cluster, tmp_path_factory.mktemp("webhook")):
        ward.cache("model")
        ward.loaded("model")
        name = f"fluid-{ward.namespace}"
        ward.api.apply(objects.webhook(name, ward.namespace))
        try:
            readers(ward, "engine", "model")
            ward.doctor.see("the refusal", "FM440", name="model")
            [found] = ward.doctor.found("model")["FM440"]
            assert found.about.startswith(f"replicaset {ward.namespace}/engine-")
            assert "webhook fuse.serverful.fluid.io does not answer" in found.cause
        finally:
            ward.api.delete("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", name)
        listed: dict[str, Any] = {"labelSelector": "app=engine"}

        def pods(ward: Ward = ward, listed: dict[str, Any] = listed) -> list[Object]:
            return list(ward.api.list("v1", "Pod", ward.namespace, **listed))

        [pod] = until("the pod", pods)
        ward.running(pod["metadata"]["name"])
        ward.doctor.look()
        [found] = ward.doctor.found("model")["FM443"]
        assert found.about == ward.ref("pod", pod["metadata"]["name"])
        ward.doctor.run(found.fix)
        assert [each for each in pods() if each["metadata"]["uid"] != pod["metadata"]["uid"]]
