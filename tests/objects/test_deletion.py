"""What is being deleted, and who holds it."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating

NOW = "2026-11-28T18:40:00Z"


@pytest.mark.parametrize(
    ("obj", "terminating"),
    [
        (None, False),
        ({}, False),
        ({"metadata": None}, False),
        ({"metadata": {"deletionTimestamp": None}}, False),
        ({"metadata": {"deletionTimestamp": NOW}}, True),
    ],
)
def test_what_is_being_deleted(obj: dict[str, Any] | None, terminating: bool) -> None:
    assert is_terminating(obj) is terminating


@pytest.mark.parametrize(
    ("finalizers", "pods", "message"),
    [
        ([], [], f"since {NOW}"),
        (["a/b", "c"], [], f"since {NOW}, held by a/b, c"),
        (["a/b"], ["reader"], f"since {NOW}, held by pod reader"),
        ([], list("abcde"), f"since {NOW}, held by pods a, b, c and 2 more"),
        (None, [], f"since {NOW}"),
    ],
)
def test_the_holders_are_named(finalizers: list[str] | None, pods: list[str], message: str) -> None:
    obj = {"metadata": {"deletionTimestamp": NOW, "finalizers": finalizers}}
    assert describe_deletion(obj, pods) == message
