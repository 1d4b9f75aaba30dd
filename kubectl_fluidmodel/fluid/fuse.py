"""What a runtime's FUSE client can take. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

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


def mount_options(runtime: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the options with which a runtime's FUSE client mounts; empty for Fluid's own.

    Fluid replaces its own by `fuse.args` as a whole (pkg/ddc/alluxio/transform_optimization.go).
    """
    for each in get_path(runtime, "spec", "fuse", "args", default=[]):
        options = re.fullmatch(r"--fuse-opts=(.*)", str(each))
        if options:
            return tuple(filter(None, options[1].split(",")))
    return ()
