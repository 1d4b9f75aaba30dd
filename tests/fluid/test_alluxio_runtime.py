"""Which Alluxio can load with Fluid's DataLoad."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.fluid.alluxio_runtime import has_distributed_load


@pytest.mark.parametrize(
    ("image", "loads"),
    [
        ("alluxio/alluxio-dev:2.9.0", True),
        ("registry:5000/alluxio:2.9.3", True),
        ("alluxio/alluxio-dev:release-2.8.1-SNAPSHOT-0433ade", True),
        ("alluxio/alluxio:2.9.4", False),
        ("alluxio/alluxio:v2.10.0-SNAPSHOT", False),
        ("alluxio/alluxio:3.2.1", False),
        ("2.9.4", False),
        ("alluxio/alluxio:latest", None),
        ("alluxio/alluxio", None),
        ("alluxio/alluxio@sha256:0123456789abcdef", None),
    ],
)
def test_alluxio_up_to_2_9_3_can_load(image: str, loads: bool | None) -> None:
    assert has_distributed_load(image) is loads
