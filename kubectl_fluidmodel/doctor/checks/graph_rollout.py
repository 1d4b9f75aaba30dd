"""7xx: whether the pods of a pinned graph start, and from the pinned template."""

from __future__ import annotations

import re
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
from kubectl_fluidmodel.doctor.graph_usage import (
    ALL_TERMS,
    ComponentUsage,
    more_copies_fix,
    node_binding,
    node_label_keys,
    reading_workers,
)
from kubectl_fluidmodel.doctor.unschedulable import explain_pod, fits_with_labels
from kubectl_fluidmodel.dynamo import rollout
from kubectl_fluidmodel.dynamo.pin_annotation import MODE_MOUNT, MODE_REQUIRED
from kubectl_fluidmodel.dynamo.resources import (
    COMPONENT,
    GRAPH_LABEL,
    GROVE_STRATEGY_ANNOTATION,
    HASH_LABEL,
    SELECTOR_LABEL,
)
from kubectl_fluidmodel.dynamo.workload import surges_first, workload_kind
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import Object, annotations_of, get_path, labels_of, name_of
from kubectl_fluidmodel.output.shell import command

_INSUFFICIENT_GPU = re.compile(r"Insufficient (\S+/(?:gpu|mig)\S*?)[.,]?(?:\s|$)")
_CLAIM_PROBLEM = re.compile(r"persistentvolumeclaim|PersistentVolumeClaims")
_TEMPLATE_HASH_LABEL = "pod-template-hash"


def _unschedulable_pods(use: ComponentUsage) -> Iterator[tuple[Object, str]]:
    """The component's unschedulable pods, each with the scheduler's message."""
    for pod in use.pods:
        message, unschedulable = rollout.startup_problem(pod)
        if unschedulable and not get_path(pod, "spec", "nodeName"):
            yield pod, " ".join(message.split())


def _outdated_pods(context: CheckContext, use: ComponentUsage) -> list[Object]:
    """Pods from before the component got the mount or the node affinity."""
    bound = node_binding(use.component.pod_spec(), node_label_keys(context.cache)) == ALL_TERMS
    key = use.pin_note.key if use.pin_note and use.pin_note.key else context.cache.node_label
    mode = (
        MODE_REQUIRED
        if bound and use.pin_note and use.pin_note.mode == MODE_REQUIRED
        else MODE_MOUNT
    )
    return [
        p for p in use.pods if not rollout.has_new_template(p, context.cache.name, (key,), mode)
    ]


@register_check("FM730", "every worker is scheduled", needs=(kinds.PODS,), explains=("FM733",))
def workers_are_scheduled(context: CheckContext) -> Iterator[Finding]:
    """A worker that mounts the cache is Pending.

    The scheduler's message says what each node lacks; on the cache's nodes that is usually GPUs
    that other pods use. If the worker fits every other node with GPUs, the fix is one more copy of
    the cache; else free the GPUs. Other checks report pods that wait for a claim.
    """
    for use in reading_workers(context):
        for pod, message in _unschedulable_pods(use):
            if _CLAIM_PROBLEM.search(message):
                continue
            nodes = context.cache.node_names
            short = _INSUFFICIENT_GPU.search(message)
            if short and nodes:
                cause = (
                    f"no node with the cache ({', '.join(nodes[:3])}) has {short[1]} free for it"
                )
                fix = _free_gpus_fix(context, pod)
            else:
                cause = "the scheduler finds no node for it"
                fix = observations.describe(pod)
            without = explain_pod(context, "worker", pod, message)
            yield Finding(
                object_reference(pod),
                f"{cause}: {without.describe_nodes()}" if without.is_explained else cause,
                without.evidence(),
                fix,
            )


def _free_gpus_fix(context: CheckContext, pod: Object) -> Fix:
    """One more copy of the cache, if wherever `cache` puts it, the pod fits; else who has the GPUs.

    The pods that hold the GPUs are others' to stop.
    """
    cache, held = context.cache, set(context.cache.node_names)
    labels = dict.fromkeys(node_label_keys(cache), "true")
    others = [
        node
        for node in context.snapshot.of_kind(kinds.NODES)
        if name_of(node) not in held and gpus.allocatable_gpus(node)
    ]
    fits = [fits_with_labels(context, pod, node, labels) for node in others]
    if names.has_own_spec(cache.dataset or {}) and fits and all(fits):
        return more_copies_fix(cache, len(held) + 1)
    return Fix(
        command(
            *("kubectl", "get", "pods", "-A", "-o", "wide"),
            *("--field-selector", f"spec.nodeName={cache.node_names[0]}"),
        ),
        "advice",
    )


@register_check(
    "FM731", "the rollout can complete", needs=(kinds.PODS,), explains=("FM730", "FM733")
)
def rollout_can_complete(context: CheckContext) -> Iterator[Finding]:
    """The rollout is deadlocked.

    A new pod has to be Ready before an old one stops, and the old pods hold the GPUs of the cache's
    nodes. With one or two replicas, this is what the default surge of 25% leads to. `pin
    --recreate` stops the old pods first, at the price of an interruption.
    """
    for use in reading_workers(context):
        everywhere = get_path(use.graph.object, "spec", "annotations", default={})
        # Grove and LeaderWorkerSets do not surge. An unknown workload has no template hash.
        kind = workload_kind(use.graph, use.component)
        if kind not in ("", "Deployment") or not surges_first(use.component, everywhere):
            continue
        for pod, message in _unschedulable_pods(use):
            older = [
                old_pod
                for old_pod in use.pods
                if _pod_generation(old_pod) != _pod_generation(pod)
                and get_path(old_pod, "spec", "nodeName")
                and labels_of(old_pod).get(_TEMPLATE_HASH_LABEL)
            ]
            holding = [
                o for o in older if get_path(o, "spec", "nodeName") in context.cache.node_names
            ]
            if not holding or not _INSUFFICIENT_GPU.search(message):
                continue
            yield Finding(
                use.about,
                f"the rollout of component {use.component.name} is deadlocked: the new pod "
                f"needs the GPUs that {name_of(holding[0])} holds until the new one is ready",
                (
                    Evidence(object_reference(pod), "condition PodScheduled", message),
                    *(observations.field_evidence(o, "spec", "nodeName") for o in holding),
                ),
                use.pin_fix("--recreate"),
            )
            break


def _pod_generation(pod: Object) -> str:
    labels = labels_of(pod)
    return str(labels.get(HASH_LABEL, "")) + str(labels.get(_TEMPLATE_HASH_LABEL, ""))


@register_check("FM732", "the pods are replaced when the graph changes", explains=("FM733",))
def pods_are_replaced_when_graph_changes(context: CheckContext) -> Iterator[Finding]:
    """Grove does not replace the graph's pods by itself.

    It replaces pods only when somebody deletes them (`OnDelete`), and the graph has pods from
    before it was pinned. Delete them; the new pods have the mount.
    """
    reported: set[str] = set()
    for use in reading_workers(context):
        graph_annotations = annotations_of(use.graph.object)
        spec = get_path(use.graph.object, "spec", "annotations", default={})
        value = graph_annotations.get(GROVE_STRATEGY_ANNOTATION) or spec.get(
            GROVE_STRATEGY_ANNOTATION
        )
        old = _outdated_pods(context, use)
        if value != "OnDelete" or not old or use.about in reported:
            continue
        reported.add(use.about)
        yield Finding(
            use.about,
            f"Grove replaces pods only when they are deleted, and {name_of(old[0])} is from before "
            "the pin",
            (Evidence(use.about, f"annotation {GROVE_STRATEGY_ANNOTATION}", "OnDelete"),),
            Fix(
                fix_commands.kubectl_command(
                    use.graph.object, "delete", "pod", flags=("-l", _pod_selector(use))
                )
            ),
        )


def _pod_selector(use: ComponentUsage) -> str:
    label = SELECTOR_LABEL if use.graph.kind == COMPONENT else GRAPH_LABEL
    return f"{label}={use.graph.name}"


@register_check("FM733", "the workers' pods are up to date", severity=Severity.WARNING)
def worker_pods_are_up_to_date(context: CheckContext) -> Iterator[Finding]:
    """A pod of the graph is older than the pin.

    The graph mounts the cache, but this pod does not, or is not bound to the cache's nodes. During
    a rollout this resolves itself. If it stays, the operator does not update the pods, or waits for
    something.
    """
    for use in reading_workers(context):
        for pod in _outdated_pods(context, use):
            mounts = any(
                get_path(v, "persistentVolumeClaim", "claimName") == context.cache.name
                for v in get_path(pod, "spec", "volumes", default=[])
            )
            problem = "is not bound to the cache's nodes" if mounts else "does not mount the cache"
            yield Finding(
                object_reference(pod),
                f"it is older than the pin of component {use.component.name} and {problem}",
                (
                    Evidence(object_reference(pod), "spec", problem),
                    use.field_evidence("mount", use.claim_mount.path if use.claim_mount else ""),
                ),
                use.pin_fix("--wait"),
            )
