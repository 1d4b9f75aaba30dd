"""How staging fails: one file, or the whole."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile


class FileError(FluidModelError):
    """This one file cannot be staged; the others can."""


class Mismatch(FileError):
    """The bytes that came are not the file that the Hub's tree names."""


class SomeFailed(FluidModelError):
    """All others are staged; these are not."""

    def __init__(self, repo: str, failures: Sequence[FileError]) -> None:
        first = failures[0]
        what = f"{len(failures)} of {repo}'s files could not be staged"
        if len(failures) == 1:
            super().__init__(first.what, first.why, first.try_)
        else:
            told = "; ".join(f"{each.what}: {each.why}" for each in failures[:5])
            super().__init__(what, told, first.try_)
        self.failures = tuple(failures)


def mismatch(file: PlanFile) -> Mismatch:
    """What to say of a file whose bytes are not those of the tree."""
    return Mismatch(
        f"{file.path} does not match its hash",
        f"the hub sent other bytes than those of {file.kind} {file.digest[:12]}…; nothing was "
        "stored under its name",
        "the same command again; if it stays, tell the model's owner",
    )
