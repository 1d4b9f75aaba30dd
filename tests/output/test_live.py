"""The live view: lines where nobody looks, a drawing on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import pytest

from docs.tools.terminal import Screen as EmulatedScreen
from kubectl_fluidmodel.cache.progress import CacheProgress
from kubectl_fluidmodel.output.live import ProgressView, TextView, TransferRate
from kubectl_fluidmodel.output.progress import Step

GIB = 1 << 30
START = CacheProgress(
    (
        Step("master", "running", "0 of 1 ready"),
        Step("Dataset", "waiting"),
        Step("load", "waiting"),
    ),
    None,
    10 * GIB,
    (),
)
LOADING = CacheProgress(
    (
        Step("master", "done"),
        Step("Dataset", "done", "Bound"),
        Step("load", "running", "Executing"),
    ),
    5 * GIB,
    10 * GIB,
    (),
)
DONE = CacheProgress(
    (Step("master", "done"), Step("load", "done", "Complete")), 10 * GIB, 10 * GIB, ()
)


@dataclass
class Clock:
    """time.monotonic as the test moves it."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


class TestLines:
    """Piped output."""

    def lines(self, stream: io.StringIO) -> list[str]:
        lines = stream.getvalue().splitlines()
        stream.seek(0)
        stream.truncate()
        return lines

    def test_every_change_of_the_current_step_at_once(self, clock: Clock) -> None:
        stream = io.StringIO()
        with ProgressView(stream) as view:
            view.update(START)
            assert self.lines(stream) == ["[0s] master: 0 of 1 ready"]
            clock.now += 1
            view.update(LOADING)
            assert self.lines(stream) == ["[1s] load: Executing, 5.0 GiB of 10.0 GiB (50%)"]
            clock.now += 1
            view.update(DONE)
            assert self.lines(stream) == ["[2s] load: Complete"]

    def test_otherwise_every_five_seconds(self, clock: Clock) -> None:
        stream = io.StringIO()
        with ProgressView(stream) as view:
            for _ in range(12):
                view.update(START)
                clock.now += 1
        assert [line.split()[0] for line in self.lines(stream)] == ["[0s]", "[5s]", "[10s]"]

    def test_the_rate_and_what_is_left(self, clock: Clock) -> None:
        stream = io.StringIO()
        with ProgressView(stream) as view:
            for step in range(3):
                view.update(replace(LOADING, done_bytes=step * GIB))
                clock.now += 5
        assert self.lines(stream)[-1].endswith("2.0 GiB of 10.0 GiB (20%), 204.8 MiB/s, 40s left")

    def test_what_a_later_step_moves_is_reckoned_in(self, clock: Clock) -> None:
        stream = io.StringIO()
        with ProgressView(stream) as view:
            for step in range(3):
                view.update(replace(LOADING, done_bytes=step * GIB, remaining_after=10 * GIB))
                clock.now += 5
        assert self.lines(stream)[-1].endswith("40s left (1m30s in total)")

    def test_more_than_all_is_all(self, clock: Clock) -> None:
        stream = io.StringIO()
        with ProgressView(stream) as view:
            view.update(replace(LOADING, done_bytes=11 * GIB))
        assert "(100%)" in self.lines(stream)[0]

    @pytest.mark.parametrize(("cached", "total"), [(None, GIB), (GIB, None), (0, 0)])
    def test_no_amount_where_it_is_not_known(
        self, clock: Clock, cached: int | None, total: int | None
    ) -> None:
        stream = io.StringIO()
        with ProgressView(stream) as view:
            view.update(replace(LOADING, done_bytes=cached, total_bytes=total))
        assert self.lines(stream) == ["[0s] load: Executing"]

    def test_each_problem_once(self, clock: Clock) -> None:
        stream = io.StringIO()
        with ProgressView(stream) as view:
            for problems in (("one",), ("one",), ("two", "one"), (), ("one",)):
                view.update(replace(START, problems=problems))
                clock.now += 1
        problems = [line for line in self.lines(stream) if line.startswith("problem")]
        assert problems == ["problem: one", "problem: two"]

    def test_server_messages_are_one_escaped_line(self, clock: Clock) -> None:
        stream = io.StringIO()
        with ProgressView(stream) as view:
            view.update(replace(START, problems=("a\x1b[2Jb\nc " + "x" * 999,)))
            view.log("said\x07")
        first, *_, last = self.lines(stream)
        assert first.startswith("problem: a\\x1b[2Jb c xxx")
        assert len(first) < 420
        assert last == "said\\x07"

    def test_no_colour_and_no_cursor_movement(self, clock: Clock) -> None:
        stream = io.StringIO()
        with ProgressView(stream, color="always") as view:
            view.update(LOADING)
        assert "\x1b" not in stream.getvalue()


class TestRate:
    def test_over_the_last_half_minute(self) -> None:
        rate = TransferRate()
        assert rate.bytes_per_second() is None
        for second in range(60):
            rate.add(second * 10 if second < 20 else 200 + (second - 20) * 100, float(second))
        assert rate.bytes_per_second() == pytest.approx(100.0)

    def test_a_constant_count_has_no_rate(self) -> None:
        rate = TransferRate()
        for second in range(5):
            rate.add(7, float(second))
        assert rate.bytes_per_second() is None

    def test_a_falling_count_restarts_the_rate(self) -> None:
        rate = TransferRate()
        rate.add(100, 0.0)
        rate.add(200, 1.0)
        rate.add(5, 2.0)
        assert rate.bytes_per_second() is None
        rate.add(15, 3.0)
        assert rate.bytes_per_second() == 10.0

    def test_unknown_counts_are_skipped(self) -> None:
        rate = TransferRate()
        rate.add(None, 0.0)
        rate.add(0, 1.0)
        rate.add(10, 2.0)
        assert rate.bytes_per_second() == 10.0


@dataclass
class Screen:
    """The far end of a pseudo-terminal."""

    stream: IO[str]
    data: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")

    @property
    def plain(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text)

    def wait_for(self, message: str) -> None:
        deadline = time.monotonic() + 10
        while message not in self.plain:
            assert time.monotonic() < deadline, f"{message!r} is not in {self.plain!r}"
            time.sleep(0.02)


@contextmanager
def terminal(columns: int) -> Iterator[Screen]:
    """A pseudo-terminal of 24 lines; what is written to it is kept."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        screen = Screen(stream)

        def read() -> None:
            try:
                while chunk := os.read(master, 65536):
                    screen.data.extend(chunk)
            except OSError:
                return  # the other end is closed

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        yield screen
        stream.flush()
    reader.join(5)
    os.close(master)


@pytest.fixture(autouse=True)
def _term(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")


class TestTerminal:
    @pytest.mark.parametrize("columns", [40, 80, 200])
    def test_it_is_drawn_in_place_and_no_line_is_too_long(self, columns: int) -> None:
        with terminal(columns) as screen:
            done = subprocess.run(
                [sys.executable, "-m", "tests.output.draw"],
                stdin=screen.stream,
                stdout=screen.stream,
                stderr=screen.stream,
                cwd=Path(__file__).parents[2],
                env=dict(os.environ),  # without what readline puts there behind our back
                check=False,
                timeout=30,
            )
            screen.wait_for("a line that stays")
        assert done.returncode == 0, screen.plain
        assert re.search(r"\x1b\[\d*A", screen.text)  # goes up, to draw over itself
        lines = re.split(r"[\r\n]+", screen.plain)
        widest = max(len(line.rstrip()) for line in lines)
        assert widest <= columns
        assert any("node-0" in line and line.rstrip().endswith("…") for line in lines)
        if columns >= 80:
            assert "5.0 GiB of 10.0 GiB (50%)" in screen.plain
            assert "━" in screen.plain
        if columns == 200:
            assert widest > 150  # the room is used

    def test_it_leaves_a_clean_terminal(self) -> None:
        with terminal(80) as screen:
            with ProgressView(screen.stream) as view:
                view.update(LOADING)
                screen.wait_for("Executing")
        assert screen.text.rindex("\x1b[?25h") > screen.text.rindex("\x1b[?25l")  # the cursor
        last = screen.text[screen.text.rindex("\x1b[?25h") :]
        assert "Executing" not in last

    def test_it_leaves_a_clean_terminal_after_ctrl_c(self) -> None:
        with terminal(80) as screen:
            with pytest.raises(KeyboardInterrupt):
                with ProgressView(screen.stream) as view:
                    view.update(LOADING)
                    screen.wait_for("Executing")
                    raise KeyboardInterrupt
        assert screen.text.rindex("\x1b[?25h") > screen.text.rindex("\x1b[?25l")

    @pytest.mark.parametrize(
        ("env", "choice", "color"),
        [
            ({}, "auto", True),
            ({"NO_COLOR": "1"}, "auto", False),
            ({}, "never", False),
            ({"NO_COLOR": "1"}, "always", True),
        ],
    )
    def test_colour(
        self, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], choice: str, color: bool
    ) -> None:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with terminal(80) as screen:
            with ProgressView(screen.stream, color=choice) as view:
                view.update(LOADING)
                screen.wait_for("Executing")
        assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]m", screen.text)) is color

    def test_markup_and_escapes_from_servers_are_plain_text(self) -> None:
        hostile = "[bold]x[/bold] \x1b]0;title\x07"
        with terminal(120) as screen:
            with ProgressView(screen.stream) as view:
                view.update(replace(START, problems=(hostile,)))
                view.log(hostile)
                screen.wait_for("[bold]x[/bold] \\x1b]0;title\\x07")
        assert "\x1b]0" not in screen.text

    def test_nothing_to_show_yet(self) -> None:
        with terminal(80) as screen:
            with ProgressView(screen.stream) as view:
                view.log("first")
                screen.wait_for("first")

    def test_a_terminal_without_a_movable_cursor_gets_lines(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "dumb")
        with terminal(80) as screen:
            with ProgressView(screen.stream) as view:
                view.update(LOADING)
                screen.wait_for("load: Executing")
        assert "\x1b" not in screen.text


def shown_by(screen: Screen) -> str:
    """What stands on the terminal."""
    emulator = EmulatedScreen()
    emulator.feed(screen.text)
    return re.sub(r"\x1b\[[0-9;]*m", "", emulator.text())


class TestTextView:
    def test_each_text_replaces_the_one_before(self) -> None:
        with terminal(80) as screen:
            with TextView(screen.stream) as view:
                view.draw("NAME   PHASE\nllama  NotBound\nqwen   Bound\n", "Ctrl-C ends")
                screen.wait_for("Ctrl-C ends")
                view.draw("NAME   PHASE\nllama  Bound\n", "Ctrl-C ends")
        assert shown_by(screen) == "NAME   PHASE\nllama  Bound\nCtrl-C ends"

    def test_lines_below_the_terminal_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LINES", "24")
        with terminal(80) as screen:
            with TextView(screen.stream) as view:
                view.draw("".join(f"line {i}\n" for i in range(100)), "Ctrl-C ends")
        lines = shown_by(screen).splitlines()
        assert lines[-2:] == ["… 79 more lines", "Ctrl-C ends"]
        assert len(lines) == 23

    def test_an_unchanged_text_is_not_drawn_again(self) -> None:
        with terminal(80) as screen:
            with TextView(screen.stream) as view:
                view.draw("the text\n")
                screen.wait_for("the text")
                before = screen.text
                view.draw("the text\n")
                time.sleep(0.2)
                assert screen.text == before

    @pytest.mark.parametrize("color", [True, False])
    def test_styles_of_the_text_are_kept_where_colour_is_wanted(self, color: bool) -> None:
        with terminal(80) as screen:
            with TextView(screen.stream, color=color) as view:
                view.draw("\x1b[32mBound\x1b[0m\n")
        assert ("\x1b[32m" in screen.text) is color
