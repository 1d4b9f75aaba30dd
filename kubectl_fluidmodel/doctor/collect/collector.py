"""Everything that doctor looks at, read live: lists, then what pods and stores say."""

from __future__ import annotations

from kubectl_fluidmodel.doctor.collect import logs, occupants, secrets
from kubectl_fluidmodel.doctor.mount_probe import runner
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache, build_caches
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.snapshot import collector, queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot


def collect_snapshot(
    client: Client,
    namespace: str | None,
    name: str = "",
    *,
    probe_stores: bool = True,
    probe_in_cluster: bool = False,
    all_logs: bool = False,
) -> Snapshot:
    """A Snapshot of a namespace (None: all); logs and stores of the cache `name` alone, if given.

    Without `stores` none is asked; with `probe` a short-lived pod asks them from within; with
    `everything` the logs of what is well are read too.

    Raises:
        ClusterUnreachableError: the API server does not answer at all.
    """
    snapshot = collector.collect(client, namespace, queries.DOCTOR_QUERIES)
    _read_referenced_datasets(client, snapshot)
    caches = select_caches(snapshot, name)
    occupants.collect_occupants(client, caches, snapshot)
    secrets.collect_secrets(client, caches, snapshot)
    logs.collect_logs(client, caches, snapshot, all_logs=all_logs)
    if probe_stores:
        runner.probe_mounts(client, caches, snapshot, in_cluster=probe_in_cluster)
    return snapshot


_MAX_REFERENCED = 20
"""Datasets of other namespaces that are looked up."""


def _read_referenced_datasets(client: Client, snapshot: Snapshot) -> None:
    """Read the Datasets of other namespaces that Datasets of this one refer to, one by one."""
    wanted = dict.fromkeys(
        each.refers_to
        for each in build_caches(snapshot)
        if each.refers_to and each.origin is None and each.refers_to[0] != snapshot.namespace
    )
    if snapshot.namespace is None:
        return
    for namespace, name in list(wanted)[:_MAX_REFERENCED]:
        try:
            found = client.get_or_none(names.DATASETS, name, namespace)
        except FluidModelError:
            continue  # not to be seen from here: nothing is said of it
        if found is None:
            snapshot.absent_objects.append(f"{names.DATASETS.resource}/{namespace}/{name}")
        else:
            snapshot.add(names.DATASETS, [{"kind": names.DATASETS.name, **found}])


def select_caches(snapshot: Snapshot, name: str) -> list[Cache]:
    """The caches of a snapshot: all, or the one of a name in the namespace that was asked for."""
    return [
        each
        for each in build_caches(snapshot)
        if snapshot.namespace in (None, each.namespace) and name in ("", each.name)
    ]
