"""Read everything that doctor checks: lists first, then logs, Secrets and stores."""

from __future__ import annotations

from kubectl_fluidmodel.doctor.collect import logs, occupants, secrets
from kubectl_fluidmodel.doctor.mount_probe import runner
from kubectl_fluidmodel.doctor.mount_probe.job import PodProbe
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
    pod_probe: PodProbe | None = None,
    all_logs: bool = False,
) -> Snapshot:
    """Read all that doctor checks: lists, logs, Secrets' key names, and the stores.

    Args:
        client: Of the cluster.
        namespace: The namespace to read; None for all.
        name: The only cache whose logs are read and whose mounts are probed; empty for all.
        probe_stores: Whether to probe the mounts.
        pod_probe: How to probe them from inside the cluster; None to probe them from here.
        all_logs: Whether to read the logs of healthy containers, too.

    Raises:
        ClusterUnreachableError: the API server does not respond at all.
    """
    snapshot = collector.collect(client, namespace, queries.DOCTOR_QUERIES)
    _read_referenced_datasets(client, snapshot)
    caches = select_caches(snapshot, name)
    occupants.collect_occupants(client, caches, snapshot)
    secrets.collect_secrets(client, caches, snapshot)
    logs.collect_logs(client, caches, snapshot, all_logs=all_logs)
    if probe_stores:
        runner.probe_mounts(client, caches, snapshot, pod_probe=pod_probe)
    return snapshot


_MAX_REFERENCED = 20
"""Datasets of other namespaces that are read, at most."""


def _read_referenced_datasets(client: Client, snapshot: Snapshot) -> None:
    """Read the Datasets of other namespaces that Datasets of this namespace refer to."""
    namespaces = dict.fromkeys(
        cache.refers_to
        for cache in build_caches(snapshot)
        if cache.refers_to and cache.origin is None and cache.refers_to[0] != snapshot.namespace
    )
    if snapshot.namespace is None:
        return
    for namespace, name in list(namespaces)[:_MAX_REFERENCED]:
        try:
            dataset = client.get_or_none(names.DATASETS, name, namespace)
        except FluidModelError:
            continue  # hidden by RBAC: no check reads it
        if dataset is None:
            snapshot.absent_objects.append(f"{names.DATASETS.resource}/{namespace}/{name}")
        else:
            snapshot.add(names.DATASETS, [{"kind": names.DATASETS.name, **dataset}])


def select_caches(snapshot: Snapshot, name: str) -> list[Cache]:
    """The caches in the requested namespace; only those of a name if one is given."""
    return [
        cache
        for cache in build_caches(snapshot)
        if snapshot.namespace in (None, cache.namespace) and name in ("", cache.name)
    ]
