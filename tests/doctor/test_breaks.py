"""Every check is broken for real by some test: one that no test can break does not count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import kubectl_fluidmodel.doctor.checks
from kubectl_fluidmodel.doctor.check import REGISTRY

TESTS = Path(__file__).parents[1]


def marked() -> Iterator[str]:
    """The codes in `@pytest.mark.breaks("FM…", …)` of all tests."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield from _codes(node.decorator_list)


def _codes(decorators: list[ast.expr]) -> Iterator[str]:
    """Of a test, and of the single rows of one that has a table."""
    for node in (node for decorator in decorators for node in ast.walk(decorator)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.breaks":
            yield from (str(ast.literal_eval(argument)) for argument in node.args)


def test_every_check_has_a_cluster_test_that_breaks_it() -> None:
    assert sorted(set(REGISTRY.checks) - set(marked())) == []


def test_every_breaks_mark_names_a_check() -> None:
    assert sorted(set(marked()) - set(REGISTRY.checks)) == []


def test_every_module_of_checks_is_imported() -> None:
    folder = Path(kubectl_fluidmodel.doctor.checks.__file__).parent
    modules = [path.stem for path in folder.glob("*.py") if "@register_check" in path.read_text()]
    assert kubectl_fluidmodel.doctor.checks.__all__ == sorted(modules)
