"""Every check is broken for real by some test: one that no test can break does not count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import kubectl_fluidmodel.doctor.checks  # noqa: F401 - registers the checks
from kubectl_fluidmodel.doctor.check import REGISTRY

TESTS = Path(__file__).parents[1]


def marked() -> Iterator[str]:
    """The codes in `@pytest.mark.breaks("FM…", …)` of all tests."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield from _codes(node.decorator_list)


def _codes(decorators: list[ast.expr]) -> Iterator[str]:
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.breaks":
            yield from (str(ast.literal_eval(argument)) for argument in decorator.args)


def test_every_check_has_a_test_that_breaks_it() -> None:
    assert sorted(set(REGISTRY.checks) - set(marked())) == []


def test_no_test_breaks_a_check_that_is_not_there() -> None:
    assert sorted(set(marked()) - set(REGISTRY.checks)) == []
