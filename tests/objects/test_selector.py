"""Label selectors mean what the API server takes them for."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objects import selector

LABELS = {"app": "demo", "tier": "a", "empty": "", "example.com/x": "1"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("app=demo", True),
        ("app==demo", True),
        ("app = demo", True),
        ("app=other", False),
        ("app!=demo", False),
        ("app!=other", True),
        ("missing!=x", True),
        ("app", True),
        ("!app", False),
        ("! missing", True),
        ("missing", False),
        ("empty=", True),
        ("tier in (a,b)", True),
        ("tier in ( b , a )", True),
        ("tier in (c)", False),
        ("tier notin (a,b)", False),
        ("missing notin (a)", True),
        ("app=demo,tier in (a,b),!missing", True),
        ("app=demo,tier notin (a,b)", False),
        ("example.com/x=1", True),
    ],
)
def test_what_matches(text: str, matches: bool) -> None:
    assert selector.parse_selector(text)(LABELS) is matches


@pytest.mark.parametrize(
    "text", ["", "=", "a=b,", "a in b", "a in ()=", "a b", "-a", "a=b c", "(a)"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is not a label selector"):
        selector.parse_selector(text)
