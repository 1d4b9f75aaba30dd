"""Completion: of shells, and of kubectl by way of `__complete`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kubectl_fluidmodel.cli.main import VERBS
from tests.cli.program import run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str, tmp_path: Path) -> None:
    ended = run("completion", shell)
    assert ended.code == 0
    assert "kubectl-fluidmodel" in ended.out
    assert "_KUBECTL_FLUIDMODEL_COMPLETE" in ended.out
    binary = shutil.which(shell)
    if binary:
        file = tmp_path / "script"
        file.write_text(ended.out)
        subprocess.run([binary, "-n", str(file)], check=True, timeout=10)


def test_the_bridge_of_kubectl() -> None:
    ended = run("completion", "kubectl")
    assert ended.out == '#!/bin/sh\nexec kubectl fluidmodel __complete "$@"\n'


@pytest.mark.parametrize("on_path", [True, False])
def test_installing_the_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: bool
) -> None:
    mine = tmp_path / "bin"
    mine.mkdir()
    monkeypatch.setenv("PATH", f"/usr/bin:{mine}" if on_path else "/usr/bin")
    ended = run("completion", "kubectl", "--install")
    target = (mine if on_path else tmp_path / ".local" / "bin") / "kubectl_complete-fluidmodel"
    assert ended.out == f"wrote {target}\n"
    assert target.stat().st_mode & 0o111 == 0o111
    assert target.read_text() == run("completion", "kubectl").out


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin" / "kubectl_complete-fluidmodel").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    ended = run("completion", "kubectl", "--install")
    assert ended.code == 1
    assert "cannot write" in ended.error


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".local").write_text("a file")
    monkeypatch.setenv("PATH", "/usr/bin")
    ended = run("completion", "kubectl", "--install")
    assert ended.code == 1
    assert "cannot write" in ended.error


def complete(*words: str) -> tuple[list[str], str]:
    """Candidates, and the directive at the end."""
    ended = run("__complete", *words)
    assert (ended.code, ended.err) == (0, "")
    *lines, directive = ended.out.splitlines()
    return [line.split("\t")[0] for line in lines], directive


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        ((), list(VERBS)),
        (("",), list(VERBS)),
        (("unc",), ["uncache"]),
        (("nope",), []),
        (("cache", "--med"), ["--medium"]),
        (("cache", "--medium", ""), ["auto", "MEM", "SSD", "HDD"]),
        (("cache", "s3://x/y", "--medium", "S"), ["SSD"]),
        (("cache", "-o", ""), ["json", "yaml", "name"]),
        (("completion", "k"), ["kubectl"]),
        (("version", "-o", "y"), ["yaml"]),
    ],
)
def test_candidates(words: tuple[str, ...], candidates: list[str]) -> None:
    assert complete(*words) == (candidates, ":4")


def test_verbs_come_with_their_help() -> None:
    lines = run("__complete", "c").out.splitlines()
    assert any(line.startswith("cache\t") for line in lines)
    assert not any("__complete" in line for line in lines)


@pytest.mark.parametrize("words", [("cache", "--unknown", ""), ("--", ""), ("cache", "--", "x")])
def test_odd_words_are_no_error(words: tuple[str, ...]) -> None:
    assert complete(*words)[1] == ":4"
