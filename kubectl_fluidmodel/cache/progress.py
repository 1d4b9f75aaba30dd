"""Computes the progress of a cache from its objects. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kubectl_fluidmodel.cache.watch import CacheTarget
from kubectl_fluidmodel.fluid import names, pod_problems, status
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.progress import DONE, FAILED, RUNNING, WAITING, Step
from kubectl_fluidmodel.records import dataclass

_MAX_PROBLEMS = 6


class ObjectReader(Protocol):
    """The latest objects, as kube.watch.Informer keeps them."""

    def list_objects(self, kind: Kind, /) -> list[Object]: ...

    def get(self, kind: Kind, name: str, /) -> Object | None: ...


@dataclass(frozen=True)
class CacheProgress:
    """The steps of a cache, the bytes it holds, and problems."""

    steps: tuple[Step, ...]
    done_bytes: int | None
    total_bytes: int | None
    problems: tuple[str, ...]
    remaining_after: int = 0
    """Bytes to transfer after these steps: none, because they are the last."""

    @property
    def is_transferring(self) -> bool:
        """Whether bytes are being loaded now."""
        return any(step.name == "load" and step.state == RUNNING for step in self.steps)

    @property
    def current(self) -> Step:
        """The first step that is not complete; the last one if all are."""
        return next((step for step in self.steps if step.state != DONE), self.steps[-1])


def master_pod_name(name: str) -> str:
    return f"{name}-master-0"


def compute_progress(
    reader: ObjectReader,
    target: CacheTarget,
    *,
    log: str = "",
    external_problems: Sequence[str] = (),
    since: float = 0.0,
) -> CacheProgress:
    """Compute the progress of a cache from its objects.

    Args:
        reader: The latest objects.
        target: The cache.
        log: The end of the master's log, if it was read.
        external_problems: Problems outside the cache's objects: the API server, Fluid's
            controllers.
        since: The Unix time at which this run began; older events are ignored.
    """
    name = target.name
    dataset = status.parse_dataset(reader.get(names.DATASETS, name))
    pods = reader.list_objects(kinds.PODS)
    masters = [pod for pod in pods if name_of(pod) == master_pod_name(name)]
    workers = [pod for pod in pods if name_of(pod).startswith(f"{name}-worker-")]
    steps = [
        _pods_step("master", masters, 1, dataset.is_bound),
        _pods_step("worker", workers, target.replicas, dataset.is_bound),
        _dataset_step(dataset),
        _claim_step(reader.get(kinds.PVCS, name)),
    ]
    if target.load:
        steps.append(_load_step(status.parse_dataload(reader.get(names.DATA_LOADS, name))))
    problems = [
        *external_problems,
        *_log_problems(name, dataset, log),
        *_pod_problems(pods),
        *_event_problems(reader, name, dataset, since),
    ]
    unique = list(dict.fromkeys(" ".join(text.split()) for text in problems))
    copy = target.listing.bytes if target.listing is not None else dataset.total
    total = None if copy is None else copy * target.replicas
    return CacheProgress(
        steps=tuple(steps),
        done_bytes=_at_most(dataset.cached, total),
        total_bytes=total,
        problems=tuple(unique[:_MAX_PROBLEMS]),
    )


def _at_most(cached: int | None, total: int | None) -> int | None:
    """The bytes loaded, up to the total: Alluxio also counts reserved space and every copy."""
    return cached if cached is None or total is None else min(cached, total)


class _NoObjects:
    """Return the steps of a cache without any objects."""

    def list_objects(self, _kind: Kind) -> list[Object]:
        return []

    def get(self, _kind: Kind, _name: str) -> Object | None:
        return None


def pending_steps(replicas: int, *, load: bool) -> tuple[Step, ...]:
    """Return the steps of a cache without any objects."""
    return compute_progress(_NoObjects(), CacheTarget("", "", None, replicas, load)).steps


def _pods_step(role: str, pods: list[Object], desired: int, bound: bool) -> Step:
    ready = sum(1 for pod in pods if pod_problems.is_ready(pod))
    node_names = {str(get_path(pod, "spec", "nodeName", default="")) for pod in pods}
    nodes = ", ".join(sorted(node_names - {""}))
    noun = f"{role}{'s' if desired > 1 else ''}"
    if ready >= desired or (not pods and bound):  # RBAC may hide pods
        return Step(noun, DONE, f"ready on {nodes}" if nodes else "ready")
    if not pods:
        return Step(noun, WAITING)
    return Step(noun, RUNNING, f"{ready} of {desired} ready" + (f", on {nodes}" if nodes else ""))


def _dataset_step(dataset: status.DatasetStatus) -> Step:
    if dataset.is_bound:
        return Step("Dataset", DONE, "Bound")
    if dataset.phase == "Failed":
        return Step("Dataset", FAILED, dataset.setup_error or "Failed")
    if dataset.phase in ("Absent", "New"):
        return Step("Dataset", WAITING)
    return Step("Dataset", RUNNING, dataset.phase)


def _claim_step(claim: Object | None) -> Step:
    if claim is None:
        return Step("PVC", WAITING)
    phase = str(get_path(claim, "status", "phase", default="Pending"))
    return Step("PVC", DONE if phase == "Bound" else RUNNING, phase)


def _load_step(loading: status.DataLoadStatus) -> Step:
    if loading.phase == "Complete":
        return Step("load", DONE, "Complete")
    if loading.phase == "Failed":
        return Step("load", FAILED, loading.message or "Failed")
    if loading.phase == "Absent":
        return Step("load", WAITING)
    return Step("load", RUNNING, loading.phase)


def _log_problems(name: str, dataset: status.DatasetStatus, log: str) -> list[str]:
    cause = pod_problems.find_log_error(log) if log else ""
    return [f"{master_pod_name(name)}: {cause}"] if cause and not dataset.is_bound else []


def _pod_problems(pods: Sequence[Object]) -> list[str]:
    return [
        problem
        for pod in pods
        if not pod_problems.is_ready(pod) and get_path(pod, "status", "phase") != "Succeeded"
        for problem in pod_problems.find_pod_problems(pod)
    ]


def _event_problems(
    reader: ObjectReader, name: str, dataset: status.DatasetStatus, since: float
) -> list[str]:
    """Return Fluid's own error, and the warnings that do not repeat it."""
    error = " ".join((dataset.setup_error or "").split())
    warnings = pod_problems.warning_events(reader.list_objects(kinds.EVENTS), name, since)
    if not error:
        return warnings
    return [f"Fluid: {error}", *(text for text in warnings if error not in text)]
