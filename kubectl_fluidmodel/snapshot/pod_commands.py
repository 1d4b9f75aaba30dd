"""Asking pods: the answers of commands, kept in a Snapshot's texts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube import exec as execs
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

COMMAND_TIMEOUT = 15.0
"""Seconds for one command: a JVM takes two to start on a busy node."""


@dataclass(frozen=True)
class PodCommand:
    """A command in a container, and the key under which its output is kept."""

    key: str
    namespace: str
    pod: str
    container: str
    command: tuple[str, ...]


def run_commands(client: Client, snapshot: Snapshot, commands: Sequence[PodCommand]) -> str:
    """Run all of them side by side; why one had no answer, empty where all had."""
    if not commands:
        return ""
    with ThreadPoolExecutor(len(commands)) as pool:
        outputs = list(pool.map(lambda question: _run_command(client, question), commands))
    for question, (text, _) in zip(commands, outputs, strict=True):
        if text is not None:
            snapshot.texts[question.key] = text
    return next((why for text, why in outputs if text is None), "")


def _run_command(client: Client, command: PodCommand) -> tuple[str | None, str]:
    try:
        result = execs.exec_command(
            client,
            command.namespace,
            command.pod,
            command.container,
            list(command.command),
            timeout=COMMAND_TIMEOUT,
        )
    except ForbiddenError:
        return None, "no permission to get and create pods/exec"
    except FluidModelError as err:
        return None, err.reason or err.message
    if result.exit_code:
        last_lines = (result.stderr or result.stdout).strip().splitlines()
        return None, f"{' '.join(command.command)}: {last_lines[-1] if last_lines else 'failed'}"[
            :200
        ]
    return result.stdout, ""
