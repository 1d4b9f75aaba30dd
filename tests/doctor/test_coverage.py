"""What could not be read decides what a report without findings is worth."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from kubectl_fluidmodel.doctor import junit, report
from kubectl_fluidmodel.doctor.coverage import ESSENTIAL_KINDS
from kubectl_fluidmodel.doctor.report_view import ReportStyle, render_diagnosis
from kubectl_fluidmodel.doctor.run import DoctorOptions, DoctorReport, DoctorRun
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor.fluid import NS

ALL = {query.kind.resource: query.kind for query in queries.DOCTOR_QUERIES}


def blind() -> Snapshot:
    """What a user without any right gets: no object, and why of every kind."""
    snapshot = b.healthy_snapshot()
    snapshot.namespace = NS
    for kind in ALL.values():
        b.forbid_listing(snapshot, kind)
    return snapshot


def verdict(snapshot: Snapshot, *only: str) -> str:
    return render_diagnosis(b.run_checks(snapshot, *only), ReportStyle("short"), 1.0).splitlines()[
        -1
    ]


def diagnose(snapshot: Snapshot, namespace: str | None) -> DoctorReport:
    return DoctorRun(DoctorOptions(), ConfigFlags())._diagnose(snapshot, namespace, 0.0)


def test_a_completely_read_healthy_cache_is_healthy() -> None:
    diagnosis = b.run_checks(b.healthy_snapshot())
    assert (
        diagnosis.verdict == "healthy"
        and not diagnosis.coverage.unread_kinds
        and not diagnosis.failed
    )


def test_without_any_right_nothing_was_checked() -> None:
    snapshot = blind()
    diagnosis = b.run_checks(snapshot)
    assert diagnosis.verdict == "unchecked" and diagnosis.failed
    assert "datasets cannot be listed in any namespace: nothing was checked" in verdict(snapshot)
    document = report.diagnosis_document(diagnosis, snapshot)
    assert document["healthy"] is False and document["verdict"] == "unchecked"
    suites = ElementTree.fromstring(junit.to_junit(diagnosis, 1.0))
    assert suites.get("failures") == "1" and len(list(suites.iter("failure"))) == 1
    assert int(suites.get("tests", "")) == len(list(suites.iter("testcase")))


def test_a_server_that_fails_is_no_better_than_one_that_forbids() -> None:
    snapshot = blind()
    snapshot.read_failures = [
        type(failure)(failure.resource, failure.namespace, "timeout", forbidden=False)
        for failure in snapshot.read_failures
    ]
    assert b.run_checks(snapshot).failed
    assert "nothing was checked" in verdict(snapshot)


@pytest.mark.parametrize("kind", ESSENTIAL_KINDS, ids=lambda kind: kind.plural)
def test_what_matters_and_is_hidden_is_named_instead_of_healthy(kind: Kind) -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, kind)
    diagnosis = b.run_checks(snapshot)
    assert kind.resource in diagnosis.coverage.unread_kinds
    line = verdict(snapshot)
    assert "healthy" not in line, line
    if kind is names.DATASETS:
        assert diagnosis.failed
    else:
        assert not diagnosis.failed and diagnosis.verdict == "partial"
        assert line.startswith("! nothing wrong in what could be read; not checked: ")
        assert kind.resource in line


@pytest.mark.parametrize(
    "kind",
    [kind for kind in ALL.values() if kind not in ESSENTIAL_KINDS],
    ids=lambda kind: kind.plural,
)
def test_what_only_explains_may_be_hidden(kind: Kind) -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, kind)
    assert b.run_checks(snapshot).verdict in ("healthy", "warnings")


def test_errors_are_reported_even_if_kinds_are_unreadable() -> None:
    snapshot = b.healthy_snapshot()
    b.get_object(snapshot, names.DATASETS, "demo")["status"]["phase"] = "Failed"
    b.forbid_listing(snapshot, kinds.NODES)
    diagnosis = b.run_checks(snapshot)
    assert diagnosis.failed and diagnosis.verdict == "unhealthy"


def test_a_warning_with_unreadable_kinds_is_not_healthy() -> None:
    snapshot = b.healthy_snapshot()
    del b.get_object(snapshot, names.DATASETS, "demo")["spec"]["mounts"][0]["path"]
    b.forbid_listing(snapshot, kinds.EVENTS)
    line = verdict(snapshot, "FM210")
    assert line.startswith("! 1 warning in what could be read; not checked: events")


def test_checks_that_were_asked_for_and_see_nothing_fail() -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, kinds.CSI_NODES)
    assert b.run_checks(snapshot, "FM420").failed
    assert not b.run_checks(snapshot, "FM420", "FM210").failed


def test_no_cache_in_a_namespace_that_is_there_is_healthy() -> None:
    snapshot = b.healthy_snapshot()
    for kind in (names.DATASETS, names.ALLUXIO_RUNTIMES, names.DATA_LOADS):
        snapshot.objects[kind.resource] = []
    assert not b.run_checks(snapshot).failed


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_namespace_that_does_not_exist_is_an_error(everywhere: bool) -> None:
    snapshot = b.healthy_snapshot()
    snapshot.namespace = None if everywhere else "no-such"
    with pytest.raises(FluidModelError, match='namespaces "no-such" not found'):
        diagnose(snapshot, "no-such")


def test_whether_a_namespace_exists_may_be_hidden() -> None:
    snapshot = b.healthy_snapshot()
    snapshot.namespace = "no-such"
    b.forbid_listing(snapshot, kinds.NAMESPACES)
    assert diagnose(snapshot, snapshot.namespace).diagnosis.caches == []


def test_an_older_bundle_lacks_the_list_of_namespaces() -> None:
    snapshot = b.healthy_snapshot()
    snapshot.namespace = "elsewhere"
    del snapshot.objects[kinds.NAMESPACES.resource]
    assert diagnose(snapshot, snapshot.namespace).diagnosis.caches == []
