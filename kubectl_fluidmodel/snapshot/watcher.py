"""A Snapshot that stays up to date: one watch for each kind, and what is held of each object."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kubectl_fluidmodel.dynamo import resources as dynamo
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.watch import Feed, Keep
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, labels_of, meta
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot import collector
from kubectl_fluidmodel.snapshot.queries import Known, Read, claims_of
from kubectl_fluidmodel.snapshot.snapshot import Missing, Snapshot

_MARKS = (
    names.MODEL_LABEL,
    "release",
    "targetDataset",
    names.CACHE_RUNTIME_LABEL,
    dynamo.GRAPH_LABEL,
    dynamo.SELECTOR_LABEL,
)
_SKIPPED = (kinds.PVS, kinds.EVENTS)
"""Of what `inspect` reads: no view needs them while it watches, and events never rest."""


class Stream:
    """Watches of the kinds of some reads; `snapshot()` is what they know now."""

    def __init__(self, client: Client, namespace: str | None, reads: Sequence[Read]) -> None:
        self._namespace = namespace
        self._server, wanted = collector.served(client, reads)
        self._reads = {read.kind: read for read in wanted if read.kind not in _SKIPPED}
        self.feed = Feed(client)
        for kind, read in self._reads.items():
            where = collector.namespace_of_read(read, namespace)
            self.feed.follow(
                kind,
                where,
                labels=read.labels,
                fields=read.fields,
                keep=_keep(read),
                marks=read.marks,
            )

    def snapshot(self) -> Snapshot:
        """What is known now; a kind that was not listed yet counts as missing."""
        found = Snapshot(self._namespace, time.time(), self._server)
        found.versions = {kind.resource: kind.version for kind in self._reads}
        for kind, read in self._reads.items():
            where = collector.namespace_of_read(read, self._namespace) or ""
            if kind in self.feed.denied:
                why = self.feed.denied[kind]
                found.missing.append(Missing(kind.resource, where, why, True))
            elif not self.feed.knows(kind):
                why = self.feed.trouble or "not listed yet"
                found.missing.append(Missing(kind.resource, where, why, False))
            else:
                found.objects[kind.resource] = [_typed(kind, obj) for obj in self.feed.all(kind)]
                if read.labels:
                    found.selectors[kind.resource] = read.labels
        return found

    def close(self) -> None:
        self.feed.close()


def _typed(kind: Kind, obj: Object) -> Object:
    """A list leaves out what kind its items are; a watch does not."""
    obj.setdefault("kind", kind.name)
    obj.setdefault("apiVersion", kind.api_version)
    return obj


def _keep(read: Read) -> Keep:
    """What is held while we watch: the read's own choice where that needs no other kind."""
    if read.kind == kinds.PODS:
        return _pod
    if read.kind in (kinds.PVCS, kinds.NODES):
        return _slim
    known = Known()
    return lambda obj: read.keep(obj, known)


def _pod(obj: Object) -> Object | None:
    labels = labels_of(obj)
    if not any(mark in labels for mark in _MARKS) and not any(claims_of(obj)):
        return None
    spec, status = obj.get("spec"), at(obj, "status", default={})
    kept = (
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
        "metadata": _meta(obj),
        "spec": {
            "nodeName": at(spec, "nodeName"),
            "volumes": [
                volume for volume in dicts(spec, "volumes") if "persistentVolumeClaim" in volume
            ],
            "containers": [
                {key: each.get(key) for key in ("name", "volumeMounts", "resources")}
                for each in dicts(spec, "containers")
            ],
        },
        "status": {key: status[key] for key in kept if key in status},
    }


def _slim(obj: Object) -> Object:
    """Claims and nodes: names, labels, and what is said of their health."""
    spec, status = obj.get("spec"), obj.get("status")
    return {
        "metadata": _meta(obj),
        "spec": {key: at(spec, key) for key in ("volumeName", "unschedulable", "taints")},
        "status": {key: at(status, key) for key in ("phase", "conditions", "allocatable")},
    }


def _meta(obj: Object) -> Object:
    return {key: value for key, value in meta(obj).items() if key != "managedFields"}
