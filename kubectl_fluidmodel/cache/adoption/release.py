"""Releases an adopted cache: removes our labels and annotations, and keeps all other content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubectl_fluidmodel.cache import apply, removal
from kubectl_fluidmodel.cache.adoption.metadata import release_object
from kubectl_fluidmodel.cache.apply import kind_for
from kubectl_fluidmodel.cache.hints import RBAC_DOCS
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.output.shell import Operand, kubectl

_SUFFIXES = {"client": " (client dry run)", "server": " (server dry run)"}


def release(client: Client, namespace: str, name: str, dry_run: str = "none") -> Iterator[str]:
    """Remove our labels and annotations from an adopted cache.

    Objects that we created beside it are deleted.

    Args:
        client: The cluster.
        namespace: The cache's namespace.
        name: The cache's name.
        dry_run: `none`; `client` sends nothing; with `server`, the API server persists nothing.

    Yields:
        A line for each object.

    Raises:
        FluidModelError: nothing of the cache was adopted, or a permission is missing.
    """
    owned = removal.owned_objects(client, namespace, name)
    adopted = [obj for obj in owned if names.is_adopted(obj)]
    if not adopted:
        raise FluidModelError(
            f"cache {name} in namespace {namespace} was not adopted",
            "only an adopted cache can be released",
            kubectl("fluidmodel", "inspect", Operand(name), namespace=namespace),
        )
    permissions.require_permissions(
        client,
        _required_permissions(owned, namespace),
        task=f"release a cache in {namespace}",
        docs=RBAC_DOCS,
    )
    suffix, on_server = _SUFFIXES.get(dry_run, ""), dry_run == "server"
    for obj in owned:
        if not names.is_adopted(obj):
            if dry_run != "client":
                client.delete(kind_for(obj), name_of(obj), namespace, dry_run=on_server)
            yield f"{kubectl_name(obj)} deleted{suffix}"
    # Release the Dataset last, so the same command continues an interrupted run.
    for obj in sorted(adopted, key=lambda obj: obj["kind"] == names.DATASETS.name):
        if dry_run != "client":
            apply.apply_object(client, release_object(obj), dry_run=on_server)
        yield f"{kubectl_name(obj)} released{suffix}"


def _required_permissions(owned: Sequence[Object], namespace: str) -> list[Permission]:
    return [
        Permission("patch" if names.is_adopted(obj) else "delete", kind_for(obj), namespace)
        for obj in owned
    ]
