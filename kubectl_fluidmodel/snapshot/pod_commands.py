"""Run commands in pods and keep their output in a Snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube import exec as execs
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import CommandKey, Snapshot

COMMAND_TIMEOUT = 15.0
"""Seconds for one command: a JVM takes two to start on a busy node."""


@dataclass(frozen=True)
class PodCommand:
    """A command in a container, and the key of its output."""

    key: CommandKey
    namespace: str
    pod: str
    container: str
    command: tuple[str, ...]


def run_commands(client: Client, snapshot: Snapshot, commands: Sequence[PodCommand]) -> str:
    """Run commands in parallel and store their output.

    Returns:
        The reason why the first failed command failed; empty if none did.
    """
    if not commands:
        return ""
    with ThreadPoolExecutor(len(commands)) as pool:
        outputs = list(pool.map(lambda command: _run_command(client, command), commands))
    for command, (text, _) in zip(commands, outputs, strict=True):
        if text is not None:
            snapshot.command_outputs[command.key] = text
    return next((reason for text, reason in outputs if text is None), "")


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
        *_, last_line = ["failed", *(result.stderr or result.stdout).strip().splitlines()]
        return None, f"{' '.join(command.command)}: {last_line}"[:200]
    return result.stdout, ""
