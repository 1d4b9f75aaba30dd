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


IN_TABLES_ONLY = {
    *("FM401", "FM402", "FM403", "FM405", "FM406", "FM407", "FM408", "FM409"),
    *("FM420", "FM421", "FM423", "FM430", "FM431", "FM432", "FM433", "FM440", "FM442", "FM443"),
    *("FM601", "FM602", "FM603", "FM604", "FM605", "FM606", "FM607", "FM608", "FM609", "FM610"),
    *("FM611", "FM612", "FM614", "FM620", "FM621", "FM622", "FM623"),
    *("FM801", "FM802", "FM803", "FM804", "FM811", "FM812", "FM813"),
    *("FM820", "FM821", "FM822", "FM823", "FM824", "FM825", "FM826"),
}
"""Checks that no test has yet broken on a control plane, only in Snapshots. It may only shrink."""


def test_every_check_is_broken_for_real_or_known_not_to_be() -> None:
    assert set(REGISTRY.checks) - set(marked()) == IN_TABLES_ONLY


def test_every_check_that_is_not_has_a_row_in_a_table() -> None:
    tables = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    text = "\n".join(path.read_text() for path in tables)
    assert [code for code in sorted(IN_TABLES_ONLY) if f'"{code}"' not in text] == []


def test_no_test_breaks_a_check_that_is_not_there() -> None:
    assert sorted(set(marked()) - set(REGISTRY.checks)) == []


def test_every_module_of_checks_is_named() -> None:
    folder = Path(kubectl_fluidmodel.doctor.checks.__file__).parent
    modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    assert kubectl_fluidmodel.doctor.checks.__all__ == sorted(modules)
