"""Read which Secrets of Datasets exist, and the names of their keys; values are dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.secret import encrypt_options
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, NotFoundError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, metadata_of
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot

_MAX_PARALLEL = 8
_METADATA_KEYS = ("name", "namespace", "uid", "labels", "creationTimestamp", "deletionTimestamp")


def collect_secrets(client: Client, caches: Sequence[Cache], snapshot: Snapshot) -> None:
    """Read the Secrets of the caches into the snapshot, without values.

    A Secret that does not exist is not in it; one that cannot be read is a read failure.
    """
    references = list(dict.fromkeys(name for cache in caches for name in referenced_secrets(cache)))
    secrets = []
    with ThreadPoolExecutor(_MAX_PARALLEL) as pool:
        for result in pool.map(lambda reference: _read_secret(client, *reference), references):
            if isinstance(result, ReadFailure):
                if result not in snapshot.read_failures:
                    snapshot.read_failures.append(result)
            elif result is not None:
                secrets.append(result)
    snapshot.add(kinds.SECRETS, secrets)


def referenced_secrets(cache: Cache) -> Iterator[tuple[str, str]]:
    """(namespace, name) of each Secret that a cache's Dataset refers to."""
    for option in encrypt_options(cache.dataset):
        name = get_path(option, "valueFrom", "secretKeyRef", "name")
        if name and isinstance(name, str):
            yield (cache.namespace, name)


def _read_secret(client: Client, namespace: str, name: str) -> Object | ReadFailure | None:
    try:
        secret = client.get(kinds.SECRETS, name, namespace)
    except NotFoundError:
        return None
    except FluidModelError as err:
        denied = isinstance(err, ForbiddenError)
        return ReadFailure(kinds.SECRETS.resource, namespace, err.reason or err.message, denied)
    data = secret.get("data")
    return {
        "apiVersion": kinds.SECRETS.api_version,
        "kind": kinds.SECRETS.name,
        "metadata": {
            key: value for key, value in metadata_of(secret).items() if key in _METADATA_KEYS
        },
        "data": {
            # Whether a value is empty is not secret, and a check reports it.
            str(key): "…" if value else ""
            for key, value in (data.items() if isinstance(data, dict) else ())
        },
    }
