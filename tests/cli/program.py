"""The plugin as people start it: in this process for speed, in one of its own where that counts."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from kubectl_fluidmodel.cli.main import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Completed:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error line; there is at most one, and it is the last."""
        lines = self.err.splitlines()
        marked = [line for line in lines if line.startswith("error: ")]
        assert marked == lines[-1:], self.err
        return marked[0].removeprefix("error: ")


class _Text(io.TextIOWrapper):
    """A text stream over bytes, as sys.stdout is."""

    def __init__(self) -> None:
        self.raw_bytes = io.BytesIO()
        super().__init__(self.raw_bytes, encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        return self.raw_bytes.getvalue().decode()


def run(*arguments: str) -> Completed:
    """One command line in this process."""
    out, err = _Text(), _Text()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return Completed(code, out.text, err.text)


def start(*arguments: str, python: tuple[str, ...] = ("-m", "kubectl_fluidmodel")) -> Completed:
    """One command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, *python, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
        timeout=60,
        check=False,
    )
    return Completed(done.returncode, done.stdout, done.stderr)
