"""These tests see an empty home directory and nothing of the machine's environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.isolation import isolate


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
