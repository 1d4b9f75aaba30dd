"""Which Secrets that Datasets name are there, and the names of their keys. Values are let go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden, NotFound
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, meta
from kubectl_fluidmodel.snapshot.snapshot import Missing, Snapshot

_AT_ONCE = 8
_KEPT = ("name", "namespace", "uid", "labels", "creationTimestamp", "deletionTimestamp")


def ask(client: Client, caches: Sequence[Cached], snapshot: Snapshot) -> None:
    """Put the Secrets of the caches into the snapshot, with empty values.

    One that is not there is simply absent; one that may not be read is in `missing`.
    """
    wanted = list(dict.fromkeys(name for cache in caches for name in named(cache)))
    found = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for answer in pool.map(lambda each: _read(client, *each), wanted):
            if isinstance(answer, Missing):
                if answer not in snapshot.missing:
                    snapshot.missing.append(answer)
            elif answer is not None:
                found.append(answer)
    snapshot.add(kinds.SECRETS, found)


def named(cache: Cached) -> Iterator[tuple[str, str]]:
    """(namespace, name) of each Secret that a cache's Dataset names."""
    for option in options(cache):
        name = at(option, "valueFrom", "secretKeyRef", "name")
        if name and isinstance(name, str):
            yield (cache.namespace, name)


def options(cache: Cached) -> list[Object]:
    """All encryptOptions of a cache's Dataset: of its mounts, and the shared ones."""
    found = dicts(cache.dataset, "spec", "sharedEncryptOptions")
    for mount in dicts(cache.dataset, "spec", "mounts"):
        found += dicts(mount, "encryptOptions")
    return found


def _read(client: Client, namespace: str, name: str) -> Object | Missing | None:
    try:
        secret = client.get(kinds.SECRETS, name, namespace)
    except NotFound:
        return None
    except FluidModelError as err:
        denied = isinstance(err, Forbidden)
        return Missing(kinds.SECRETS.resource, namespace, err.why or err.what, denied)
    data = secret.get("data")
    return {
        "apiVersion": kinds.SECRETS.api_version,
        "kind": kinds.SECRETS.name,
        "metadata": {key: value for key, value in meta(secret).items() if key in _KEPT},
        "data": {
            # Whether there is a value at all is no secret, and an empty one is a mistake.
            str(key): "…" if value else ""
            for key, value in (data.items() if isinstance(data, dict) else ())
        },
    }
