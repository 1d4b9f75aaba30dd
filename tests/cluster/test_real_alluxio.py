"""The real Alluxio answers what the goldens have, which the simulated one is held to."""

from __future__ import annotations

import pytest

from tests.cluster.dataplane import Cached
from tests.cluster.test_alluxio_goldens import compare

pytestmark = [pytest.mark.real]


def test_the_goldens_are_a_real_alluxio_s(cached: Cached) -> None:
    assert compare(cached.plane, cached.namespace, cached.name) == {}
