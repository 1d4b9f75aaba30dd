"""Nothing that a server or a bundle can hold breaks a check, and what is hidden is not checked."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.doctor import junit, report
from kubectl_fluidmodel.doctor.check import REGISTRY, Check, RequiredKind
from kubectl_fluidmodel.doctor.diagnosis import CHECK_CRASHED, Diagnosis
from kubectl_fluidmodel.doctor.report_view import ReportStyle, render_diagnosis
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.document import snapshot_from_document, snapshot_to_document
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import cases
from tests.fluid import junk

KINDS: dict[str, Kind] = {
    kind.resource: kind for kind in (*(read.kind for read in queries.DOCTOR_QUERIES), kinds.SECRETS)
}


def broken(diagnosis: Diagnosis) -> list[str]:
    """The checks that raised, with what."""
    return [
        f"{o.check.code} {o.skip_reason}"
        for o in diagnosis.results
        if o.skip_reason.startswith(CHECK_CRASHED)
    ]


def drawn(diagnosis: Diagnosis, snapshot: Snapshot) -> None:
    """Every way to show it goes through."""
    json.dumps(report.diagnosis_document(diagnosis, snapshot), allow_nan=False)
    junit.to_junit(diagnosis, 1.0)
    for mode in ("default", "short", "wide"):
        render_diagnosis(diagnosis, ReportStyle(mode, color=True, width=80), 1.0)


def odd(draw: st.DrawFn) -> Snapshot:
    """A row of the tables in which up to four things are gone, or anything else."""
    snapshot = cases.snapshot_with_fault(draw(st.sampled_from(sorted(cases.faults()))))
    filled = sorted(resource for resource, objects in snapshot.objects.items() if objects)
    for resource in draw(st.lists(st.sampled_from(filled), min_size=1, max_size=4)):
        obj = draw(st.sampled_from(snapshot.objects[resource]))
        if draw(st.booleans()):
            obj.update(draw(junk.any_object))
        else:
            junk.corrupt(draw, obj)
    return snapshot


@settings(max_examples=200)
@given(st.data())
def test_malformed_objects_do_not_crash_a_check(data: st.DataObject) -> None:
    snapshot = odd(data.draw)
    diagnosis = b.run_checks(snapshot)
    assert broken(diagnosis) == []
    drawn(diagnosis, snapshot)


@settings(max_examples=100)
@given(st.sampled_from(sorted(KINDS)), st.lists(junk.any_object, min_size=1, max_size=3))
def test_junk_in_any_kind_does_not_crash_a_check(resource: str, objects: list[Object]) -> None:
    snapshot = b.healthy_snapshot()
    snapshot.objects[resource] += objects
    assert broken(b.run_checks(snapshot)) == []


_TEXT = st.one_of(
    st.text(max_size=40),
    junk.any_value.map(lambda value: json.dumps(value)),
    st.lists(junk.any_object, max_size=2).map(json.dumps),
)


@settings(max_examples=100)
@given(st.data())
def test_arbitrary_text_does_not_crash_a_check(data: st.DataObject) -> None:
    """Annotations, logs and answers of stores, of which any may be cut off or another's."""
    snapshot = cases.snapshot_with_fault(data.draw(st.sampled_from(sorted(cases.faults()))))
    document = snapshot_to_document(snapshot)
    document["texts"] = {key: data.draw(_TEXT) for key in document["texts"]}
    snapshot = snapshot_from_document(document)
    for objects in snapshot.objects.values():
        for obj in objects:
            notes = obj["metadata"].get("annotations") or {}
            for key in notes:
                notes[key] = data.draw(_TEXT)
    assert broken(b.run_checks(snapshot)) == []


# -- what is hidden ------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", sorted(KINDS))
def test_unreadable_kind_is_not_taken_for_missing(resource: str) -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, KINDS[resource])
    diagnosis = b.run_checks(snapshot)
    assert [problem.finding.cause for problem in diagnosis.problems] == []
    assert broken(diagnosis) == []


@pytest.mark.parametrize("check", REGISTRY.in_code_order(), ids=lambda check: check.code)
def test_skipped_check_names_the_missing_permission(check: Check) -> None:
    for need in check.needs:
        kind = need.kind if isinstance(need, RequiredKind) else need
        snapshot = b.healthy_snapshot()
        b.forbid_listing(snapshot, kind)
        whys = b.skip_reasons(snapshot, check.code)
        assert whys and all(kind.resource in why for why in whys), kind.resource


_SEEN_AS = {"FM209": "FM302", "FM444": "FM730", "FM608": "FM205"}
"""Checks that report in other terms what another check explains better, if it may see more."""


def case_named(title: str) -> str:
    """The fault whose name ends with a title."""
    return next(name for name in cases.faults() if name.endswith(title))


@settings(max_examples=150)
@example(case_named("FM221"), {"statefulsets.apps"})
@example(case_named("a streamer without JNI-FUSE"), {"alluxioruntimes.data.fluid.io"})
@example(case_named("TensorRT-LLM with few files"), {"datasets.data.fluid.io"})
@example(case_named("another's placement"), {"pods"})
@given(st.sampled_from(sorted(cases.faults())), st.sets(st.sampled_from(sorted(KINDS)), max_size=3))
def test_fewer_permissions_give_no_additional_findings(name: str, hidden: set[str]) -> None:
    snapshot = cases.snapshot_with_fault(name)
    seen = set(b.found_codes(snapshot))
    for resource in sorted(hidden):
        b.forbid_listing(snapshot, KINDS[resource])
    diagnosis = b.run_checks(snapshot)
    assert broken(diagnosis) == []
    # A fallback counts where nothing else tells why, and what does may be what is hidden.
    plain = {problem.check.code for problem in diagnosis.problems if not problem.check.fallback}
    assert {code for code in plain - seen if _SEEN_AS.get(code) not in seen} == set()


def test_hub_layout_cache_is_healthy_without_access_to_datasets() -> None:
    """What the store listed is of the Dataset's mounts: without them nobody knows what is there."""
    snapshot = cases.snapshot_with_fault(case_named("cache of the Hub's layout"))
    b.forbid_listing(snapshot, KINDS["datasets.data.fluid.io"])
    assert "FM743" not in {problem.check.code for problem in b.run_checks(snapshot).problems}
