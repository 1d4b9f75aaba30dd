"""How much of real files is in this machine's page cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubectl_fluidmodel.model.page_cache import measure_residency

SIZES = {"a.safetensors": 24 << 20, "nested/b.safetensors": 8 << 20, "config.json": 100, "empty": 0}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name, size in SIZES.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(os.urandom(size))
            file.flush()
            os.fsync(file.fileno())
    return tmp_path / "model"


def drop(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def share(model: Path) -> float:
    """The measured share of the files, between 0 and 1."""
    residency = measure_residency(model)
    assert residency is not None and residency.total_bytes == sum(SIZES.values())
    return residency.bytes / residency.total_bytes


def test_what_was_written_and_dropped_is_measured(model: Path) -> None:
    assert share(model) == 1
    drop(model / "nested" / "b.safetensors")
    assert share(model) == pytest.approx(0.75, abs=0.02)
    drop(model / "a.safetensors")
    # The measurement has read one page of eight. If the next one drew the same page, all would seem
    # resident.
    drop(model / "nested" / "b.safetensors")
    assert share(model) == pytest.approx(0, abs=0.02)


def test_only_files_are_measured(model: Path) -> None:
    (model / "gone").symlink_to(model / "gone")
    assert share(model) == 1, "a link to nothing is no file"
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    residency = measure_residency(model)
    assert (
        residency is not None
        and residency.total_bytes == sum(SIZES.values()) - SIZES["config.json"]
    )


def test_a_directory_without_files_has_no_pages(tmp_path: Path) -> None:
    residency = measure_residency(tmp_path)
    assert residency is not None and (residency.bytes, residency.total_bytes) == (0, 0)
