"""The archive: what krew accepts, the same bytes each time, licences inside."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from krew import licenses
from krew.contents import ROOT
from krew.freeze import pack

PYTHON = ROOT / "build" / "dist-venv" / "bin" / "python"
"""Of `make dist`."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle of all that a file system has: links, modes, an old time."""
    made = tmp_path / "bundle"
    (made / "_internal" / "b").mkdir(parents=True)
    (made / "kubectl-fluidmodel").write_text("program")
    (made / "kubectl-fluidmodel").chmod(0o755)
    (made / "_internal" / "real.so.1").write_text("library")
    (made / "_internal" / "link.so").symlink_to("real.so.1")
    (made / "_internal" / "hard.so").hardlink_to(made / "_internal" / "real.so.1")
    (made / "_internal" / "Current").symlink_to("b")
    (made / "_internal" / "b" / "data").write_text("data")
    return made


def test_unowned_plain_files_and_directories(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "out" / "x.tar.gz", 1_700_000_000)
    with tarfile.open(tmp_path / "out" / "x.tar.gz") as tar:
        entries = tar.getmembers()
        contents = {
            entry.name: tar.extractfile(entry).read()  # type: ignore[union-attr]
            for entry in entries
            if entry.isfile()
        }
    assert all(entry.isfile() or entry.isdir() for entry in entries)
    assert contents == {
        "kubectl-fluidmodel": b"program",
        "_internal/real.so.1": b"library",
        "_internal/link.so": b"library",
        "_internal/hard.so": b"library",
        "_internal/Current/data": b"data",
        "_internal/b/data": b"data",
    }
    assert {(e.uid, e.gid, e.uname, e.gname, e.mtime) for e in entries} == {
        (0, 0, "", "", 1_700_000_000)
    }
    modes = {entry.name: entry.mode for entry in entries}
    assert (modes["kubectl-fluidmodel"], modes["_internal/real.so.1"]) == (0o755, 0o644)


def test_the_same_bytes_whenever_and_wherever(folder: Path, tmp_path: Path) -> None:
    first = pack(folder, tmp_path / "1.tar.gz", 1_700_000_000)
    moved = folder.rename(tmp_path / "elsewhere")
    os.utime(moved / "kubectl-fluidmodel", (1, 1))
    umask = os.umask(0o077)
    try:
        second = pack(moved, tmp_path / "2.tar.gz", 1_700_000_000)
    finally:
        os.umask(umask)
    assert first == second
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()


@pytest.mark.krew
def test_a_second_build_has_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    """By another user's environment; the seed and the time are the recipe's own."""
    env = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LANG": "C"}
    command = [str(PYTHON), "-m", "krew.freeze", "--to", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    assert (tmp_path / archive.name).read_bytes() == archive.read_bytes()


class TestLicences:
    def test_of_packages_that_are_in_the_bundle(self, tmp_path: Path) -> None:
        (tmp_path / "click").mkdir()
        (tmp_path / "six.pyc").touch()
        names = [found.metadata["Name"] for found in licenses.bundled(tmp_path)]
        assert [name for name in names if name != "pyinstaller"] == ["click", "six"]
        text = licenses.collect(tmp_path)
        assert "Copyright 2014 Pallets" in text
        assert "Python: PSF-2.0" in text
        assert "boto3" not in text

    @pytest.mark.parametrize(
        "file",
        [
            "libssl.so.3",
            "libssl.3.dylib",
            "libssl-3.dll",
            "libpython3.11.so.1.0",
            "python311.dll",
            "libbz2.so.1.0",
            "click",
        ],
    )
    def test_of_libraries(self, tmp_path: Path, file: str) -> None:
        (tmp_path / file).touch()
        found = [library.name for library in licenses.libraries(tmp_path)]
        expected = {"libssl": ["OpenSSL"], "libbz2": ["bzip2"]}
        assert found == expected.get(file.split(".")[0].split("-")[0], [])

    def test_a_library_that_was_never_looked_up(self, tmp_path: Path) -> None:
        (tmp_path / "libnew.so.1").touch()
        with pytest.raises(licenses.UnknownLicenseError, match="libnew"):
            licenses.collect(tmp_path)
