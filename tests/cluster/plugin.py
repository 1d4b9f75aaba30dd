"""The plugin in one namespace: what most tests of verbs want of the `cli` fixture."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from .fixtures import Cli, Result


class Plugin:
    """`plugin("cache", …)` is `cli("cache", …, "-n", <the test's namespace>)`."""

    def __init__(self, cli: Cli, namespace: str) -> None:
        self.cli, self.namespace = cli, namespace

    def __call__(self, *arguments: str, **settings: Any) -> Result:
        return self.cli(*self._placed(arguments), **settings)

    def popen(self, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        return self.cli.popen(*self._placed(arguments), **settings)

    def _placed(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return arguments if "-n" in arguments else (*arguments, "-n", self.namespace)


def error_line(result: Result) -> str:
    """The one error line of a failed run; no traceback, and nothing after it."""
    lines = [line for line in result.err.splitlines() if line]
    assert "Traceback" not in result.err
    assert sum(line.startswith("error: ") for line in lines) == 1, result.err
    return lines[-1]


@pytest.fixture
def plugin(cli: Cli, namespace: str) -> Plugin:
    """Run the plugin in the test's own namespace."""
    return Plugin(cli, namespace)
