"""How to stage: how much memory, how many at once, how long to try."""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.errors import UsageError

MIB = 1 << 20
DEFAULT_MEMORY = 256 * MIB
"""Bytes that the process may take in all, where the user does not say."""
MIN_MEMORY = 128 * MIB
"""Bytes below which not even one part fits beside Python and boto3."""
DEFAULT_WORKERS = 8


@dataclass(frozen=True)
class TransferOptions:
    """Settings of one run; sizes are bytes, times seconds."""

    memory: int = DEFAULT_MEMORY
    """For the whole process, its code included."""
    workers: int = DEFAULT_WORKERS
    stall: float = 30.0
    """A connection that brings nothing for so long is dead; a slow one is not."""
    patience: float = 300.0
    """How long one part is tried again without any progress."""
    tick: float = 0.5
    """Between two Progress events."""
    shard: int = 0
    shards: int = 1
    part_size: int = 0
    """Bytes of a part; 0 to choose by file size and memory."""

    def validated(self) -> TransferOptions:
        """The options themselves.

        Raises:
            UsageError: they make no sense.
        """
        if self.memory < MIN_MEMORY:
            raise UsageError(
                f"--memory {self.memory // MIB} MiB is too little",
                "Python, boto3 and one part of a file need more",
                f"--memory {MIN_MEMORY // MIB}Mi",
            )
        if not 1 <= self.workers <= 64:
            raise UsageError(f"{self.workers} workers cannot be", "1 to 64 can", "--stage-workers")
        if not 0 <= self.shard < self.shards:
            raise UsageError(
                f"shard {self.shard} of {self.shards} cannot be", "they count from 0", "--shard"
            )
        return self
