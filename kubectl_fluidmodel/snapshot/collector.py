"""Taking a Snapshot of a live cluster: discovery, then two waves of lists, side by side.

The second wave begins as soon as the caches are known; the rest of the first goes on beside it.
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
from kubectl_fluidmodel.kube.errors import ClusterUnreachable, Forbidden, NotFound
from kubectl_fluidmodel.objects.access import Object, at, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot.executor import Crew
from kubectl_fluidmodel.snapshot.queries import Known, Read, Where
from kubectl_fluidmodel.snapshot.snapshot import Missing, Snapshot

_PATIENCE = 5.0
"""Seconds in which a list is asked for again while the server is overloaded or restarts."""
_CACHES = tuple(kind.resource for kind in (names.DATASETS, *names.RUNTIMES))
"""What the second wave is about."""
_CUSTOM = ("data.fluid.io", "workload.fluid.io", "nvidia.com")
"""Groups that a cluster may lack, or serve in another version."""
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def take(client: Client, namespace: str | None, reads: Sequence[Read]) -> Snapshot:
    """Read all of it; what cannot be read is in `missing`.

    Raises:
        ClusterUnreachable: the API server does not answer at all.
    """
    snapshot = Snapshot(namespace, time.time())
    # A wrong address is an error at once; a server that answered is given time for the rest.
    snapshot.server = _version(client)
    patience, client.patience = client.patience, max(client.patience, _PATIENCE)
    try:
        _read(client, snapshot, reads)
    finally:
        client.patience = patience
    return snapshot


def _read(client: Client, snapshot: Snapshot, reads: Sequence[Read]) -> None:
    with Crew() as crew:
        wanted = _wanted(client, crew, reads)
        snapshot.versions = {read.kind.resource: read.kind.version for read in wanted}
        known = Known()
        running = {
            read: crew.submit(_list, client, snapshot.namespace, read, known)
            for read in wanted
            if not read.second
        }
        caches = [read for read in running if read.kind.resource in _CACHES]
        _collect(snapshot, {read: running.pop(read) for read in caches})
        for resource in _CACHES:
            objects = snapshot.objects.get(resource, [])
            known.caches |= {(namespace_of(obj), name_of(obj)) for obj in objects}
        for read in wanted:
            if read.second:
                running[read] = crew.submit(_list, client, snapshot.namespace, read, known)
        _collect(snapshot, running)


def served(client: Client, reads: Sequence[Read]) -> tuple[str, list[Read]]:
    """The server's version, and the reads of kinds that it has, in the versions that it has.

    Raises:
        ClusterUnreachable: the API server does not answer.
    """
    version = _version(client)
    with Crew() as crew:
        return version, _wanted(client, crew, reads)


def _wanted(client: Client, crew: Crew, reads: Sequence[Read]) -> list[Read]:
    groups = [crew.submit(_discover, client, group, reads) for group in _CUSTOM]
    known = {resource: kind for each in groups for resource, kind in each.result().items()}
    return [each for each in (_as_served(read, known) for read in reads) if each]


def _collect(snapshot: Snapshot, running: Mapping[Read, Future[list[Object]]]) -> None:
    for read, future in running.items():
        where = namespace_of_read(read, snapshot.namespace) or ""
        try:
            found = future.result()
        except NotFound:
            snapshot.versions.pop(read.kind.resource, None)
            continue
        except FluidModelError as err:
            denied = isinstance(err, Forbidden)
            why = err.why or err.what
            snapshot.missing.append(Missing(read.kind.resource, where, why, denied))
            continue
        held = snapshot.objects.setdefault(read.kind.resource, [])
        there = {(namespace_of(obj), name_of(obj)) for obj in held}
        held += [obj for obj in found if (namespace_of(obj), name_of(obj)) not in there]
        if read.every:
            snapshot.every.append(read.kind.resource)
        if read.labels:
            snapshot.selectors[read.kind.resource] = read.labels


def _list(client: Client, namespace: str | None, read: Read, known: Known) -> list[Object]:
    return client.list_all(
        read.kind,
        namespace_of_read(read, namespace),
        labels=read.labels,
        fields=fields_of_read(read, namespace),
        metadata_only=read.metadata_only,
        keep=lambda obj: read.keep(obj, known),
        marks=read.marks,
    )


def namespace_of_read(read: Read, asked: str | None) -> str | None:
    """The namespace that a read is sent to; None for all."""
    if not read.kind.namespaced or read.where is Where.CLUSTER:
        return None
    return names.SYSTEM_NAMESPACE if read.where is Where.SYSTEM else asked


def fields_of_read(read: Read, asked: str | None) -> str:
    """The field selector that a read is sent with."""
    if read.where is Where.OWN and asked is not None:
        return f"metadata.name={asked}"
    return read.fields


def _as_served(read: Read, served: dict[str, Kind]) -> Read | None:
    """The read in the version that the cluster serves, None where it does not have the kind."""
    if read.kind.group not in _CUSTOM:
        return read
    kind = served.get(read.kind.resource)
    return replace(read, kind=kind) if kind else None


def _version(client: Client) -> str:
    try:
        return str(client.server_version())
    except ClusterUnreachable:
        raise
    except FluidModelError:
        return ""


def _discover(client: Client, group: str, reads: Sequence[Read]) -> dict[str, Kind]:
    """Resource to kind of all that a group serves, each in its newest version.

    Where the API server does not say, every kind is taken for served: its list will tell.
    """
    found: dict[str, Kind] = {}
    try:
        for version in sorted(client.served_versions(group), key=_stability):
            for entry in client.resources(group, version):
                plural, name = str(entry.get("name", "")), str(entry.get("kind", ""))
                if plural and "/" not in plural:
                    kind = Kind(group, version, name, plural, bool(at(entry, "namespaced")))
                    found[kind.resource] = kind  # newer ones come later and win
    except ClusterUnreachable:
        raise
    except FluidModelError:
        return {each.kind.resource: each.kind for each in reads if each.kind.group == group}
    return found


def _stability(version: str) -> tuple[int, int, int]:
    """Kubernetes' own order of versions: v2 over v1 over v1beta2 over v1beta1 over v1alpha1."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (-1, 0, 0)
    major, stage, minor = match.groups()
    return ({None: 2, "beta": 1, "alpha": 0}[stage], int(major), int(minor or 0))
