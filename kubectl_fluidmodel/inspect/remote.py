"""What lies outside the cluster, looked up for a cache that is there: the Hub and the bucket."""

from __future__ import annotations

from dataclasses import replace

from kubectl_fluidmodel.cache.source_info import reachable
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inspect.details import Hub
from kubectl_fluidmodel.inventory import staging_status
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.inventory.staging_status import Staging
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden, NotFound
from kubectl_fluidmodel.objects.access import annotations_of, at, dicts

_STALL = 3.0
_PATIENCE = 2.0
"""Seconds: a look at a cache must not hang on a Hub that is out of reach."""


def newest(cache: Cached) -> Hub | None:
    """The commit of the model's main branch now; None where the cache is of no Hub's commit."""
    dataset = cache.dataset or {}
    source = names.source_of(dataset)
    if not source.startswith("hf://") or not annotations_of(dataset).get(names.COMMIT_ANNOTATION):
        return None
    from kubectl_fluidmodel.hub.client import Hub as Api
    from kubectl_fluidmodel.hub.http import login

    repo, _, revision = source.removeprefix("hf://").partition("@")
    try:
        api = Api(login(), stall=_STALL, patience=_PATIENCE, connections=1)
        return Hub(commit=api.commit(repo, revision, patience=_PATIENCE))
    except FluidModelError as err:
        return Hub(why=err.why or err.what)


def proven(cache: Cached, client: Client) -> Staging | None:
    """What the manifest in the bucket says; None where the cache is of no staged commit.

    The store is logged in to as the cache does, with the keys of its Secret, or with those of the
    environment where the Secret may not be read.
    """
    known, where = staging_status.staging(cache), staging_status.place(cache)
    if known is None or where is None:
        return known
    from kubectl_fluidmodel.stage import credentials, manifest

    options = at(cache.dataset, "spec", "mounts", 0, "options", default={})
    endpoint = str(at(options, "alluxio.underfs.s3.endpoint", default="")) or None
    region = next(
        (
            str(at(options, f"alluxio.underfs.s3.{key}"))
            for key in ("endpoint.region", "region")
            if at(options, f"alluxio.underfs.s3.{key}")
        ),
        None,
    )
    try:
        try:
            store = credentials.store_of(endpoint, region, _secret(cache), client, cache.namespace)
        except (Forbidden, NotFound):
            store = credentials.store_of(endpoint, region)
        with reachable(store, client, cache.namespace) as near:
            found = manifest.read(near, where)
    except FluidModelError as err:
        # A manifest that was read and is wrong is an answer; a store that refuses us is none.
        damaged = err.what.startswith("the manifest ")
        return replace(known, verified=False if damaged else None, why=err.why or err.what)
    if found is None:
        return replace(known, verified=False, why="there is no manifest beside it")
    return replace(
        known,
        verified=True,
        files=len(found.entries),
        bytes=found.bytes,
        staged_at=found.staged_at,
    )


def _secret(cache: Cached) -> str | None:
    """The Secret that the Dataset's mount takes its keys from."""
    for option in dicts(cache.dataset, "spec", "mounts", 0, "encryptOptions"):
        name = at(option, "valueFrom", "secretKeyRef", "name")
        if name:
            return str(name)
    return None
