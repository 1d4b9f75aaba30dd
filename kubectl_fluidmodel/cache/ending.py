"""A cache must not be built, or called proven, on what is being deleted."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.cache import removal
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import KubeError
from kubectl_fluidmodel.objects.access import Object, name_of, namespace_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating


def being_deleted_error(obj: Object, pods: Sequence[str] = ()) -> FluidModelError:
    """The error for an object that is being deleted; `pods` are those that hold it."""
    kind, namespace = str(obj.get("kind", "object")), namespace_of(obj)
    where = f" -n {namespace}" if namespace else ""
    return FluidModelError(
        f"{kind} {name_of(obj)} is being deleted",
        describe_deletion(obj, pods),
        f"kubectl delete pod {' '.join(pods[:10])}{where}, then the same command again"
        if pods
        else f"the same command again when it is gone (kubectl get {kind.lower()} "
        f"{name_of(obj)}{where} -o yaml shows what holds it)",
    )


def require_not_deleting(
    client: Client, namespace: str, claim: str, objects: Sequence[Object | None]
) -> None:
    """Raises: FluidModelError: one of the objects is being deleted; names the pods that hold it,
    which are those that mount the claim.
    """
    for obj in objects:
        if obj is not None and is_terminating(obj):
            raise being_deleted_error(obj, pods_holding(client, namespace, claim))


def pods_holding(client: Client, namespace: str, claim: str) -> list[str]:
    """The pods that mount a claim; empty where they cannot be seen."""
    try:
        return removal.pods_mounting(client, namespace, claim)
    except KubeError:
        return []
