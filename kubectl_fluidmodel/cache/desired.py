"""From a request and what is known of source and cluster to the objects of the cache. Pure.

What stands already is kept where the flags do not say otherwise: a second run must not move a
cache because a node has a little less memory free today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kubectl_fluidmodel.cache.options import Request
from kubectl_fluidmodel.cache.source_check import left_out
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid import alluxio, dataload, dataset, names, placement
from kubectl_fluidmodel.fluid.mount import Access, mount
from kubectl_fluidmodel.fluid.placement import Candidate, Choice, Need
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.model.files import Listing
from kubectl_fluidmodel.model.sizing import Heaps, Medium
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL, Object, at
from kubectl_fluidmodel.objects.quantity import from_bytes
from kubectl_fluidmodel.output.text import size

_MUCH = 50
"""One part in so many of the model's bytes that is worth leaving out of a load."""
_ENTRIES = 40
"""Paths that a load names at most."""


@dataclass(frozen=True)
class Existing:
    """What stands of this cache already; each None where it does not."""

    dataset: Object | None = None
    runtime: Object | None = None
    load: Object | None = None


@dataclass(frozen=True)
class Cluster:
    """The nodes, and which of them may hold the cache; None where nodes cannot be read."""

    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Design:
    """The objects to apply, in order, and why they are so."""

    objects: tuple[Object, ...]
    load: Object | None
    medium: Medium
    quota: int
    jvm: Heaps
    choice: Choice | None
    changes: tuple[str, ...]
    """What differs from what stands and cannot change while it runs, as `what: old → new`."""
    notes: tuple[str, ...]

    @property
    def dataset(self) -> Object:
        return next(obj for obj in self.objects if obj["kind"] == names.DATASETS.name)

    @property
    def runtime(self) -> Object:
        return next(obj for obj in self.objects if obj["kind"] == names.ALLUXIO_RUNTIMES.name)

    @property
    def replicas(self) -> int:
        """Nodes that each hold the whole: as asked for, or as they stand."""
        return int(self.runtime["spec"]["replicas"])


def design(
    request: Request,
    namespace: str,
    *,
    access: Access,
    listing: Listing | None,
    cluster: Cluster | None,
    existing: Existing,
    secret: Object | None = None,
) -> Design:
    """Decide everything.

    Raises:
        UsageError: the size of the source is unknown and no quota was given, or too little was.
        FluidModelError: no node fits.
    """
    if existing.runtime is not None and not request.replicas_given:
        request = replace(
            request, replicas=int(at(existing.runtime, "spec", "replicas", default=1))
        )
    paths = load_paths(listing) if listing else ("/",)
    held = _held(listing, paths) if listing else 0
    model = _model_bytes(request, listing)
    quota = _quota(request, held, existing)
    jvm = sizing.heaps(model, len(listing.files) if listing else 0, web=request.web)
    medium, choice, notes = _place(request, model, quota, jvm, cluster, existing)
    affinity, tolerations = _nodes(request, choice, existing)
    built = mount(request.source, request.name, namespace, access)
    annotations = {names.SOURCE_ANNOTATION: request.known_as}
    if request.commit:
        annotations[names.COMMIT_ANNOTATION] = request.commit
    if listing:
        annotations[names.BYTES_ANNOTATION] = str(listing.bytes)
        annotations[names.FILES_ANNOTATION] = str(len(listing.files))
        if listing.rubbish:
            beside = sum(file.size for file in listing.rubbish)
            annotations[names.LEFT_OUT_ANNOTATION] = str(beside)
            notes += left_out(listing, loaded=paths == ("/",))
    made = dataset.build(
        request.name,
        namespace,
        built,
        annotations=annotations,
        node_affinity=affinity,
        tolerations=tolerations,
    )
    runtime = alluxio.build(
        request.name,
        namespace,
        built,
        replicas=request.replicas,
        medium=medium,
        quota=quota,
        jvm=jvm,
        web=request.web,
    )
    load = None
    if request.load:
        load = dataload.build(
            request.name,
            namespace,
            replicas=request.replicas,
            tolerations=tolerations,
            paths=paths,
        )
    first = (secret,) if secret else ()
    return Design(
        objects=(*first, *built.objects, made, runtime),
        load=load,
        medium=medium,
        quota=quota,
        jvm=jvm,
        choice=choice,
        changes=tuple(changes(existing, made, runtime)),
        notes=tuple(notes),
    )


def _model_bytes(request: Request, listing: Listing | None) -> int:
    if listing is not None:
        return listing.bytes
    if request.quota is None:
        raise UsageError(
            f"the size of {request.source.uri} is not known",
            "it cannot be measured from here",
            "--quota SIZE, a little more than the model's bytes",
        )
    return sizing.holds(request.quota)


def load_paths(listing: Listing) -> tuple[str, ...]:
    """What a DataLoad names: all, or where much lies beside the model, the model's own entries.

    Each path is a run of Alluxio's shell of some seconds, so that many are only worth it where
    they save much.
    """
    beside = sum(file.size for file in listing.rubbish)
    entries = sorted({file.path.partition("/")[0] for file in listing.files})
    much = beside * _MUCH >= listing.bytes
    if (
        not beside
        or not much
        or len(entries) > _ENTRIES
        or any(set(":* ") & set(e) for e in entries)
    ):
        return ("/",)
    return tuple(f"/{entry}" for entry in entries)


def _held(listing: Listing, paths: Sequence[str]) -> int:
    """The bytes that a load of the paths brings."""
    beside = listing.rubbish
    if "/" not in paths:
        beside = tuple(f for f in beside if f"/{f.path.partition('/')[0]}" in paths)
    return listing.bytes + sum(file.size for file in beside)


def _quota(request: Request, held: int, existing: Existing) -> int:
    """`held` are the bytes that shall be cached, 0 where they are not known."""
    needed = sizing.quota_for(held) if held else 0
    if request.quota is not None:
        if held and sizing.holds(request.quota) < held:
            raise UsageError(
                f"--quota {from_bytes(request.quota)} is too small",
                f"the model has {size(held)}, and Alluxio evicts at 95% of the quota "
                f"and keeps 2 GiB free",
                f"--quota {from_bytes(needed)}",
            )
        return request.quota
    if existing.runtime is not None:
        standing = alluxio.tier(existing.runtime)[2]
        if standing is not None and standing >= needed:
            return standing
    return needed


def _place(
    request: Request,
    model: int,
    quota: int,
    jvm: Heaps,
    cluster: Cluster | None,
    existing: Existing,
) -> tuple[Medium, Choice | None, list[str]]:
    """The medium and the nodes, which depend on each other."""
    standing = _standing_medium(request, existing)
    if cluster is None:
        medium = standing or sizing.choose_medium(
            request.medium, request.path, quota, jvm, model, None
        )
        return medium, None, []
    notes = list(cluster.notes)
    keep = [] if request.placement_given else _keep(existing, cluster.candidates)
    if standing:
        options = [standing]
    elif request.medium != "auto":
        options = [sizing.choose_medium(request.medium, request.path, quota, jvm, model, None)]
    else:
        options = _auto(request, model, quota, jvm, cluster.candidates)
    medium = options[0]
    candidates = cluster.candidates
    if medium.type == "MEM" and not standing and request.medium == "auto":
        # Only nodes where memory fits beside the engine are why we chose memory.
        candidates = tuple(
            node for node in candidates if sizing.fits_memory(quota, jvm, model, node.room)[0]
        )
    choice = placement.choose(candidates, _need(medium, quota, jvm), request.replicas, keep=keep)
    if medium.type != "MEM" and medium.path != sizing.DISK_PATH:
        notes.append(_unseen_disk(medium.path, quota, choice))
    return medium, choice, notes


def _unseen_disk(path: str, quota: int, choice: Choice) -> str:
    """That nobody tells how large a disk of its own is, and what other caches may take of it."""
    beside = [
        f"{size(node.beside(path))} on {node.name}" for node in choice.nodes if node.beside(path)
    ]
    taken = f"; other caches on that disk may take {', '.join(beside)}" if beside else ""
    return f"whether {path} has {size(quota)} free cannot be seen from the API{taken}"


def _auto(
    request: Request, model: int, quota: int, jvm: Heaps, candidates: Sequence[Candidate]
) -> list[Medium]:
    """The medium for `--medium auto`: memory where enough nodes have it, else SSD."""
    ready = [node for node in candidates if node.ready]
    mediums = [
        sizing.choose_medium("auto", request.path, quota, jvm, model, node.room)
        for node in sorted(ready, key=lambda node: -(node.room.memory or 0))
    ]
    in_memory = [medium for medium in mediums if medium.type == "MEM"]
    if len(in_memory) >= request.replicas:
        return in_memory
    return [medium for medium in mediums if medium.type != "MEM"] or [
        sizing.choose_medium("SSD", request.path, quota, jvm, model, None)
    ]


def _need(medium: Medium, quota: int, jvm: Heaps) -> Need:
    in_memory = medium.type == "MEM"
    on_root_disk = not in_memory and medium.path == sizing.DISK_PATH
    return Need(
        memory=jvm.on_cache_node + (quota if in_memory else 0), disk=quota if on_root_disk else 0
    )


def _standing_medium(request: Request, existing: Existing) -> Medium | None:
    if existing.runtime is None or request.medium != "auto" or request.path is not None:
        return None
    kind, path, _ = alluxio.tier(existing.runtime)
    return Medium(kind, path, "as it stands") if kind else None


def _keep(existing: Existing, candidates: Sequence[Candidate]) -> list[str]:
    hosts = placement.hosts_of(existing.dataset) if existing.dataset else []
    return [node.name for node in candidates if node.hostname in hosts]


def _nodes(
    request: Request, choice: Choice | None, existing: Existing
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Node affinity and tolerations of the Dataset."""
    if choice is not None:
        return placement.node_affinity(choice.nodes), placement.tolerations(choice.nodes)
    if existing.dataset is not None and not request.placement_given:
        spec = existing.dataset.get("spec") or {}
        return dict(spec.get("nodeAffinity") or {}), list(spec.get("tolerations") or [])
    if request.nodes:
        wanted = [{"key": HOSTNAME_LABEL, "operator": "In", "values": sorted(request.nodes)}]
    elif request.node_selector:
        wanted = [
            {"key": key, "operator": "In", "values": [value]}
            for key, value in request.node_selector
        ]
    else:
        wanted = [{"key": placement.GPU_PRESENT, "operator": "In", "values": ["true"]}]
    gpu = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    return placement.required(wanted), [gpu]


def changes(existing: Existing, made: Object, runtime: Object) -> list[str]:
    """What differs from a standing cache and does not change while it runs.

    Fluid never remounts the root, never rebuilds the tier, and builds the workers' affinity
    once (pkg/ddc/alluxio/ufs_internal.go, pkg/ctrl/affinity.go).
    """
    found = []
    if existing.dataset is not None:
        before = at(existing.dataset, "spec", "mounts", 0, default={})
        after = made["spec"]["mounts"][0]
        for key in ("mountPoint", "options", "encryptOptions"):
            if (before.get(key) or None) != (after.get(key) or None):
                found.append(f"mount {key}: {_short(before.get(key))} → {_short(after.get(key))}")
        hosts = placement.hosts_of(existing.dataset), placement.hosts_of(made)
        if all(hosts) and sorted(hosts[0]) != sorted(hosts[1]):
            found.append(f"nodes: {', '.join(hosts[0])} → {', '.join(hosts[1])}")
    if existing.runtime is not None:
        old, new = alluxio.tier(existing.runtime), alluxio.tier(runtime)
        for label, before, after in zip(("medium", "path", "quota"), old, new, strict=True):
            if before != after:
                shown = [from_bytes(v) if isinstance(v, int) else v for v in (before, after)]
                found.append(f"{label}: {shown[0]} → {shown[1]}")
    return found


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key.rsplit('.', 1)[-1]}={item}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return ",".join(str(at(item, "valueFrom", "secretKeyRef", "name")) for item in value)
    return str(value)
