"""How far a cache has come, read from the objects that make it up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kubectl_fluidmodel.fluid import names, pod_problems, status
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.progress_step import DONE, FAILED, RUNNING, WAITING, Step

__all__ = [
    "DONE",
    "FAILED",
    "RUNNING",
    "WAITING",
    "Progress",
    "Step",
    "View",
    "assess",
    "master_pod",
]


class View(Protocol):
    """The latest objects, as kube.watch.Feed keeps them."""

    def all(self, kind: Kind) -> list[Object]: ...

    def one(self, kind: Kind, name: str) -> Object | None: ...


@dataclass(frozen=True)
class Progress:
    """Where the whole stands."""

    steps: tuple[Step, ...]
    cached: int | None
    total: int | None
    problems: tuple[str, ...]
    later: int = 0
    """Bytes to move after these steps: none, they are the last."""

    @property
    def moving(self) -> bool:
        """Whether bytes are being loaded right now."""
        return any(step.name == "load" and step.state == RUNNING for step in self.steps)

    @property
    def current(self) -> Step:
        """The first step that is not done; the last one where all are."""
        return next((step for step in self.steps if step.state != DONE), self.steps[-1])


def master_pod(name: str) -> str:
    return f"{name}-master-0"


def assess(
    view: View,
    namespace: str,
    name: str,
    *,
    total: int | None,
    replicas: int,
    load: bool,
    log: str = "",
    outside: Sequence[str] = (),
    since: float = 0.0,
) -> Progress:
    """Read the progress of the cache `namespace/name`.

    `total` is the model's bytes; `log` the end of the master's log where it was read;
    `outside` what is wrong beside the cache's own objects (the API server, Fluid's
    controllers); `since` the Unix time this run began.
    """
    dataset = status.dataset(view.one(names.DATASETS, name))
    loading = status.dataload(view.one(names.DATA_LOADS, name))
    pods = view.all(kinds.PODS)
    masters = [pod for pod in pods if name_of(pod) == master_pod(name)]
    workers = [pod for pod in pods if name_of(pod).startswith(f"{name}-worker-")]
    claim = view.one(kinds.PVCS, name)
    steps = [
        _pods("master", masters, 1, dataset.bound),
        _pods("worker", workers, replicas, dataset.bound),
        _dataset(dataset),
        _claim(claim),
    ]
    if load:
        steps.append(_load(loading, dataset.cached, total))
    return Progress(
        steps=tuple(steps),
        cached=dataset.cached,
        total=total if total is not None else dataset.total,
        problems=tuple(_problems(view, name, dataset, pods, log, outside, since)),
    )


class _Nothing:
    """The view of a cache of which nothing is made."""

    def all(self, kind: Kind) -> list[Object]:
        return []

    def one(self, kind: Kind, name: str) -> Object | None:
        return None


def ahead(replicas: int, *, load: bool) -> tuple[Step, ...]:
    """The steps of a cache before anything of it is made."""
    return assess(_Nothing(), "", "", total=None, replicas=replicas, load=load).steps


def _pods(what: str, pods: list[Object], wanted: int, bound: bool) -> Step:
    ready = sum(1 for pod in pods if pod_problems.ready(pod))
    where = ", ".join(
        sorted({str(at(pod, "spec", "nodeName")) for pod in pods if at(pod, "spec", "nodeName")})
    )
    noun = f"{what}{'s' if wanted > 1 else ''}"
    if ready >= wanted or (not pods and bound):  # pods may be hidden by RBAC
        return Step(noun, DONE, f"ready on {where}" if where else "ready")
    if not pods:
        return Step(noun, WAITING)
    return Step(noun, RUNNING, f"{ready} of {wanted} ready" + (f", on {where}" if where else ""))


def _dataset(dataset: status.DatasetState) -> Step:
    if dataset.bound:
        return Step("Dataset", DONE, "Bound")
    if dataset.phase == "Failed":
        return Step("Dataset", FAILED, dataset.setup_error or "Failed")
    if dataset.phase in ("Absent", "New"):
        return Step("Dataset", WAITING)
    return Step("Dataset", RUNNING, dataset.phase)


def _claim(claim: Object | None) -> Step:
    if claim is None:
        return Step("PVC", WAITING)
    phase = str(at(claim, "status", "phase", default="Pending"))
    return Step("PVC", DONE if phase == "Bound" else RUNNING, phase)


def _load(loading: status.LoadState, cached: int | None, total: int | None) -> Step:
    if loading.phase == "Complete":
        return Step("load", DONE, "Complete")
    if loading.phase == "Failed":
        return Step("load", FAILED, loading.message or "Failed")
    if loading.phase == "Absent":
        return Step("load", WAITING)
    return Step("load", RUNNING, loading.phase)


def _problems(
    view: View,
    name: str,
    dataset: status.DatasetState,
    pods: list[Object],
    log: str,
    outside: Sequence[str],
    since: float,
) -> list[str]:
    found = list(outside)
    cause = pod_problems.log_cause(log) if log else ""
    if cause and not dataset.bound:
        found.append(f"{master_pod(name)}: {cause}")
    for pod in pods:
        if not pod_problems.ready(pod) and at(pod, "status", "phase") != "Succeeded":
            found += pod_problems.pod(pod)
    if dataset.setup_error:
        found.append(f"Fluid: {dataset.setup_error}")
    said = dataset.setup_error
    found += [
        text
        for text in pod_problems.warnings(view.all(kinds.EVENTS), name, since)
        if not (said and " ".join(said.split()) in text)
    ]
    unique = list(dict.fromkeys(" ".join(text.split()) for text in found))
    return unique[:6]
