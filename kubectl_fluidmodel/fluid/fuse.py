"""What a runtime's FUSE client can take, and Fluid's settings for many parallel reads. Pure.

Alluxio has two FUSE clients. Fluid starts JNI-FUSE, which uses the kernel's page cache. Its
settings for high concurrency (docs/en/samples/alluxio_s3_high_concurrency.md, July 2026) start the
older JNR-FUSE with libfuse 2, which always mounts with `direct_io` (Alluxio 2.9.3,
alluxio/fuse/options/FuseOptions.java): the kernel keeps no pages between two opens of a file, and
refuses shared memory maps (ENODEV).
"""

from __future__ import annotations

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, get_path

JNI_FUSE_PROPERTY = "alluxio.fuse.jnifuse.enabled"
SHORT_CIRCUIT_PROPERTY = "alluxio.user.short.circuit.enabled"
PREFER_SHORT_CIRCUIT_PROPERTY = "alluxio.user.short.circuit.preferred"
LIBFUSE_VERSION_PROPERTY = "alluxio.fuse.jnifuse.libfuse.version"
LIBFUSE_2_OPTIONS = ("max_read", "nonempty")
"""Options with which Alluxio's client does not mount with libfuse 3, Fluid's default.

Fluid writes them only with libfuse 2 (pkg/ddc/alluxio/transform_optimization.go, v1.0.8).
"""
DOMAIN_SOCKET_PROPERTY = "alluxio.worker.data.server.domain.socket.address"
_MOUNT_OPTIONS = "--fuse-opts="
MAX_BACKGROUND = 256
"""Requests that the kernel sends to the client at once, in Fluid's settings."""
CHUNK_BYTES = 64 << 20
"""What the client reads from a worker at once, in Fluid's settings."""
HIGH_CONCURRENCY_PROPERTIES = {
    JNI_FUSE_PROPERTY: "false",
    LIBFUSE_VERSION_PROPERTY: "2",
    "alluxio.underfs.s3.threads.max": "2048",
    "alluxio.user.block.worker.client.pool.max": "8192",
    "alluxio.user.block.size.bytes.default": "64MB",
    "alluxio.user.streaming.reader.chunk.size.bytes": "64MB",
    "alluxio.user.local.reader.chunk.size.bytes": "64MB",
    "alluxio.worker.network.reader.buffer.size": "64MB",
    "alluxio.user.direct.memory.io.enabled": "false",
}
HIGH_CONCURRENCY_ARGS = (
    "fuse",
    # As Fluid mounts a read-only Dataset with libfuse 2 (pkg/ddc/alluxio/transform_optimization.go
    # at v1.0.8), and the two limits of its settings for high concurrency.
    f"{_MOUNT_OPTIONS}kernel_cache,ro,attr_timeout=7200,entry_timeout=7200,nonempty,allow_other,"
    f"max_background={MAX_BACKGROUND},congestion_threshold={MAX_BACKGROUND}",
)


def with_high_concurrency(runtime: Object) -> Object:
    """Return an AlluxioRuntime with Fluid's settings for many parallel reads."""
    spec = runtime["spec"]
    properties = {**(spec.get("properties") or {}), **HIGH_CONCURRENCY_PROPERTIES}
    client = {**(spec.get("fuse") or {}), "args": list(HIGH_CONCURRENCY_ARGS)}
    return {**runtime, "spec": {**spec, "properties": properties, "fuse": client}}


def limits_parallel_reads(runtime: Object | None) -> bool:
    """Whether 32 or more reads at once can hang the FUSE client.

    Alluxio's JNI-FUSE does (fluid#5802). Fluid's settings for high concurrency turn it off. An
    unknown runtime is taken for Alluxio's.
    """
    return runtime is None or (names.is_alluxio_runtime(runtime) and not uses_jnr_fuse(runtime))


def uses_jnr_fuse(runtime: Object | None) -> bool:
    """Whether the FUSE client is JNR-FUSE, which has no page cache."""
    value = _property(runtime, JNI_FUSE_PROPERTY)
    return names.is_alluxio_runtime(runtime) and value.lower() == "false"


def refused_mount_options(runtime: Object | None) -> list[str]:
    """Return which of a runtime's mount options keep its FUSE client from mounting."""
    if not names.is_alluxio_runtime(runtime) or uses_jnr_fuse(runtime):
        return []
    if _property(runtime, LIBFUSE_VERSION_PROPERTY) == "2":
        return []
    return [option for option in LIBFUSE_2_OPTIONS if option in (mount_options(runtime) or {})]


def avoids_short_circuit(runtime: Object | None) -> tuple[tuple[str, ...], str] | None:
    """Return the field by which a client reads from its node's worker over a socket, and a clause.

    By default, it reads the worker's files. None if a runtime has no such field. A client prefers a
    domain socket that it can see (Alluxio 2.9.3, `BlockInStream.create`); Fluid mounts none, but
    `volumeMounts` can.
    """
    if not names.is_alluxio_runtime(runtime):
        return None
    if _property(runtime, SHORT_CIRCUIT_PROPERTY).lower() not in ("", "true"):
        return _property_path(runtime, SHORT_CIRCUIT_PROPERTY), "short-circuit reads are turned off"
    address = _property(runtime, DOMAIN_SOCKET_PROPERTY).rstrip("/")
    prefers_socket = _property(runtime, PREFER_SHORT_CIRCUIT_PROPERTY).lower() != "true"
    mounts = get_path(runtime, "spec", "fuse", "volumeMounts", default=[])
    folders = [str(get_path(mount, "mountPath", default="")).rstrip("/") for mount in mounts]
    if address and prefers_socket and any(f"{address}/".startswith(f"{at}/") for at in folders):
        path = _property_path(runtime, DOMAIN_SOCKET_PROPERTY)
        return path, "the FUSE client prefers the domain socket that it mounts"
    return None


def _property(runtime: Object | None, name: str) -> str:
    """A property of the FUSE client; empty if the runtime does not set it."""
    return str(get_path(runtime, *_property_path(runtime, name), default=""))


def _property_path(runtime: Object | None, name: str) -> tuple[str, ...]:
    """Where a property of the FUSE client is; its own properties win, as Fluid merges them."""
    own = ("spec", "fuse", "properties", name)
    return ("spec", "properties", name) if get_path(runtime, *own) is None else own


def mount_options(runtime: Object | None) -> dict[str, str] | None:
    """Return the options with which a runtime's FUSE client mounts, by name; None for Fluid's own.

    An option without a value, such as `ro`, has an empty one.
    """
    for argument in get_path(runtime, "spec", "fuse", "args", default=[]):
        if str(argument).startswith(_MOUNT_OPTIONS):
            options = str(argument).removeprefix(_MOUNT_OPTIONS).split(",")
            return {name: value for name, _, value in (option.partition("=") for option in options)}
    return None


def slow_mount_options(runtime: Object | None, *, is_read_locally: bool) -> list[str]:
    """Return what makes reads slow in a runtime's mount options, each as a clause.

    Measured by `python -m bench.settings`. JNR-FUSE is left out: it keeps no pages anyway.

    Args:
        runtime: The runtime, if there is one.
        is_read_locally: Whether the cache is read on its own nodes. From others, requests in order
            are faster.
    """
    options = mount_options(runtime)
    if options is None or uses_jnr_fuse(runtime):
        return []
    clauses = []
    if "direct_io" in options:
        clauses.append("direct_io keeps the model out of the page cache")
    elif not {"kernel_cache", "auto_cache"} & set(options):
        clauses.append("without kernel_cache, each open of a file drops its pages")
    if is_read_locally and options.get("max_background") == "1":
        clauses.append("max_background=1 makes parallel reads wait for each other")
    return clauses
