"""Starts and removes the staging Job; never starts two Jobs that stage the same commit."""

from __future__ import annotations

import time

from kubectl_fluidmodel.errors import WaitTimeoutError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ConflictError
from kubectl_fluidmodel.kube.wait import wait_until_deleted, wait_until_empty
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, labels_of, name_of, namespace_of
from kubectl_fluidmodel.objects.jobs import is_active
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.stage.job import job_selector
from kubectl_fluidmodel.stage.job_description import staged_source

_DELETE_TIMEOUT = 60.0
"""Seconds to wait until an old Job is gone, before a new one is created."""
_POD_SHUTDOWN_TIMEOUT = 20.0
"""Seconds to wait until the pods of a replaced Job are gone, twice their grace period."""


def ensure_job(client: Client, job: Object) -> str:
    """Ensure that the Job runs in the cluster; call it if there is no valid manifest.

    A finished Job of the same name is recreated: it resumes from what is in the store. A Job with
    other settings that stages the same commit of the same source is replaced: it would do the same
    work a second time, or never start. Other Jobs are not changed, whatever their name is.

    Returns:
        `started`, with the names of replaced Jobs, or `found running`.

    Raises:
        FluidModelError: the API server refuses it.
    """
    name, namespace = name_of(job), namespace_of(job)
    cache = labels_of(job).get(names.MODEL_LABEL, "")
    replaced = [
        _replace_job(client, active_job)
        for active_job in active_jobs(client, cache, namespace)
        if name_of(active_job) != name and staged_source(active_job) == staged_source(job)
    ]
    existing = client.get_or_none(kinds.JOBS, name, namespace)
    if existing is not None and is_active(existing):
        return "found running"
    if existing is not None:
        delete_job(client, name, namespace)
    client.apply(kinds.JOBS, job)
    return f"started in place of {', '.join(replaced)}" if replaced else "started"


def active_jobs(client: Client, cache: str, namespace: str) -> list[Object]:
    """The unfinished staging Jobs of a cache, of any source and commit."""
    jobs = client.list_objects(kinds.JOBS, namespace, labels=job_selector(cache))
    return [job for job in jobs if is_active(job)]


def _replace_job(client: Client, job: Object) -> str:
    """Delete a Job, wait for its pods to checkpoint, and return its name."""
    name, namespace = name_of(job), namespace_of(job)
    delete_job(client, name, namespace)

    def pods() -> list[Object]:
        selector = f"job-name={name}"
        return client.list_objects(kinds.PODS, namespace, labels=selector, metadata_only=True)

    wait_until_empty(pods, time.monotonic() + _POD_SHUTDOWN_TIMEOUT)  # a lost node keeps its pods
    return name


def delete_job(client: Client, name: str, namespace: str) -> None:
    """Delete a Job with its pods, and wait until it is gone.

    A Job of the same name that another command creates in the meantime is not changed.

    Raises:
        WaitTimeoutError: the Job is still there.
    """
    existing = client.get_or_none(kinds.JOBS, name, namespace)
    if existing is None:
        return
    uid = names.uid_of(existing)
    try:
        client.delete(kinds.JOBS, name, namespace, uid=uid)
    except ConflictError:
        return
    if not wait_until_deleted(
        client, kinds.JOBS, name, namespace, uid=uid, timeout=_DELETE_TIMEOUT
    ):
        raise _still_deleting_error(name, namespace)


def _still_deleting_error(name: str, namespace: str) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"Job {name} is still being deleted",
        f"after {_DELETE_TIMEOUT:.0f} s",
        command("kubectl", "delete", "job", Operand(name), "-n", namespace),
    )
