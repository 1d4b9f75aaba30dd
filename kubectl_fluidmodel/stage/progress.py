"""Where a staging stands, gathered from the events of one run or of all shards. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kubectl_fluidmodel.output.progress_step import DONE, RUNNING, WAITING, Step
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.stage.events import Began, Ended, Event, FileDone, FileFailed, Progress

STAGE_STEP = "stage"


@dataclass(frozen=True)
class ProgressSnapshot:
    """What `ui.live` draws."""

    steps: tuple[Step, ...]
    done_bytes: int | None
    total_bytes: int | None
    problems: tuple[str, ...]
    is_transferring: bool = True
    """Whether bytes are on their way, so that a rate and an end make sense."""
    remaining_after: int = 0
    """Bytes that a step after the staging is to move."""


_NO_PROGRESS = Progress(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class ShardProgress:
    """One share of the work."""

    progress: Progress = _NO_PROGRESS
    ended: bool = False
    failed: tuple[str, ...] = ()


class ProgressAggregator:
    """All shards of one staging."""

    def __init__(self, total: int, files: int, shards: int = 1, initial_bytes: int = 0) -> None:
        """`done` bytes were there before."""
        self.total, self.files, self.shard_count = total, files, shards
        self._initial_bytes = initial_bytes
        self.shards: dict[int, ShardProgress] = {}
        self.external_problems: tuple[str, ...] = ()
        """What is wrong beside the shards: a pod that cannot start, a store out of reach."""
        self.waiting_reason = ""
        """What is going on while no shard has begun."""

    def handle(self, event: Event, shard: int = 0) -> None:
        """Note an event of a shard."""
        current = self.shards.get(shard, ShardProgress())
        if isinstance(event, Began):
            current = replace(current, ended=False, failed=())
        elif isinstance(event, Progress):
            current = replace(current, progress=event)
        elif isinstance(event, FileFailed):
            current = replace(current, failed=(*current.failed, event.why))
        elif isinstance(event, Ended):
            current = replace(current, ended=True)
        elif not isinstance(event, FileDone):
            return
        self.shards[shard] = current

    @property
    def done_bytes(self) -> int:
        """Bytes that are in the store or on their way from the Hub to it."""
        here = sum(each.progress.done + each.progress.moving for each in self.shards.values())
        return max(self._initial_bytes, here)

    @property
    def files_done(self) -> int:
        return sum(each.progress.files_done for each in self.shards.values())

    @property
    def existing_bytes(self) -> int:
        return sum(each.progress.found for each in self.shards.values())

    def snapshot(self) -> ProgressSnapshot:
        """As it stands now."""
        completed = sum(1 for each in self.shards.values() if each.ended)
        started = len(self.shards)
        if started == 0:
            step = Step(
                STAGE_STEP, WAITING if not self.waiting_reason else RUNNING, self.waiting_reason
            )
        else:
            step = Step(
                STAGE_STEP,
                DONE if completed >= self.shard_count else RUNNING,
                self._detail(completed),
            )
        problems = list(self.external_problems)
        for number, each in sorted(self.shards.items()):
            prefix = f"shard {number}: " if self.shard_count > 1 else ""
            problems += [f"{prefix}{why}" for why in each.failed]
            if each.progress.trouble and not each.ended:
                problems.append(f"{prefix}trying again: {each.progress.trouble}")
        return ProgressSnapshot(
            (step,), self.done_bytes if started else None, self.total, tuple(problems[:6])
        )

    def _detail(self, completed: int) -> str:
        text = f"{self.files_done} of {pluralize(self.files, 'file')}"
        if self.shard_count > 1:
            text += f", {completed} of {self.shard_count} shards done"
        active = [path for each in self.shards.values() for path in each.progress.active]
        if active and completed < self.shard_count:
            text += f"; {active[0]}" + (f" and {len(active) - 1} more" if len(active) > 1 else "")
        return text
