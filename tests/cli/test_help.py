"""What `--help` promises: examples that parse, flags that are explained and sorted."""

from __future__ import annotations

import re
from difflib import get_close_matches

import click
import pytest

from kubectl_fluidmodel.cli import verb_command
from kubectl_fluidmodel.cli.main import VERBS, root
from tests.cli.program import run
from tests.commands import commands_in_script, parse_command


def verb(name: str) -> verb_command.VerbCommand:
    command = root.get_command(click.Context(root, **root.context_settings), name)
    assert isinstance(command, verb_command.VerbCommand)
    return command


def test_alone_it_is_five_lines() -> None:
    assert len(run().out.splitlines()) == 5


@pytest.mark.parametrize("name", VERBS)
class TestVerb:
    def test_it_begins_with_what_it_does_and_ends_with_the_usage(self, name: str) -> None:
        lines = run(name, "--help").out.splitlines()
        assert re.match(r"[A-Z][^.]*[.;:]", lines[0])
        assert not lines[0].startswith("Usage")
        assert lines[-1].startswith(f"Usage: kubectl fluidmodel {name} ")

    def test_three_to_six_examples_each_with_its_reason(self, name: str) -> None:
        examples = verb(name).examples
        parts = examples.split("\n\n")
        assert 2 <= len(parts) <= 6
        assert all(part.startswith("# ") for part in parts)
        commands = list(commands_in_script(examples))
        assert 3 <= len(commands) <= 6
        assert {arguments[0] for arguments in commands} == {name}

    def test_every_example_parses(self, name: str) -> None:
        for arguments in commands_in_script(verb(name).examples):
            parse_command(arguments)

    def test_every_flag_has_help_and_a_heading(self, name: str) -> None:
        options = [flag for flag in verb(name).params if isinstance(flag, click.Option)]
        assert [flag.name for flag in options if not (flag.help or "").strip()] == []
        assert [
            flag.name for flag in options if not isinstance(flag, verb_command.GroupedOption)
        ] == []
        for flag in options:
            assert (flag.help or "").rstrip().endswith((".", "]")), flag.name

    def test_headings_come_in_order(self, name: str) -> None:
        headings = re.findall(r"^(\w+):$", run(name, "--help").out, re.MULTILINE)[1:]
        listed = [heading for heading in headings if heading in verb_command.HEADINGS]
        assert listed == sorted(listed, key=verb_command.HEADINGS.index)
        assert "Output" in headings

    def test_a_typo_in_a_flag_is_understood(self, name: str) -> None:
        longs = [max(p.opts, key=len) for p in verb(name).params if isinstance(p, click.Option)]
        for long in longs:
            typo = long[:-1] + ("x" if long[-1] != "x" else "y")
            if get_close_matches(typo, longs) and len(long) > 6:
                ended = run(name, typo)
                assert ended.code == 2
                assert long in ended.error, ended.error


def test_every_typo_of_a_verb_is_understood() -> None:
    for name in VERBS:
        for typo in (name[:-1], name + "e", name[1:]):
            if typo in VERBS:
                continue
            ended = run(typo)
            assert ended.code == 2
            assert f"did you mean '{name}'?" in ended.error
