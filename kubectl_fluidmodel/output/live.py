"""A view that follows long work: redrawn in place on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

from kubectl_fluidmodel.output.text import duration, one_line, printable, size, wants_color

if TYPE_CHECKING:
    from rich.console import RenderableType

_BAR = (8, 24)
"""Columns of the bar: the least, and what it has where the words beside it leave room."""
EVERY = 5.0
"""Seconds between lines where the output is no terminal."""

HINT = "Ctrl-C leaves it running"
"""What is said of an interruption where the work is the cluster's."""

_MARKS = {"waiting": ("·", "dim"), "running": ("●", "cyan"), "done": ("✓", "green")}
_FAILED = ("✗", "red")


class StepLike(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def detail(self) -> str: ...


class ProgressLike(Protocol):
    """What is drawn: named steps, bytes done and to do (while they move), and what is wrong."""

    @property
    def steps(self) -> Sequence[StepLike]: ...
    @property
    def cached(self) -> int | None: ...
    @property
    def total(self) -> int | None: ...
    @property
    def moving(self) -> bool: ...
    @property
    def later(self) -> int:
        """Bytes that a later step is to move, reckoned at the rate of this one."""
        ...

    @property
    def problems(self) -> Sequence[str]: ...


class Rate:
    """Bytes per second from samples of a growing count, over the last half minute."""

    WINDOW = 30.0

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def add(self, count: int | None, now: float) -> None:
        if count is None:
            return
        if self._samples and count < self._samples[-1][1]:
            self._samples.clear()  # evicted, or another cache
        if len(self._samples) == 1 and self._samples[0][1] == count:
            self._samples[0] = (now, count)  # nothing moves yet: the rate begins here
        elif not self._samples or self._samples[-1][1] != count:
            self._samples.append((now, count))
        while len(self._samples) > 2 and now - self._samples[0][0] > self.WINDOW:
            self._samples.pop(0)

    def value(self) -> float | None:
        if len(self._samples) < 2:
            return None
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start else None


class Live:
    """Draws Progress values; `with Live() as live: live.show(progress)`."""

    def __init__(
        self,
        stream: IO[str] | None = None,
        color: str = "auto",
        hint: str = HINT,
    ) -> None:
        self._hint = hint
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._color = wants_color(self._stream, color)
        self._began = time.monotonic()
        self._rate = Rate()
        self._live: Any = None
        self._said: tuple[Any, ...] = ()
        self._said_at = 0.0
        self._problems: set[str] = set()
        self._latest: ProgressLike | None = None

    def __enter__(self) -> Live:
        if self._tty:
            from rich.console import Console
            from rich.live import Live as RichLive

            console = Console(
                file=self._stream, no_color=not self._color, highlight=False, soft_wrap=False
            )
            self._live = RichLive(
                console=console, refresh_per_second=8, transient=True, get_renderable=self._draw
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """One line that stays."""
        line = printable(text)
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(line))
        else:
            self._stream.write(line + "\n")
            self._stream.flush()

    def show(self, progress: ProgressLike) -> None:
        """Draw where it stands."""
        self._latest = progress
        self._rate.add(progress.cached, time.monotonic())
        if self._live is None:
            self._lines(progress)

    # -- not a terminal ----------------------------------------------------------------------

    def _lines(self, progress: ProgressLike) -> None:
        """A line when the current step or a problem is new, else one every five seconds."""
        for problem in progress.problems:
            if problem not in self._problems:
                self._problems.add(problem)
                self.say(f"problem: {one_line(problem, 400)}")
        step = next(
            (entry for entry in progress.steps if entry.state != "done"), progress.steps[-1]
        )
        current = (step.name, step.state)
        now = time.monotonic()
        if current == self._said and now - self._said_at < EVERY:
            return
        self._said, self._said_at = current, now
        text = f"{step.name}: {one_line(step.detail or step.state)}"
        amount = self._amount(progress)
        self.say(f"[{duration(now - self._began)}] {text}{f', {amount}' if amount else ''}")

    def _amount(self, progress: ProgressLike) -> str:
        if not progress.moving or progress.cached is None or not progress.total:
            return ""
        share = min(100.0, 100.0 * progress.cached / progress.total)
        text = f"{size(progress.cached)} of {size(progress.total)} ({share:.0f}%)"
        rate = self._rate.value()
        if rate and progress.cached < progress.total:
            left = (progress.total - progress.cached) / rate
            text += f", {size(rate)}/s, {duration(left)} left"
            if progress.later:
                text += f" ({duration(left + progress.later / rate)} in all)"
        return text

    # -- a terminal --------------------------------------------------------------------------

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        progress = self._latest
        if progress is None:
            return Text("")
        width = max(len(step.name) for step in progress.steps)
        rows: list[RenderableType] = []
        for step in progress.steps:
            mark, style = _MARKS.get(step.state, _FAILED)
            line = Text(no_wrap=True, overflow="ellipsis")
            line.append(f"{mark} ", style=style)
            line.append(step.name.ljust(width + 2), style="bold" if step.state == "running" else "")
            line.append(one_line(step.detail, 400), style="dim" if step.state == "waiting" else "")
            rows.append(line)
        amount = self._amount(progress)
        if amount and progress.total:
            room = max(_BAR[0], min(_BAR[1], self._live.console.width - len(amount) - 2))
            bar = Table.grid(padding=(0, 1))
            bar.add_row(
                ProgressBar(total=progress.total, completed=progress.cached or 0, width=room),
                Text(amount, no_wrap=True, overflow="ellipsis"),
            )
            rows.append(bar)
        for problem in progress.problems:
            text = Text("! ", style="yellow")
            text.append(one_line(problem, 400))
            rows.append(text)
        elapsed = duration(time.monotonic() - self._began)
        rows.append(Text(f"{elapsed} elapsed; {self._hint}", style="dim"))
        return Group(*rows)
