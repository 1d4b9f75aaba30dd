"""The screen of the documentation's pictures."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from docs.tools.terminal import Screen, picture, run


def test_a_view_redrawn_in_place_appears_once() -> None:
    screen = Screen()
    screen.feed("kept\r\n")
    for share in ("10%", "60%"):
        screen.feed(f"\x1b[32mload\x1b[0m\r\n{share}")
        screen.feed("\r\x1b[2K\x1b[1A\x1b[2K" if share == "10%" else "\x1b[?25h")
    assert screen.text() == "kept\n\x1b[32mload\x1b[0m\n60%"


def test_codes_may_come_in_halves() -> None:
    screen = Screen()
    for part in ("a\x1b", "[3", "1mb\r", "\nc"):
        screen.feed(part)
    assert screen.text() == "a\x1b[31mb\nc"


def test_a_program_sees_a_terminal() -> None:
    text = run([sys.executable, "-c", "import os; print(os.isatty(1), os.get_terminal_size())"],
               dict(os.environ))  # fmt: skip
    assert text == "True os.terminal_size(columns=110, lines=50)"


def test_a_picture_of_running_work() -> None:
    script = "import time; print('half done', flush=True); time.sleep(60)"
    assert run([sys.executable, "-c", script], dict(os.environ), until="half") == "half done"


@pytest.mark.parametrize("until", ["", "never"])
def test_a_program_that_fails_makes_no_picture(until: str) -> None:
    with pytest.raises(RuntimeError, match="wrong"):
        run([sys.executable, "-c", "import sys; sys.exit('wrong')"], dict(os.environ), until)


def test_a_picture_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "x.svg"
    picture("\x1b[1m$ ls\x1b[0m\n  a   b", "title", file)
    drawn = file.read_text()
    assert "&#160;&#160;a&#160;&#160;&#160;b" in drawn
    assert "@font-face" not in drawn
    assert "url(http" not in drawn.replace('url("http', "url(http")
