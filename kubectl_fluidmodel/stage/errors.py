"""Errors of a transfer: of one file, or of the whole run."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile


class FileStagingError(FluidModelError):
    """One file cannot be staged; the transfer of the others continues."""


class ChecksumMismatchError(FileStagingError):
    """The bytes received do not have the hash that the Hub lists for the file."""


class PartialFailureError(FluidModelError):
    """Some files could not be staged; all others are in the store."""

    def __init__(self, repo: str, failures: Sequence[FluidModelError]) -> None:
        first = failures[0]
        if len(failures) == 1:
            super().__init__(first.message, first.reason, first.hint)
        else:
            reasons = "; ".join(f"{failure.message}: {failure.reason}" for failure in failures[:5])
            message = f"{len(failures)} files of {repo} could not be staged"
            super().__init__(message, reasons, first.hint)
        self.failures = tuple(failures)


def checksum_mismatch(file: PlanFile) -> ChecksumMismatchError:
    """The error for a file whose content does not have the listed hash."""
    return ChecksumMismatchError(
        f"{file.path} does not match its hash",
        f"the Hub sent bytes that do not match {file.kind} {file.digest[:12]}…; nothing was stored "
        "under its name",
        "the same command again; if the error stays, report it to the model's owner",
    )
