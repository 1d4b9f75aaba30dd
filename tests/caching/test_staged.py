"""A model of the Hub on its way into a cache: staged from this machine, as one view shows it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from kubectl_fluidmodel.caching.request import Request
from kubectl_fluidmodel.caching.staged import Stager, Staging
from kubectl_fluidmodel.model.source import parse
from kubectl_fluidmodel.staging.place import destination
from kubectl_fluidmodel.ui.live import ProgressLike
from tests.hub import Hub, Repo
from tests.staging.s3server import S3Server

MODEL = "acme/model"
FILES = {"config.json": b"{}", "model.safetensors": os.urandom(6 << 20)}
STEPS = ["stage", "master", "worker", "Dataset", "PVC", "load"]


@dataclass
class Told:
    """A teller that keeps what it is told."""

    said: list[str] = field(default_factory=list)
    shown: list[ProgressLike] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, progress: ProgressLike) -> None:
        self.shown.append(progress)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def stager(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stager]:
    for key, value in s3.env().items():
        monkeypatch.setenv(key, value)
    with Hub(Repo(MODEL, FILES)) as hub:
        to = destination("s3://staged-models")
        staging = Staging(to, on="client", endpoint_hub=hub.endpoint, endpoint=s3.endpoint)
        yield Stager(staging, Request(parse(MODEL), "model"), "ns")


def test_one_view_for_the_whole_way(stager: Stager) -> None:
    told = Told()
    assert stager.carry_out(told, time.monotonic() + 60, wait=True)
    size = sum(map(len, FILES.values()))
    for view in told.shown:
        assert [step.name for step in view.steps] == STEPS
        assert {step.state for step in view.steps[1:]} == {"waiting"}
        assert (view.total, view.later) == (size, size), "the load moves as much again"
    last = told.shown[-1]
    assert last.steps[0].state == "done" and last.cached == size
    assert (stager.step.name, stager.step.detail) == ("stage", "2 files, 6.0 MiB")

    again = Told()
    assert stager.carry_out(again, time.monotonic() + 60, wait=True)
    assert "staged already" in again.said[0] and not again.shown
