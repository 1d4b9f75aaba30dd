"""A fix is proven: the broken state, what was printed carried out, and nothing is left or new.

In memory where the fix changes fields; on a control plane, in the test that breaks the check for
real, where it is a command that does more. What neither can do stands in a list, with its reason.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from kubectl_fluidmodel.doctor.check import Fix
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.model.source import parse_source
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.commands import commands_in_script, parse_command
from tests.doctor import builders as b
from tests.doctor import cases
from tests.doctor.applying import NeedsControlPlaneError, apply_fix
from tests.pasting import run_commands_in_bash

TESTS = Path(__file__).parents[1]
HEALS = ("heal", "run", "mend")
"""Methods of the cluster tests that carry a printed fix out."""

_ANEW = "makes the cache again as FM201 and FM213 do on a plane, with another word"
_COPIES = "adds copies to a running cache; tests/cluster/test_cache.py does, with a real one"
NOT_TRIED: dict[str, str] = {
    "FM218": "names a bucket that only the user knows",
    "FM312": "takes a node whose kubelet and DNS do not know its name",
    "FM321": "takes a kernel that kills for memory; the limit is checked in test_runtime.py",
    "FM334": "takes a node that is gone; the pods of the planes have no kubelet to wait for",
    "FM522": "takes keys that expire; the same command mends FM520 and FM521 on a plane",
    "FM536": _ANEW,
    "FM539": _ANEW,
    "FM542": "takes the AWS CLI",
    "FM614": "is the command that FM605 prints, which is run on a plane",
    "FM705": _ANEW,
    "FM727": _COPIES,
    "FM729": _COPIES,
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
    fixes: dict[str, list[tuple[str, Fix]]] = {}
    for name in cases.faults():
        for outcome in b.run_checks(cases.snapshot_with_fault(name)).results:
            for problem in outcome.problems:
                fix = problem.finding.fix
                if fix is not None and fix.how != "advice":
                    fixes.setdefault(outcome.check.code, []).append((name, fix))
    return fixes


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
    codes = set()
    for path in (TESTS / "cluster").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and _heals(node):
                codes |= set(_marked(node))
    return codes


def _heals(node: ast.FunctionDef) -> bool:
    return any(
        isinstance(child, ast.Call)
        and isinstance(child.func, ast.Attribute)
        and child.func.attr in HEALS
        for child in ast.walk(node)
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
    for (text, code), result in zip(texts.items(), run_commands_in_bash(list(texts)), strict=True):
        does = [call for call in result.calls if call[1:2] and call[1] not in LOOKS]
        assert does, f"{code}: {text}"


PLACEHOLDERS = ("SOURCE", "ORG/MODEL")


def suggested_caches(snapshot: Snapshot) -> list[list[str]]:
    """The words of each `cache` command that is printed."""
    return [
        arguments
        for outcome in b.run_checks(snapshot).results
        for problem in outcome.problems
        if problem.finding.fix is not None and problem.finding.fix.how == "command"
        for arguments in commands_in_script(problem.finding.fix.text.replace("&& ", "\n"))
        if arguments[0] == "cache"
    ]


def test_plugin_accepts_the_commands_that_it_prints() -> None:
    for code, rows in printed().items():
        for _, fix in rows:
            for arguments in commands_in_script(fix.text.replace("&& ", "\n")):
                parse_command(arguments)
                assert (
                    arguments[0] != "cache"
                    or arguments[1] in PLACEHOLDERS
                    or parse_source(arguments[1])
                ), code


@pytest.mark.parametrize(
    ("mount_point", "options", "expected"),
    [
        ("s3a://bucket/m", {}, ["s3://bucket/m", "--name", "demo"]),
        ("gcs://bucket/m", {}, ["gs://bucket/m", "--name", "demo"]),
        ("pvc://c/m", {}, ["pvc://c/m", "--name", "demo", "--quota", "SIZE"]),
        ("nfs://h/m", {}, ["nfs://h/m", "--name", "demo", "--quota", "SIZE"]),
        (
            "local:///m",
            {},
            ["local:///m", "--name", "demo", "--quota", "SIZE", "--node", "NODE"],
        ),
        (
            "s3://bucket/m",
            {"alluxio.underfs.s3.endpoint": "minio:9000"},
            ["s3://bucket/m", "--name", "demo", "--endpoint", "http://minio:9000"],
        ),
    ],
)
def test_dataset_without_runtime_is_made_again_by_a_command_that_cache_takes(
    mount_point: str, options: dict[str, str], expected: list[str]
) -> None:
    snapshot = dataset_by_hand(mount_point, options)
    [arguments] = suggested_caches(snapshot)
    assert arguments == ["cache", *expected, "-n", "models"]
    parse_command(arguments)


@pytest.mark.parametrize("place", ["sharedOptions", "options"])
def test_endpoint_region_and_secret_are_kept_wherever_the_dataset_has_them(place: str) -> None:
    options = {
        "alluxio.underfs.s3.endpoint": "https://s3.example.com",
        "alluxio.underfs.s3.region": "eu-west-1",
    }
    hidden = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "keys", "key": name}}}
        for name in ("aws.accessKeyId", "aws.secretKey")
    ]
    snapshot = dataset_by_hand("s3://bucket/m", {})
    spec = b.get_object(snapshot, names.DATASETS, "demo")["spec"]
    if place == "options":
        spec["mounts"][0] |= {"options": options, "encryptOptions": hidden}
    else:
        spec |= {"sharedOptions": options, "sharedEncryptOptions": hidden}
    [arguments] = suggested_caches(snapshot)
    flags = ["--endpoint", "https://s3.example.com", "--region", "eu-west-1", "--s3-secret", "keys"]
    assert arguments == ["cache", "s3://bucket/m", "--name", "demo", *flags, "-n", "models"]


@pytest.mark.parametrize(
    ("phase", "policy", "is_loaded_again"),
    [
        ("Complete", "Once", True),
        ("Executing", "Once", True),
        ("Failed", "Once", True),
        ("Pending", "Once", False),  # Fluid has yet to start it
        ("Complete", "Cron", False),  # it runs again by itself
    ],
)
def test_fix_that_recreates_the_runtime_loads_the_model_again(
    phase: str, policy: str, is_loaded_again: bool
) -> None:
    """What was loaded goes with the workers."""
    snapshot = b.healthy_snapshot()
    dataset = b.get_object(snapshot, names.DATASETS, "demo")
    dataset["metadata"]["labels"] = {}
    dataset["spec"]["mounts"][0]["path"] = "/elsewhere"
    load = b.get_object(snapshot, names.DATA_LOADS, "demo")
    load["spec"]["policy"], load["status"]["phase"] = policy, phase
    [finding] = b.findings_of(snapshot, "FM213")
    assert finding.fix is not None
    calls = run_commands_in_bash([finding.fix.text])[0].calls
    recreated = [call[2] for call in calls if call[1] == "get"]
    assert recreated == ["alluxioruntime", *["dataload"] * is_loaded_again]
    assert "replace" in finding.fix.text


@pytest.mark.parametrize("mount_point", ["oss://bucket/m", "cosn://bucket/m", "wasbs://c@a/m"])
def test_source_that_cache_does_not_know_is_no_reason_to_delete_its_dataset(
    mount_point: str,
) -> None:
    snapshot = dataset_by_hand(mount_point, {})
    [finding] = b.findings_of(snapshot, "FM204")
    assert finding.fix is not None and finding.fix.how == "advice"
    assert "make an AlluxioRuntime demo" in finding.fix.text


def dataset_by_hand(mount_point: str, options: dict[str, str]) -> Snapshot:
    """A Dataset that somebody else made, without its runtime."""
    snapshot = b.healthy_snapshot()
    b.remove_object(snapshot, names.ALLUXIO_RUNTIMES, "demo")
    dataset = b.get_object(snapshot, names.DATASETS, "demo")
    dataset["metadata"]["labels"] = {}
    dataset["metadata"]["annotations"] = {}
    dataset["status"] = {"phase": "NotBound"}
    dataset["spec"] = {"mounts": [{"mountPoint": mount_point, "name": "m", "options": options}]}
    return snapshot
