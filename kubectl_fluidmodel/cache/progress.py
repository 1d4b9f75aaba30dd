"""How far a cache has come, read from the objects that make it up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kubectl_fluidmodel.fluid import names, pod_problems, status
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.progress_step import DONE, FAILED, RUNNING, WAITING, Step

__all__ = [
    "DONE",
    "FAILED",
    "RUNNING",
    "WAITING",
    "CacheProgress",
    "ObjectReader",
    "Step",
    "compute_progress",
    "master_pod_name",
]


class ObjectReader(Protocol):
    """The latest objects, as kube.watch.Feed keeps them."""

    def list_objects(self, kind: Kind) -> list[Object]: ...

    def get(self, kind: Kind, name: str) -> Object | None: ...


@dataclass(frozen=True)
class CacheProgress:
    """Where the whole stands."""

    steps: tuple[Step, ...]
    done_bytes: int | None
    total_bytes: int | None
    problems: tuple[str, ...]
    remaining_after: int = 0
    """Bytes to move after these steps: none, they are the last."""

    @property
    def is_transferring(self) -> bool:
        """Whether bytes are being loaded right now."""
        return any(step.name == "load" and step.state == RUNNING for step in self.steps)

    @property
    def current(self) -> Step:
        """The first step that is not done; the last one where all are."""
        return next((step for step in self.steps if step.state != DONE), self.steps[-1])


def master_pod_name(name: str) -> str:
    return f"{name}-master-0"


def compute_progress(
    reader: ObjectReader,
    namespace: str,
    name: str,
    *,
    total: int | None,
    replicas: int,
    load: bool,
    log: str = "",
    external_problems: Sequence[str] = (),
    since: float = 0.0,
) -> CacheProgress:
    """Read the progress of the cache `namespace/name`.

    `total` is the model's bytes; `log` the end of the master's log where it was read;
    `outside` what is wrong beside the cache's own objects (the API server, Fluid's
    controllers); `since` the Unix time this run began.
    """
    dataset = status.parse_dataset(reader.get(names.DATASETS, name))
    load_status = status.parse_dataload(reader.get(names.DATA_LOADS, name))
    pods = reader.list_objects(kinds.PODS)
    masters = [pod for pod in pods if name_of(pod) == master_pod_name(name)]
    workers = [pod for pod in pods if name_of(pod).startswith(f"{name}-worker-")]
    claim = reader.get(kinds.PVCS, name)
    steps = [
        _pods_step("master", masters, 1, dataset.is_bound),
        _pods_step("worker", workers, replicas, dataset.is_bound),
        _dataset_step(dataset),
        _claim_step(claim),
    ]
    if load:
        steps.append(_load_step(load_status, dataset.cached, total))
    return CacheProgress(
        steps=tuple(steps),
        done_bytes=dataset.cached,
        total_bytes=total if total is not None else dataset.total,
        problems=tuple(_problems(reader, name, dataset, pods, log, external_problems, since)),
    )


class _NoObjects:
    """The view of a cache of which nothing is made."""

    def list_objects(self, kind: Kind) -> list[Object]:
        return []

    def get(self, kind: Kind, name: str) -> Object | None:
        return None


def pending_steps(replicas: int, *, load: bool) -> tuple[Step, ...]:
    """The steps of a cache before anything of it is made."""
    return compute_progress(_NoObjects(), "", "", total=None, replicas=replicas, load=load).steps


def _pods_step(role: str, pods: list[Object], wanted: int, bound: bool) -> Step:
    ready = sum(1 for pod in pods if pod_problems.is_ready(pod))
    where = ", ".join(
        sorted(
            {
                str(get_path(pod, "spec", "nodeName"))
                for pod in pods
                if get_path(pod, "spec", "nodeName")
            }
        )
    )
    noun = f"{role}{'s' if wanted > 1 else ''}"
    if ready >= wanted or (not pods and bound):  # pods may be hidden by RBAC
        return Step(noun, DONE, f"ready on {where}" if where else "ready")
    if not pods:
        return Step(noun, WAITING)
    return Step(noun, RUNNING, f"{ready} of {wanted} ready" + (f", on {where}" if where else ""))


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


def _load_step(loading: status.DataLoadStatus, cached: int | None, total: int | None) -> Step:
    if loading.phase == "Complete":
        return Step("load", DONE, "Complete")
    if loading.phase == "Failed":
        return Step("load", FAILED, loading.message or "Failed")
    if loading.phase == "Absent":
        return Step("load", WAITING)
    return Step("load", RUNNING, loading.phase)


def _problems(
    reader: ObjectReader,
    name: str,
    dataset: status.DatasetStatus,
    pods: list[Object],
    log: str,
    external_problems: Sequence[str],
    since: float,
) -> list[str]:
    found = list(external_problems)
    cause = pod_problems.find_log_error(log) if log else ""
    if cause and not dataset.is_bound:
        found.append(f"{master_pod_name(name)}: {cause}")
    for pod in pods:
        if not pod_problems.is_ready(pod) and get_path(pod, "status", "phase") != "Succeeded":
            found += pod_problems.find_pod_problems(pod)
    if dataset.setup_error:
        found.append(f"Fluid: {dataset.setup_error}")
    setup_error = dataset.setup_error
    found += [
        text
        for text in pod_problems.warning_events(reader.list_objects(kinds.EVENTS), name, since)
        if not (setup_error and " ".join(setup_error.split()) in text)
    ]
    unique = list(dict.fromkeys(" ".join(text.split()) for text in found))
    return unique[:6]
