"""Where Fluid mounts what, held against the cases of its own pkg/utils/ufs_path_builder_test.go."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.fluid.mount import (
    ROOT_OPTION,
    alluxio_path,
    claim_directory,
    credential_option,
    root_mount,
    skipped_mounts,
)

WEB = "http://host/spark"


def mount(path: str | None = None, name: str | None = "spark", point: str = WEB) -> dict[str, Any]:
    fields = {"mountPoint": point, "path": path, "name": name}
    return {key: value for key, value in fields.items() if value is not None}


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (mount(), "/spark"),
        (mount(path=""), "/spark"),
        (mount(path="/"), "/"),
        (mount(path="/mnt/deep"), "/mnt/deep"),
        (mount(path="mnt"), "/spark"),
        (mount(path="./"), "/spark"),
        (mount(name="/spark"), "/spark"),
        (mount(name=None), "/"),
        (mount(name=""), "/"),
        (mount(path="relative", name=None), "/"),
    ],
)
def test_a_path_is_absolute_or_made_of_the_name(spec: dict[str, Any], path: str) -> None:
    assert alluxio_path(spec) == path
    assert claim_directory(spec) == path.strip("/")


OTHERS = [mount(name="a", point="https://host/a/"), mount(name="b", point="https://host/b/")]


@pytest.mark.parametrize(
    ("mounts", "root"),
    [
        ([mount(path="/")], True),
        ([mount(name=None)], True),
        ([mount(path="x", name=None, point="s3://bucket/m")], True),
        ([mount()], False),
        ([mount(path="/mnt")], False),
        ([mount(point="local:///mnt", path="/")], False),
        ([mount(point="pvc://claim/mnt", path="/")], False),
        ([mount(path="/"), *OTHERS], False),
        ([], False),
    ],
)
def test_a_mount_is_the_root_only_if_it_is_the_only_one(
    mounts: list[dict[str, Any]], root: bool
) -> None:
    assert root_mount(mounts) == (mounts[0] if root else None)


def test_the_root_is_never_mounted_with_others() -> None:
    assert skipped_mounts([mount(path="/"), *OTHERS]) == [0]
    assert skipped_mounts([*OTHERS, mount(name=None)]) == [2]
    assert skipped_mounts([mount(path="/", point="pvc://claim"), *OTHERS]) == []
    assert skipped_mounts([mount(path="/")]) == []


def test_a_secrets_key_has_the_name_that_its_mount_reads() -> None:
    assert credential_option("aws.secretKey", root=True) == f"{ROOT_OPTION}aws.secretKey"
    assert (
        credential_option(f"{ROOT_OPTION}aws.secretKey", root=True) == f"{ROOT_OPTION}aws.secretKey"
    )
    assert credential_option(f"{ROOT_OPTION}aws.secretKey", root=False) == "aws.secretKey"
    assert (
        credential_option("alluxio.underfs.s3.endpoint", root=True) == "alluxio.underfs.s3.endpoint"
    )
