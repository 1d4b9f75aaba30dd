"""Where a staging stands, gathered from the events of one run or of all shards. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kubectl_fluidmodel.output.progress_step import DONE, RUNNING, WAITING, Step
from kubectl_fluidmodel.output.text import plural
from kubectl_fluidmodel.stage.events import Began, Ended, Event, FileDone, FileFailed, Progress

STEP = "stage"


@dataclass(frozen=True)
class View:
    """What `ui.live` draws."""

    steps: tuple[Step, ...]
    cached: int | None
    total: int | None
    problems: tuple[str, ...]
    moving: bool = True
    """Whether bytes are on their way, so that a rate and an end make sense."""
    later: int = 0
    """Bytes that a step after the staging is to move."""


_NOTHING = Progress(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Shard:
    """One share of the work."""

    progress: Progress = _NOTHING
    ended: bool = False
    failed: tuple[str, ...] = ()


class Board:
    """All shards of one staging."""

    def __init__(self, total: int, files: int, shards: int = 1, done: int = 0) -> None:
        """`done` bytes were there before."""
        self.total, self.files, self.count = total, files, shards
        self._before = done
        self.shards: dict[int, Shard] = {}
        self.outside: tuple[str, ...] = ()
        """What is wrong beside the shards: a pod that cannot start, a store out of reach."""
        self.waits_for = ""
        """What is going on while no shard has begun."""

    def take(self, event: Event, shard: int = 0) -> None:
        """Note an event of a shard."""
        here = self.shards.get(shard, Shard())
        if isinstance(event, Began):
            here = replace(here, ended=False, failed=())
        elif isinstance(event, Progress):
            here = replace(here, progress=event)
        elif isinstance(event, FileFailed):
            here = replace(here, failed=(*here.failed, event.why))
        elif isinstance(event, Ended):
            here = replace(here, ended=True)
        elif not isinstance(event, FileDone):
            return
        self.shards[shard] = here

    @property
    def done(self) -> int:
        """Bytes that are in the store or on their way from the Hub to it."""
        here = sum(each.progress.done + each.progress.moving for each in self.shards.values())
        return max(self._before, here)

    @property
    def files_done(self) -> int:
        return sum(each.progress.files_done for each in self.shards.values())

    @property
    def found(self) -> int:
        return sum(each.progress.found for each in self.shards.values())

    def view(self) -> View:
        """As it stands now."""
        ended = sum(1 for each in self.shards.values() if each.ended)
        begun = len(self.shards)
        if begun == 0:
            step = Step(STEP, WAITING if not self.waits_for else RUNNING, self.waits_for)
        else:
            step = Step(STEP, DONE if ended >= self.count else RUNNING, self._detail(ended))
        problems = list(self.outside)
        for number, each in sorted(self.shards.items()):
            of = f"shard {number}: " if self.count > 1 else ""
            problems += [f"{of}{why}" for why in each.failed]
            if each.progress.trouble and not each.ended:
                problems.append(f"{of}trying again: {each.progress.trouble}")
        return View((step,), self.done if begun else None, self.total, tuple(problems[:6]))

    def _detail(self, ended: int) -> str:
        text = f"{self.files_done} of {plural(self.files, 'file')}"
        if self.count > 1:
            text += f", {ended} of {self.count} shards done"
        active = [path for each in self.shards.values() for path in each.progress.active]
        if active and ended < self.count:
            text += f"; {active[0]}" + (f" and {len(active) - 1} more" if len(active) > 1 else "")
        return text
