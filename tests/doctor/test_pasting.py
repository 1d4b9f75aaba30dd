"""Every fix survives a shell, whatever the names in it are.

Names and values of each row of the tables become hostile ones, consistently, as a bundle or a
manifest may bring them. bash itself splits them: it sees the same commands as with good
names, word by word, and runs nothing else.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubectl_fluidmodel.doctor.check import Fix
from kubectl_fluidmodel.doctor.redaction import redact_fix
from kubectl_fluidmodel.output.shell import Command, Operand, command
from kubectl_fluidmodel.snapshot.document import snapshot_from_document, snapshot_to_document
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import cases
from tests.pasting import ShellResult, run_commands_in_bash

HOSTILE = (
    "$(touch p)",
    "`touch p`",
    "x; touch p #",
    "x'; touch p; echo '",
    'x"; touch p; echo "',
    "x\ntouch p\n",
    "${IFS}&&touch${IFS}p",
    "a b > p",
    "x|touch p",
    "--all",
    "-A",
    "x\x1b[201~touch p\r",
    "password=x' ; touch p #",
    'x" token="y\\',
)
PLACES = ("demo", "models", "gpu-0", "minio", "hf-models", "org/demo", "AWS_ACCESS_KEY_ID")
"""What stands for a value in the tables: a name, a namespace, a node, hosts, a bucket, a key."""
Key = tuple[str, int]
"""A finding's check, and which of its findings it is."""


def spoiled(value: Any, old: str, new: str) -> Any:
    """A document in which every string has something else instead of a part; keys, too."""
    if isinstance(value, str):
        if value.startswith(("{", "[")):  # an annotation that is JSON
            return value.replace(old, json.dumps(new)[1:-1])
        return value.replace(old, new)
    if isinstance(value, list):
        return [spoiled(item, old, new) for item in value]
    if isinstance(value, dict):
        return {spoiled(k, old, new): spoiled(v, old, new) for k, v in value.items()}
    return value


def commands(snapshot: Snapshot, *only: str) -> dict[Key, Fix]:
    """Every fix that can be pasted."""
    fixes: dict[Key, Fix] = {}
    for outcome in b.run_checks(snapshot, *only).results:
        for number, problem in enumerate(outcome.problems):
            fix = problem.finding.fix
            if fix is not None and (fix.how == "command" or isinstance(fix.text, Command)):
                fixes[outcome.check.code, number] = fix
    return fixes


def words(result: ShellResult, old: str = "", new: str = "\0") -> list[list[str]]:
    """The calls with the good value instead of the hostile one, wherever `--` puts operands."""
    escaped = json.dumps(new)[1:-1]
    return sorted(
        sorted(word.replace(escaped, old).replace(new, old) for word in call if word != "--")
        for call in result.calls
    )


@pytest.fixture(scope="module")
def good() -> dict[str, dict[Key, Fix]]:
    """What each row of the tables prints."""
    return {name: commands(cases.snapshot_with_fault(name)) for name in cases.faults()}


@pytest.fixture(scope="module")
def meant(good: dict[str, dict[Key, Fix]]) -> dict[tuple[str, Key], list[list[str]]]:
    """The words that each command of theirs is made of."""
    flat = {(row, key): fix.text for row, fixes in good.items() for key, fix in fixes.items()}
    results = dict(zip(flat, run_commands_in_bash(list(flat.values())), strict=True))
    assert [
        (flat[at], result.unexpected) for at, result in results.items() if result.unexpected
    ] == []
    return {at: words(result) for at, result in results.items()}


def test_every_fix_command_is_built_by_shell_command(good: dict[str, dict[Key, Fix]]) -> None:
    """`shell.py`, that is: an f-string is no Command."""
    bare = {
        key[0]
        for fixes in good.values()
        for key, fix in fixes.items()
        if not isinstance(fix.text, Command)
    }
    assert sorted(bare) == []


@pytest.mark.parametrize("place", PLACES)
def test_hostile_value_is_not_executed(
    place: str, good: dict[str, dict[Key, Fix]], meant: dict[tuple[str, Key], list[list[str]]]
) -> None:
    """Each row with one hostile value after the other in turn: no row needs them all."""
    rows: list[tuple[str, Key, str, str]] = []
    for number, (name, fixes) in enumerate(good.items()):
        value = HOSTILE[(number + PLACES.index(place)) % len(HOSTILE)]
        codes = sorted({code for code, _ in fixes})
        if codes:
            document = spoiled(snapshot_to_document(cases.snapshot_with_fault(name)), place, value)
            made = commands(snapshot_from_document(document), *codes)
            rows += [(name, key, value, fix.text) for key, fix in made.items()]
    same = 0
    for (name, key, value, text), result in zip(
        rows, run_commands_in_bash([r[3] for r in rows]), strict=True
    ):
        assert result.unexpected == [], text
        same += words(result, place, value) == meant.get((name, key))
    assert same > len(rows) / 2, f"{same} of {len(rows)} are the same commands"


def test_redacted_command_stays_one_command() -> None:
    """Redaction goes value by value: a change of the line would break its quotes."""
    line = command("kubectl", "get", Operand("password=x' ; touch p #"))
    fix = redact_fix(Fix(line))
    (result,) = run_commands_in_bash([fix.text])
    assert result.unexpected == [] and "x'" not in fix.text
