"""Commands that `cache`, `uncache` and `inspect` suggest: a shell runs them and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.cache import hints
from kubectl_fluidmodel.cache.command import create_secret_command
from kubectl_fluidmodel.inspect.startup_estimate import estimate_startup
from kubectl_fluidmodel.inventory.nodes import NodeCache
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.output.shell import Operand, kubectl, operands
from tests.pasting import run_commands_in_bash

HOSTILE = st.text(
    st.sampled_from([*"ab-. ;|&$`'\"\\<>(){}*?~#!=", "\n", "\x1b", "é"]), min_size=1, max_size=12
)


def secret(name: str, namespace: str) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "data": {"AWS_ACCESS_KEY_ID": ""}}


def pin_command(name: str, namespace: str) -> str:
    node = NodeCache(
        name="n",
        pod="",
        ready=True,
        used_bytes=1,
        capacity_bytes=1,
        medium="MEM",
        path="",
        is_complete=True,
        problem="",
        readers=0,
    )
    return estimate_startup(name, namespace, True, [node], [], [name]).command


@dataclass(frozen=True)
class Suggestion:
    """A suggested command, made of a name and a namespace, both of them arguments of it."""

    name: str
    build: Callable[[str, str], str]


SUGGESTIONS = [
    Suggestion("uncache", hints.uncache),
    Suggestion("create the Secret", lambda name, ns: create_secret_command(secret(name, ns))),
    Suggestion(
        "delete pods",
        lambda name, ns: kubectl("delete", "pod", *operands([name]), namespace=ns),
    ),
    Suggestion(
        "describe an object",
        lambda name, ns: kubectl("describe", "dataset", Operand(name), namespace=ns),
    ),
    Suggestion("pin", pin_command),
]


@pytest.mark.parametrize("suggestion", SUGGESTIONS, ids=lambda row: row.name)
@settings(max_examples=5, deadline=None)
@given(values=st.lists(st.tuples(HOSTILE, HOSTILE), min_size=10, max_size=10))
def test_hostile_names_are_arguments_and_never_run(
    suggestion: Suggestion, values: list[tuple[str, str]]
) -> None:
    commands = [suggestion.build(name, namespace) for name, namespace in values]
    assert not any(char in command for command in commands for char in "\n\x1b")
    results = run_commands_in_bash(commands, AWS_ACCESS_KEY_ID="KEY")
    for (name, namespace), result in zip(values, results, strict=True):
        assert result.unexpected == []
        (call,) = result.calls
        assert name in call and namespace in call


def test_another_name_is_a_legal_name() -> None:
    assert hints.other_name("llama") == "--name llama-2"
    assert len(hints.other_name("l" * 53).removeprefix("--name ")) <= 53
