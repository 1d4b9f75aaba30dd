"""What a runtime's FUSE client can take, and which of its options are slow."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.fluid import fuse


def runtime(*args: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "AlluxioRuntime", "spec": {"fuse": {"args": list(args)}, **spec}}


def test_without_arguments_the_options_are_fluids() -> None:
    assert fuse.mount_options(None) is None
    assert fuse.mount_options(runtime()) is None
    assert fuse.mount_options(runtime("fuse", "--other=kernel_cache")) is None
    assert fuse.slow_mount_options(runtime(), is_read_locally=True) == []


def test_mount_options_are_read_by_name() -> None:
    options = fuse.mount_options(runtime("fuse", "--fuse-opts=kernel_cache,ro,max_background=1"))
    assert options == {"kernel_cache": "", "ro": "", "max_background": "1"}


@pytest.mark.parametrize(
    ("options", "slow"),
    [
        ("kernel_cache,ro", []),
        ("auto_cache,ro", []),
        ("kernel_cache,max_background=256", []),
        ("kernel_cache,direct_io", ["direct_io"]),
        ("ro,attr_timeout=7200", ["without kernel_cache"]),
        ("kernel_cache,max_background=1", ["max_background=1"]),
        ("max_background=1", ["without kernel_cache", "max_background=1"]),
    ],
)
def test_slow_options_are_named(options: str, slow: list[str]) -> None:
    clauses = fuse.slow_mount_options(
        runtime("fuse", f"--fuse-opts={options}"), is_read_locally=True
    )
    assert len(clauses) == len(slow)
    assert all(text.startswith(word) for text, word in zip(clauses, slow, strict=True)), clauses


def test_requests_in_order_are_right_for_readers_on_other_nodes() -> None:
    remote = runtime("fuse", "--fuse-opts=kernel_cache,max_background=1")
    assert fuse.slow_mount_options(remote, is_read_locally=False) == []


def test_the_settings_for_high_concurrency_are_not_called_slow() -> None:
    made = fuse.with_high_concurrency(runtime("fuse", "--fuse-opts=ro,direct_io"))
    assert fuse.uses_jnr_fuse(made) and fuse.mount_options(made)
    assert fuse.slow_mount_options(made, is_read_locally=True) == []


OFF, PREFER = fuse.SHORT_CIRCUIT_PROPERTY, fuse.PREFER_SHORT_CIRCUIT_PROPERTY
SOCKET = fuse.DOMAIN_SOCKET_PROPERTY


def client(mount: str = "", own: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a runtime says of its FUSE client: a folder that it mounts, and its own properties."""
    mounts = [{"name": "socket", "mountPath": mount}] if mount else []
    return {"properties": own or {}, "volumeMounts": mounts}


@pytest.mark.parametrize(
    ("properties", "spec", "path"),
    [
        ({}, client(), ()),
        ({OFF: "true"}, client(), ()),
        ({OFF: "False"}, client(), ("spec", "properties", OFF)),
        ({OFF: "true"}, client(own={OFF: "false"}), ("spec", "fuse", "properties", OFF)),
        ({OFF: "false"}, client(own={OFF: "true"}), ()),
        ({SOCKET: "/opt/domain"}, client(), ()),  # which the client does not see
        ({SOCKET: "/opt/domain"}, client("/opt/domain-2"), ()),
        ({SOCKET: "/opt/Domain/"}, client("/opt/Domain"), ("spec", "properties", SOCKET)),
        ({SOCKET: "/opt/domain/s"}, client("/opt"), ("spec", "properties", SOCKET)),
        ({SOCKET: "/opt/domain", PREFER: "true"}, client("/opt/domain"), ()),
    ],
)
def test_what_makes_a_client_read_through_a_socket_is_found(
    properties: dict[str, str], spec: dict[str, Any], path: tuple[str, ...]
) -> None:
    made = {"kind": "AlluxioRuntime", "spec": {"properties": properties, "fuse": spec}}
    found = fuse.avoids_short_circuit(made)
    assert (found[0] if found else ()) == path


def test_only_alluxio_has_short_circuit_reads() -> None:
    assert fuse.avoids_short_circuit(None) is None
    other = {"kind": "JindoRuntime", "spec": {"properties": {OFF: "false"}}}
    assert fuse.avoids_short_circuit(other) is None


@pytest.mark.parametrize(
    ("options", "version", "refused"),
    [
        ("kernel_cache,ro", "", []),
        ("kernel_cache,ro,max_read=131072,nonempty", "", ["max_read", "nonempty"]),
        ("max_read=131072", "3", ["max_read"]),
        ("max_read=131072,nonempty", "2", []),
        ("max_readahead=0", "", []),
    ],
)
def test_options_of_libfuse_2_are_refused_by_libfuse_3(
    options: str, version: str, refused: list[str]
) -> None:
    properties = {fuse.LIBFUSE_VERSION_PROPERTY: version} if version else {}
    made = runtime("fuse", f"--fuse-opts={options}", properties=properties)
    assert fuse.refused_mount_options(made) == refused


def test_jnr_fuse_always_has_libfuse_2() -> None:
    made = runtime(
        "fuse", "--fuse-opts=max_read=131072", properties={fuse.JNI_FUSE_PROPERTY: "false"}
    )
    assert fuse.refused_mount_options(made) == []


def test_the_settings_for_high_concurrency_are_not_refused() -> None:
    made = fuse.with_high_concurrency(runtime())
    assert "nonempty" in (fuse.mount_options(made) or {})
    assert fuse.refused_mount_options(made) == []
