"""Which caches of a namespace hold commits of one model that replace each other. Pure.

`update` builds the cache of a new commit beside the old one. The new cache has the name of the
first one with the commit's beginning, and its Dataset records which cache it replaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects.access import (
    Object,
    annotations_of,
    metadata_of,
    name_of,
    namespace_of,
)

_SHORT_COMMIT = 7
"""Digits of a commit in a cache's name, as git and the Hub abbreviate commits."""


def commit_of(cache: Cache) -> str:
    """The commit of the Hub that a cache holds; empty for other sources."""
    return annotations_of(cache.dataset or {}).get(names.COMMIT_ANNOTATION, "")


def revision_of(cache: Cache) -> str:
    """The branch or tag of the Hub that a cache follows; `main` unless another was asked for."""
    return annotations_of(cache.dataset or {}).get(names.REVISION_ANNOTATION) or "main"


def replaced_name(cache: Cache) -> str:
    """The name of the cache that a cache replaces or replaced; empty if it replaces none."""
    return annotations_of(cache.dataset or {}).get(names.REPLACES_ANNOTATION, "")


def successor_name(name: str, own_commit: str, commit: str) -> str:
    """Return the name of the cache of a newer commit.

    Args:
        name: The cache to replace: `llama`, or `llama-1a2b3c4` if it replaced another one itself.
        own_commit: The commit of that cache; empty if `name` has none in it.
        commit: The newer commit, 40 hexadecimal digits.

    Returns:
        `llama-9f8e7d6`, of a length that Fluid accepts.
    """
    suffix = f"-{own_commit[:_SHORT_COMMIT]}"
    base = name.removesuffix(suffix) if own_commit else name
    room = names.MAX_NAME_LENGTH - _SHORT_COMMIT - 1
    return f"{base[:room].rstrip('-')}-{commit[:_SHORT_COMMIT]}"


def model_caches(caches: Sequence[Cache], namespace: str, name: str) -> list[Cache]:
    """Return the caches that replace each other and are meant by a name, oldest first.

    Args:
        caches: All that are known.
        namespace: Of the name.
        name: Of one of these caches, or that of the first one, even if it is removed.
    """
    candidates = [
        cache for cache in caches if cache.namespace == namespace and cache.dataset is not None
    ]
    matches = [
        candidate
        for candidate in candidates
        if candidate.name == name
        or (
            commit_of(candidate)
            and candidate.name == successor_name(name, "", commit_of(candidate))
        )
    ]
    while True:
        known_names = {cache.name for cache in matches}
        linked_names = known_names | {replaced_name(cache) for cache in matches}
        linked = [
            candidate
            for candidate in candidates
            if candidate.name not in known_names
            and (candidate.name in linked_names or replaced_name(candidate) in known_names)
        ]
        if not linked:
            break
        matches += linked
    return sorted(matches, key=lambda cache: (_creation_time(cache.dataset or {}), cache.name))


def successor_of(dataset: Object, datasets: Sequence[Object]) -> str:
    """Return the name of the newest Dataset that replaces another one; empty if there is none."""
    successors = [
        candidate
        for candidate in datasets
        if namespace_of(candidate) == namespace_of(dataset)
        and annotations_of(candidate).get(names.REPLACES_ANNOTATION) == name_of(dataset)
    ]
    return name_of(max(successors, key=_creation_time)) if successors else ""


def predecessor_of(dataset: Object, datasets: Sequence[Object]) -> str:
    """Return the name of the Dataset that another one replaces; empty if there is none any more."""
    name = annotations_of(dataset).get(names.REPLACES_ANNOTATION, "")
    existing = {(namespace_of(candidate), name_of(candidate)) for candidate in datasets}
    return name if (namespace_of(dataset), name) in existing else ""


def _creation_time(obj: Mapping[str, Any]) -> str:
    return str(metadata_of(obj).get("creationTimestamp", ""))
