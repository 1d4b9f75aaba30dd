"""Takes a Snapshot of a live cluster: discovery, then two waves of parallel list requests.

The second wave starts as soon as the caches are known, while the rest of the first wave is running.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError, ForbiddenError, NotFoundError
from kubectl_fluidmodel.objects.access import Object, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot.executor import AdaptiveExecutor
from kubectl_fluidmodel.snapshot.queries import CacheKeys, ListQuery, ListScope
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot

_RETRY_TIMEOUT = 5.0
"""Seconds for retries of a list request while the server is overloaded or restarts."""
_CACHE_RESOURCES = tuple(kind.resource for kind in (names.DATASETS, *names.RUNTIME_KINDS))
"""Kinds that the second wave depends on."""
_OPTIONAL_GROUPS = ("data.fluid.io", "workload.fluid.io", "nvidia.com")
"""API groups that a cluster may not serve, or serve in another version."""
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def collect(client: Client, namespace: str | None, queries: Sequence[ListQuery]) -> Snapshot:
    """Run the queries; what cannot be read is in `read_failures`.

    Raises:
        ClusterUnreachableError: the API server does not respond at all.
    """
    snapshot = Snapshot(namespace, time.time())
    # A wrong address fails at once; a server that responded gets time for retries.
    snapshot.server_version = _server_version(client)
    before, client.retry_timeout = client.retry_timeout, max(client.retry_timeout, _RETRY_TIMEOUT)
    try:
        _run_queries(client, snapshot, queries)
    finally:
        client.retry_timeout = before
    return snapshot


def _run_queries(client: Client, snapshot: Snapshot, queries: Sequence[ListQuery]) -> None:
    with AdaptiveExecutor() as executor:
        served = _served_queries(client, executor, queries)
        snapshot.versions = {read.kind.resource: read.kind.version for read in served}
        caches: CacheKeys = set()
        running = {
            read: executor.submit(_run_query, client, snapshot.namespace, read, caches)
            for read in served
            if not read.needs_caches
        }
        cache_reads = [read for read in running if read.kind.resource in _CACHE_RESOURCES]
        _add_results(snapshot, {read: running.pop(read) for read in cache_reads})
        for resource in _CACHE_RESOURCES:
            objects = snapshot.objects.get(resource, [])
            caches.update((namespace_of(obj), name_of(obj)) for obj in objects)
        for read in served:
            if read.needs_caches:
                running[read] = executor.submit(
                    _run_query, client, snapshot.namespace, read, caches
                )
        _add_results(snapshot, running)


def discover(client: Client, queries: Sequence[ListQuery]) -> tuple[str, list[ListQuery]]:
    """Return the server's version, and the queries of kinds that it serves, in served versions.

    Raises:
        ClusterUnreachableError: the API server does not respond.
    """
    version = _server_version(client)
    with AdaptiveExecutor() as executor:
        return version, _served_queries(client, executor, queries)


def _served_queries(
    client: Client, executor: AdaptiveExecutor, queries: Sequence[ListQuery]
) -> list[ListQuery]:
    groups = [
        executor.submit(_discover_group, client, group, queries) for group in _OPTIONAL_GROUPS
    ]
    kinds = {resource: kind for group in groups for resource, kind in group.result().items()}
    in_served_versions = (_in_served_version(query, kinds) for query in queries)
    return [query for query in in_served_versions if query]


def _add_results(snapshot: Snapshot, running: Mapping[ListQuery, Future[list[Object]]]) -> None:
    for read, future in running.items():
        namespace = query_namespace(read, snapshot.namespace) or ""
        try:
            objects = future.result()
        except NotFoundError:
            snapshot.versions.pop(read.kind.resource, None)
            continue
        except FluidModelError as err:
            denied = isinstance(err, ForbiddenError)
            reason = err.reason or err.message
            snapshot.read_failures.append(
                ReadFailure(read.kind.resource, namespace, reason, denied)
            )
            continue
        stored = snapshot.objects.setdefault(read.kind.resource, [])
        stored_keys = {(namespace_of(obj), name_of(obj)) for obj in stored}
        stored += [obj for obj in objects if (namespace_of(obj), name_of(obj)) not in stored_keys]
        if read.keeps_all:
            snapshot.complete_kinds.append(read.kind.resource)
        if read.labels:
            snapshot.selectors[read.kind.resource] = read.labels


def _run_query(
    client: Client, namespace: str | None, query: ListQuery, caches: CacheKeys
) -> list[Object]:
    return client.list_objects(
        query.kind,
        query_namespace(query, namespace),
        labels=query.labels,
        fields=query_fields(query, namespace),
        metadata_only=query.metadata_only,
        transform=lambda obj: query.transform(obj, caches),
        prefilter=query.prefilter,
    )


def query_namespace(query: ListQuery, namespace: str | None) -> str | None:
    """The namespace of a query; None for all."""
    if not query.kind.namespaced or query.scope is ListScope.CLUSTER:
        return None
    return names.SYSTEM_NAMESPACE if query.scope is ListScope.FLUID_NAMESPACE else namespace


def query_fields(query: ListQuery, namespace: str | None) -> str:
    """The field selector of a query."""
    if query.scope is ListScope.NAMESPACE_OBJECT and namespace is not None:
        return f"metadata.name={namespace}"
    return query.fields


def _in_served_version(query: ListQuery, served: dict[str, Kind]) -> ListQuery | None:
    """The query in the version that the cluster serves; None if it does not serve the kind."""
    if query.kind.group not in _OPTIONAL_GROUPS:
        return query
    kind = served.get(query.kind.resource)
    return replace(query, kind=kind) if kind else None


def _server_version(client: Client) -> str:
    try:
        return str(client.server_version())
    except ClusterUnreachableError:
        raise
    except FluidModelError:
        return ""


def _discover_group(client: Client, group: str, queries: Sequence[ListQuery]) -> dict[str, Kind]:
    """Resource to kind of all that a group serves, each in its newest version.

    If discovery fails, every kind counts as served, and its list request shows whether it is.
    """
    kinds: dict[str, Kind] = {}
    try:
        for version in sorted(client.served_versions(group), key=_version_priority):
            for entry in client.resources(group, version):
                plural, name = str(entry.get("name", "")), str(entry.get("kind", ""))
                if plural and "/" not in plural:
                    kind = Kind(group, version, name, plural, bool(get_path(entry, "namespaced")))
                    kinds[kind.resource] = kind  # newer ones come later and replace older ones
    except ClusterUnreachableError:
        raise
    except FluidModelError:
        return {query.kind.resource: query.kind for query in queries if query.kind.group == group}
    return kinds


def _version_priority(version: str) -> tuple[int, int, int]:
    """Kubernetes' order of versions: v2 over v1 over v1beta2 over v1beta1 over v1alpha1."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (-1, 0, 0)
    major, stage, minor = match.groups()
    return ({None: 2, "beta": 1, "alpha": 0}[stage], int(major), int(minor or 0))
