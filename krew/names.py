"""Targets and the names of what is made for them, the same from build to release."""

from __future__ import annotations

import platform
import sys
from typing import NamedTuple

NAME = "kubectl-fluidmodel"


class Target(NamedTuple):
    """An operating system and an architecture, as Go and krew name them."""

    os: str
    arch: str

    def __str__(self) -> str:
        return f"{self.os}/{self.arch}"

    @property
    def program(self) -> str:
        return f"{NAME}.exe" if self.os == "windows" else NAME


TARGETS = (
    Target("linux", "amd64"),
    Target("linux", "arm64"),
    Target("darwin", "amd64"),
    Target("darwin", "arm64"),
    Target("windows", "amd64"),
)
_SYSTEMS = {"linux": "linux", "darwin": "darwin", "win32": "windows"}
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def here() -> Target:
    """This machine."""
    return Target(_SYSTEMS[sys.platform], _MACHINES[platform.machine().lower()])


def archive_name(version: str, target: Target) -> str:
    """The archive's file name; `version` is as in `0.1.0`."""
    return f"{NAME}_v{version}_{target.os}_{target.arch}.tar.gz"
