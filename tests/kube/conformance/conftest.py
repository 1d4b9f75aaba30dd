"""Servers that all of these tests share; what they noted is forgotten between two runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.conformance import pki
from tests.kube.conformance.comparison import Comparison
from tests.kube.conformance.servers import Recorder, record


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pki.Authority:
    return pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def https(authority: pki.Authority) -> Iterator[Recorder]:
    """An API server; its certificate is issued by an intermediate, which it sends along."""
    with record(authority.server, authority.root) as server:
        yield server


@pytest.fixture(scope="session")
def http() -> Iterator[Recorder]:
    with record() as server:
        yield server


@pytest.fixture
def comparison(
    tmp_path: Path, authority: pki.Authority, https: Recorder, http: Recorder
) -> Comparison:
    https.forget()
    http.forget()
    return Comparison(tmp_path, authority, https, http)
