"""`python -m krew.smoke OS/ARCH`: the archive in dist/, unpacked and tried on its own machine."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from krew.contents import ROOT
from krew.names import Target, archive_name, here
from kubectl_fluidmodel import __version__

MODULES = ("cache", "pin", "inspect", "doctor", "stage")
"""Verbs whose help is asked for; between them they import most of what there is."""
GRAPH = ROOT / "tests" / "fixtures" / "dgd" / "beta-agg.yaml"


def commands() -> list[tuple[list[str], str]]:
    """Arguments, and what has to be in the output; none of them needs a cluster."""
    pin = ["pin", "tiny", "-f", str(GRAPH), "-n", "default", "--dry-run=client", "-o", "yaml"]
    return [
        (["version"], f"v{__version__}"),
        (["--help"], "Verbs"),
        *(([verb, "--help"], f"kubectl fluidmodel {verb}") for verb in MODULES),
        (["__complete", "inspect", "--off"], "--offline"),
        (pin, "tiny"),
    ]


def problems(program: Path) -> list[str]:
    """What did not do what it has to, a line each."""
    found = []
    for arguments, expected in commands():
        done = subprocess.run(
            [str(program), *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode or expected not in done.stdout:
            said = " ".join((done.stdout + done.stderr).split())[-300:]
            found.append(f"{' '.join(arguments)}: exit {done.returncode}: {said}")
    return found


def main(argv: list[str] | None = None) -> int:
    (wanted,) = sys.argv[1:] if argv is None else argv
    target = Target(*wanted.split("/"))
    if target != here():
        print(f"error: this machine is {here()}, not {target}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(ROOT / "dist" / archive_name(__version__, target)) as tar:
            tar.extractall(folder, filter="data")
        found = problems(Path(folder) / target.program)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    if not found:
        print(f"{target}: {len(commands())} commands did what they have to")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
