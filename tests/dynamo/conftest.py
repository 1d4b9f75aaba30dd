"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.isolation import isolate

FIXTURES = Path(__file__).parents[1] / "fixtures" / "dgd"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
