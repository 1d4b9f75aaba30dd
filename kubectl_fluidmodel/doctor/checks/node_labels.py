"""4xx: the node labels that bring cache, FUSE client and readers together."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_FUSE
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.inventory.cache import FUSE, WORKER, Cache
from kubectl_fluidmodel.objects import kinds, node_selector
from kubectl_fluidmodel.objects.access import get_path, labels_of, name_of

LABELLING_TIMEOUT = 60.0
"""Seconds within which Fluid labels a ready worker's node: at every sync, 15 s by default."""
_UNLABELLED_RUNTIME = "ThinRuntime"
"""Fluid never labels the nodes of this runtime (pkg/ddc/thin/node.go)."""


@register_check(
    "FM405",
    "the workers' nodes have the cache's label",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM222",),
)
def worker_nodes_are_labelled(context: CheckContext) -> Iterator[Finding]:
    """The node of a worker does not have the cache's label.

    Fluid labels the node in the last step of every sync. An error in an earlier step (the report of
    the master, the size of the source) leaves the node without the label, and pods that are pinned
    to it wait forever. You can set the label by hand; the sync still has to be fixed.
    """
    cache, key = context.cache, context.cache.node_label
    if not key or cache.runtime is None or cache.runtime.get("kind") == _UNLABELLED_RUNTIME:
        return
    for _, pod in observations.cache_pods(cache, WORKER):
        name = str(get_path(pod, "spec", "nodeName", default=""))
        node = context.snapshot.get(kinds.NODES, name)
        if node is None or not pod_problems.is_ready(pod) or labels_of(node).get(key) == "true":
            continue
        is_recent = context.age(pod) < LABELLING_TIMEOUT
        warning = observations.warning_event(context, cache.runtime, "Failed to sync the ddc")
        message = warning.text.partition("due to ")[2] if warning else ""
        yield Finding(
            object_reference(node),
            f"worker {name_of(pod)} runs on it, but it does not have the cache's label"
            + (f", because Fluid's sync fails: {message}" if message else ""),
            (observations.label_evidence(node, key), *observations.as_tuple(warning)),
            Fix(fix_commands.label_nodes([name], [f"{key}=true"])),
            Severity.WARNING if is_recent else None,
        )


@register_check(
    "FM407",
    "claim, volume and Dataset agree on the cache's label",
    needs=(kinds.PVCS,),
    explains=("FM405",),
)
def cache_labels_agree(context: CheckContext) -> Iterator[Finding]:
    """The label on the claim is not the one that Fluid puts on nodes.

    Its key is made from namespace and name, or from the Dataset's UID where they are too long.
    Fluid writes it to the claim at creation. If the Dataset was recreated and the claim was kept,
    the UIDs differ, and the claim names a label that no node gets.
    """
    cache = context.cache
    if cache.claim is None or cache.dataset is None:
        return
    written = names.cache_label_of_pvc(cache.claim)
    right = names.cache_label(cache.namespace, cache.name, cache.uid) if cache.uid else ""
    if written is None or not right or written == right:
        return
    yield Finding(
        object_reference(cache.claim),
        f"the claim has the label {written}, but Fluid labels nodes with {right}",
        (
            observations.label_evidence(cache.claim, written),
            observations.field_evidence(cache.dataset, "metadata", "uid"),
        ),
        Fix(fix_commands.delete_objects(*filter(None, (cache.claim, cache.volume)))),
    )


@register_check(
    "FM408",
    "CSI and FUSE agree on the label of the readers' nodes",
    needs=(kinds.DAEMON_SETS,),
    explains=NO_FUSE,
)
def fuse_labels_agree(context: CheckContext) -> Iterator[Finding]:
    """The CSI plugin and the FUSE DaemonSet use different node labels.

    The CSI plugin labels the node of a reader, and the FUSE DaemonSet runs on nodes with that
    label. The two keys can differ if the runtime was created before its Dataset, or if the Dataset
    was recreated. No FUSE pod is ever created then. Recreate Dataset and runtime, the Dataset
    first.
    """
    cache = context.cache
    daemons = cache.workloads.get(FUSE)
    label = _csi_fuse_label(cache)
    selector = get_path(daemons, "spec", "template", "spec", "nodeSelector", default={})
    have = [key for key in selector if key.startswith("fluid.io/f-")]
    if daemons is None or not label or not have or label in have:
        return
    volume = cache.volume
    path = ("spec", "csi", "volumeAttributes", "mount_pod_node_selector_key")
    yield Finding(
        object_reference(daemons),
        f"the FUSE pods need nodes with {have[0]}, but the CSI plugin labels them {label}",
        (
            Evidence(
                object_reference(daemons), "spec.template.spec.nodeSelector", f"{have[0]}: true"
            ),
            observations.field_evidence(volume or {}, *path, text=label)
            if get_path(volume, *path)
            else observations.field_evidence(cache.dataset or {}, "metadata", "uid"),
        ),
        Fix(cache_commands.recreate_cache(cache)),
    )


def _csi_fuse_label(cache: Cache) -> str:
    """The label key that the CSI plugin sets: from the volume, else by the rule of Fluid 1.0."""
    attributes = get_path(cache.volume, "spec", "csi", "volumeAttributes", default={})
    if attributes.get("mount_pod_node_selector_key"):
        return str(attributes["mount_pod_node_selector_key"])
    if not cache.uid or cache.volume is None:
        return ""
    return names.fuse_label(cache.namespace, cache.name, cache.uid)


@register_check(
    "FM409",
    "the volume can be mounted on the cache's nodes",
    needs=(kinds.PVS, kinds.NODES),
    explains=("FM440",),
)
def volume_can_be_mounted_on_cache_nodes(context: CheckContext) -> Iterator[Finding]:
    """The node affinity of the volume excludes nodes that hold the cache.

    It comes from the runtime's `fuse.nodeSelector` and keeps readers off all other nodes ("volume
    node affinity conflict"), so no reader can run next to its model. Remove the selector, or make
    it match the nodes.
    """
    cache = context.cache
    terms = get_path(cache.volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    if cache.volume is None or not isinstance(terms, list):
        return
    off = [
        node
        for node in observations.visible_cache_nodes(context)
        if not any(node_selector.matches(term, node) for term in terms)
    ]
    if not off:
        return
    selector = ("spec", "fuse", "nodeSelector")
    warning = [
        observations.field_evidence(r, *selector) for r in cache.runtimes if get_path(r, *selector)
    ]
    pairs = [f"{a}={b}" for a, b in get_path(cache.runtime, *selector, default={}).items()]
    yield Finding(
        object_reference(cache.volume),
        f"it cannot be mounted on node {', '.join(map(name_of, off))}, which holds the cache",
        (observations.field_evidence(cache.volume, "spec", "nodeAffinity"), *warning),
        Fix(fix_commands.label_nodes(map(name_of, off), pairs))
        if pairs
        else Fix(cache_commands.recreate_cache(cache)),
    )
