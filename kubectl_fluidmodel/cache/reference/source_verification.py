"""Looks at the cache that a reference refers to: in its master if that is allowed, else by totals.

The store is not read: its keys are in the source's namespace. So what is verified is that every
file that Alluxio knows is cached completely, and that these are as many files and bytes as the
source's Dataset records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kubectl_fluidmodel.cache import verification
from kubectl_fluidmodel.cache.diagnostics import MASTER_CONTAINER
from kubectl_fluidmodel.cache.preflight import exec_permissions
from kubectl_fluidmodel.cache.progress import master_pod_name
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import alluxio_cli, names, status
from kubectl_fluidmodel.inventory.usage import parse_count
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.exec import exec_command
from kubectl_fluidmodel.objects.access import Object, annotations_of, get_path

_COMMAND_TIMEOUT = 120.0
"""Seconds for one command of Alluxio's shell."""


def verify_source(
    client: Client, namespace: str, name: str, log: Callable[[str], None]
) -> Verification:
    """Return whether a cache of another namespace is complete.

    Args:
        client: The cluster.
        namespace: The cache's namespace.
        name: The cache's name.
        log: Gets why files are not compared.
    """
    dataset = client.get(names.DATASETS, name, namespace)
    runtime = client.get_or_none(names.ALLUXIO_RUNTIMES, name, namespace)
    copies = int(get_path(runtime, "spec", "data", "replicas", default=1))
    missing = permissions.denied(client, exec_permissions(namespace))
    if missing:
        reason = f"missing permission to {missing[0]}"
    else:
        try:
            return _verify_by_file(client, dataset, namespace, name, copies)
        except FluidModelError as err:
            reason = str(err)
    log(f"note: compared by Fluid's rounded totals only: {reason}")
    return verification.verify_by_total(None, status.parse_dataset(dataset), copies)


def _verify_by_file(
    client: Client, dataset: Object, namespace: str, name: str, copies: int
) -> Verification:
    """Raises: FluidModelError: the master's list of files cannot be read."""
    listing, report = (
        _run(client, namespace, name, command)
        for command in (alluxio_cli.LIST_COMMAND, alluxio_cli.CAPACITY_COMMAND)
    )
    result = verification.verify_by_file(
        None, alluxio_cli.parse_listing(listing), alluxio_cli.parse_live_workers(report), copies
    )
    workers = alluxio_cli.parse_capacity_report(report)
    result = verification.exclude_lost_workers(
        result, verification.lost_workers(None, None, workers, copies)
    )
    return _compare_with_record(result, dataset)


def _compare_with_record(result: Verification, dataset: Object) -> Verification:
    """Compare the list with the bytes that `cache` recorded on the Dataset, if it did.

    The list may have more: files beside the model, which are not part of it.
    """
    notes = annotations_of(dataset)
    files = parse_count(notes.get(names.FILES_ANNOTATION)) or 0
    size = parse_count(notes.get(names.BYTES_ANNOTATION)) or 0
    if (result.files or 0) >= files and (result.bytes or 0) >= size:
        return result
    reason = f"its master lists {result.files} files, and its Dataset records {files}"
    if (result.files or 0) >= files:
        reason = f"its master lists {result.bytes} bytes, and its Dataset records {size}"
    return replace(result, complete=False, reason=reason)


def _run(client: Client, namespace: str, name: str, command: list[str]) -> str:
    """Raises: FluidModelError: the command fails, or the pod cannot be reached."""
    pod = master_pod_name(name)
    result = exec_command(
        client, namespace, pod, MASTER_CONTAINER, command, timeout=_COMMAND_TIMEOUT
    )
    if result.exit_code:
        raise FluidModelError(f"'{' '.join(command)}' failed in pod {pod}")
    return result.stdout
