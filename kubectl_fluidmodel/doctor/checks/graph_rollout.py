"""7xx: do the pods of a pinned graph come up, and are they of the pinned template?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.graph_usage import ALL, Use, binding, keys_of, readers
from kubectl_fluidmodel.doctor.unschedulable import judge
from kubectl_fluidmodel.dynamo import rollout
from kubectl_fluidmodel.dynamo.pin_annotation import MOUNT, REQUIRE
from kubectl_fluidmodel.dynamo.resources import (
    COMPONENT,
    GRAPH_LABEL,
    GROVE_STRATEGY,
    HASH_LABEL,
    SELECTOR_LABEL,
)
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, annotations_of, at, labels_of, name_of
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.pin.preflight.rollout import backing, surges

_SHORT = re.compile(r"Insufficient (\S+/(?:gpu|mig)\S*?)[.,]?(?:\s|$)")
_CLAIM = re.compile(r"persistentvolumeclaim|PersistentVolumeClaims")
_TEMPLATE = "pod-template-hash"


def _waiting(use: Use) -> Iterator[tuple[Object, str]]:
    """The component's pods that the scheduler found no node for, with its words."""
    for pod in use.pods:
        words, unschedulable = rollout.trouble_of(pod)
        if unschedulable and not at(pod, "spec", "nodeName"):
            yield pod, " ".join(words.split())


def _old(case: Case, use: Use) -> list[Object]:
    """Pods made before the component got the mount, or its place on the cache's nodes."""
    bound = binding(use.component.pod_spec(), keys_of(case.own)) == ALL
    key = use.pinned.key if use.pinned and use.pinned.key else case.own.label
    mode = REQUIRE if bound and use.pinned and use.pinned.mode == REQUIRE else MOUNT
    return [p for p in use.pods if not rollout.is_new(p, case.own.name, key, mode)]


@check("FM730", "every worker has a node", needs=(kinds.PODS,), explains=("FM733",))
def placed(case: Case) -> Iterator[Finding]:
    """A worker that mounts the cache is Pending. The scheduler's own words say what each node
    lacks; of the cache's nodes it is mostly GPUs that others hold. What waits for a claim is told
    elsewhere.
    """
    for use in readers(case):
        for pod, words in _waiting(use):
            if _CLAIM.search(words):
                continue
            nodes = case.own.node_names
            short = _SHORT.search(words)
            if short and nodes:
                cause = (
                    f"no node with the cache ({', '.join(nodes[:3])}) has {short[1]} free for it"
                )
                fix = Fix(
                    command(
                        *("kubectl", "get", "pods", "-A", "-o", "wide"),
                        *("--field-selector", f"spec.nodeName={nodes[0]}"),
                    ),
                    "advice",
                )
            else:
                cause = "the scheduler finds no node for it"
                fix = Fix(
                    fix_commands.kubectl(pod, "describe", "pod", Operand(name_of(pod))), "advice"
                )
            without = judge(case, "worker", pod, words)
            yield Finding(
                reference(pod),
                f"{cause}: {without.why_not()}" if without.judged else cause,
                without.evidence(),
                fix,
            )


@check("FM731", "the roll-out comes to its end", needs=(kinds.PODS,), explains=("FM730", "FM733"))
def no_deadlock(case: Case) -> Iterator[Finding]:
    """A new pod has to be Ready before an old one goes, and the old ones hold the GPUs of the
    cache's nodes: both wait for ever. With one or two replicas that is what the default of 25%
    surge comes to. `pin --recreate` lets the old pods go first, at the price of a gap in service.
    """
    for use in readers(case):
        everywhere = at(use.graph.object, "spec", "annotations", default={})
        # Grove and LeaderWorkerSets do not surge; where nothing tells, they have no template hash.
        kind = backing(use.graph, use.component)
        if kind not in ("", "Deployment") or not surges(use.component, everywhere):
            continue
        for pod, words in _waiting(use):
            older = [
                other
                for other in use.pods
                if _generation(other) != _generation(pod)
                and at(other, "spec", "nodeName")
                and labels_of(other).get(_TEMPLATE)
            ]
            holding = [o for o in older if at(o, "spec", "nodeName") in case.own.node_names]
            if not holding or not _SHORT.search(words):
                continue
            yield Finding(
                use.about,
                f"the roll-out of component {use.component.name} waits for itself: the new pod "
                f"needs the GPUs that {name_of(holding[0])} holds until the new one is ready",
                (
                    Evidence(reference(pod), "condition PodScheduled", words),
                    *(
                        Evidence(reference(o), "spec.nodeName", str(at(o, "spec", "nodeName")))
                        for o in holding
                    ),
                ),
                use.pin("--recreate"),
            )
            break


def _generation(pod: Object) -> str:
    labels = labels_of(pod)
    return str(labels.get(HASH_LABEL, "")) + str(labels.get(_TEMPLATE, ""))


@check("FM732", "the pods are replaced when the graph changes", explains=("FM733",))
def rolled(case: Case) -> Iterator[Finding]:
    """Grove is told to replace pods only when somebody deletes them (`OnDelete`), and the graph has
    pods from before it was pinned. Delete them, and the new ones come with the mount.
    """
    told: set[str] = set()
    for use in readers(case):
        where = annotations_of(use.graph.object)
        spec = at(use.graph.object, "spec", "annotations", default={})
        value = where.get(GROVE_STRATEGY) or spec.get(GROVE_STRATEGY)
        old = _old(case, use)
        if value != "OnDelete" or not old or use.about in told:
            continue
        told.add(use.about)
        yield Finding(
            use.about,
            f"Grove replaces pods only when they are deleted, and {name_of(old[0])} is from before "
            "the pin",
            (Evidence(use.about, f"annotation {GROVE_STRATEGY}", "OnDelete"),),
            Fix(
                fix_commands.kubectl(
                    use.graph.object, "delete", "pod", flags=("-l", _selector(use))
                )
            ),
        )


def _selector(use: Use) -> str:
    label = SELECTOR_LABEL if use.graph.kind == COMPONENT else GRAPH_LABEL
    return f"{label}={use.graph.name}"


@check("FM733", "the workers' pods are of the pinned template", severity=Severity.WARNING)
def up_to_date(case: Case) -> Iterator[Finding]:
    """The graph mounts the cache, and a pod of it does not (or is not bound to its nodes): it is
    from before the change. During a roll-out that passes by itself; if it stays, the operator
    does not follow, or waits for something.
    """
    for use in readers(case):
        for pod in _old(case, use):
            mounts = any(
                at(v, "persistentVolumeClaim", "claimName") == case.own.name
                for v in at(pod, "spec", "volumes", default=[])
            )
            lacks = "is not bound to the cache's nodes" if mounts else "does not mount the cache"
            yield Finding(
                reference(pod),
                f"it is from before component {use.component.name} was pinned and {lacks}",
                (
                    Evidence(reference(pod), "spec", lacks),
                    use.field("mount", use.mounted.path if use.mounted else ""),
                ),
                use.pin("--wait"),
            )
