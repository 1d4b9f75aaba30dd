"""Each request of a verb comes from the same person, whichever part of the plugin makes it."""

from __future__ import annotations

import pytest

from tests.cli.program import run
from tests.kube.conformance.judge import Court, inside

VERBS = (
    ("inspect",),
    ("inspect", "llama"),
    ("doctor",),
    ("doctor", "-A"),
    ("pin", "llama", "graph"),
    ("unpin", "llama", "graph"),
    ("uncache", "llama"),
    ("cache", "pvc://claim/models/llama", "--name", "llama", "--quota", "1Gi"),
    ("cache", "pvc://claim", "--name", "x", "--quota", "1Gi", "--dry-run=server"),
    ("__complete", "pin", ""),
)


@pytest.mark.parametrize("arguments", VERBS, ids=" ".join)
def test_one_person(court: Court, arguments: tuple[str, ...]) -> None:
    court.config(
        {
            "token": "t",
            "as": "bot",
            "as-uid": "7",
            "as-groups": ["a", "b"],
            "as-user-extra": {"why": ["x"]},
        }
    )
    wanted = {
        "authorization": ["Bearer t"],
        "impersonate-user": ["bot"],
        "impersonate-uid": ["7"],
        "impersonate-group": ["a", "b"],
        "impersonate-extra-why": ["x"],
    }
    with inside(court.folder, court.environment({"FLUIDMODEL_COMPLETION_TIMEOUT": "5"})):
        run(*arguments)
    assert court.https.seen
    for seen in court.https.seen:
        assert {name: seen.header(name) for name in wanted} == wanted, seen.path
