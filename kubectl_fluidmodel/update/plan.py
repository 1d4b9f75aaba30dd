"""The steps of an update: what is done, and what the rest will do. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.cache.cost_estimate import estimate_cost, room_of_runtime
from kubectl_fluidmodel.cache.desired import DesiredCache
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.read_rates import read_rates
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.model.sizing import MEDIUM_NAMES
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.status import StagingStatus
from kubectl_fluidmodel.update.options import CACHE, PIN, RETIRE, STAGE, UpdateOptions
from kubectl_fluidmodel.update.state import OldCache, UpdateState
from kubectl_fluidmodel.update.stopping import graph_stops, stop_texts

DONE, TO_DO, LATER = "done", "to do", "not now"
"""States of a step; `not now` is one after `--to-step`."""


@dataclass(frozen=True)
class Step:
    """One step of an update."""

    name: str
    state: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class StagingFacts:
    """The files of the new commit, and how much of them is in the bucket."""

    files: StagingPlan
    layout: StagingLayout
    status: StagingStatus


def plan_steps(
    state: UpdateState, options: UpdateOptions, staging: StagingFacts, desired: DesiredCache
) -> list[Step]:
    """Return the steps of an update, in order.

    Args:
        state: How far the update is.
        options: The command line.
        staging: What is staged.
        desired: The new cache as it will be.
    """
    cached = state.is_cached
    steps = [
        (STAGE, staging.status.has_manifest, _staging_texts(staging)),
        (CACHE, cached, tuple(_cache_texts(state, options, staging, desired))),
    ]
    if not options.in_place:
        moved = not any(old.graphs or old.rolling for old in state.old)
        texts = [text for old in state.old for text in _graph_texts(old)]
        steps += [
            (PIN, cached and moved, tuple(texts) or ("no graph mounts the old cache",)),
            (RETIRE, state.is_done, tuple(map(_retire_text, state.old))),
        ]
    return [
        Step(name, DONE if done else TO_DO if name in options.steps else LATER, details)
        for name, done, details in steps
    ]


def downtime(model_bytes: int, files: int, template: Cache) -> str:
    """Return about how long a cache of this size is empty while it is recreated."""
    estimate = estimate_cost(
        model_bytes,
        files,
        copies=1,
        from_hub=False,
        room=room_of_runtime(template.runtime),
        rates=read_rates(template.dataset),
    )
    return f"about {format_duration(estimate.load.seconds if estimate else 0)}"


def _staging_texts(staging: StagingFacts) -> tuple[str, str]:
    files, status = staging.files, staging.status
    text = f"{pluralize(len(files.files), 'file')}, {format_bytes(files.bytes)}"
    parts = [
        (status.bytes, "in the bucket"),
        (status.resumable_bytes, "of unfinished uploads in the bucket"),
        (status.copied_bytes, "copied from other commits within the bucket"),
        (status.remaining_bytes, "downloaded from the Hub"),
    ]
    origins = [f"{format_bytes(count)} {origin}" for count, origin in parts if count]
    return f"{text}: {', '.join(origins)}", f"to {staging.layout.uri}"


def _cache_texts(
    state: UpdateState, options: UpdateOptions, staging: StagingFacts, desired: DesiredCache
) -> list[str]:
    placement = desired.placement
    location = f"on {', '.join(placement.names)}" if placement else "on a node of its choice"
    quota = f"{format_bytes(desired.quota)} of {MEDIUM_NAMES.get(desired.medium.type, 'disk')}"
    time = downtime(staging.files.bytes, len(staging.files.files), state.template)
    if not options.in_place:
        room = f"{quota} per node" if desired.replicas > 1 else quota
        load = "" if state.is_cached else f", {time} to load"
        return [f"{state.name} {location}: {room}{load}"]
    texts = [f"{state.name} is recreated {location}: nothing can read it for {time}"]
    if state.target is not None and state.target.readers and not state.is_cached:
        pods = ", ".join(reader.name for reader in state.target.readers[:5])
        texts.append(f"pods that read it have to be stopped first: {pods}")
        for text, command in stop_texts(graph_stops(state.target)):
            texts += [text, command] if command else [text]
    return texts


def _graph_texts(old: OldCache) -> list[str]:
    texts = []
    for graph in old.graphs:
        if graph.obstacle:
            texts.append(f"{graph.reference} has to be moved by you: {graph.obstacle}")
            texts += [graph.solution] if graph.solution else []
        else:
            count = pluralize(graph.workers, "worker")
            texts.append(f"{graph.reference} moves from {old.name}: {count} to restart")
    texts += [f"{name} is rolling out" for name in old.rolling]
    return texts


def _retire_text(old: OldCache) -> str:
    room = room_of_runtime(old.cache.runtime)
    freed = ""
    if room is not None:
        nodes = ", ".join(old.cache.node_names)
        medium = MEDIUM_NAMES.get(room.medium, room.medium)
        per_node = " per node" if room.nodes > 1 else ""
        freed = f", which frees {format_bytes(room.quota)} of {medium}{per_node}" + (
            f" on {nodes}" if nodes else ""
        )
    text = f"{old.name} is removed when nothing reads it{freed}"
    if old.other_readers:
        text += f"; pods that belong to no graph here: {', '.join(old.other_readers[:5])}"
    return text
