"""The AlluxioRuntime: how many workers, with which tier, heaps and properties."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.mount import Mount
from kubectl_fluidmodel.model.sizing import BLOCK, MIB, Heaps, Medium
from kubectl_fluidmodel.objects.access import Object, at
from kubectl_fluidmodel.objects.quantity import from_bytes, to_int


def build(
    name: str,
    namespace: str,
    mount: Mount,
    *,
    replicas: int,
    medium: Medium,
    quota: int,
    jvm: Heaps,
    web: bool = False,
) -> Object:
    """The AlluxioRuntime of the Dataset `namespace/name`; `quota` is bytes per worker.

    What Fluid's controller writes back into the spec is stated in full, because two owners of
    one field would fight at the next apply: the worker's memory request, where it is below a
    MEM tier's quota (pkg/ddc/alluxio/transform_resources.go), and with any update the tier's
    defaults, whose list has one owner as a whole. `hostPath` keeps short-circuit reads.
    """
    tier = quota if medium.type == "MEM" else 0
    properties = dict(mount.properties)
    if not web:  # for WebUFS Fluid sets 256 MB blocks and buffers itself
        properties["alluxio.user.block.size.bytes.default"] = f"{BLOCK // MIB}MB"
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
                    "quota": from_bytes(quota),
                }
            ]
        },
        "properties": properties,
        "master": {
            "jvmOptions": [f"-Xmx{_jvm(jvm.master)}"],
            "resources": _requests(jvm.master),
        },
        "worker": {
            "jvmOptions": [
                f"-Xmx{_jvm(jvm.worker)}",
                f"-XX:MaxDirectMemorySize={_jvm(jvm.worker_direct)}",
            ],
            "resources": _requests(tier + jvm.worker + jvm.worker_direct),
        },
        "fuse": {
            "jvmOptions": [
                f"-Xmx{_jvm(jvm.fuse)}",
                "-XX:+UseG1GC",
                f"-XX:MaxDirectMemorySize={_jvm(jvm.fuse_direct)}",
            ],
            # Kept after its last reader is gone, so that the page cache survives a roll-out.
            "cleanPolicy": "OnRuntimeDeleted",
        },
    }
    if mount.volumes:
        spec["volumes"] = list(mount.volumes)
        for part in ("master", "worker"):
            spec[part]["volumeMounts"] = list(mount.volume_mounts)
    return {
        "apiVersion": names.ALLUXIO_RUNTIMES.api_version,
        "kind": names.ALLUXIO_RUNTIMES.name,
        "metadata": {"name": name, "namespace": namespace, "labels": names.our_labels(name)},
        "spec": spec,
    }


def tier(runtime: Object) -> tuple[str, str, int | None]:
    """Medium, path and quota (bytes per worker) of a runtime's first tier."""
    level = at(runtime, "spec", "tieredstore", "levels", 0, default={})
    return (
        str(level.get("mediumtype", "")),
        str(level.get("path", "")),
        to_int(level.get("quota")),
    )


DEFAULT_JVM = {
    "master": ("-Xmx16G",),
    "worker": ("-Xmx12G", "-XX:MaxDirectMemorySize=32g"),
    "fuse": ("-Xmx16G", "-XX:MaxDirectMemorySize=32g"),
}
"""What Fluid gives a part without jvmOptions (pkg/ddc/alluxio/transform_optimization.go); the heap
of the FUSE client is taken at once, -Xms16G."""
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30}


def jvm_size(runtime: Mapping[str, Any], part: str, option: str) -> int:
    """Bytes of `-Xmx` or `-XX:MaxDirectMemorySize=` of a part; 0 where the JVM decides itself."""
    given = at(runtime, "spec", part, "jvmOptions", default=[])
    options = given if isinstance(given, list) and given else DEFAULT_JVM.get(part, ())
    for each in options:
        match = re.fullmatch(re.escape(option) + r"(\d+)([kmg]?)", str(each).strip(), re.I)
        if match:
            return int(match[1]) << _SHIFTS[match[2].lower()]
    return 0


def memory_of(runtime: Mapping[str, Any], part: str) -> int:
    """Bytes that a part may use: heap, direct memory, and the worker's tier where it is memory.

    The kernel charges a tier in memory to the pod that writes it. A tenth more is for what a JVM
    takes besides.
    """
    medium, _, quota = tier(dict(runtime))
    tier_bytes = quota or 0 if part == "worker" and medium == "MEM" else 0
    heap = jvm_size(runtime, part, "-Xmx")
    direct = jvm_size(runtime, part, "-XX:MaxDirectMemorySize=") or heap
    return tier_bytes + (heap + direct) * 11 // 10


def _requests(memory: int) -> dict[str, Any]:
    return {"requests": {"memory": from_bytes(memory)}}


def _jvm(count: int) -> str:
    return f"{count >> 30}g" if count % (1 << 30) == 0 else f"{count >> 20}m"
