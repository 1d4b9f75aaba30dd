"""Options of a transfer: memory, parallelism and timeouts."""

from __future__ import annotations

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.records import dataclass

MIB = 1 << 20
DEFAULT_MEMORY = 256 * MIB
"""Bytes that the whole process may use."""
MIN_MEMORY = 128 * MIB
"""Bytes below which not even one part fits beside Python and boto3."""
DEFAULT_WORKERS = 8
MAX_WORKERS = 64


@dataclass(frozen=True)
class TransferOptions:
    """Options of one run; sizes are bytes, times are seconds."""

    memory: int = DEFAULT_MEMORY
    """For the whole process, its code included."""
    workers: int = DEFAULT_WORKERS
    stall_timeout: float = 30.0
    """A connection that delivers nothing for this long is closed and retried; a slow one is not."""
    retry_timeout: float = 300.0
    """How long one part is retried without any progress."""
    progress_interval: float = 0.5
    """Time between two TransferProgress events."""
    shard: int = 0
    shards: int = 1
    part_size: int = 0
    """Bytes of a part; 0 chooses by file size and memory."""

    def validated(self) -> TransferOptions:
        """Check the values against each other and against their limits.

        Returns:
            The options themselves.

        Raises:
            UsageError: a value is out of range.
        """
        if self.memory < MIN_MEMORY:
            raise UsageError(
                f"--memory {self.memory // MIB}Mi is too little",
                "Python, boto3 and one part of a file need more",
                f"--memory {MIN_MEMORY // MIB}Mi",
            )
        if not 1 <= self.workers <= MAX_WORKERS:
            raise UsageError(
                f"--stage-workers {self.workers} is out of range",
                f"1 to {MAX_WORKERS} are allowed",
                f"--stage-workers {DEFAULT_WORKERS}",
            )
        if not 0 <= self.shard < self.shards:
            raise UsageError(
                f"there is no shard {self.shard} of {self.shards}",
                "shards count from 0",
                f"--shard 0/{max(1, self.shards)}",
            )
        return self
