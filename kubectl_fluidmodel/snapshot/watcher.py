"""A Snapshot that is kept up to date by one watch per kind."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.watch import Informer, Transform
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, labels_of, metadata_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.objects.pods import claim_names
from kubectl_fluidmodel.snapshot import collector
from kubectl_fluidmodel.snapshot.queries import CACHE_LABELS, GRAPH_LABELS, ListQuery
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot

_UNWATCHED = (kinds.PVS, kinds.EVENTS)
"""Kinds that no view needs during a watch; events would change all the time."""


class SnapshotWatcher:
    """Watches the kinds of some queries; `snapshot()` returns their current state."""

    def __init__(self, client: Client, namespace: str | None, queries: Sequence[ListQuery]) -> None:
        self._client = client
        self._namespace = namespace
        self._requested = queries
        self._server = ""
        self._queries: dict[Kind, ListQuery] = {}
        self.informer = Informer(client)

    def start(self) -> None:
        """Find out what the server serves, and begin to watch it.

        Raises:
            ClusterUnreachableError: the API server does not answer.
        """
        self._server, served = collector.discover(self._client, self._requested)
        self._queries = {read.kind: read for read in served if read.kind not in _UNWATCHED}
        for kind, read in self._queries.items():
            scope = collector.query_namespace(read, self._namespace)
            self.informer.start(
                kind,
                scope,
                labels=read.labels,
                fields=read.fields,
                transform=_watch_transform(read),
                prefilter=read.prefilter,
            )

    def snapshot(self) -> Snapshot:
        """The current state; a kind that was not listed yet is a read failure."""
        snapshot = Snapshot(self._namespace, time.time(), self._server)
        snapshot.versions = {kind.resource: kind.version for kind in self._queries}
        for kind, read in self._queries.items():
            scope = collector.query_namespace(read, self._namespace) or ""
            if kind in self.informer.denied:
                reason = self.informer.denied[kind]
                snapshot.read_failures.append(ReadFailure(kind.resource, scope, reason, True))
            elif not self.informer.is_watching(kind):
                reason = self.informer.last_error or "not listed yet"
                snapshot.read_failures.append(ReadFailure(kind.resource, scope, reason, False))
            else:
                snapshot.objects[kind.resource] = [
                    _with_kind(kind, obj) for obj in self.informer.list_objects(kind)
                ]
                if read.labels:
                    snapshot.selectors[kind.resource] = read.labels
        return snapshot

    def close(self) -> None:
        self.informer.close()


def _with_kind(kind: Kind, obj: Object) -> Object:
    """The object with its kind and apiVersion, which items of a list lack."""
    obj.setdefault("kind", kind.name)
    obj.setdefault("apiVersion", kind.api_version)
    return obj


def _watch_transform(query: ListQuery) -> Transform:
    """What is kept during a watch: the query's choice, unless it depends on other kinds."""
    if query.kind == kinds.PODS:
        return _strip_pod
    if query.kind in (kinds.PVCS, kinds.NODES):
        return _strip_object
    return lambda obj: query.transform(obj, set())


def _strip_pod(obj: Object) -> Object | None:
    labels = labels_of(obj)
    has_label = any(label in labels for label in (*CACHE_LABELS, *GRAPH_LABELS))
    if not has_label and not claim_names(obj):
        return None
    spec, status = obj.get("spec"), get_path(obj, "status", default={})
    status_fields = (
        "phase",
        "reason",
        "message",
        "conditions",
        "containerStatuses",
        "initContainerStatuses",
        "podIP",
        "hostIP",
    )
    return {
        "metadata": _strip_metadata(obj),
        "spec": {
            "nodeName": get_path(spec, "nodeName"),
            "volumes": [
                volume for volume in get_list(spec, "volumes") if "persistentVolumeClaim" in volume
            ],
            "containers": [
                {key: container.get(key) for key in ("name", "volumeMounts", "resources")}
                for container in get_list(spec, "containers")
            ],
        },
        "status": {key: status[key] for key in status_fields if key in status},
    }


def _strip_object(obj: Object) -> Object:
    """Claims and nodes: names, labels and health."""
    spec, status = obj.get("spec"), obj.get("status")
    return {
        "metadata": _strip_metadata(obj),
        "spec": {key: get_path(spec, key) for key in ("volumeName", "unschedulable", "taints")},
        "status": {key: get_path(status, key) for key in ("phase", "conditions", "allocatable")},
    }


def _strip_metadata(obj: Object) -> Object:
    return {key: value for key, value in metadata_of(obj).items() if key != "managedFields"}
