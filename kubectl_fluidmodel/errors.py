"""What can go wrong, as one line a user can act on.

Every failure that a user can cause is a `FluidModelError`. It prints as

    error: WHAT: WHY; try: COMMAND

and carries the exit code of the CLI contract: 1 failed, 2 wrong usage, 3 the cluster, hub
or store could not be reached, 124 timed out, 130 interrupted.
"""

from __future__ import annotations

from typing import ClassVar


class FluidModelError(Exception):
    """A failure with its reason and the next command to run."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, reason: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        text = self.message
        if self.reason:
            text += f": {self.reason}"
        if self.hint:
            text += f"; try: {self.hint}"
        return text


class UsageError(FluidModelError):
    """The command line does not make sense: nothing was read or written."""

    exit_code = 2


class UnreachableError(FluidModelError):
    """The cluster, the hub or the store did not answer."""

    exit_code = 3


class PermanentlyUnreachableError(UnreachableError):
    """Unreachable, and what stands in the way stays: TLS that is not trusted, a proxy."""


class WaitTimeoutError(FluidModelError):
    """A wait ran out of time; what was made stays, and a second run goes on from it."""

    exit_code = 124


class CommandInterruptedError(FluidModelError):
    """Ctrl-C or SIGTERM; what was made stays, and a second run goes on from it."""

    exit_code = 130
