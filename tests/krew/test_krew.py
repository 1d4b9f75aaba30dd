"""The real krew: it validates, installs, upgrades and removes the plugin."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from krew import manifest
from krew.freeze import pack
from krew.names import TARGETS, archive_name, here
from kubectl_fluidmodel import __version__
from tests.krew.krew import NEXT, Krew, index, of_version
from tests.loopback import Server

pytestmark = pytest.mark.krew

SOURCE = manifest.SOURCE.read_text()


def test_the_committed_manifest_is_valid(krew: Krew, tmp_path: Path) -> None:
    file = tmp_path / "fluidmodel.yaml"
    shutil.copyfile(manifest.SOURCE, file)
    done = krew.run([str(krew.validator), f"--manifest={file}", "--skip-install"])
    assert "no overlapping spec.platform" in done.stderr


def test_a_release_installs_on_all_platforms(
    krew: Krew, archive: Path, tmp_path: Path, downloads: Server
) -> None:
    """As the index's own CI has it. Only this machine's archive is real; krew runs none of them."""
    folder = tmp_path / "downloads"
    shutil.copy(archive, folder)
    for target in TARGETS:
        if target != here():
            fake = tmp_path / f"{target.os}-{target.arch}"
            fake.mkdir()
            (fake / target.program).write_text("another machine's")
            shutil.copy(manifest.ROOT / "LICENSE", fake)
            pack(fake, folder / archive_name(__version__, target), 1_700_000_000)
    file = tmp_path / "fluidmodel.yaml"
    known = manifest.digests(folder, __version__)
    file.write_text(manifest.render(SOURCE, __version__, known, downloads.url))
    done = krew.run([str(krew.validator), f"--manifest={file}"])
    assert f"all {len(TARGETS)} spec.platforms installed fine" in done.stderr
    assert len(downloads.requests) == len(TARGETS)


def test_an_archive_that_was_changed_is_refused(
    krew: Krew, archive: Path, described: Path, tmp_path: Path
) -> None:
    changed = tmp_path / archive.name
    changed.write_bytes(archive.read_bytes() + b"x")
    done = krew("install", f"--manifest={described}", f"--archive={changed}", check=False)
    assert done.returncode != 0
    assert "checksum" in done.stderr
    assert "fluidmodel" not in "".join(krew.plugins())


def test_installed_from_the_manifest_and_removed(
    krew: Krew, archive: Path, described: Path
) -> None:
    done = krew("install", f"--manifest={described}", f"--archive={archive}")
    assert "kubectl fluidmodel" in done.stderr
    assert "completion kubectl --install" in done.stderr  # the caveats
    assert "kubectl-fluidmodel" in krew.plugins()
    assert [path for path in krew.store().rglob("*") if path.is_symlink()] == []
    assert (krew.store() / "LICENSE").exists()
    assert "OpenSSL" in (krew.store() / "THIRD_PARTY_LICENSES.txt").read_text()
    assert krew.kubectl("fluidmodel", "version").stdout == f"v{__version__}\n"
    krew("uninstall", "fluidmodel")
    assert "kubectl-fluidmodel" not in krew.plugins()
    assert list(krew.root.rglob("*fluidmodel*")) == []


def test_upgraded_by_way_of_an_index(
    krew: Krew, archive: Path, tmp_path: Path, downloads: Server
) -> None:
    folder = tmp_path / "downloads"
    shutil.copy(archive, folder)

    def describe(version: str) -> str:
        known = manifest.digests(folder, version)
        return manifest.render(SOURCE, version, known, downloads.url)

    ours = index(tmp_path / "index", describe(__version__))
    krew("index", "add", "ours", str(ours))
    shown = krew("search", "fluidmodel").stdout
    assert yaml.safe_load(SOURCE)["spec"]["shortDescription"][:40] in shown
    krew("install", "ours/fluidmodel")
    assert krew.kubectl("fluidmodel", "version").stdout == f"v{__version__}\n"

    shutil.copy(of_version(archive, NEXT, tmp_path / "next"), folder)
    index(ours, describe(NEXT))
    krew("update")
    done = krew("upgrade", "fluidmodel")
    assert "Upgraded plugin: ours/fluidmodel" in done.stderr + done.stdout
    assert krew.kubectl("fluidmodel", "version").stdout == f"v{NEXT}\n"
    assert not krew.store().exists()
    assert krew("list").stdout == "ours/fluidmodel\n"
    krew("uninstall", "fluidmodel")
    assert not (krew.root / "bin" / "kubectl-fluidmodel").exists()
    assert list((krew.root / "bin").iterdir()) == []
