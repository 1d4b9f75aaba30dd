"""Doors: how ``kubectl exec`` into a pod ends up in that pod's sandbox.

kwok runs an exec's command on the host, looked up on its own PATH.  So the first directory of that
PATH holds a script for each program that people and controllers run in pods; it enters the sandbox
named in its environment (the agent's ``Exec`` objects set it) and runs the real one there.  Fluid
also runs ``/etc/fluid/scripts/mount.sh`` by its absolute path, so kwok itself sees a door there.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from . import paths, sandbox

PROGRAMS = (
    "alluxio",
    "awk",
    "bash",
    "cat",
    "cut",
    "date",
    "df",
    "du",
    "echo",
    "env",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "ls",
    "mkdir",
    "printenv",
    "pwd",
    "python",
    "python3",
    "rm",
    "sed",
    "sh",
    "sleep",
    "sort",
    "stat",
    "tail",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "uname",
    "wc",
    "which",
)
ABSOLUTE = ("/etc/fluid/scripts/mount.sh", "/entrypoint.sh")


def pod_programs(state: Path, alluxio_port: int) -> Path:
    """The programs that every pod finds on its PATH before the host's: ``alluxio``, Python."""
    folder = state / "podbin"
    folder.mkdir(parents=True, exist_ok=True)
    python = shlex.quote(sys.executable)
    _script(
        folder / "alluxio",
        f"{_ask_server(alluxio_port)}\n"
        f"PYTHONPATH={shlex.quote(str(paths.REPO))} FLUIDMODEL_STATE={shlex.quote(str(state))} "
        f'exec {python} -s -S -m tests.cluster.alluxio "$@"',
        "bash",
    )
    for name in ("python", "python3"):
        _script(folder / name, f'exec {python} "$@"')
    return folder


def entrypoint(state: Path) -> Path:
    """The image's ``/entrypoint.sh``: Alluxio's processes, as far as they are played here."""
    path = state / "podbin" / "entrypoint.sh"
    body = f'{state}/podbin/alluxio __serve "$@" && exec sleep 2147483647'
    _script(path, f'case "$1" in init_users) exit 0 ;; esac\n{body}')
    return path


def make(state: Path, alluxio_port: int) -> None:
    """Write the doors and, where namespaces can be had, kwok's own root."""
    folder = state / "doors"
    folder.mkdir(parents=True, exist_ok=True)
    pod_path = f"{state / 'podbin'}:$FLUIDMODEL_HOST_PATH"
    for name in PROGRAMS:
        _script(folder / name, _door(pod_path, name))
    door = _door(pod_path, "alluxio")
    _script(folder / "alluxio", f"{_ask_server(alluxio_port)}\n{door}", "bash")
    sources: dict[str, Path] = {}
    for number, path in enumerate(ABSOLUTE):
        source = folder / f".absolute-{number}"
        _script(source, _door(pod_path, path))
        sources[path] = source
    sandbox.build(state / "kwok-root", sources)
    pod_programs(state, alluxio_port)
    entrypoint(state)


def _door(pod_path: str, program: str) -> str:
    return (
        f"PATH={pod_path}; export PATH\n"
        'case "${FLUIDMODEL_SANDBOX:-none}" in\n'
        f'none) exec {program} "$@" ;;\n'
        f'*) exec "$FLUIDMODEL_SANDBOX" {program} "$@" ;;\n'
        "esac"
    )


def _ask_server(port: int) -> str:
    """Let `alluxio/server.py` answer what it can, if it runs; with nothing but bash itself."""
    return (
        'if [ "$1 $2" = "fsadmin report" ] && [ -n "$FLUIDMODEL_DATASET" ] &&\n'
        f"\t{{ exec 3<>/dev/tcp/127.0.0.1/{port}; }} 2>/dev/null; then\n"
        '\tprintf \'%s\\n\' "$FLUIDMODEL_DATASET" "$*" >&3\n'
        "\tIFS= read -r code <&3 && { IFS= read -r -d '' printed <&3\n"
        '\t\tprintf %s "$printed"; exit "$code"; }\n'
        "fi"
    )


def _script(path: Path, body: str, shell: str = "sh") -> None:
    path.write_text(f"#!/bin/{shell}\n{body}\n")
    path.chmod(0o755)
