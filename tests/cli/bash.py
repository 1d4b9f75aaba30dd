"""Pressing TAB in a bash of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from kubectl_fluidmodel.cli.completion_scripts import BASH
from tests.cli.program import ROOT

_PRESS = """
COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
compopt() { echo "files"; }  # outside of a completion it is an error
_kubectl_fluidmodel kubectl-fluidmodel
printf '%s\\n' "${COMPREPLY[@]}"
"""


def press_tab(line: str, *, point: int | None = None, kind: int = 9) -> list[str]:
    """What bash would offer for a line with the cursor at `point`, its end if not given."""
    home = Path(os.environ["HOME"])
    program = home / "bin" / "kubectl-fluidmodel"
    program.parent.mkdir(exist_ok=True)
    program.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m kubectl_fluidmodel "$@"\n'
    )
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH + _PRESS],
        env={
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line) if point is None else point),
            "COMP_TYPE": str(kind),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return [shown for shown in done.stdout.splitlines() if shown]
