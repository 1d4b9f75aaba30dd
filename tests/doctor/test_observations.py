"""Evidence is what was read, never what was derived.

Where it names a field of an object, that field is there and says what is quoted. Absence is said
in words of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kubectl_fluidmodel.doctor.check import Evidence, object_reference
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import cases

_FIELD = re.compile(r"(metadata|spec|status)[.\[]|data$")
ABSENT = re.compile(r"not set|not there|none|no .*|empty|gone|absent|has .*|not over|not set.*")
"""How evidence says that a field is not there, or holds something that must not be shown."""


def seen(snapshot: Snapshot) -> Iterator[tuple[str, Evidence]]:
    for outcome in b.run_checks(snapshot).results:
        for problem in outcome.problems:
            for evidence in problem.finding.evidence:
                yield outcome.check.code, evidence


def values(obj: Any, place: str) -> list[Any]:
    """What stands at a place: keys may have dots, so that several readings are tried."""
    if not place:
        return [obj]
    values_at_place: list[Any] = []
    if isinstance(obj, list):
        for condition in obj:  # a condition, by its type
            if isinstance(condition, dict) and condition.get("type") == place:
                values_at_place.append(condition)
        match = re.match(r"\[?(\d+)\]?\.?", place)
        if match and int(match[1]) < len(obj):
            values_at_place += values(obj[int(match[1])], place[match.end() :])
        return values_at_place
    if isinstance(obj, dict):
        for key, value in obj.items():
            if place == key or place.startswith((f"{key}.", f"{key}[", f"{key} ")):
                values_at_place += values(value, place[len(key) :].lstrip(". "))
    return values_at_place


def quoted(text: str, value: Any) -> bool:
    """Whether a text is of a value, or of a part of it."""
    shown = " ".join(str(value).split()).lower() if value is not None else ""
    bare = text.strip("'\"").lower()
    return (
        bare in shown
        or (len(shown) > 1 and shown in bare)
        or all(w in shown for w in re.findall(r"[\w./-]+", bare))
    )


def wrong(snapshot: Snapshot) -> list[str]:
    there = {object_reference(obj): obj for objects in snapshot.objects.values() for obj in objects}
    lines = []
    for code, evidence in seen(snapshot):
        obj = there.get(evidence.object)
        if obj is None or not _FIELD.match(evidence.location) or ABSENT.fullmatch(evidence.text):
            continue
        read = values(obj, evidence.location)
        if not any(quoted(evidence.text, value) for value in read):
            lines.append(
                f"{code} {evidence.object} {evidence.location}: {evidence.text!r} {read!r:.80}"
            )
    return lines


def test_evidence_quotes_only_fields_that_exist() -> None:
    lines = sorted(
        {line for name in cases.faults() for line in wrong(cases.snapshot_with_fault(name))}
    )
    assert lines == []


def test_wrong_quote_is_detected() -> None:
    snapshot = b.healthy_snapshot()
    obj = snapshot.objects["datasets.data.fluid.io"][0]
    assert values(obj, "spec.mounts[0].path") == ["/"]
    assert values(obj, "spec.mounts.0.path") == ["/"]
    assert values(obj, "metadata.annotations fluidmodel.io/source") != []
    assert values(obj, "spec.mounts[0].nothing") == []
    assert not quoted("/demo", "/")
