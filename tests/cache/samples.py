"""Caches that `build_desired` decides on, and the nodes to choose from."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.cache.desired import DesiredCache, build_desired
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.node_choice import CandidateNodes
from kubectl_fluidmodel.fluid import placement
from kubectl_fluidmodel.fluid.mount import MountCredentials
from kubectl_fluidmodel.fluid.placement import build_candidate
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from tests.cache.test_options import make_options
from tests.fluid.cluster import GIB, make_node

MODEL = FileListing((SourceFile("config.json", 826), SourceFile("w.safetensors", 20 * GIB)))
GPU_TAINT = [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]
ROOMY = build_candidate(make_node("gpu-1", memory="400Gi", taints=GPU_TAINT))
NARROW = build_candidate(make_node("gpu-2", memory="30Gi"))
LARGE = build_candidate(make_node("gpu-3", memory="900Gi"))


def plan(
    flags: dict[str, Any] | None = None,
    *,
    listing: FileListing | None = MODEL,
    nodes: tuple[placement.Candidate, ...] | None = (ROOMY, NARROW),
    existing: ExistingObjects | None = None,
    source: str = "s3://models/llama",
    **more: Any,
) -> DesiredCache:
    return build_desired(
        make_options(source, **(flags or {})),
        "ns",
        credentials=more.pop("access", MountCredentials()),
        listing=listing,
        candidates=None if nodes is None else CandidateNodes(nodes),
        existing=existing or ExistingObjects(),
        **more,
    )


def as_existing(desired: DesiredCache) -> ExistingObjects:
    """The objects of a desired cache, once they exist."""
    return ExistingObjects(desired.dataset, desired.runtime, desired.load)


def hosts(desired: DesiredCache) -> list[str]:
    return placement.bound_hostnames(desired.dataset)
