"""Builds the AlluxioRuntime: the number of workers, the tier, heaps and properties."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.mount import Mount
from kubectl_fluidmodel.model.sizing import BLOCK_BYTES, MIB, HeapSizes, Medium
from kubectl_fluidmodel.objects.access import Object, get_path
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity, quantity_to_int

LATEST_VERSION = "2.9.3"
"""The latest Alluxio release that Fluid's DataLoad can load with: it runs `alluxio fs
distributedLoad`, which 2.9.4 does not have."""
METADATA_EXPIRATION_PROPERTY = "alluxio.user.metadata.cache.expiration.time"
"""How long Alluxio's clients remember which blocks of a file are where.

Fluid sets 10 minutes (pkg/ddc/alluxio/transform_optimization.go, v1.0.8), also for the job master
and the FUSE client. If blocks are lost in that time, as with a node's memory, a load of them loads
nothing and succeeds (Alluxio 2.9.3, LoadDefinition.selectExecutors), and a read does not cache them
again (AlluxioFileInStream, `overReplicated`).
"""
METADATA_EXPIRATION_SECONDS = 10
"""What `cache` sets: less than a DataLoad needs to start.

Without a metadata cache, each open of a file asks the master (docs/why-these-settings.md, 15).
"""
_VERSION = re.compile(r"(?<!\d)(\d+)\.(\d+)\.(\d+)(?!\d)")


def build_runtime(
    name: str,
    namespace: str,
    mount: Mount,
    *,
    replicas: int,
    medium: Medium,
    quota: int,
    heaps: HeapSizes,
    web: bool = False,
) -> Object:
    """Build the AlluxioRuntime of the Dataset `namespace/name`; `quota` is bytes per worker.

    Fields that Fluid's controller sets by default are set here, because two owners of one field
    would conflict at the next apply: the worker's memory request, if it is below a MEM tier's quota
    (pkg/ddc/alluxio/transform_resources.go), and the tier's defaults, because a list has one owner
    as a whole. `hostPath` keeps short-circuit reads.
    """
    tier = quota if medium.type == "MEM" else 0
    properties = {
        METADATA_EXPIRATION_PROPERTY: f"{METADATA_EXPIRATION_SECONDS}s",
        **mount.properties,
    }
    if not web:  # for WebUFS, Fluid itself sets blocks and buffers of 256 MB
        properties["alluxio.user.block.size.bytes.default"] = f"{BLOCK_BYTES // MIB}MB"
    spec: dict[str, Any] = {
        "replicas": replicas,
        # Every node holds the whole model; Alluxio's default of 1 would spread its blocks.
        "data": {"replicas": replicas},
        "tieredstore": {
            "levels": [
                {
                    "mediumtype": medium.type,
                    "volumeType": "hostPath",
                    "volumeSource": {},
                    "path": medium.path,
                    "quota": bytes_to_quantity(quota),
                }
            ]
        },
        "properties": properties,
        "master": {
            "jvmOptions": [f"-Xmx{_format_jvm_size(heaps.master)}"],
            "resources": _memory_request(heaps.master),
        },
        "worker": {
            "jvmOptions": [
                f"-Xmx{_format_jvm_size(heaps.worker)}",
                f"-XX:MaxDirectMemorySize={_format_jvm_size(heaps.worker_direct)}",
            ],
            "resources": _memory_request(tier + heaps.worker + heaps.worker_direct),
        },
        "fuse": {
            "jvmOptions": [
                f"-Xmx{_format_jvm_size(heaps.fuse)}",
                "-XX:+UseG1GC",
                f"-XX:MaxDirectMemorySize={_format_jvm_size(heaps.fuse_direct)}",
            ],
            # Keep the pod after its last reader ends, so the page cache survives a roll-out.
            "cleanPolicy": "OnRuntimeDeleted",
        },
    }
    if mount.volumes:
        spec["volumes"] = list(mount.volumes)
        for component in ("master", "worker"):
            spec[component]["volumeMounts"] = list(mount.volume_mounts)
    return {
        "apiVersion": names.ALLUXIO_RUNTIMES.api_version,
        "kind": names.ALLUXIO_RUNTIMES.name,
        "metadata": {"name": name, "namespace": namespace, "labels": names.managed_labels(name)},
        "spec": spec,
    }


def parse_tier(runtime: Object) -> tuple[str, str, int | None]:
    """Return the medium, path and quota (bytes per worker) of a runtime's first tier."""
    level = get_path(runtime, "spec", "tieredstore", "levels", 0, default={})
    return (
        str(level.get("mediumtype", "")),
        str(level.get("path", "")),
        quantity_to_int(level.get("quota")),
    )


DEFAULT_JVM_OPTIONS = {
    "master": ("-Xmx16G",),
    "worker": ("-Xmx12G", "-XX:MaxDirectMemorySize=32g"),
    "fuse": ("-Xmx16G", "-XX:MaxDirectMemorySize=32g"),
}
"""Fluid's defaults for a component without jvmOptions (pkg/ddc/alluxio/transform_optimization.go).
The heap of the FUSE client is allocated at startup (-Xms16G)."""
_UNIT_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30}


def jvm_option_bytes(runtime: Mapping[str, Any], component: str, option: str) -> int:
    """Return the bytes of `-Xmx` or `-XX:MaxDirectMemorySize=`; 0 for the JVM's default."""
    jvm_options = get_path(runtime, "spec", component, "jvmOptions", default=[])
    options = (
        jvm_options
        if isinstance(jvm_options, list) and jvm_options
        else DEFAULT_JVM_OPTIONS.get(component, ())
    )
    for jvm_option in options:
        match = re.fullmatch(re.escape(option) + r"(\d+)([kmg]?)", str(jvm_option).strip(), re.I)
        if match:
            return int(match[1]) << _UNIT_SHIFTS[match[2].lower()]
    return 0


def max_memory(runtime: Mapping[str, Any], component: str) -> int:
    """Return the bytes that a component can use: heap, direct memory, and a worker's memory tier.

    The kernel charges a memory tier to the pod that writes it. A tenth is added for other memory of
    the JVM.
    """
    medium, _, quota = parse_tier(dict(runtime))
    tier_bytes = quota or 0 if component == "worker" and medium == "MEM" else 0
    heap = jvm_option_bytes(runtime, component, "-Xmx")
    direct = jvm_option_bytes(runtime, component, "-XX:MaxDirectMemorySize=") or heap
    return tier_bytes + (heap + direct) * 11 // 10


def _memory_request(memory: int) -> dict[str, Any]:
    return {"requests": {"memory": bytes_to_quantity(memory)}}


def _format_jvm_size(count: int) -> str:
    return f"{count >> 30}g" if count % (1 << 30) == 0 else f"{count >> 20}m"


def has_distributed_load(image: str) -> bool | None:
    """Whether an image's Alluxio can run Fluid's DataLoad, by the version in its tag.

    Alluxio 2.9.4 answers `distributedLoad is an unknown command.`, and 3 has another command line.

    Returns:
        None if the tag has no version.
    """
    version = _VERSION.search(image.rpartition(":")[2])
    if version is None:
        return None
    newest = tuple(int(part) for part in LATEST_VERSION.split("."))
    return tuple(int(part) for part in version.groups()) <= newest
