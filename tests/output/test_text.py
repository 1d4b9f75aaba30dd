"""Words and numbers as a terminal shows them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.output import text


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
def test_control_characters_are_shown_and_not_obeyed(raw: str, shown: str) -> None:
    assert text.escape_control(raw) == shown


@given(st.text())
def test_what_is_printable_is_printable(raw: str) -> None:
    shown = text.escape_control(raw)
    assert all(char in "\n\t" or char.isprintable() for char in shown)
    shown.encode()


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_one_line_of_a_limit(raw: str, limit: int) -> None:
    shown = text.one_line(raw, limit)
    assert len(shown) <= limit
    assert shown.isprintable() or shown == ""


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "unknown"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 << 20, "1.5 GiB"),
        (141_107_412_992, "131.4 GiB"),
        (5 << 60, "5120.0 PiB"),
        (12.7, "12 B"),
    ],
)
def test_bytes(count: float | None, shown: str) -> None:
    assert text.format_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0s"),
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (200, "3m20s"),
        (3600, "1h"),
        (3659, "1h"),
        (7500, "2h5m"),
        (86400, "1d"),
        (90_000, "1d1h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.format_duration(seconds) == shown


def test_plurals() -> None:
    assert [text.pluralize(count, "file") for count in (0, 1, 2)] == [
        "0 files",
        "1 file",
        "2 files",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "choice", "env", "color"),
    [
        (Terminal(), "auto", {}, True),
        (io.StringIO(), "auto", {}, False),
        (Terminal(), "auto", {"NO_COLOR": "1"}, False),
        (Terminal(), "auto", {"TERM": "dumb"}, False),
        (Terminal(), "never", {}, False),
        (io.StringIO(), "always", {"NO_COLOR": "1"}, True),
    ],
)
def test_when_to_colour(
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO,
    choice: str,
    env: dict[str, str],
    color: bool,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert text.wants_color(stream, choice) is color


def test_an_empty_no_color_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org: present and not an empty string."""
    monkeypatch.setenv("NO_COLOR", "")
    assert text.wants_color(Terminal())


def test_notes_and_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    text.print_note("a\x1bb")
    text.print_warning("careful")
    assert capsys.readouterr() == ("", "a\\x1bb\nwarning: careful\n")
