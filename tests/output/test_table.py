"""Tables fit a terminal by saying the same in less, and lose nothing elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.output.table import Cell, Column, format_plain_table, format_table, truncate

COLUMNS = [
    Column("NAME", min_width=6),
    Column("MODEL", min_width=7, kept_part="ends", drop_priority=1),
    Column("SIZE", align_right=True),
]
ROWS = [[Cell("a-long-name"), Cell("s3://bucket/org/model"), Cell("1.0 GiB", "", "1G")]]


def test_as_kubectl_prints_them() -> None:
    assert (
        format_plain_table(("A", "LONGER"), [("1", "x"), ("22", "y")])
        == "A    LONGER\n1    x\n22   y\n"
    )


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (None, "a-long-name   s3://bucket/org/model   1.0 GiB"),
        (46, "a-long-name   s3://bucket/org/model   1.0 GiB"),
        (44, "a-long-name  s3://bucket/org/model  1.0 GiB"),
        (41, "a-long-name  s3://bucket/org/model    1G"),
        (30, "a-long-name  s3://…model    1G"),
        (20, "a-long-name    1G"),
        (13, "a-long…    1G"),
    ],
)
def test_narrower_and_narrower(width: int | None, line: str) -> None:
    shown = format_table(COLUMNS, ROWS, width=width).splitlines()[1]
    if width is not None:
        assert len(shown) <= width
    assert shown == line


def test_skipped_files_are_reported() -> None:
    lost: list[str] = []
    format_table(COLUMNS, ROWS, width=20, dropped_columns=lost)
    assert lost == ["MODEL"]
    lost.clear()
    format_table(COLUMNS, ROWS, width=80, dropped_columns=lost)
    assert lost == []


@pytest.mark.parametrize(
    ("keep", "text"), [("head", "abcd…"), ("tail", "…efgh"), ("ends", "ab…gh")]
)
def test_cut(keep: str, text: str) -> None:
    assert truncate("abcdefgh", 5, keep) == text
    assert truncate("abcde", 5, keep) == "abcde"
    assert truncate("abcdefgh", 1, keep) == "…"
    assert truncate("abcdefgh", 0, keep) == ""


def test_color_codes_do_not_cover_the_padding() -> None:
    columns = [Column("A"), Column("B")]
    text = format_table(columns, [[Cell("x", "good"), Cell("y", "bad")]], color=True, header=False)
    assert text == "\x1b[32mx\x1b[0m   \x1b[31my\x1b[0m\n"


@given(
    st.lists(
        st.tuples(st.text(max_size=40), st.text(max_size=40), st.text(max_size=9)), max_size=4
    ),
    st.integers(1, 120),
)
def test_any_text_at_any_width(rows: list[tuple[str, str, str]], width: int) -> None:
    cells = [[Cell(text) for text in row] for row in rows]
    lines = format_table(COLUMNS, cells, width=width).splitlines()
    assert len(lines) == len(rows) + 1
    least = 6 + 2 + max(4, *(len(row[2]) * 4 for row in rows), 4)
    if width >= max(least, 60):
        assert max(map(len, lines)) <= width
