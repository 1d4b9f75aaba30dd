"""Views that rich redraws in place on a terminal.

`ProgressView` shows long work, and prints lines if the output is not a terminal. `TextView` redraws
text that its caller has formatted.
"""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING, Any

from kubectl_fluidmodel.output.console import can_redraw, wants_color
from kubectl_fluidmodel.output.escaping import escape_control, one_line
from kubectl_fluidmodel.output.progress import DONE, RUNNING, WAITING, ProgressLike
from kubectl_fluidmodel.output.units import format_bytes, format_duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_BAR_WIDTHS = (8, 24)
"""Width of the bar: the minimum, and the default if there is enough space."""
LINE_INTERVAL = 5.0
"""Seconds between lines if the output is not a terminal."""

KEEPS_RUNNING_HINT = "Ctrl-C: it keeps running"
"""The hint if the cluster does the work."""

_MARKS = {WAITING: ("·", "dim"), RUNNING: ("●", "cyan"), DONE: ("✓", "green")}
_FAILED_MARK = ("✗", "red")


def _create_rich_live(stream: IO[str], color: bool, **options: Any) -> Live:
    """Return rich's redraw engine on a stream; `options` are those of `rich.live.Live`."""
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream, no_color=not color, highlight=False, soft_wrap=False)
    return Live(console=console, **options)


class TransferRate:
    """Bytes per second from samples of a growing count over the last half minute."""

    WINDOW_SECONDS = 30.0

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def add(self, count: int | None, now: float) -> None:
        if count is None:
            return
        if self._samples and count < self._samples[-1][1]:
            self._samples.clear()  # evicted, or another cache
        if len(self._samples) == 1 and self._samples[0][1] == count:
            self._samples[0] = (now, count)  # nothing is transferred yet: start measuring here
        elif not self._samples or self._samples[-1][1] != count:
            self._samples.append((now, count))
        while len(self._samples) > 2 and now - self._samples[0][0] > self.WINDOW_SECONDS:
            self._samples.pop(0)

    def bytes_per_second(self) -> float | None:
        if len(self._samples) < 2:
            return None
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start else None


class ProgressView:
    """Shows the progress of long work: `with ProgressView() as view: view.update(progress)`."""

    def __init__(
        self,
        stream: IO[str] | None = None,
        color: str = "auto",
        hint: str = KEEPS_RUNNING_HINT,
    ) -> None:
        self._hint = hint
        self._stream = stream or sys.stderr
        self._redraws = can_redraw(self._stream)
        self._color = wants_color(self._stream, color)
        self._started_at = time.monotonic()
        self._rate = TransferRate()
        self._rich_live: Any = None
        self._last_line: tuple[Any, ...] = ()
        self._last_line_at = 0.0
        self._reported_problems: set[str] = set()
        self._latest: ProgressLike | None = None

    def __enter__(self) -> ProgressView:
        if self._redraws:
            self._rich_live = _create_rich_live(
                self._stream,
                self._color,
                refresh_per_second=8,
                transient=True,
                get_renderable=self._render,
            )
            self._rich_live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._rich_live is not None:
            self._rich_live.stop()
            self._rich_live = None

    def log(self, text: str) -> None:
        """Print a permanent line."""
        line = escape_control(text)
        if self._rich_live is not None:
            from rich.text import Text

            self._rich_live.console.print(Text(line))
        else:
            self._stream.write(line + "\n")
            self._stream.flush()

    def update(self, progress: ProgressLike) -> None:
        """Show the latest progress."""
        self._latest = progress
        self._rate.add(progress.done_bytes, time.monotonic())
        if self._rich_live is None:
            self._print_line(progress)

    # -- not a terminal ----------------------------------------------------------------------

    def _print_line(self, progress: ProgressLike) -> None:
        """Print a line for a new step or problem, else one every LINE_INTERVAL seconds."""
        for problem in progress.problems:
            if problem not in self._reported_problems:
                self._reported_problems.add(problem)
                self.log(f"problem: {one_line(problem, 400)}")
        step = next(
            (entry for entry in progress.steps if entry.state != "done"), progress.steps[-1]
        )
        current = (step.name, step.state)
        now = time.monotonic()
        if current == self._last_line and now - self._last_line_at < LINE_INTERVAL:
            return
        self._last_line, self._last_line_at = current, now
        text = f"{step.name}: {one_line(step.detail or step.state)}"
        amount = self._format_amount(progress)
        text += f", {amount}" if amount else ""
        self.log(f"[{format_duration(now - self._started_at)}] {text}")

    def _format_amount(self, progress: ProgressLike) -> str:
        if not progress.is_transferring or progress.done_bytes is None or not progress.total_bytes:
            return ""
        share = min(100.0, 100.0 * progress.done_bytes / progress.total_bytes)
        text = (
            f"{format_bytes(progress.done_bytes)} of {format_bytes(progress.total_bytes)} "
            f"({share:.0f}%)"
        )
        rate = self._rate.bytes_per_second()
        if rate and progress.done_bytes < progress.total_bytes:
            remaining = (progress.total_bytes - progress.done_bytes) / rate
            text += f", {format_bytes(rate)}/s, {format_duration(remaining)} left"
            if progress.remaining_after:
                text += (
                    f" ({format_duration(remaining + progress.remaining_after / rate)} in total)"
                )
        return text

    # -- a terminal --------------------------------------------------------------------------

    def _render(self) -> RenderableType:
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
            mark, style = _MARKS.get(step.state, _FAILED_MARK)
            line = Text(no_wrap=True, overflow="ellipsis")
            line.append(f"{mark} ", style=style)
            line.append(step.name.ljust(width + 2), style="bold" if step.state == "running" else "")
            line.append(one_line(step.detail, 400), style="dim" if step.state == "waiting" else "")
            rows.append(line)
        amount = self._format_amount(progress)
        if amount and progress.total_bytes:
            room = max(
                _BAR_WIDTHS[0], min(_BAR_WIDTHS[1], self._rich_live.console.width - len(amount) - 2)
            )
            bar = Table.grid(padding=(0, 1))
            bar.add_row(
                ProgressBar(
                    total=progress.total_bytes, completed=progress.done_bytes or 0, width=room
                ),
                Text(amount, no_wrap=True, overflow="ellipsis"),
            )
            rows.append(bar)
        for problem in progress.problems:
            text = Text("! ", style="yellow")
            text.append(one_line(problem, 400))
            rows.append(text)
        elapsed = format_duration(time.monotonic() - self._started_at)
        rows.append(Text(f"{elapsed} elapsed; {self._hint}", style="dim"))
        return Group(*rows)


class TextView:
    """Redraws text in place: `with TextView(sys.stdout) as view: view.draw(text)`.

    The last text stays on the screen.
    """

    def __init__(self, stream: IO[str], *, color: bool = False) -> None:
        self._rich_live = _create_rich_live(stream, color, auto_refresh=False)
        self._drawn: tuple[str, str, int, int] | None = None

    def __enter__(self) -> TextView:
        self._rich_live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich_live.stop()

    @property
    def width(self) -> int:
        """Width of the terminal."""
        return self._rich_live.console.width

    def draw(self, text: str, footer: str = "") -> None:
        """Replace the text. If lines do not fit the terminal, the last line says how many."""
        from rich.text import Text

        columns, rows = self._rich_live.console.size
        if self._drawn == (text, footer, columns, rows):
            return
        self._drawn = text, footer, columns, rows
        lines = text.splitlines()
        room = max(rows - (2 if footer else 1), 1)
        if len(lines) > room:
            lines = [*lines[: room - 1], f"… {len(lines) - room + 1} more lines"]
        content = Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop")
        if footer:
            content.append(f"\n{footer}", style="dim")
        self._rich_live.update(content, refresh=True)
