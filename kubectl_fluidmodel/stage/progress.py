"""Progress of a staging, aggregated from the events of one run or of all shards. Pure."""

from __future__ import annotations

from dataclasses import replace

from kubectl_fluidmodel.output.progress import DONE, RUNNING, WAITING, Step
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.events import (
    Completed,
    Event,
    FileDone,
    FileFailed,
    Started,
    TransferProgress,
)

STAGE_STEP = "stage"
_MAX_PROBLEMS = 6
_NO_PROGRESS = TransferProgress(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class ProgressSnapshot:
    """What `output.live` draws."""

    steps: tuple[Step, ...]
    done_bytes: int | None
    total_bytes: int | None
    problems: tuple[str, ...]
    is_transferring: bool = True
    """Whether bytes are in transfer, so that a rate and a remaining time make sense."""
    remaining_after: int = 0
    """Bytes that a step after the staging transfers."""


@dataclass(frozen=True)
class ShardProgress:
    """Progress of one shard."""

    progress: TransferProgress = _NO_PROGRESS
    is_complete: bool = False
    failures: tuple[str, ...] = ()


class ProgressAggregator:
    """Aggregates the events of all shards of one staging."""

    def __init__(self, total: int, files: int, shards: int = 1, initial_bytes: int = 0) -> None:
        """Start with no events.

        Args:
            total: bytes of the whole plan.
            files: files of the whole plan.
            shards: number of shards.
            initial_bytes: bytes that were in the store before.
        """
        self.total, self.files, self.shard_count = total, files, shards
        self._initial_bytes = initial_bytes
        self.shards: dict[int, ShardProgress] = {}
        self.external_problems: tuple[str, ...] = ()
        """Problems outside the shards: a pod that cannot start, a store that does not respond."""
        self.waiting_reason = ""
        """Why no shard has started yet."""

    def handle(self, event: Event, shard: int = 0) -> None:
        """Update the progress of a shard by one event."""
        current = self.shards.get(shard, ShardProgress())
        if isinstance(event, Started):
            current = replace(current, is_complete=False, failures=())
        elif isinstance(event, TransferProgress):
            current = replace(current, progress=event)
        elif isinstance(event, FileFailed):
            current = replace(current, failures=(*current.failures, event.reason))
        elif isinstance(event, Completed):
            current = replace(current, is_complete=True)
        elif not isinstance(event, FileDone):
            return
        self.shards[shard] = current

    @property
    def done_bytes(self) -> int:
        """Bytes that are in the store or on their way from the Hub to it."""
        counted = sum(
            shard.progress.done + shard.progress.in_flight for shard in self.shards.values()
        )
        return max(self._initial_bytes, counted)

    @property
    def files_done(self) -> int:
        return sum(shard.progress.files_done for shard in self.shards.values())

    def snapshot(self) -> ProgressSnapshot:
        """The progress now."""
        started = bool(self.shards)
        return ProgressSnapshot(
            (self._step(),),
            self.done_bytes if started else None,
            self.total,
            (*self.external_problems, *self._shard_problems())[:_MAX_PROBLEMS],
        )

    def _step(self) -> Step:
        if not self.shards:
            return Step(
                STAGE_STEP, RUNNING if self.waiting_reason else WAITING, self.waiting_reason
            )
        complete = sum(1 for shard in self.shards.values() if shard.is_complete)
        state = DONE if complete >= self.shard_count else RUNNING
        return Step(STAGE_STEP, state, self._detail(complete))

    def _shard_problems(self) -> list[str]:
        problems: list[str] = []
        for number, shard in sorted(self.shards.items()):
            prefix = f"shard {number}: " if self.shard_count > 1 else ""
            problems += [f"{prefix}{reason}" for reason in shard.failures]
            if shard.progress.last_retry and not shard.is_complete:
                problems.append(f"{prefix}retrying: {shard.progress.last_retry}")
        return problems

    def _detail(self, complete: int) -> str:
        text = f"{self.files_done} of {pluralize(self.files, 'file')}"
        if self.shard_count > 1:
            text += f", {complete} of {self.shard_count} shards done"
        active = [path for shard in self.shards.values() for path in shard.progress.active]
        if active and complete < self.shard_count:
            text += f"; {active[0]}" + (f" and {len(active) - 1} more" if len(active) > 1 else "")
        return text
