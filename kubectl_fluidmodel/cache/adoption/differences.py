"""How a hand-made cache differs from one of `cache`, and the consequences. Pure.

The reasons are those of docs/why-these-settings.md, which refers to the source files of Fluid and
Alluxio.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kubectl_fluidmodel.cache.adoption.hand_made import HandMadeCache
from kubectl_fluidmodel.cache.desired import DesiredCache
from kubectl_fluidmodel.fluid import alluxio_runtime, mount, placement
from kubectl_fluidmodel.fluid.secret import store_secret_name
from kubectl_fluidmodel.inventory.mount_target import plaintext_keys
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.objects.access import Object, get_list, get_map, get_path, name_of
from kubectl_fluidmodel.objects.quantity import quantity_to_int
from kubectl_fluidmodel.output.units import format_bytes, summarize
from kubectl_fluidmodel.records import dataclass

NOT_SET = "not set"
_PARTS = ("master", "worker", "fuse")
_GENEROUS = 1.25
"""A quota is reported if it is at least this many times the required one."""
_BLOCK_SIZE = "alluxio.user.block.size.bytes.default"
_READ_TYPE = "alluxio.user.file.readtype.default"
_WRITE_TYPES = ("alluxio.user.file.writetype.default", "alluxio.user.file.write.type.default")
_INHERIT_ACL = "alluxio.underfs.s3.inherit.acl"
_PATH_STYLE = "alluxio.underfs.s3.disable.dns.buckets"
_UPLOAD = re.compile(r"upload|\.write|staging")
_TIMEOUT = re.compile(r"timeout")
_SIZE = re.compile(r"(\d+)\s*([KMG]?)B?", re.IGNORECASE)
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30}


@dataclass(frozen=True)
class Difference:
    """One setting: its current value, and what `cache` would write."""

    setting: str
    current: str
    ours: str
    reason: str
    """Why `cache` writes another value."""
    consequence: str = ""
    """The consequence of leaving it; empty if there is none."""


@dataclass(frozen=True)
class _Comparison:
    cache: HandMadeCache
    desired: DesiredCache
    """What `cache` would create for the same source."""
    model_bytes: int | None
    """Bytes of the source; None if it cannot be listed."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the mount, including shared ones."""
        shared = get_map(self.cache.dataset, "spec", "sharedOptions")
        return {**shared, **get_map(self.cache.mount, "options")}

    @property
    def properties(self) -> Mapping[str, Any]:
        return get_map(self.cache.runtime, "spec", "properties")


def find_differences(
    cache: HandMadeCache, desired: DesiredCache, model_bytes: int | None
) -> list[Difference]:
    """Compare a hand-made cache with what `cache` would create for the same source.

    Returns:
        The differences that have a consequence, then the others.
    """
    compared = _Comparison(cache, desired, model_bytes)
    found = [each for rule in _RULES for each in rule(compared)]
    return sorted(found, key=lambda each: not each.consequence)


# -- the mount -------------------------------------------------------------------------------


def _keys(compared: _Comparison) -> Iterator[Difference]:
    plain = plaintext_keys(compared.options)
    if plain:
        yield Difference(
            "keys",
            "plain text in the Dataset",
            f"Secret {store_secret_name(compared.cache.name)}",
            "Fluid copies options into ConfigMaps and its Helm release",
            f"anyone who can read those can use the bucket ({summarize(plain)})",
        )


def _key_names(compared: _Comparison) -> Iterator[Difference]:
    mounts = get_list(compared.cache.dataset, "spec", "mounts")
    root = mount.root_mount(mounts) is not None
    for entry in get_list(compared.cache.mount, "encryptOptions"):
        name = str(entry.get("name", ""))
        wanted = mount.credential_option(name, root=root)
        if name != wanted:
            yield Difference(
                f"option {name}",
                "as an Alluxio property",
                "as an option of the root mount",
                "only the master's container replaces the file's path by the key",
                "workers sign their reads with the path, and the store rejects them",
            )


def _directory(compared: _Comparison) -> Iterator[Difference]:
    directory = compared.cache.directory
    if directory:
        yield Difference(
            "files in the claim",
            f"below /{directory}",
            "at the root",
            "without a path, Fluid mounts a source at its name",
            f"an engine's path has to include /{directory}",
        )


def _access_modes(compared: _Comparison) -> Iterator[Difference]:
    modes = get_path(compared.cache.dataset, "spec", "accessModes", default=[])
    writable = [str(mode) for mode in modes if "Write" in str(mode)]
    if writable and not compared.cache.mount.get("readOnly"):
        yield Difference(
            "accessModes",
            ", ".join(writable),
            "ReadOnlyMany",
            "a model is read-only",
            "pods can write to the source through the cache",
        )


def _store_options(compared: _Comparison) -> Iterator[Difference]:
    options = compared.options
    ours = get_map(compared.desired.dataset, "spec", "mounts", 0, "options")
    if _INHERIT_ACL in ours and str(options.get(_INHERIT_ACL, "")).lower() != "false":
        yield Difference(
            "s3.inherit.acl",
            str(options.get(_INHERIT_ACL, NOT_SET)),
            "false",
            "by default, Alluxio reads the bucket's ACL to find owners",
            "the mount fails if the keys may not read the ACL",
        )
    if _PATH_STYLE in ours and str(options.get(_PATH_STYLE, "")).lower() != "true":
        yield Difference(
            "s3.disable.dns.buckets",
            str(options.get(_PATH_STYLE, NOT_SET)),
            "true",
            "few stores other than AWS have a host name per bucket",
            "the bucket's host name has to resolve on the cache's nodes",
        )
    secret = set(plaintext_keys(options))
    rest = [name for name in options if name not in ours and name not in secret]
    rest = [name for name in rest if name not in (_INHERIT_ACL, _PATH_STYLE)]
    uploads = [name for name in rest if _UPLOAD.search(name)]
    timeouts = [name for name in rest if _TIMEOUT.search(name) and name not in uploads]
    others = [name for name in rest if name not in (*uploads, *timeouts)]
    if uploads:
        reason = f"the source is read-only ({summarize(_short(uploads))})"
        yield Difference("upload options", "set", NOT_SET, reason)
    if timeouts:
        shown = ", ".join(str(options[name]) for name in timeouts)
        reason = f"Alluxio has its own timeouts ({summarize(_short(timeouts))})"
        yield Difference("timeouts", shown, NOT_SET, reason)
    if others:
        reason = f"`cache` does not set {summarize(_short(others))}"
        yield Difference("other options", "set", NOT_SET, reason)


def _placement(compared: _Comparison) -> Iterator[Difference]:
    current = str(get_path(compared.cache.dataset, "spec", "placement", default=""))
    if current != "Shared":
        yield Difference(
            "placement",
            current or f"{NOT_SET}: Exclusive",
            "Shared",
            "several models can share a node",
            "no other exclusive cache starts on its node",
        )


def _nodes(compared: _Comparison) -> Iterator[Difference]:
    dataset = compared.cache.dataset
    if placement.bound_hostnames(dataset):
        return
    affinity = get_map(dataset, "spec", "nodeAffinity")
    yield Difference(
        "nodes",
        "by a nodeAffinity" if affinity else "any",
        "chosen GPU nodes, by name",
        "the worker should stay where the engine can run",
        "a lost worker is recreated elsewhere, and empty",
    )
    if not affinity and not get_list(dataset, "spec", "tolerations"):
        yield Difference(
            "tolerations",
            "none",
            "for the GPU nodes' taints",
            "GPU nodes often have a taint that reserves them",
            "the worker runs on a node without GPUs, or stays Pending",
        )


# -- the runtime -----------------------------------------------------------------------------


def _copies(compared: _Comparison) -> Iterator[Difference]:
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


def _quota(compared: _Comparison) -> Iterator[Difference]:
    medium, _, quota = alluxio_runtime.parse_tier(compared.cache.runtime)
    if compared.model_bytes is None or quota is None:
        return
    needed = sizing.quota_for(compared.model_bytes)
    reason = f"the model has {format_bytes(compared.model_bytes)}, and Alluxio evicts at 95%"
    if sizing.max_model_bytes(quota) < compared.model_bytes:
        yield Difference(
            "quota",
            format_bytes(quota),
            format_bytes(needed),
            reason,
            "parts of the model may never be cached, or may be evicted",
        )
    elif quota > needed * _GENEROUS:
        wasted = format_bytes(quota - needed)
        follows = (
            f"{wasted} of a node's memory are reserved unnecessarily" if medium == "MEM" else ""
        )
        yield Difference("quota", format_bytes(quota), format_bytes(needed), reason, follows)


def _tier(compared: _Comparison) -> Iterator[Difference]:
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


def _memory(compared: _Comparison) -> Iterator[Difference]:
    current, desired = compared.cache.runtime, compared.desired.runtime
    heaps = {part: alluxio_runtime.jvm_option_bytes(current, part, "-Xmx") for part in _PARTS}
    ours = {part: alluxio_runtime.jvm_option_bytes(desired, part, "-Xmx") for part in heaps}
    if any(heaps[part] > ours[part] for part in heaps):
        more = format_bytes(sum(max(0, heaps[part] - ours[part]) for part in ("worker", "fuse")))
        yield Difference(
            "JVM heaps",
            _gib(heaps),
            _gib(ours),
            "a model has a few hundred large files, not millions of small ones",
            f"up to {more} of the node's memory are not available to the engine",
        )
    tier = alluxio_runtime.parse_tier(current)
    tier_bytes = tier[2] or 0 if tier[0] == "MEM" else 0
    requested = quantity_to_int(
        get_path(current, "spec", "worker", "resources", "requests", "memory")
    )
    needed = quantity_to_int(get_path(desired, "spec", "worker", "resources", "requests", "memory"))
    if (requested or 0) <= tier_bytes and needed:
        yield Difference(
            "worker's memory request",
            "the quota alone" if requested else "none",
            "quota, heap and buffers",
            "the scheduler counts requests",
            "it may place more pods on the node than its memory allows",
        )


def _properties(compared: _Comparison) -> Iterator[Difference]:
    properties = compared.properties
    ours = get_map(compared.desired.runtime, "spec", "properties")
    if _BLOCK_SIZE in ours and _bytes_of(properties.get(_BLOCK_SIZE)) != sizing.BLOCK_BYTES:
        size = str(properties.get(_BLOCK_SIZE) or "Fluid's 16MB")
        yield Difference(
            "block size",
            size,
            str(ours[_BLOCK_SIZE]),
            "a large model then has ten thousand small blocks",
            "each read has a cost per block",
        )
    if properties.get(_READ_TYPE):
        reason = "with one tier, a block cannot be promoted"
        yield Difference("read type", str(properties[_READ_TYPE]), "Fluid's CACHE", reason)
    write_types = [str(properties[name]) for name in _WRITE_TYPES if properties.get(name)]
    if write_types:
        reason = "no data is written through the cache"
        yield Difference("write type", write_types[0], NOT_SET, reason)
    known = {*ours, _BLOCK_SIZE, _READ_TYPE, *_WRITE_TYPES, *plaintext_keys(properties)}
    others = [name for name in properties if name not in known]
    if others:
        reason = f"`cache` does not set {summarize(_short(others))}"
        yield Difference("other properties", "set", NOT_SET, reason)


def _fuse(compared: _Comparison) -> Iterator[Difference]:
    current = str(get_path(compared.cache.runtime, "spec", "fuse", "cleanPolicy", default=""))
    if current != "OnRuntimeDeleted":
        yield Difference(
            "fuse.cleanPolicy",
            current or f"{NOT_SET}: OnDemand",
            "OnRuntimeDeleted",
            "the page cache survives a roll-out",
            "the FUSE pod is deleted with its last reader, and the next reader waits for a new one",
        )


def _other_fields(compared: _Comparison) -> Iterator[Difference]:
    """Return fields that somebody set and `cache` does not; Fluid's defaults do not count."""
    paths = [*_set_paths(compared.cache.dataset), *_set_paths(compared.cache.runtime)]
    others = sorted(path for path in paths if path not in _KNOWN_FIELDS)
    if others:
        reason = f"`cache` does not set {summarize(others)}"
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


# -- the load --------------------------------------------------------------------------------


def _load(compared: _Comparison) -> Iterator[Difference]:
    if not compared.cache.loads:
        yield Difference(
            "DataLoad",
            "none",
            compared.cache.name,
            "the model is loaded before an engine reads it",
            "the first reader waits for the store, unless earlier readers have filled the cache",
        )
    for load in compared.cache.loads:
        yield from _load_differences(compared, load)


def _load_differences(compared: _Comparison, load: Object) -> Iterator[Difference]:
    setting = f"DataLoad {name_of(load)}"
    if not get_path(load, "spec", "dataset", "namespace"):
        yield Difference(
            setting,
            "without a namespace",
            "with the Dataset's",
            "Fluid looks for the Dataset in an empty namespace",
            "it never starts",
        )
    targets = get_list(load, "spec", "target")
    paths = [str(each.get("path", "/")) for each in targets] or ["/"]
    complete = ("/", f"/{compared.cache.directory}")
    if not any(path.rstrip("/") in (each.rstrip("/") for each in complete) for path in paths):
        yield Difference(
            setting,
            summarize(paths),
            "/",
            "an engine reads every file",
            "files outside its paths are read from the store",
        )
    copies = {int(each.get("replicas") or 1) for each in targets} or {1}
    if copies != {compared.cache.replicas}:
        yield Difference(
            setting,
            f"replicas {', '.join(map(str, sorted(copies)))}",
            f"replicas {compared.cache.replicas}",
            "its script requests this many copies of each block from Alluxio",
            "not every node of the cache has a complete copy",
        )


_RULES: tuple[Callable[[_Comparison], Iterator[Difference]], ...] = (
    _keys,
    _key_names,
    _quota,
    _copies,
    _nodes,
    _placement,
    _directory,
    _memory,
    _fuse,
    _access_modes,
    _store_options,
    _tier,
    _properties,
    _other_fields,
    _load,
)


def _short(options: list[str]) -> list[str]:
    """Return the names of options without their common prefix."""
    prefixes = ("alluxio.underfs.", "alluxio.user.", "alluxio.")
    found = []
    for name in options:
        prefix = next((each for each in prefixes if name.startswith(each)), "")
        found.append(name.removeprefix(prefix))
    return found


def _gib(heaps: Mapping[str, int]) -> str:
    """`16+12+16 GiB`: master, worker and FUSE."""
    return "+".join(f"{size / sizing.GIB:g}" for size in heaps.values()) + " GiB"


def _bytes_of(text: Any) -> int | None:
    """Parse a size as Alluxio writes it, `128MB`, to bytes; None for anything else."""
    match = _SIZE.fullmatch(str(text).strip()) if text is not None else None
    return int(match[1]) << _SHIFTS[match[2].upper()] if match else None
