"""Refuses to build a cache on objects that are being deleted, or to report one as complete."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.cache import removal
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import KubeError
from kubectl_fluidmodel.objects.access import Object, name_of, namespace_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.output.shell import Operand, kubectl, operands

_MAX_PODS = 10


def being_deleted_error(obj: Object, pods: Sequence[str] = ()) -> FluidModelError:
    """Return the error for an object that is being deleted.

    Args:
        obj: The object, with its kind.
        pods: The names of the pods that hold it.
    """
    kind, namespace = str(obj.get("kind", "object")), namespace_of(obj)
    if pods:
        delete = kubectl("delete", "pod", *operands(pods[:_MAX_PODS]), namespace=namespace)
        hint = f"{delete}, then the same command again"
    else:
        get = ("get", kind.lower(), Operand(name_of(obj)), "-o", "yaml")
        hint = (
            f"the same command again when it is deleted ({kubectl(*get, namespace=namespace)} "
            "shows what holds it)"
        )
    return FluidModelError(
        f"{kind} {name_of(obj)} is being deleted", describe_deletion(obj, pods), hint
    )


def require_not_deleting(
    client: Client, namespace: str, claim: str, objects: Sequence[Object | None]
) -> None:
    """Check that none of the objects is being deleted.

    Raises:
        FluidModelError: names the object, and the pods that hold it by mounting the claim.
    """
    for obj in objects:
        if obj is not None and is_terminating(obj):
            raise being_deleted_error(obj, pods_holding(client, namespace, claim))


def pods_holding(client: Client, namespace: str, claim: str) -> list[str]:
    """Return the names of the pods that mount a claim; empty if they cannot be listed."""
    try:
        return removal.pods_mounting(client, namespace, claim)
    except KubeError:
        return []
