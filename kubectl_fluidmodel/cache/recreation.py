"""Deletes a cache to create it again, with changes that Fluid cannot apply while it runs."""

from __future__ import annotations

from collections.abc import Callable

from kubectl_fluidmodel.cache import hints, removal
from kubectl_fluidmodel.cache.desired import DesiredCache
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.objects.access import name_of

_DELETE_TIMEOUT = 120.0
"""Timeout in seconds for Fluid to clean up deleted objects."""


def require_no_readers(client: Client, namespace: str, desired: DesiredCache) -> None:
    """Raises: FluidModelError: pods read from a cache that has to be recreated."""
    name = name_of(desired.dataset)
    dataset = client.get_or_none(names.DATASETS, name, namespace)
    message = f"cache {name} has to be recreated for this"
    changes = f"{message} ({'; '.join(desired.immutable_changes)})"
    removal.require_unreferenced(client, dataset, changes)
    try:
        pods = removal.pods_mounting(client, namespace, name)
    except ForbiddenError as err:
        raise FluidModelError(
            message,
            "cannot check whether pods read from it: " + err.reason,
            hints.uncache(name, namespace),
        ) from err
    if pods:
        raise FluidModelError(
            changes,
            f"pods read from it: {', '.join(pods[:5])}",
            f"stop them, or {hints.other_name(name)}",
        )


def delete_for_recreation(
    client: Client, namespace: str, desired: DesiredCache, log: Callable[[str], None]
) -> None:
    """Delete the existing cache, because of the immutable changes of the desired one.

    Raises:
        FluidModelError: pods read from it.
    """
    for change in desired.immutable_changes:
        log(f"changes {change}")
    require_no_readers(client, namespace, desired)
    log("Fluid cannot change this on a running cache: recreating it")
    for line in removal.delete_owned(
        client,
        namespace,
        name_of(desired.dataset),
        only=removal.RECREATED_KINDS,
        timeout=_DELETE_TIMEOUT,
    ):
        log(line)
