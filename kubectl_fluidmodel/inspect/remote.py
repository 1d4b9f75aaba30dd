"""Reads data from outside a Snapshot: the master's files, the newest commit, the manifest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from kubectl_fluidmodel.cache.source_info import reachable_store
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inspect.details import HubStatus, LiveDetails
from kubectl_fluidmodel.inventory import master_report, staging_status
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.mount_target import mount_targets
from kubectl_fluidmodel.inventory.staging_status import StagedModel
from kubectl_fluidmodel.inventory.succession import revision_of
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.objects.access import annotations_of
from kubectl_fluidmodel.snapshot.pod_commands import PodCommand, run_commands
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

_STALL_TIMEOUT = 3.0
_RETRY_TIMEOUT = 2.0
"""Timeout in seconds: an unreachable Hub must not block `inspect`."""


def fetch_live_details(client: Client, snapshot: Snapshot, cache: Cache) -> LiveDetails:
    """Ask the cache's master, its bucket and the Hub, at the same time.

    The master's answers go into the snapshot.
    """
    key = (cache.namespace, cache.name)
    pod, reason = master_report.find_master_pod(cache)
    commands = [
        PodCommand(
            master_report.command_key(*key, list(command)), cache.namespace, *pod, tuple(command)
        )
        for command in (master_report.LIST_COMMAND, master_report.CAPACITY_COMMAND)
        if pod is not None
    ]
    with ThreadPoolExecutor(3) as pool:
        answered = pool.submit(run_commands, client, snapshot, commands)
        hub = pool.submit(latest_hub_commit, cache)
        staged = pool.submit(read_staging_manifest, cache, client)
        error, commit, manifest = answered.result(), hub.result(), staged.result()
    return LiveDetails(
        hub={key: commit} if commit else {},
        staged={key: manifest} if manifest else {},
        files_reason=reason or f"could not query the Alluxio master: {error}",
    )


def latest_hub_commit(cache: Cache) -> HubStatus | None:
    """Return the newest commit of the branch that a cache follows; None for other sources."""
    dataset = cache.dataset or {}
    source = names.source_uri(dataset)
    if not source.startswith("hf://") or not annotations_of(dataset).get(names.COMMIT_ANNOTATION):
        return None
    from kubectl_fluidmodel.hub.client import HubClient as Api
    from kubectl_fluidmodel.hub.http import load_credentials

    repo = source.removeprefix("hf://").partition("@")[0]
    try:
        client = Api(
            load_credentials(),
            stall_timeout=_STALL_TIMEOUT,
            retry_timeout=_RETRY_TIMEOUT,
            connections=1,
        )
        return HubStatus(
            commit=client.resolve_commit(repo, revision_of(cache), retry_timeout=_RETRY_TIMEOUT)
        )
    except FluidModelError as err:
        return HubStatus(reason=err.reason or err.message)


def read_staging_manifest(cache: Cache, client: Client) -> StagedModel | None:
    """Read the manifest in the bucket; None if the cache is not of a staged commit.

    Uses the cache's own credentials from its Secret, or those of the environment if you may not
    read the Secret.
    """
    staged, layout = staging_status.staged_model(cache), staging_status.staging_layout(cache)
    if staged is None or layout is None:
        return staged
    from kubectl_fluidmodel.cache.mounted_store import mounted_store
    from kubectl_fluidmodel.objectstore.s3 import store_from_environment
    from kubectl_fluidmodel.stage.manifest import read_manifest

    target = mount_targets(cache)[0]
    try:
        try:
            store = mounted_store(client, target)
        except ForbiddenError:
            store = store_from_environment(target.endpoint or None, target.region or None)
        with reachable_store(store, client, cache.namespace) as reachable:
            manifest = read_manifest(reachable, layout)
    except FluidModelError as err:
        # A manifest that was read and is invalid is a result; a store that refuses is not.
        damaged = err.message.startswith("the manifest ")
        return replace(
            staged, verified=False if damaged else None, reason=err.reason or err.message
        )
    if manifest is None:
        return replace(staged, verified=False, reason="there is no manifest beside it")
    return replace(
        staged,
        verified=True,
        files=len(manifest.entries),
        bytes=manifest.bytes,
        staged_at=manifest.staged_at,
    )
