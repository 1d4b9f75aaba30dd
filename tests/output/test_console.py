"""Colour, and what goes to stderr."""

from __future__ import annotations

import io

import pytest

from kubectl_fluidmodel.output import console


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
def test_colour_follows_the_flag_then_the_environment_then_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO,
    choice: str,
    env: dict[str, str],
    color: bool,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert console.wants_color(stream, choice) is color


def test_an_empty_no_color_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org: present and not an empty string."""
    monkeypatch.setenv("NO_COLOR", "")
    assert console.wants_color(Terminal())


def test_notes_and_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_note("a\x1bb")
    console.print_warning("careful")
    assert capsys.readouterr() == ("", "a\\x1bb\nwarning: careful\n")
