"""How a diagnosis is told: text as golden files, JSON by its schema, JUnit as XML.

`GOLDEN=write pytest …` writes the golden files anew: to be read in a review.
"""

from __future__ import annotations

import copy
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kubectl_fluidmodel.doctor import junit, report
from kubectl_fluidmodel.doctor.check import (
    AREAS,
    REGISTRY,
    Check,
    CheckSkippedError,
    Finding,
    Severity,
)
from kubectl_fluidmodel.doctor.diagnosis import (
    CHECK_CRASHED,
    SILENCE_ANNOTATION,
    Diagnosis,
    diagnose,
)
from kubectl_fluidmodel.doctor.report_view import ReportStyle, group_problems, render_diagnosis
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.output.serialize import to_yaml
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import cases, fluid, pods, stores, test_runtime
from tests.doctor.fluid import NAME, NS

DOCS = Path(__file__).parents[2] / "docs"
DIRECTORY = Path(__file__).parents[1] / "fixtures" / "doctor"
SCHEMA = json.loads((DOCS / "diagnosis.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CHECKS = REGISTRY.in_code_order()


def wrong_keys() -> Snapshot:
    """The store refuses the keys, so that the master does not come up, nor what follows it."""
    snapshot = b.healthy_snapshot()
    stores.set_store_result(
        snapshot, "wrong-secret", code="SignatureDoesNotMatch", message="check your key"
    )
    master = b.get_object(snapshot, kinds.PODS, "demo-master-0")
    b.make_container_wait(master, "alluxio-master", "CrashLoopBackOff", "back-off 40s", restarts=3)
    b.get_object(snapshot, kinds.STATEFUL_SETS, "demo-worker")["status"]["readyReplicas"] = 0
    status = b.get_object(snapshot, names.DATASETS, NAME)["status"]
    status.update(phase="NotBound", cacheStates={}, ufsTotal="")
    return snapshot


def twice() -> Snapshot:
    """Two caches with the same mistake."""
    snapshot = b.healthy_snapshot()
    for name in (NAME, "other"):
        if name == "other":
            b.add_objects(snapshot, names.DATASETS, fluid.dataset(name))
            b.add_objects(snapshot, names.ALLUXIO_RUNTIMES, fluid.runtime(name))
            b.add_objects(snapshot, kinds.PODS, pods.worker_pod(name=name))
        mount = b.get_object(snapshot, names.DATASETS, name)["spec"]["mounts"][0]
        mount["path"] = f"/{name}"
    return snapshot


# -- text ----------------------------------------------------------------------------------------

SNAPSHOTS = {"healthy": b.healthy_snapshot, "keys": wrong_keys}


@pytest.mark.parametrize("width", [80, 200, None])
@pytest.mark.parametrize("mode", ["default", "short", "wide"])
@pytest.mark.parametrize("case", SNAPSHOTS)
def test_the_text(case: str, mode: str, width: int | None) -> None:
    text = render_diagnosis(b.run_checks(SNAPSHOTS[case]()), ReportStyle(mode, width=width), 1.25)
    file = DIRECTORY / f"{case}-{mode}-{width or 'piped'}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()
    assert "\x1b" not in text
    if width:
        # A command is to be pasted, and stays on one line; so does a word.
        long = [line for line in text.splitlines() if len(line) > width]
        assert all(re.match(r"  (fix|    ) ", line) for line in long), long


def test_colour_adds_nothing_but_colour() -> None:
    diagnosis = b.run_checks(wrong_keys())
    for mode in ("default", "short", "wide"):
        coloured = render_diagnosis(diagnosis, ReportStyle(mode, color=True, width=80), 1.25)
        assert coloured.count("\x1b[") > 5
        assert re.sub(r"\x1b\[\d*m", "", coloured) == render_diagnosis(
            diagnosis, ReportStyle(mode, width=80), 1.25
        )


def test_a_terminal_without_the_marks() -> None:
    text = render_diagnosis(b.run_checks(wrong_keys()), ReportStyle(ascii=True), 1.25)
    assert text.isascii() and "x FM521" in text and "+ FM101" in text


def test_control_characters_of_the_cluster_do_not_reach_the_terminal() -> None:
    snapshot = wrong_keys()
    stores.set_store_result(snapshot, "wrong-secret", code="X", message="a\x1b[31mb\x07\r\nc")
    for mode in ("default", "short", "wide"):
        text = render_diagnosis(b.run_checks(snapshot), ReportStyle(mode), 1.0)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


# -- causes --------------------------------------------------------------------------------------


def test_consequences_are_folded_under_their_cause() -> None:
    diagnosis = b.run_checks(wrong_keys())
    assert [problem.check.code for problem in diagnosis.roots] == ["FM521"]
    assert {"FM311", "FM330"} <= {problem.check.code for problem in diagnosis.problems}
    text = render_diagnosis(diagnosis, ReportStyle("short"), 1.0)
    assert text.count("✗ FM") == 1
    assert re.search(r"^  so +FM\d+ ", text, re.MULTILINE)
    assert f"1 failure with {len(diagnosis.problems) - 1} consequences" in text


def test_a_cause_is_as_bad_as_what_it_leads_to() -> None:
    """A cordoned node alone is a warning; with a worker that may run nowhere else, a failure."""
    snapshot = b.healthy_snapshot()
    b.get_object(snapshot, kinds.NODES, "gpu-0")["spec"]["unschedulable"] = True
    assert {problem.severity for problem in b.run_checks(snapshot, "FM811").roots} == {
        Severity.WARNING
    }
    test_runtime.PLACING["a cordon"].fault(snapshot)
    diagnosis = b.run_checks(snapshot)
    assert diagnosis.failed
    roots = {problem.check.code: problem for problem in diagnosis.roots}
    assert [problem.check.code for problem in roots["FM811"].consequences] == ["FM306"]
    assert roots["FM811"].severity is Severity.ERROR
    assert "✗ FM811 node gpu-0" in render_diagnosis(diagnosis, ReportStyle("short"), 1.0)


def test_the_same_cause_of_several_caches_is_reported_once() -> None:
    diagnosis = b.run_checks(twice(), "FM210")
    assert len(diagnosis.roots) == 2
    (group,) = group_problems(diagnosis)
    assert len(group) == 2
    text = render_diagnosis(diagnosis, ReportStyle("short"), 1.0)
    assert text.count("FM210 dataset") == 1
    assert re.search(rf"^  also +dataset {NS}/other$", text, re.MULTILINE)
    assert "healthy, with 2 warnings: 1 check, 2 caches" in text
    assert "(2 of 2 caches)" in render_diagnosis(diagnosis, ReportStyle(), 1.0)


def test_another_cause_is_distinguished() -> None:
    snapshot = twice()
    stores.set_store_result(snapshot, "no-bucket")
    assert {group[0].check.code for group in group_problems(b.run_checks(snapshot))} >= {
        "FM210",
        "FM526",
    }


def test_what_is_silenced_counts_for_nothing_and_is_shown() -> None:
    snapshot = twice()
    for name in (NAME, "other"):
        notes = b.get_object(snapshot, names.DATASETS, name)["metadata"].setdefault(
            "annotations", {}
        )
        notes[SILENCE_ANNOTATION] = "fm823, FM210 "
    diagnosis = b.run_checks(snapshot, "FM210")
    assert not diagnosis.failed and group_problems(diagnosis) == []
    text = render_diagnosis(diagnosis, ReportStyle(), 1.0)
    assert "\u2013 FM210" in text and "silenced" in text
    assert text.rstrip().endswith("2 silenced")
    shown = report.diagnosis_document(diagnosis, snapshot)
    assert shown["healthy"] and shown["summary"]["silenced"] == 2
    assert all(problem["silenced"] for problem in shown["problems"])


def test_a_silenced_cause_explains_nothing() -> None:
    snapshot = wrong_keys()
    notes = b.get_object(snapshot, names.DATASETS, NAME)["metadata"]["annotations"]
    notes[SILENCE_ANNOTATION] = "FM521"
    roots = [problem.check.code for problem in b.run_checks(snapshot).roots]
    assert "FM311" in roots


def test_skipped_checks_have_a_reason_in_every_format() -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, kinds.NODES)
    diagnosis = b.run_checks(snapshot)
    why = "no permission to list nodes"
    skipped = [result.check.code for result in diagnosis.results if result.skip_reason == why]
    assert len(skipped) > 5
    text = render_diagnosis(diagnosis, ReportStyle("wide"), 1.0)
    assert all(re.search(rf"\u2013 {code} .*\(skipped: {why}\)", text) for code in skipped)
    text = render_diagnosis(
        diagnosis, ReportStyle(), 1.0
    )  # where it would be said again and again, it is said once
    many = re.findall(rf"\u2013 (\d+) checks, FM\d+ to FM\d+  \(skipped: {why}\)", text)
    single = re.findall(rf"\u2013 (FM\d+) .*\(skipped: {why}\)", text)
    assert many
    assert sum(map(int, many)) + len(single) == len(skipped)
    shown = {
        check["code"]: check for check in report.diagnosis_document(diagnosis, snapshot)["checks"]
    }
    assert all(shown[code]["skipped"] == why for code in skipped)
    assert junit.to_junit(diagnosis, 1.0).count(f'<skipped message="{why}"/>') == len(skipped)


def test_one_check_that_breaks_hides_no_other() -> None:
    def breaks(_: Any) -> list[Finding]:
        raise KeyError("oops")

    def skips(_: Any) -> list[Finding]:
        raise CheckSkippedError("no time")

    checks = [Check("FM998", "t", breaks), Check("FM999", "t", skips), REGISTRY.checks["FM210"]]
    diagnosis = diagnose(twice(), checks)
    assert len(diagnosis.roots) == 2
    whys = {
        result.check.code: result.skip_reason for result in diagnosis.results if result.skip_reason
    }
    assert whys == {"FM998": f"{CHECK_CRASHED}: KeyError: 'oops'", "FM999": "no time"}


# -- documents -----------------------------------------------------------------------------------


def shown(diagnosis: Diagnosis, snapshot: Snapshot) -> dict[str, Any]:
    document = report.diagnosis_document(diagnosis, snapshot)
    VALIDATOR.validate(document)
    return document


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("case", cases.faults())
def test_every_report_keeps_to_its_schema(case: str) -> None:
    snapshot = cases.snapshot_with_fault(case)
    diagnosis = b.run_checks(snapshot)
    document = shown(diagnosis, snapshot)
    json.dumps(document, allow_nan=False)
    to_yaml(document)
    ids = [problem["id"] for problem in document["problems"]]
    assert sorted(ids) == sorted(
        problem_id for check in document["checks"] for problem_id in check["problems"]
    )
    assert {problem["causedBy"] for problem in document["problems"]} <= {None, *ids}
    assert document["healthy"] is (document["summary"]["failed"] == 0) is not diagnosis.failed


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"kind": "Other"},
        {"healthy": "yes"},
        {"taken": "now"},
        {"caches": ["models/demo"]},
        {"checks": [{"code": "FM101"}]},
    ],
)
def test_the_schema_refuses_what_is_not_in_it(change: dict[str, Any]) -> None:
    document = shown(b.run_checks(wrong_keys()), wrong_keys())
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**document, **change})


def test_the_schema_requires_a_reason_for_skipped_checks() -> None:
    document = copy.deepcopy(shown(b.run_checks(b.healthy_snapshot()), b.healthy_snapshot()))
    document["checks"][0]["state"] = "skipped"
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)


def test_junit_is_valid_xml_for_any_cluster_data() -> None:
    snapshot = wrong_keys()
    hostile = "<b> & \"quotes\" 'too' ]]> \x00\x0b \ud800 \U0001f600 \n\t"
    stores.set_store_result(snapshot, "wrong-secret", code="<X>", message=hostile)
    notes = b.get_object(snapshot, names.DATASETS, NAME)["metadata"]["annotations"]
    notes[SILENCE_ANNOTATION] = "FM330"
    diagnosis = b.run_checks(snapshot)
    root = ElementTree.fromstring(junit.to_junit(diagnosis, 1.25))
    tests = list(root.iter("testcase"))
    assert root.get("time") == "1.25"
    assert int(root.get("tests", "")) == len(tests) == len(diagnosis.results)
    assert int(root.get("failures", "")) == len(list(root.iter("failure"))) > 1
    assert int(root.get("skipped", "")) == len(list(root.iter("skipped")))
    assert [suite.get("name") for suite in root] == list(AREAS.values())
    (failure,) = [
        test.find("failure") for test in tests if str(test.get("name")).startswith("FM521")
    ]
    assert failure is not None and failure.text is not None
    assert "<b> & \"quotes\" 'too' ]]>" in failure.text and "\U0001f600" in failure.text
    assert "fix: kubectl create secret" in failure.text


# -- the checks themselves -----------------------------------------------------------------------

_DENIALS = re.compile(r"\b(not|no|never|fails?|failed|missing|lacks?|wrong|broken|cannot)\b")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_a_check_has_an_affirmative_title_and_a_description(check: Check) -> None:
    assert re.fullmatch(r"FM[1-8]\d\d", check.code)
    assert check.title and check.title[-1] not in ".!?"
    assert len(check.title) <= 66, "it has to fit on a line of 80 columns with its mark and code"
    assert len(check.doc.split()) >= 12, "its docstring is its section of the reference"
    section = f"### {check.code}"
    assert section in (DOCS / "reference" / "checks.md").read_text()
    assert [code for code in check.explains if code not in REGISTRY.checks] == []


def test_titles_are_unique_and_affirmative() -> None:
    titles = [check.title for check in CHECKS]
    assert len(set(titles)) == len(titles)
    assert [title for title in titles if title.startswith(("No ", "Not "))] == []


def test_a_check_is_no_consequence_of_itself() -> None:
    """Two findings of one check stand side by side, though a chain may name the check too."""

    def finds(_: Any) -> list[Finding]:
        return [Finding("a", "one"), Finding("b", "two")]

    check = Check("FM999", "t", finds, explains=("FM999",))
    assert len(diagnose(b.healthy_snapshot(), [check]).roots) == 2
