"""4xx: the labels by which cache, FUSE client and readers find the same nodes."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
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
from kubectl_fluidmodel.objects.access import Object, get_path, labels_of, name_of

LABELLING_TIMEOUT = 60.0
"""Seconds after a worker is ready in which Fluid labels its node: every sync, by default 15 s."""
_UNLABELLED_RUNTIME = "ThinRuntime"
"""Its nodes are never labelled (pkg/ddc/thin/node.go)."""


@register_check(
    "FM405",
    "the nodes of the workers bear the cache's label",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM222",),
)
def worker_nodes_are_labelled(context: CheckContext) -> Iterator[Finding]:
    """Fluid labels a worker's node in the last step of every sync. An error in a step before it
    (the report of the master, the measuring of the store) leaves the node without, and pods that
    are pinned to the label wait for ever. The label can be set by hand; the sync has to be mended.
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
            f"worker {name_of(pod)} runs on it, and it lacks the cache's label"
            + (f", as Fluid's sync fails: {message}" if message else ""),
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
    """The key of the label is made of namespace and name, or of the Dataset's UID where they are
    long. Fluid writes it on the claim when it makes that. A Dataset that was made anew while its
    claim stayed has another UID, so that the claim names a label that no node gets.
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
        f"the claim bears the label {written}, and Fluid gives nodes {right}",
        (
            observations.label_evidence(cache.claim, written),
            observations.field_evidence(cache.dataset, "metadata", "uid"),
        ),
        Fix(fix_commands.delete_objects(*(each for each in (cache.claim, cache.volume) if each))),
    )


@register_check(
    "FM408",
    "CSI and FUSE agree on the label of nodes with readers",
    needs=(kinds.DAEMON_SETS,),
    explains=NO_FUSE,
)
def fuse_labels_agree(context: CheckContext) -> Iterator[Finding]:
    """Fluid's CSI plugin labels the node of a reader, and the FUSE DaemonSet runs where that label
    is. When the runtime was made before its Dataset, or the Dataset was made anew, the two keys
    can differ, and no FUSE pod ever comes. Make runtime and Dataset anew, the Dataset first.
    """
    cache = context.cache
    daemons = cache.workloads.get(FUSE)
    wanted = _csi_fuse_label(cache)
    selector = get_path(daemons, "spec", "template", "spec", "nodeSelector", default={})
    have = [key for key in selector if key.startswith("fluid.io/f-")]
    if daemons is None or not wanted or not have or wanted in have:
        return
    volume = cache.volume
    place = ("spec", "csi", "volumeAttributes", "mount_pod_node_selector_key")
    yield Finding(
        object_reference(daemons),
        f"the FUSE pods want nodes with {have[0]}, and CSI labels them {wanted}",
        (
            Evidence(
                object_reference(daemons), "spec.template.spec.nodeSelector", f"{have[0]}: true"
            ),
            observations.field_evidence(volume or {}, *place, text=wanted)
            if get_path(volume, *place)
            else observations.field_evidence(cache.dataset or {}, "metadata", "uid"),
        ),
        Fix(fix_commands.recreate_cache(cache)),
    )


def _csi_fuse_label(cache: Cache) -> str:
    """The key that CSI sets: from the volume (Fluid 1.1), else by Fluid 1.0's own rule."""
    attributes = get_path(cache.volume, "spec", "csi", "volumeAttributes", default={})
    if attributes.get("mount_pod_node_selector_key"):
        return str(attributes["mount_pod_node_selector_key"])
    if not cache.uid or cache.volume is None:
        return ""
    return names.fuse_label(cache.namespace, cache.name, cache.uid)


@register_check(
    "FM409",
    "the volume may be mounted on the cache's nodes",
    needs=(kinds.PVS, kinds.NODES),
    explains=("FM440",),
)
def volume_can_be_mounted_on_cache_nodes(context: CheckContext) -> Iterator[Finding]:
    """The volume's node affinity comes from the runtime's `fuse.nodeSelector` and keeps readers off
    every other node ("volume node affinity conflict"). Where it leaves out the nodes with the
    cache, no reader can run beside its model. Remove the selector, or let it fit the nodes.
    """
    cache = context.cache
    terms = get_path(cache.volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    if cache.volume is None or not isinstance(terms, list):
        return
    off = [
        node for node in _visible_cache_nodes(context, cache) if not _matches_any_term(terms, node)
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
        f"it must not be mounted on node {', '.join(map(name_of, off))}, which holds the cache",
        (observations.field_evidence(cache.volume, "spec", "nodeAffinity"), *warning),
        Fix(fix_commands.label_nodes(map(name_of, off), pairs))
        if pairs
        else Fix(fix_commands.recreate_cache(cache)),
    )


def _visible_cache_nodes(context: CheckContext, cache: Cache) -> list[Object]:
    found = [context.snapshot.get(kinds.NODES, name) for name in cache.node_names]
    return [node for node in found if node is not None]


def _matches_any_term(terms: list[object], node: Object) -> bool:
    return any(node_selector.matches(term, node) for term in terms)
