"""What counts as an engine's command, where its flags are, and edits of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kubectl_fluidmodel.dynamo.engine_command import EngineCommand, find_command

LOADER = ("--load-format", "runai_streamer")


@dataclass(frozen=True)
class Shell:
    """A shell string, its engine's flags, and the string without --x and with others."""

    name: str
    script: str
    flags: list[str]
    edited: str


SHELLS = (
    Shell(
        "one line",
        "python3 -m dynamo.vllm --model a --x 1",
        ["--model", "--x"],
        "python3 -m dynamo.vllm --model a --load-format runai_streamer",
    ),
    Shell(
        "a pipe with a redirection",
        "python3 -m dynamo.vllm --x 1 --model a 2>&1 | tee --append log",
        ["--x", "--model"],
        "python3 -m dynamo.vllm --model a --load-format runai_streamer 2>&1 | tee --append log",
    ),
    Shell(
        "continued lines, and a command after it",
        "set -e\nexec python3 -m dynamo.sglang \\\n  --x 1 \\\n  --tp 2\nrm -rf --x /tmp/y\n",
        ["--x", "--tp"],
        "set -e\nexec python3 -m dynamo.sglang \\\n  --tp 2 --load-format runai_streamer"
        "\nrm -rf --x /tmp/y\n",
    ),
    Shell(
        "in the background, with a comment",
        "python3 -m dynamo.trtllm --model-path a & # --x 1\nwait",
        ["--model-path"],
        "python3 -m dynamo.trtllm --model-path a --load-format runai_streamer & # --x 1\nwait",
    ),
    Shell(
        "a comment behind it",
        "vllm serve a --tp 2 # --x 1",
        ["--tp"],
        "vllm serve a --tp 2 --load-format runai_streamer # --x 1",
    ),
    Shell(
        "underscores in a flag",
        "python3 -m dynamo.vllm --tensor_parallel_size=2",
        ["--tensor-parallel-size"],
        "python3 -m dynamo.vllm --tensor_parallel_size=2 --load-format runai_streamer",
    ),
)


def command(container: object) -> EngineCommand:
    parsed = find_command(container)
    assert parsed is not None
    return parsed


def names(parsed: EngineCommand) -> list[str]:
    candidates = {"--model", "--model-path", "--x", "--tp", "--tensor-parallel-size"}
    return [flag.name for flag in parsed.flags(candidates)]


@pytest.mark.parametrize("row", SHELLS, ids=lambda row: row.name)
def test_flags_of_a_shell_string_are_those_of_the_engines_command(row: Shell) -> None:
    parsed = command({"command": ["sh", "-c"], "args": [row.script]})
    assert parsed.is_shell
    assert names(parsed) == row.flags
    removed = [word for flag in parsed.flags({"--x"}) for word in flag.words]
    assert parsed.edited(removed, LOADER) == {"command": ["sh", "-c"], "args": [row.edited]}


def test_flags_of_a_list_may_be_in_both_fields() -> None:
    container = {
        "command": ["python3", "-m", "dynamo.vllm", "--x", "1"],
        "args": ["--model=a", "--tp", 2],
    }
    parsed = command(container)
    assert names(parsed) == ["--x", "--model", "--tp"]
    assert parsed.value(("--tp",)) == "2"
    removed = [word for flag in parsed.flags({"--x", "--tp"}) for word in flag.words]
    assert parsed.edited(removed, LOADER) == {
        "command": ["python3", "-m", "dynamo.vllm"],
        "args": ["--model=a", *LOADER],
    }
    assert container["args"] == ["--model=a", "--tp", 2]


def test_added_words_are_quoted_only_for_a_shell() -> None:
    extra = ["--extra", '{"n": 3}']
    script = command({"args": ["python3 -m dynamo.vllm"]}).edited([], extra)
    assert script["args"] == ["""python3 -m dynamo.vllm --extra '{"n": 3}'"""]
    items = command({"command": ["python3", "-m", "dynamo.vllm"]}).edited([], extra)
    assert items["command"][-2:] == extra


@pytest.mark.parametrize(
    "container",
    [
        None,
        {},
        {"command": "python3 -m dynamo.vllm"},
        {"command": ["my-engine"], "args": ["--model", "a"]},
        {"command": ["python3", "-m", "dynamo.vllm.sidecar"]},
        {"args": ["python3 -m dynamo.vllm & python3 -m dynamo.vllm"]},
        {"args": ["vllm serve a; python3 -m dynamo.sglang"]},
    ],
)
def test_other_commands_are_not_an_engines(container: object) -> None:
    assert find_command(container) is None
