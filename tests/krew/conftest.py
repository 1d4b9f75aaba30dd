"""What `make krew-test` needs: a control plane, krew, and the plugin installed by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import Cli, bucket, cluster, namespace
from tests.krew.krew import ARCHIVE, DESCRIBED, Krew
from tests.loopback import HttpRequest, HttpResponse, Server, serve

__all__ = ["bucket", "cluster", "namespace"]


@pytest.fixture(scope="session")
def archive() -> Path:
    """What `make dist` has made."""
    assert ARCHIVE.exists(), "run: make dist"
    return ARCHIVE


@pytest.fixture(scope="session")
def described(archive: Path) -> Path:
    """The manifest of that archive alone, as `make dist` has written it."""
    assert DESCRIBED.exists(), "run: make dist"
    return DESCRIBED


@pytest.fixture
def krew(tmp_path: Path, cluster: Cluster) -> Krew:
    """krew in a fresh root, with nothing installed."""
    return Krew(tmp_path, Path(cluster.facts["binaries"]["kubectl"]))


@pytest.fixture(scope="session")
def installed(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, archive: Path, described: Path
) -> Krew:
    """krew with the archive installed, for all tests that only use it."""
    made = Krew(tmp_path_factory.mktemp("installed"), Path(cluster.facts["binaries"]["kubectl"]))
    made("install", f"--manifest={described}", f"--archive={archive}")
    return made


class Installed(Cli):
    """The plugin that krew has installed, run by kubectl."""

    def __init__(self, cluster: Cluster, cwd: Path, krew: Krew) -> None:
        super().__init__(cluster, cwd)
        self.env = {**krew.env, **cluster.s3.env(), "KUBECONFIG": str(cluster.kubeconfig)}

    def _argv(self, arguments: tuple[str, ...]) -> list[str]:
        return ["kubectl", "fluidmodel", *arguments]


@pytest.fixture
def plugin(
    installed: Krew, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Installed:
    # subprocess looks kubectl up in this process's PATH, not in the child's.
    monkeypatch.setenv("PATH", installed.env["PATH"])
    return Installed(cluster, tmp_path, installed)


@pytest.fixture
def program(installed: Krew) -> Path:
    """The frozen program itself."""
    return installed.store() / "kubectl-fluidmodel"


@pytest.fixture
def downloads(tmp_path: Path) -> Iterator[Server]:
    """Archives served as a release serves them: /vVERSION/NAME, from the test's directory."""

    def respond(asked: HttpRequest) -> HttpResponse:
        file = tmp_path / "downloads" / Path(asked.path).name
        return HttpResponse(200, file.read_bytes()) if file.is_file() else HttpResponse(404)

    (tmp_path / "downloads").mkdir()
    with serve(respond) as server:
        yield server
