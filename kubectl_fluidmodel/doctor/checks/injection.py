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
    event_evidence,
    involved_object,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.fluid import installation
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import annotations_of, get_list, labels_of, namespace_of
from kubectl_fluidmodel.output.shell import Operand

INJECT_LABEL = "fuse.serverful.fluid.io/inject"
"""On a pod: asks the webhook to change it."""
_ENABLE_LABEL = "fluid.io/enable-injection"
"""On a pod: `false` keeps the webhook from changing it."""
DATASETS_IN_USE_ANNOTATION = "fluid.io/datasets-in-use"
"""On a pod that the webhook has changed."""


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
        owner = involved_object(event)
        if namespace_of(owner) != cache.namespace:
            continue
        missing = re.search(r"(?:runtime infos from PVCs|following PVCs) \[([^\]]*)\]", message)
        webhook = re.search(r'failed calling webhook "(\S*\.fluid\.io)"', message)
        if missing and cache.name not in missing[1].split():
            continue
        if not missing and not (webhook and _may_have_readers(context)):
            continue
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
        yield Finding(object_reference(owner), cause, (event_evidence(event),), fix)


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
    for reader in context.cache.readers:
        labels = labels_of(reader.pod)
        is_injected = DATASETS_IN_USE_ANNOTATION in annotations_of(reader.pod)
        if labels.get(INJECT_LABEL) != "true" or is_injected:
            continue
        off = labels.get(_ENABLE_LABEL) == "false"
        if off:
            fix = Fix(f"remove the label {_ENABLE_LABEL} from the pod's template", "advice")
        elif get_list(reader.pod, "metadata", "ownerReferences"):
            fix = Fix(fix_commands.delete_objects(reader.pod))
        else:
            fix = Fix("recreate the pod: Fluid does not change existing ones", "advice")
        yield Finding(
            object_reference(reader.pod),
            "it asks for Fluid's injection, "
            + ("but another label forbids it" if off else "but was created without it"),
            (
                observations.label_evidence(reader.pod, _ENABLE_LABEL if off else INJECT_LABEL),
                observations.field_evidence(
                    reader.pod, "metadata", "annotations", DATASETS_IN_USE_ANNOTATION
                ),
            ),
            fix,
        )
