"""Each request of a verb comes from the same person, whichever part of the plugin makes it."""

from __future__ import annotations

import pytest

from tests.cli.program import run
from tests.kube.conformance.comparison import Comparison, inside

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
def test_one_person(comparison: Comparison, arguments: tuple[str, ...]) -> None:
    comparison.config(
        {
            "token": "t",
            "as": "bot",
            "as-uid": "7",
            "as-groups": ["a", "b"],
            "as-user-extra": {"why": ["x"]},
        }
    )
    expected = {
        "authorization": ["Bearer t"],
        "impersonate-user": ["bot"],
        "impersonate-uid": ["7"],
        "impersonate-group": ["a", "b"],
        "impersonate-extra-why": ["x"],
    }
    with inside(comparison.folder, comparison.environment({"FLUIDMODEL_COMPLETION_TIMEOUT": "5"})):
        run(*arguments)
    assert comparison.https.requests
    for request in comparison.https.requests:
        assert {name: request.header(name) for name in expected} == expected, request.path
