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
