"""A real S3 server per test process, a hub stand-in per test, and what both are used with."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hub import FakeHub
from tests.isolation import isolate
from tests.stage.faultproxy import FaultProxy
from tests.stage.harness import StagingHarness
from tests.stage.s3server import S3Server

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _models_are_read_once() -> Iterator[None]:
    """botocore reads a megabyte of JSON for every session; one reading does for all tests."""
    import botocore.session

    usual = botocore.session.create_loader
    shared = usual()
    botocore.session.create_loader = lambda *_: shared
    yield
    botocore.session.create_loader = usual


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultProxy]:
    made = FaultProxy(s3_server.port)
    yield made
    made.stop()


@pytest.fixture
def harness(s3_server: S3Server, hub: FakeHub, tmp_path: Path) -> StagingHarness:
    return StagingHarness(s3_server, hub, f"staging-{os.getpid()}-{next(_numbers)}", tmp_path)


@pytest.fixture
def with_proxy(harness: StagingHarness, proxy: FaultProxy) -> Callable[[], StagingHarness]:
    """The same, through the proxy."""

    def through() -> StagingHarness:
        harness.endpoint = proxy.endpoint
        return harness

    return through
