"""A fix is proven: the broken state, what was printed carried out, and nothing is left or new.

In memory where the fix changes fields; on a control plane, in the test that breaks the check for
real, where it is a command that does more. What neither can do stands in a list, with its reason.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from kubectl_fluidmodel.doctor.check import Fix
from tests.doctor import builders as b
from tests.doctor import cases
from tests.doctor.applying import NeedsControlPlaneError, apply_fix
from tests.pasting import run_commands_in_bash

TESTS = Path(__file__).parents[1]
HEALS = ("heal", "run", "mend")
"""Methods of the cluster tests that carry a printed fix out."""

_ANEW = "makes the cache again as FM201 and FM213 do on a plane, with another word"
NOT_TRIED: dict[str, str] = {
    "FM218": "names a bucket that only the user knows",
    "FM312": "takes a node whose kubelet and DNS do not know its name",
    "FM321": "takes a kernel that kills for memory; the limit is judged in test_runtime.py",
    "FM334": "takes a node that is gone; the pods of the planes have no kubelet to wait for",
    "FM522": "takes keys that expire; the same command mends FM520 and FM521 on a plane",
    "FM536": _ANEW,
    "FM539": _ANEW,
    "FM542": "takes the AWS CLI",
    "FM614": "is the command that FM605 prints, which is run on a plane",
    "FM705": _ANEW,
    "FM727": _ANEW,
    "FM747": "is `pin --probe-budget`, whose effect on probes the tests of pin check",
    "FM814": _ANEW,
}
"""Codes whose fixes no test carries out, and why."""
LOOKS = ("describe", "get", "logs", "auth", "events", "top")
"""Words of kubectl that show something and mend nothing: a fix of them is advice."""
AFTER: dict[str, set[str]] = {
    "FM405": {"FM222"},  # the row's Dataset is not what Fluid would have made of such a node
    "FM703": {"FM721"},  # the worker mounts the cache now, and `pin` binds it
    "FM704": {"FM733"},  # the pods are of the graph before, until the operator rolls them
}
"""What is seen only once the first fault is gone."""


@cache
def printed() -> dict[str, list[tuple[str, Fix]]]:
    """(row, fix) of every finding of the tables with a fix that is no advice, by code."""
    found: dict[str, list[tuple[str, Fix]]] = {}
    for name in cases.faults():
        for outcome in b.run_checks(cases.snapshot_with_fault(name)).results:
            for problem in outcome.problems:
                fix = problem.finding.fix
                if fix is not None and fix.how != "advice":
                    found.setdefault(outcome.check.code, []).append((name, fix))
    return found


@cache
def in_memory() -> tuple[set[str], dict[str, set[str]]]:
    """The codes whose fix was seen to mend a Snapshot; and what others it led to, by code."""
    mended, new = set(), {}
    for code, rows in printed().items():
        for name, fix in rows:
            snapshot = cases.snapshot_with_fault(name)
            before = set(b.found_codes(snapshot))
            try:
                apply_fix(snapshot, fix.text)
            except NeedsControlPlaneError:
                continue
            after = set(b.found_codes(snapshot))
            if code not in after:
                mended.add(code)
            if after - before:
                new.setdefault(code, set()).update(after - before)
    return mended, new


def on_a_plane() -> set[str]:
    """The codes of tests on a control plane that carry a printed fix out."""
    found = set()
    for path in (TESTS / "cluster").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and _heals(node):
                found |= set(_marked(node))
    return found


def _heals(node: ast.FunctionDef) -> bool:
    return any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in HEALS
        for each in ast.walk(node)
    )


def _marked(node: ast.FunctionDef) -> list[str]:
    return [
        str(ast.literal_eval(argument))
        for decorator in node.decorator_list
        for call in ast.walk(decorator)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.breaks"
        for argument in call.args
    ]


def test_fix_causes_no_new_finding() -> None:
    _, new = in_memory()
    assert new == AFTER


def test_every_fix_is_carried_out_by_a_test() -> None:
    proven = in_memory()[0] | on_a_plane()
    assert sorted(set(printed()) - proven - set(NOT_TRIED)) == []
    assert sorted(set(NOT_TRIED) & proven) == [], "proven: take it from the list"
    assert sorted(set(NOT_TRIED) - set(printed())) == [], "prints no fix: take it from the list"


def test_fix_is_a_command_or_advice() -> None:
    """YAML to be put somewhere cannot be carried out as it is printed."""
    kinds = {(code, fix.how) for code, rows in printed().items() for _, fix in rows}
    assert sorted(code for code, how in kinds if how != "command") == []


def test_command_that_only_reads_is_not_a_fix() -> None:
    texts = {fix.text: code for code, rows in printed().items() for _, fix in rows}
    for (text, code), found in zip(texts.items(), run_commands_in_bash(list(texts)), strict=True):
        does = [call for call in found.calls if call[1:2] and call[1] not in LOOKS]
        assert does, f"{code}: {text}"
