"""Commands that are printed for pasting are built by `output/shell.py`, wherever they come from.

An f-string quotes nothing: a name in it that brings `; curl … | sh` is run by whoever pastes it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kubectl_fluidmodel
from tests.pasting import PROGRAMS

PACKAGE = Path(kubectl_fluidmodel.__file__).parent
VALUE = "\0"
"""What stands for an interpolated value."""
_SPELLED_COMMAND = re.compile(
    rf"(?:^|(?:try|next): |&& |\| )(?:{'|'.join(PROGRAMS)}) [^{VALUE}]*{VALUE}"
)


def spelled_commands(source: str) -> Iterator[tuple[int, str]]:
    """The f-strings and `+` and `%` of a module that put a value into a command: line and text."""
    for node in ast.walk(ast.parse(source)):
        text = _template(node)
        if _SPELLED_COMMAND.search(text):
            yield getattr(node, "lineno", 0), text.replace(VALUE, "{}")


def _template(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _template(node.left).replace("%s", VALUE)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return VALUE if isinstance(node, ast.expr) else ""


def test_no_command_is_spelled_by_hand() -> None:
    lines = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in spelled_commands(path.read_text())
    ]
    assert lines == []


@pytest.mark.parametrize(
    "source",
    [
        'f"kubectl get pod {name}"',
        'f"{what}; try: kubectl delete pod {name} -n {namespace}"',
        '"kubectl get pods -n " + namespace',
        '"kubectl get pods -n %s" % namespace',
        'f"kubectl get secret x && aws s3 ls {uri}"',
    ],
)
def test_command_with_a_value_is_recognised(source: str) -> None:
    assert list(spelled_commands(source))


@pytest.mark.parametrize(
    "source",
    ['"kubectl get nodes"', 'f"{name} was made with kubectl apply"', 'kubectl("get", "pod", name)'],
)
def test_prose_about_commands_is_no_command(source: str) -> None:
    assert list(spelled_commands(source)) == []
