"""How the runtime of a hand-made cache differs from that of `cache`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubectl_fluidmodel.cache.adoption.comparison import (
    NOT_SET,
    Comparison,
    Difference,
    shorten_options,
)
from kubectl_fluidmodel.fluid import alluxio_runtime
from kubectl_fluidmodel.inventory.mount_target import plaintext_keys
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.objects.access import Object, get_list, get_map, get_path
from kubectl_fluidmodel.objects.quantity import quantity_to_int
from kubectl_fluidmodel.output.units import format_bytes, summarize

_PARTS = ("master", "worker", "fuse")
_GENEROUS = 1.25
"""A quota is reported if it is at least this many times the required one."""
_BLOCK_SIZE = "alluxio.user.block.size.bytes.default"
_METADATA_CACHE = "alluxio.user.metadata.cache.enabled"
_METADATA_EXPIRATION = alluxio_runtime.METADATA_EXPIRATION_PROPERTY
_READ_TYPE = "alluxio.user.file.readtype.default"
_WRITE_TYPES = ("alluxio.user.file.writetype.default", "alluxio.user.file.write.type.default")
_SIZE = re.compile(r"(\d+)\s*([KMG]?)B?", re.IGNORECASE)
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30}


def copies(compared: Comparison) -> Iterator[Difference]:
    replicas = compared.cache.replicas
    copies = get_path(compared.cache.runtime, "spec", "data", "replicas") or 1
    if replicas > 1 and copies != replicas:
        yield Difference(
            "data.replicas",
            str(copies),
            str(replicas),
            "it is the number of workers that may hold a block",
            f"each of the {replicas} nodes holds a part of the model and reads the rest "
            "from the others",
        )


def quota(compared: Comparison) -> Iterator[Difference]:
    medium, _, quota = alluxio_runtime.parse_tier(compared.cache.runtime)
    if compared.model_bytes is None or quota is None:
        return
    required = sizing.quota_for(compared.model_bytes)
    reason = f"the model has {format_bytes(compared.model_bytes)}, and Alluxio evicts at 95%"
    if sizing.max_model_bytes(quota) < compared.model_bytes:
        yield Difference(
            "quota",
            format_bytes(quota),
            format_bytes(required),
            reason,
            "parts of the model may never be cached, or may be evicted",
        )
    elif quota > required * _GENEROUS:
        wasted = format_bytes(quota - required)
        follows = (
            f"{wasted} of a node's memory are reserved unnecessarily" if medium == "MEM" else ""
        )
        yield Difference("quota", format_bytes(quota), format_bytes(required), reason, follows)


def tier(compared: Comparison) -> Iterator[Difference]:
    levels = get_list(compared.cache.runtime, "spec", "tieredstore", "levels")
    if len(levels) > 1:
        yield Difference(
            "tiers",
            str(len(levels)),
            "1",
            "one tier holds the whole model",
            "reads are as fast as the tier of the block",
        )
    kind = str(get_path(levels, 0, "volumeType", default="")) if levels else ""
    if kind not in ("", "hostPath"):
        yield Difference(
            "volume of the tier",
            kind,
            "hostPath",
            "the engine's node reads the worker's files directly",
            "the cached data is lost with the worker's pod",
        )
    watermarks = [
        f"{key} {levels[0][key]}" for key in ("high", "low") if levels and levels[0].get(key)
    ]
    if watermarks:
        reason = "no template of Fluid's chart uses them; Alluxio's 0.95 applies"
        yield Difference("watermarks", ", ".join(watermarks), NOT_SET, reason)


def memory(compared: Comparison) -> Iterator[Difference]:
    current, desired = compared.cache.runtime, compared.desired.runtime
    heaps = {part: alluxio_runtime.jvm_option_bytes(current, part, "-Xmx") for part in _PARTS}
    generated = {part: alluxio_runtime.jvm_option_bytes(desired, part, "-Xmx") for part in heaps}
    if any(heaps[part] > generated[part] for part in heaps):
        surplus = format_bytes(
            sum(max(0, heaps[part] - generated[part]) for part in ("worker", "fuse"))
        )
        yield Difference(
            "JVM heaps",
            _gib(heaps),
            _gib(generated),
            "a model has a few hundred large files, not millions of small ones",
            f"up to {surplus} of the node's memory are not available to the engine",
        )
    tier = alluxio_runtime.parse_tier(current)
    tier_bytes = tier[2] or 0 if tier[0] == "MEM" else 0
    requested = quantity_to_int(
        get_path(current, "spec", "worker", "resources", "requests", "memory")
    )
    required = quantity_to_int(
        get_path(desired, "spec", "worker", "resources", "requests", "memory")
    )
    if (requested or 0) <= tier_bytes and required:
        yield Difference(
            "worker's memory request",
            "the quota alone" if requested else "none",
            "quota, heap and buffers",
            "the scheduler counts requests",
            "it may place more pods on the node than its memory allows",
        )


def properties(compared: Comparison) -> Iterator[Difference]:
    properties = compared.properties
    generated = get_map(compared.desired.runtime, "spec", "properties")
    if _BLOCK_SIZE in generated and _bytes_of(properties.get(_BLOCK_SIZE)) != sizing.BLOCK_BYTES:
        size = str(properties.get(_BLOCK_SIZE) or "Fluid's 16MB")
        yield Difference(
            "block size",
            size,
            str(generated[_BLOCK_SIZE]),
            "a large model then has ten thousand small blocks",
            "each read has a cost per block",
        )
    expiration = properties.get(_METADATA_EXPIRATION)
    has_cache = str(properties.get(_METADATA_CACHE)).lower() != "false"
    if has_cache and expiration != generated[_METADATA_EXPIRATION]:
        yield Difference(
            "metadata expiration",
            str(expiration or "Fluid's 10 minutes"),
            str(generated[_METADATA_EXPIRATION]),
            "for that time, Alluxio takes lost blocks for cached",
            "a DataLoad may load nothing and still be Complete",
        )
    if properties.get(_READ_TYPE):
        reason = "with one tier, a block cannot be promoted"
        yield Difference("read type", str(properties[_READ_TYPE]), "Fluid's CACHE", reason)
    write_types = [str(properties[name]) for name in _WRITE_TYPES if properties.get(name)]
    if write_types:
        reason = "no data is written through the cache"
        yield Difference("write type", write_types[0], NOT_SET, reason)
    compared_names = {*generated, _BLOCK_SIZE, _METADATA_CACHE, _READ_TYPE, *_WRITE_TYPES}
    compared_names.update(plaintext_keys(properties))
    unknown = [name for name in properties if name not in compared_names]
    if unknown:
        reason = f"`cache` does not set {summarize(shorten_options(unknown))}"
        yield Difference("other properties", "set", NOT_SET, reason)


def fuse(compared: Comparison) -> Iterator[Difference]:
    current = str(get_path(compared.cache.runtime, "spec", "fuse", "cleanPolicy", default=""))
    if current != "OnRuntimeDeleted":
        yield Difference(
            "fuse.cleanPolicy",
            current or f"{NOT_SET}: OnDemand",
            "OnRuntimeDeleted",
            "the page cache survives a roll-out",
            "the FUSE pod is deleted with its last reader, and the next reader waits for a new one",
        )


def other_fields(compared: Comparison) -> Iterator[Difference]:
    """Return fields that somebody set and `cache` does not; Fluid's defaults do not count."""
    paths = [*_set_paths(compared.cache.dataset), *_set_paths(compared.cache.runtime)]
    unknown = sorted(path for path in paths if path not in _KNOWN_FIELDS)
    if unknown:
        reason = f"`cache` does not set {summarize(unknown)}"
        yield Difference("other fields", "set", NOT_SET, reason)


_KNOWN_FIELDS = {
    *("mounts", "sharedOptions", "sharedEncryptOptions", "accessModes", "placement"),
    *("nodeAffinity", "tolerations", "replicas", "properties", "tieredstore.levels"),
    *("data.replicas", "management.cleanCachePolicy", "fuse.cleanPolicy"),
    *(f"{part}.{field}" for part in _PARTS for field in ("jvmOptions", "resources")),
}
"""Fields of Dataset and runtime that another rule compares, or that Fluid sets by default."""
_WHOLE = ("mounts", "sharedOptions", "sharedEncryptOptions", "nodeAffinity", "properties")
"""Fields whose content is not compared."""


def _set_paths(obj: Object) -> Iterator[str]:
    """Return the paths, of at most two names, of the fields that a spec sets."""
    for key, value in get_map(obj, "spec").items():
        if isinstance(value, Mapping) and key not in _WHOLE:
            yield from (f"{key}.{part}" for part, inner in value.items() if _is_set(inner))
        elif _is_set(value):
            yield key


def _is_set(value: Any) -> bool:
    """Return whether a field has a value: Fluid's defaults are empty objects, false and 0."""
    if isinstance(value, Mapping):
        return any(_is_set(each) for each in value.values())
    return bool(value)


def _gib(heaps: Mapping[str, int]) -> str:
    """`16+12+16 GiB`: master, worker and FUSE."""
    return "+".join(f"{size / sizing.GIB:g}" for size in heaps.values()) + " GiB"


def _bytes_of(text: Any) -> int | None:
    """Parse a size as Alluxio writes it, `128MB`, to bytes; None for anything else."""
    match = _SIZE.fullmatch(str(text).strip()) if text is not None else None
    return int(match[1]) << _SHIFTS[match[2].upper()] if match else None
