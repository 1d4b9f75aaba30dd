"""Errors as one line that a user can act on.

Every failure that a user can cause is a `FluidModelError`. It prints as

    error: WHAT: WHY; try: COMMAND

and has an exit code: 1 failure, 2 usage error, 3 the cluster, the Hub or a store could not be
reached, 124 timeout, 130 interrupted.
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
    """The command line is invalid: nothing was read or written."""

    exit_code = 2


class UnreachableError(FluidModelError):
    """The cluster, the Hub or the store did not respond."""

    exit_code = 3


class PermanentlyUnreachableError(UnreachableError):
    """Unreachable for a reason that does not pass: untrusted TLS, or a proxy."""


class WaitTimeoutError(FluidModelError):
    """A wait timed out. Objects that were created stay, and the same command resumes."""

    exit_code = 124


class CommandInterruptedError(FluidModelError):
    """Ctrl-C or SIGTERM. Objects that were created stay, and the same command resumes."""

    exit_code = 130
