"""Asking pods: the answers of commands, kept in a Snapshot's texts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube import exec as execs
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

TIMEOUT = 15.0
"""Seconds for one command: a JVM takes two to start on a busy node."""


@dataclass(frozen=True)
class Question:
    """A command in a container, and the key under which its output is kept."""

    key: str
    namespace: str
    pod: str
    container: str
    command: tuple[str, ...]


def ask(client: Client, snapshot: Snapshot, questions: Sequence[Question]) -> str:
    """Run all of them side by side; why one had no answer, empty where all had."""
    if not questions:
        return ""
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(lambda question: _answer(client, question), questions))
    for question, (text, _) in zip(questions, answers, strict=True):
        if text is not None:
            snapshot.texts[question.key] = text
    return next((why for text, why in answers if text is None), "")


def _answer(client: Client, question: Question) -> tuple[str | None, str]:
    try:
        result = execs.run(
            client,
            question.namespace,
            question.pod,
            question.container,
            list(question.command),
            timeout=TIMEOUT,
        )
    except Forbidden:
        return None, "no permission to get and create pods/exec"
    except FluidModelError as err:
        return None, err.why or err.what
    if result.code:
        said = (result.stderr or result.stdout).strip().splitlines()
        return None, f"{' '.join(question.command)}: {said[-1] if said else 'failed'}"[:200]
    return result.stdout, ""
