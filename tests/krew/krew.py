"""The real krew in a root of its own, under the real kubectl, with no way to the internet."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

from krew.freeze import pack
from krew.names import archive_name, here
from kubectl_fluidmodel import __version__
from tests.cluster import binaries

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "dist" / archive_name(__version__, here())
DESCRIBED = ROOT / "build" / "fluidmodel.yaml"
NEXT = ".".join([*__version__.split(".")[:2], str(int(__version__.split(".")[2]) + 1)])
"""The version after this one."""


class Krew:
    """`kubectl krew` and the plugins that it has installed."""

    def __init__(self, folder: Path, kubectl: Path) -> None:
        self.root = folder / "krew"
        self.programs = folder / "programs"
        self.programs.mkdir(parents=True)
        found = binaries.ensure(programs=binaries.KREW)
        (self.programs / "kubectl-krew").symlink_to(found["krew"])
        (self.programs / "kubectl").symlink_to(kubectl)
        self.validator = found["validate-krew-manifest"]
        path = [self.root / "bin", self.programs, *os.environ["PATH"].split(os.pathsep)]
        self.env = {
            "HOME": str(folder),
            "PATH": os.pathsep.join(map(str, path)),
            "KREW_ROOT": str(self.root),
            "KREW_NO_UPGRADE_CHECK": "1",
            "KREW_DEFAULT_INDEX_URI": str(index(folder / "default")),
        }
        self("update")

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `kubectl krew …`."""
        return self.kubectl("krew", *arguments, check=check)

    def kubectl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """kubectl, with what krew has installed on its PATH."""
        return self.run(["kubectl", *arguments], check=check)

    def run(self, command: list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def plugins(self) -> list[str]:
        """What kubectl finds on PATH."""
        return self.kubectl("plugin", "list", "--name-only", check=False).stdout.split()

    def store(self, version: str = __version__) -> Path:
        """Where krew has put a version."""
        return self.root / "store" / "fluidmodel" / f"v{version}"


def index(folder: Path, manifest: str | None = None) -> Path:
    """A plugin index: a git repository with the manifest, one commit more at each call."""
    plugins = folder / "plugins"
    if not folder.exists():
        plugins.mkdir(parents=True)
        (plugins / ".keep").touch()
        git(folder, "init", "--quiet", "--initial-branch=main")
    if manifest:
        (plugins / "fluidmodel.yaml").write_text(manifest)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=plugins")
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True)


def of_version(archive: Path, version: str, to: Path) -> Path:
    """The same archive as another version: all that tells it is one compiled module."""
    folder = to / version
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    module = folder / "_internal" / "kubectl_fluidmodel" / "__init__.pyc"
    assert module.exists()
    old, new = __version__.encode(), version.encode()
    assert len(old) == len(new)  # marshal writes the length before the text
    content = module.read_bytes()
    assert content.count(old) == 1
    module.write_bytes(content.replace(old, new))
    made = to / archive_name(version, here())
    pack(folder, made, 1_700_000_000, level=1)
    return made
