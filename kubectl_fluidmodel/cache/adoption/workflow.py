"""The steps of `cache --adopt`: find, compare, label, verify.

Each step can be interrupted, and the same command continues: existing labels stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from kubectl_fluidmodel.cache import apply, hints, preflight
from kubectl_fluidmodel.cache.adoption.comparison import Difference
from kubectl_fluidmodel.cache.adoption.differences import find_differences
from kubectl_fluidmodel.cache.adoption.hand_made import HandMadeCache, find_cache
from kubectl_fluidmodel.cache.adoption.metadata import adoption_objects
from kubectl_fluidmodel.cache.adoption.options import AdoptOptions
from kubectl_fluidmodel.cache.adoption.source import cache_options, read_adopted_source
from kubectl_fluidmodel.cache.desired import DesiredCache, build_desired
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.hints import RBAC_DOCS
from kubectl_fluidmodel.cache.loader import CacheLoader
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.cache.waiter import open_waiter
from kubectl_fluidmodel.cache.watch import CacheTarget
from kubectl_fluidmodel.dynamo.gitops import detect_gitops_tool
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names, worker_set
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path
from kubectl_fluidmodel.output.progress import ProgressReporter
from kubectl_fluidmodel.output.shell import Command
from kubectl_fluidmodel.output.units import summarize
from kubectl_fluidmodel.records import dataclass

_MAX_MISSING = 5


@dataclass(frozen=True)
class Adoption:
    """A hand-made cache, and the effect of adopting it."""

    cache: HandMadeCache
    listing: FileListing | None
    """The files of the source by their paths in the claim; None if it cannot be listed."""
    desired: DesiredCache
    """What `cache` would create for the same source."""
    differences: tuple[Difference, ...]
    objects: tuple[Object, ...]
    """What is applied: metadata only, the Dataset last."""
    nodes: tuple[str, ...]
    """The nodes of its workers; empty if pods cannot be listed."""
    verification: Verification | None = None
    """None if nothing was compared."""


def required_permissions(options: AdoptOptions, namespace: str, *, write: bool) -> list[Permission]:
    """Return the permissions required to adopt a cache; `write` is false for dry runs."""
    resources = (names.DATASETS, names.ALLUXIO_RUNTIMES, names.DATA_LOADS)
    verbs = ("get", "list", "watch", *(("patch",) if write else ()))
    required = [Permission(verb, kind, namespace) for kind in resources for verb in verbs]
    if write and options.load:
        required += [Permission(verb, names.DATA_LOADS, namespace) for verb in ("create", "delete")]
    if write and options.wait:
        required += [Permission(verb, kinds.PVCS, namespace) for verb in ("get", "list", "watch")]
    return required


def plan_adoption(
    client: Client,
    options: AdoptOptions,
    log: Callable[[str], None],
    *,
    write: bool,
) -> Adoption:
    """Find a hand-made cache, and compare it with what `cache` would create; writes nothing.

    Args:
        client: The client; its namespace has the cache.
        options: The cache, and how to read its source.
        log: Gets notes and warnings.
        write: Whether it will be adopted, which requires more permissions.

    Raises:
        FluidModelError: names the obstacle.
    """
    namespace = client.namespace
    preflight.require_fluid_api(client)
    permissions.require_permissions(
        client,
        required_permissions(options, namespace, write=write),
        task=f"adopt a cache in {namespace}",
        docs=RBAC_DOCS,
    )
    cache = find_cache(client, namespace, options)
    if cache.target.access is not None and not options.s3_secret:
        permissions.require_permissions(
            client,
            [Permission("get", kinds.SECRETS, namespace)],
            task=f"read the keys of Dataset {cache.name}",
            docs=RBAC_DOCS,
        )
    tool = detect_gitops_tool(cache.dataset)
    if tool:
        log(
            f"warning: {tool} manages Dataset {cache.name}: add the labels there, too "
            f"({adopt_command(cache, '--dry-run', '-o', 'yaml')})"
        )
    source = read_adopted_source(client, cache, options)
    for text in source.notes:
        log(f"note: {text}")
    for text in source.warnings:
        log(f"warning: {text}")
    listing = source.listing
    desired = build_desired(
        cache_options(cache, listed=listing is not None),
        namespace,
        credentials=source.credentials,
        listing=listing,
        candidates=None,
        existing=ExistingObjects(cache.dataset, cache.runtime),
    )
    return Adoption(
        cache=cache,
        listing=listing,
        desired=desired,
        differences=tuple(find_differences(cache, desired, listing.bytes if listing else None)),
        objects=tuple(adoption_objects(cache, listing)),
        nodes=_worker_nodes(client, cache),
    )


def adopt_command(cache: HandMadeCache, *flags: str) -> Command:
    """Return the command that adopts a cache."""
    return hints.adopt(cache.name, cache.namespace, *flags)


def _worker_nodes(client: Client, cache: HandMadeCache) -> tuple[str, ...]:
    """Return the nodes of the workers; none if pods cannot be listed."""
    selector = worker_set.workers_selector(cache.name)
    with suppress(ForbiddenError):
        pods = client.list_objects(kinds.PODS, cache.namespace, labels=selector)
        nodes = {str(get_path(pod, "spec", "nodeName", default="")) for pod in pods}
        return tuple(sorted(nodes - {""}))
    return ()


def write_labels(
    client: Client, adoption: Adoption, log: Callable[[str], None], *, dry_run: bool = False
) -> None:
    """Apply the labels and annotations; with `dry_run`, the API server persists none.

    Raises:
        FluidModelError: another manager owns one of them with another value.
    """
    for obj in adoption.objects:
        apply.apply_and_log(client, obj, log, dry_run=dry_run)


def verify(
    client: Client,
    adoption: Adoption,
    options: AdoptOptions,
    reporter: ProgressReporter,
    raise_if_hopeless: Callable[[], None],
) -> Verification:
    """Wait until an adopted cache is bound, and compare it with its source.

    Raises:
        FluidModelError: files are missing, or the master cannot be queried.
        WaitTimeoutError: it is not bound in time.
    """
    cache = adoption.cache
    target = CacheTarget(
        cache.namespace, cache.name, adoption.listing, cache.replicas, load=options.load
    )
    can_exec, can_read_logs = preflight.can_exec_and_read_logs(client, cache.namespace)
    with open_waiter(
        client,
        target,
        time.monotonic() + options.timeout,
        can_exec=can_exec,
        can_read_logs=can_read_logs,
        on_progress=reporter.update,
        raise_if_hopeless=raise_if_hopeless,
    ) as waiter:
        waiter.wait_until_bound()
        if options.load and adoption.desired.load is not None:
            loader = CacheLoader(client, cache.namespace, cache.name, reporter)
            return loader.load_and_verify(waiter, adoption.desired.load, check_first=True)
        verification = waiter.verify()
    if not verification.complete:
        raise _incomplete_error(cache, verification)
    return verification


def _incomplete_error(cache: HandMadeCache, verification: Verification) -> FluidModelError:
    missing = verification.missing or (verification.reason,)
    return FluidModelError(
        f"cache {cache.name} is adopted, but incomplete",
        summarize(missing, _MAX_MISSING, "; "),
        adopt_command(cache, "--load"),
    )
