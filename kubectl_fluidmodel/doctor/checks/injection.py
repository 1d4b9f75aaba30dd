"""4xx: what Fluid's webhook does with pods that read a cache: rejects, changes or ignores them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.fluid import installation
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import annotations_of, get_list, get_path, labels_of
from kubectl_fluidmodel.output.shell import Operand

INJECT_LABEL = "fuse.serverful.fluid.io/inject"
DATASETS_IN_USE_ANNOTATION = "fluid.io/datasets-in-use"


@register_check("FM440", "the API server admits pods that read the cache", needs=(kinds.EVENTS,))
def reader_pods_are_admitted(context: CheckContext) -> Iterator[Finding]:
    """The API server rejects pods that read the cache, because of Fluid's webhook.

    The webhook checks every new pod with the label fuse.serverful.fluid.io/inject. The API server
    rejects the pod if the webhook does not respond, if the pod's claim is missing, or if the
    Dataset is not Bound. No pod exists in that case; the rejection is an event of the pod's owner.
    """
    cache = context.cache
    for event in observations.creation_failures(context):
        message = str(event.get("message") or "")
        namespace = str(get_path(event, "involvedObject", "namespace", default=""))
        if namespace != cache.namespace:
            continue
        missing = re.search(r"(?:runtime infos from PVCs|following PVCs) \[([^\]]*)\]", message)
        webhook = re.search(r'failed calling webhook "(\S*\.fluid\.io)"', message)
        if missing and cache.name not in missing[1].split():
            continue
        if not missing and not (webhook and _may_have_readers(context)):
            continue
        involved = get_path(event, "involvedObject", default={})
        reference = f"{str(involved.get('kind', '')).lower()} {namespace}/{involved.get('name')}"
        evidence = observations.latest_event([event], "")
        cause = (
            f"Fluid's webhook rejects its pods: claim {cache.name} is missing or not Bound"
            if missing
            else f"Fluid's webhook {webhook[1] if webhook else ''} does not respond"
        )
        fix = (
            observations.advice(
                cache, "wait", Operand(f"dataset/{cache.name}"), "--for=condition=Ready"
            )
            if missing
            else observations.fluid_advice("get", "deployment", installation.WEBHOOK_SERVER)
        )
        yield Finding(reference, cause, observations.as_tuple(evidence), fix)


def _may_have_readers(context: CheckContext) -> bool:
    """Whether a rejected pod may be a reader of the cache; the event does not name the claim.

    It may be if a graph uses the cache, or if the namespace has no other.
    """
    neighbors = [cache for cache in context.caches if cache.namespace == context.cache.namespace]
    return bool(context.cache.graphs) or len(neighbors) == 1


@register_check(
    "FM443",
    "Fluid has injected what was asked for",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
)
def requested_injection_took_place(context: CheckContext) -> Iterator[Finding]:
    """Fluid's webhook did not change a pod that asks for it.

    The label asks the webhook to add the cache's node affinity and mounts that recover. The webhook
    was not available when the pod was created, or the label fluid.io/enable-injection=false forbids
    it. Webhooks change pods only at creation.
    """
    cache = context.cache
    for reader in cache.readers:
        labels = labels_of(reader.pod)
        if labels.get(INJECT_LABEL) != "true" or DATASETS_IN_USE_ANNOTATION in annotations_of(
            reader.pod
        ):
            continue
        off = labels.get("fluid.io/enable-injection") == "false"
        owned = bool(get_list(reader.pod, "metadata", "ownerReferences"))
        if off:
            key = "fluid.io/enable-injection"
            fix = Fix(f"remove the label {key} from the pod's template", "advice")
        elif owned:
            fix = Fix(fix_commands.delete_objects(reader.pod))
        else:
            fix = Fix("recreate the pod: Fluid does not change existing ones", "advice")
        yield Finding(
            object_reference(reader.pod),
            "it asks for Fluid's injection, "
            + ("but another label forbids it" if off else "but was created without it"),
            (
                observations.label_evidence(
                    reader.pod, "fluid.io/enable-injection" if off else INJECT_LABEL
                ),
                observations.field_evidence(
                    reader.pod, "metadata", "annotations", DATASETS_IN_USE_ANNOTATION
                ),
            ),
            fix,
        )
