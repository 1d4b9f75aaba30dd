"""Everything that doctor looks at, read live: lists, then what pods and stores say."""

from __future__ import annotations

from kubectl_fluidmodel.doctor.collect import logs, occupants, secrets
from kubectl_fluidmodel.doctor.mount_probe import runner
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cached, link
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.snapshot import collector, queries
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
    snapshot = collector.take(client, namespace, queries.DOCTOR)
    _beyond(client, snapshot)
    caches = chosen(snapshot, name)
    occupants.ask(client, caches, snapshot)
    secrets.ask(client, caches, snapshot)
    logs.ask(client, caches, snapshot, everything=everything)
    if stores:
        runner.ask(client, caches, snapshot, probe=probe)
    return snapshot


_MOST = 20
"""Datasets of other namespaces that are looked up."""


def _beyond(client: Client, snapshot: Snapshot) -> None:
    """Read the Datasets of other namespaces that Datasets of this one refer to, one by one."""
    wanted = dict.fromkeys(
        each.refers_to
        for each in link(snapshot)
        if each.refers_to and each.origin is None and each.refers_to[0] != snapshot.namespace
    )
    if snapshot.namespace is None:
        return
    for namespace, name in list(wanted)[:_MOST]:
        try:
            found = client.find(names.DATASETS, name, namespace)
        except FluidModelError:
            continue  # not to be seen from here: nothing is said of it
        if found is None:
            snapshot.absent.append(f"{names.DATASETS.resource}/{namespace}/{name}")
        else:
            snapshot.add(names.DATASETS, [{"kind": names.DATASETS.name, **found}])


def chosen(snapshot: Snapshot, name: str) -> list[Cached]:
    """The caches of a snapshot: all, or the one of a name in the namespace that was asked for."""
    return [
        each
        for each in link(snapshot)
        if snapshot.namespace in (None, each.namespace) and name in ("", each.name)
    ]
