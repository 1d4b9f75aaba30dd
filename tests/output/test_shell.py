"""Command lines: bash parses each to the words that were meant, and runs nothing else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.output.shell import EnvVariable, Operand
from tests.pasting import run_commands_in_bash

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)
NASTY = st.one_of(WORDS, st.sampled_from(["$(touch p)", "`x`", "a'b", 'a"b', "~", "=ls", "a\nb"]))


@settings(max_examples=40)
@given(st.lists(st.lists(NASTY, min_size=1, max_size=5), min_size=1, max_size=20))
def test_a_shell_parses_the_words_that_were_quoted(lines: list[list[str]]) -> None:
    runs = run_commands_in_bash([shell.command("kubectl", *words) for words in lines])
    assert [run.unexpected for run in runs] == [[] for _ in lines]
    assert [run.calls for run in runs] == [[["kubectl", *words]] for words in lines]


@given(st.lists(NASTY, min_size=1, max_size=5))
def test_a_command_is_one_printable_line(arguments: list[str]) -> None:
    line = shell.command(*arguments)
    assert len(line.splitlines()) == 1 or not line
    assert line.isprintable()


def test_zsh_is_not_led_to_a_program_either() -> None:
    assert shell.command("=ls", "a=b") == "'=ls' a=b"


def test_an_operand_is_never_a_flag() -> None:
    line = shell.command("kubectl", "delete", "pod", Operand("--all"), "-n", "models")
    assert line == "kubectl delete pod -n models -- --all"
    plain = shell.command("kubectl", "delete", "pod", Operand("a"), "-n", "models")
    assert plain == "kubectl delete pod a -n models"


def test_an_environment_variables_value_is_one_shell_word() -> None:
    line = shell.command("kubectl", ("--from-literal=a;b=", EnvVariable("HIDDEN")))
    [run] = run_commands_in_bash([line], HIDDEN="x y; $(touch p)")
    assert run.calls == [["kubectl", "--from-literal=a;b=x y; $(touch p)"]]
    assert "x y" not in line


def test_commands_are_joined() -> None:
    one, two = shell.command("kubectl", "a;b"), shell.command("kubectl", "c")
    assert shell.chain(one, two) == "kubectl 'a;b' && kubectl c"
    assert shell.pipe(one, two) == "kubectl 'a;b' | kubectl c"


@given(st.lists(NASTY, min_size=1, max_size=5))
def test_a_changed_value_keeps_its_quotes(arguments: list[str]) -> None:
    line = shell.chain(shell.command("kubectl", *arguments), shell.command("helm"))
    changed = line.map_values(lambda text: text.replace("x", "'"))
    [run] = run_commands_in_bash([changed])
    assert run.unexpected == []
    assert run.calls == [["kubectl", *(w.replace("x", "'") for w in arguments)], ["helm"]]


def test_a_command_is_text_for_whoever_prints_it() -> None:
    line = shell.command("kubectl", "get", "a;b")
    assert line == "kubectl get 'a;b'" and f"{line}" == "kubectl get 'a;b'"
