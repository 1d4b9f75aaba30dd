"""How the benches on real nodes begin: what a machine lacks is told in a line, before anything."""

from __future__ import annotations

import importlib.metadata
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.plane import program
from bench.settings.__main__ import main as settings
from bench.writeup.__main__ import main as writeup
from tests.cluster.real import alluxio, containers, machine

Main = Callable[[list[str]], int]
GIB = 1 << 30


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As on a machine that has all that a real node needs; returns where clusters would be."""
    monkeypatch.setattr(machine, "obstacle", lambda state: None)
    monkeypatch.setattr(machine, "no_fuse", lambda: None)
    monkeypatch.setattr(containers, "obstacle", lambda: None)
    monkeypatch.setattr(alluxio, "obstacle", lambda: None)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: name)
    monkeypatch.setenv("FLUIDMODEL_STATE_DIR", str(tmp_path / "clusters"))
    return tmp_path / "clusters"


@pytest.fixture(params=[writeup, settings], ids=["writeup", "settings"])
def main(request: pytest.FixtureRequest) -> Main:
    program_main: Main = request.param
    return program_main


def told(main: Main, state: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a bench that did not start."""
    handlers = [
        signal.getsignal(signal_number) for signal_number in (signal.SIGINT, signal.SIGTERM)
    ]
    assert main(list(arguments)) == 1
    assert not state.exists()
    assert handlers == [
        signal.getsignal(signal_number) for signal_number in (signal.SIGINT, signal.SIGTERM)
    ]
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    return err.rstrip()


def test_a_machine_without_fuse_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, main: Main, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("FLUIDMODEL_STATE_DIR", str(state))
    monkeypatch.setattr(machine, "obstacle", lambda state: None)
    monkeypatch.setattr(containers, "obstacle", lambda: None)
    monkeypatch.setattr(machine, "FUSE", state / "fuse")
    assert told(main, state, capsys) == (
        f"error: no real node on this machine: there is no {state / 'fuse'}; try: modprobe fuse"
    )


def test_a_missing_library_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch, main: Main, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> object:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(program.importlib.metadata, "distribution", missing)
    assert told(main, state, capsys) == (
        "error: safetensors is not installed; "
        "try: python -m pip install -c constraints.txt -e '.[bench]'"
    )


def test_a_model_that_does_not_fit_is_told_with_what_it_needs(
    main: Main, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = told(main, state, capsys, "--size", "100Ti")
    assert line.startswith("error: no room: a model of 100.0 TiB needs ")
    assert line.endswith("; try a smaller --size")


def test_a_size_that_is_none_is_told(
    main: Main, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--size" in told(main, state, capsys, "--size", "large")
