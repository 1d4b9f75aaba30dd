"""The watches on one cache while `cache` waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL, labels_of
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class CacheTarget:
    """The cache to wait for."""

    namespace: str
    name: str
    listing: FileListing | None
    """The files of the source; None if it was not listed."""
    replicas: int
    load: bool
    """Whether a DataLoad fills it."""
    hostnames: tuple[str, ...] = ()
    """Host names of the chosen nodes; empty if the scheduler chooses."""


@contextmanager
def watch_cache(client: Client, target: CacheTarget) -> Iterator[Informer]:
    """Watch the cache's objects, pods, nodes and the namespace's warnings."""
    informer = Informer(client)
    selector = f"metadata.name={target.name}"
    namespace = target.namespace
    watched = [names.DATASETS, names.ALLUXIO_RUNTIMES, kinds.PVCS]
    try:
        for kind in [*watched, *([names.DATA_LOADS] if target.load else [])]:
            informer.start(kind, namespace, fields=selector)
        releases = f"release in ({target.name},{target.name}-loader)"
        informer.start(kinds.PODS, namespace, labels=releases)
        informer.start(kinds.EVENTS, namespace, fields="type=Warning")
        if target.hostnames:
            label_selector = f"{HOSTNAME_LABEL} in ({','.join(target.hostnames)})"
            informer.start(kinds.NODES, labels=label_selector)
        yield informer
    finally:
        informer.close()


def missing_nodes(informer: Informer, target: CacheTarget) -> list[str]:
    """Return the chosen nodes that no longer exist; empty if nodes cannot be watched."""
    if not informer.is_watching(kinds.NODES):
        return []
    nodes = informer.list_objects(kinds.NODES)
    existing = {labels_of(node).get(HOSTNAME_LABEL) for node in nodes}
    return [hostname for hostname in target.hostnames if hostname not in existing]
