"""How staging fails: one file, or the whole."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile


class FileStagingError(FluidModelError):
    """This one file cannot be staged; the others can."""


class ChecksumMismatchError(FileStagingError):
    """The bytes that came are not the file that the Hub's tree names."""


class PartialFailureError(FluidModelError):
    """All others are staged; these are not."""

    def __init__(self, repo: str, failures: Sequence[FileStagingError]) -> None:
        first = failures[0]
        what = f"{len(failures)} of {repo}'s files could not be staged"
        if len(failures) == 1:
            super().__init__(first.message, first.reason, first.hint)
        else:
            told = "; ".join(f"{each.message}: {each.reason}" for each in failures[:5])
            super().__init__(what, told, first.hint)
        self.failures = tuple(failures)


def checksum_mismatch(file: PlanFile) -> ChecksumMismatchError:
    """What to say of a file whose bytes are not those of the tree."""
    return ChecksumMismatchError(
        f"{file.path} does not match its hash",
        f"the hub sent other bytes than those of {file.kind} {file.digest[:12]}…; nothing was "
        "stored under its name",
        "the same command again; if it stays, tell the model's owner",
    )
