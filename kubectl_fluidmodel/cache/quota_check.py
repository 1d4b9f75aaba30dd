"""Checks before the first write that the namespace's quotas and limits admit the cache.

Fluid's controllers create the pods, so a rejection would only show as an event of a StatefulSet.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.cache.desired import DesiredCache
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, NotFoundError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_int, get_path, name_of
from kubectl_fluidmodel.objects.quotas import Demand, violations
from kubectl_fluidmodel.output.shell import kubectl
from kubectl_fluidmodel.output.units import summarize

FLUID_CLAIM_BYTES = 100 << 50
"""The request of the claim that Fluid creates (pkg/utils/dataset/volume/create.go: 100Pi)."""
_MAX_REASONS = 3


class NotAdmittedError(FluidModelError):
    """A ResourceQuota or LimitRange does not admit the pods or the claim."""


def require_cache_admitted(
    client: Client, namespace: str, desired: DesiredCache, existing: ExistingObjects
) -> None:
    """Check that the quotas and limits admit the pods and the claim of a cache.

    Existing objects of the cache already count as used; those of one that has to be recreated are
    deleted before.

    Raises:
        NotAdmittedError: they do not; with the numbers.
    """
    if existing.runtime is None or desired.immutable_changes:
        demand = cache_demand(desired, with_claim=existing.dataset is None)
        freed = _freed_demand(existing.runtime) if existing.runtime is not None else None
        about = f"cache {name_of(desired.dataset)}"
        _require_admitted(client, namespace, demand, about, freed)


def require_job_admitted(client: Client, namespace: str, job: Object) -> None:
    """Check that the quotas and limits admit the pods of a staging Job.

    Raises:
        NotAdmittedError: they do not; with the numbers.
    """
    spec = get_path(job, "spec", "template", "spec", default={})
    pod = {"metadata": {"name": name_of(job)}, "spec": spec}
    count = get_int(job, "spec", "parallelism") or 1
    demand = Demand((pod,) * count, {"jobs.batch": 1})
    _require_admitted(client, namespace, demand, f"staging Job {name_of(job)}")


def cache_demand(desired: DesiredCache, *, with_claim: bool) -> Demand:
    """Return what Fluid creates for a cache: master, workers, the DataLoad's pod and the claim.

    The charts set resources only on the first container of each pod, because the runtime sets none
    for the others (charts/alluxio/templates, charts/fluid-dataloader).
    """
    name = name_of(desired.dataset)
    pods, counts = _runtime_pods(desired.runtime), dict(_RUNTIME_COUNTS)
    if desired.load is not None:
        pods.append(_pod(f"{name}-loader", {}, "", "dataloader"))
        counts["jobs.batch"] = 1
    claims = (FLUID_CLAIM_BYTES,) if with_claim else ()
    return Demand(tuple(pods), counts, claims)


_RUNTIME_COUNTS = {"statefulsets.apps": 2, "daemonsets.apps": 1}


def _runtime_pods(runtime: Object) -> list[Object]:
    name, replicas = name_of(runtime), int(get_path(runtime, "spec", "replicas", default=1))
    master = _pod(f"{name}-master-0", runtime, "master", "alluxio-master", "alluxio-job-master")
    return [
        master,
        *(
            _pod(
                f"{name}-worker-{index}", runtime, "worker", "alluxio-worker", "alluxio-job-worker"
            )
            for index in range(replicas)
        ),
    ]


def _freed_demand(runtime: Object) -> Demand:
    """Return what a running cache uses, which deleting it frees."""
    return Demand(tuple(_runtime_pods(runtime)), _RUNTIME_COUNTS)


def _pod(name: str, runtime: Object, component: str, *containers: str) -> Object:
    resources = get_path(runtime, "spec", component, "resources", default={})
    first, *other_containers = containers
    specs = [
        {"name": first, "resources": resources},
        *({"name": other} for other in other_containers),
    ]
    return {"metadata": {"name": name}, "spec": {"containers": specs}}


def _require_admitted(
    client: Client, namespace: str, demand: Demand, about: str, freed: Demand | None = None
) -> None:
    quotas, limit_ranges = (
        _list_if_allowed(client, kind, namespace)
        for kind in (kinds.RESOURCE_QUOTAS, kinds.LIMIT_RANGES)
    )
    reasons = violations(demand, quotas, limit_ranges, freed)
    if reasons:
        raise NotAdmittedError(
            f"namespace {namespace} does not admit {about}",
            summarize(reasons, _MAX_REASONS, "; "),
            kubectl("describe", "resourcequotas,limitranges", namespace=namespace),
        )


def _list_if_allowed(client: Client, kind: kinds.Kind, namespace: str) -> Sequence[Object]:
    try:
        return client.list_objects(kind, namespace)
    except (ForbiddenError, NotFoundError):
        return []
