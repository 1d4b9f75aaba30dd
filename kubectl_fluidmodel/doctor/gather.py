"""Everything that doctor looks at, read live: lists, then what pods and stores say."""

from __future__ import annotations

from kubectl_fluidmodel.doctor import logs, occupants, secrets, store
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.overview.cached import Cached, link
from kubectl_fluidmodel.snapshot import live, reads
from kubectl_fluidmodel.snapshot.snapshot import Snapshot


def gather(
    client: Client,
    namespace: str | None,
    name: str = "",
    *,
    stores: bool = True,
    probe: bool = False,
    everything: bool = False,
) -> Snapshot:
    """A Snapshot of a namespace (None: all); logs and stores of the cache `name` alone, if given.

    Without `stores` none is asked; with `probe` a short-lived pod asks them from within; with
    `everything` the logs of what is well are read too.

    Raises:
        ClusterUnreachable: the API server does not answer at all.
    """
    snapshot = live.take(client, namespace, reads.DOCTOR)
    caches = chosen(snapshot, name)
    occupants.ask(client, caches, snapshot)
    secrets.ask(client, caches, snapshot)
    logs.ask(client, caches, snapshot, everything=everything)
    if stores:
        store.ask(client, caches, snapshot, probe=probe)
    return snapshot


def chosen(snapshot: Snapshot, name: str) -> list[Cached]:
    """The caches of a snapshot: all, or the one of a name in the namespace that was asked for."""
    return [
        each
        for each in link(snapshot)
        if not name or (each.name == name and each.namespace == snapshot.namespace)
    ]
