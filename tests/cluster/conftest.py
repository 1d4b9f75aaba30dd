"""Make the fixtures known here, and the package importable however pytest was started."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cluster.dataplane import cached, plane, with_image
from tests.cluster.doctor_fixture import PASSED, doctor
from tests.cluster.fixtures import bucket, cli, cluster, fragile, namespace
from tests.cluster.plugin import plugin

__all__ = [
    "bucket",
    "cached",
    "cli",
    "cluster",
    "doctor",
    "fragile",
    "namespace",
    "plane",
    "plugin",
    "with_image",
]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know whether their test passed."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report
