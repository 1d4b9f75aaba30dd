"""Make the fixtures known here, and the package importable however pytest was started."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cluster.doctoring import doctor
from tests.cluster.fixtures import bucket, cli, cluster, fragile, namespace
from tests.cluster.plugin import plugin

__all__ = ["bucket", "cli", "cluster", "doctor", "fragile", "namespace", "plugin"]
