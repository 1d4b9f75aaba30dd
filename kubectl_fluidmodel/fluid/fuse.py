"""What a runtime's FUSE client can take. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, get_path

JNI_FUSE_PROPERTY = "alluxio.fuse.jnifuse.enabled"


def limits_parallel_reads(runtime: Object | None) -> bool:
    """Whether 32 or more reads at once can hang the FUSE client.

    Alluxio's JNI-FUSE does (fluid#5802). Fluid's settings for high concurrency turn it off
    (docs/en/samples/alluxio_s3_high_concurrency.md). An unknown runtime is taken for Alluxio's.
    """
    if runtime is not None and runtime.get("kind") != names.ALLUXIO_RUNTIMES.name:
        return False
    properties = get_path(runtime, "spec", "properties", default={})
    return str(properties.get(JNI_FUSE_PROPERTY)).lower() != "false"
