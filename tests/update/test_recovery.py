"""After a failure or Ctrl-C, a note says what serves; before the first write, there is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kubectl_fluidmodel.errors import CommandInterruptedError, FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.update.command import UpdateCommand
from kubectl_fluidmodel.update.state import find_state
from tests.update.samples import NEW, OLD, cache
from tests.update.test_options import parse


def fail(step: str, error: BaseException) -> tuple[list[str], BaseException]:
    """Let a step fail; returns what was logged, and what the command raises."""
    options = parse("llama")
    never: Any = None
    command = UpdateCommand(options, ConfigFlags(), None, "never", never, never)
    notes: list[str] = []
    work: Any = SimpleNamespace(step=step, log=notes.append)
    state = find_state([cache("llama", OLD)], "ns", "llama", NEW)
    target: Any = SimpleNamespace(state=state)
    with pytest.raises(BaseException) as caught, command._recovery(work, target):
        raise error
    return notes, caught.value


@pytest.mark.parametrize("step", ["stage", "cache", "pin", "retire"])
def test_an_interruption_names_the_step_and_is_exit_code_130(step: str) -> None:
    (note,), raised = fail(step, KeyboardInterrupt())
    assert isinstance(raised, CommandInterruptedError) and raised.exit_code == 130
    assert str(raised) == (
        f"interrupted in step {step}: what was created stays; try: the same command again to resume"
    )
    assert "to go on: the same command; to go back: kubectl fluidmodel update" in note


def test_errors_stay_as_they_are() -> None:
    error = WaitTimeoutError("dgd/chat did not finish")
    (note,), raised = fail("pin", error)
    assert raised is error and note.startswith("note: llama and llama-9f8e7d6 both serve")


def test_before_the_first_write_there_is_nothing_to_go_back_from() -> None:
    notes, raised = fail("", KeyboardInterrupt())
    assert notes == [] and str(raised).startswith("interrupted: nothing was written")
    notes, _ = fail("", FluidModelError("no room"))
    assert notes == []
