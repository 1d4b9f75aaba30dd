"""Text from servers cannot drive a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.output.escaping import escape_control, one_line


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain → text", "plain → text"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("bell\x07 del\x7f null\x00", "bell\\x07 del\\x7f null\\x00"),
        ("back\rover", "back\\x0dover"),
        ("\x9b31m", "\\x9b31m"),
        ("right\u202eto left", "right\\x202eto left"),
        ("half\udc80", "half\\xdc80"),
    ],
)
def test_control_characters_are_escaped(raw: str, shown: str) -> None:
    assert escape_control(raw) == shown


@given(st.text())
def test_escaped_text_is_printable_and_encodable(raw: str) -> None:
    shown = escape_control(raw)
    assert all(char in "\n\t" or char.isprintable() for char in shown)
    shown.encode()


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_one_line_is_printable_and_within_its_limit(raw: str, limit: int) -> None:
    shown = one_line(raw, limit)
    assert len(shown) <= limit
    assert shown.isprintable() or shown == ""
