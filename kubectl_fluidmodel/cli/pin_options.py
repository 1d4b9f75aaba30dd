"""What `pin` and `unpin` are asked: the same words and flags for both."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from kubectl_fluidmodel.cli.flags import (
    color_flag,
    connection_flags,
    dry_run_flag,
    option,
    output_flag,
)
from kubectl_fluidmodel.errors import CommandInterruptedError, UsageError
from kubectl_fluidmodel.kube.config import ConfigFlags

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class PinOptions:
    """Which graphs, of which cache, and what is to be printed."""

    name: str
    graphs: tuple[str, ...]
    filename: str | None
    components: tuple[str, ...]
    show_diff: bool
    dry_run: str
    output: str | None
    color: str
    connection: ConfigFlags

    def file(self) -> str | None:
        """The file to work on; None where the graphs are those of the cluster.

        Raises:
            UsageError: there is neither, or a file with what only a cluster can do.
        """
        if self.filename is not None and self.dry_run == "server":
            raise UsageError("-f works on the file alone", "it does not go with a server dry run")
        if self.filename is None and not self.graphs:
            raise UsageError("no graph given", "name one, or a file with -f", "kubectl get dgd")
        return self.filename


def pin_options(function: F) -> F:
    """NAME GRAPH…, and the flags that both verbs have; the verb gets one `asked` argument."""
    keys = (
        "name",
        "graphs",
        "filename",
        "components",
        "show_diff",
        "dry_run",
        "output",
        "color",
        "connection",
    )

    @functools.wraps(function)
    def with_asked(*args: Any, **kwargs: Any) -> Any:
        asked = PinOptions(**{key: kwargs.pop(key) for key in keys})
        try:
            return function(*args, asked=asked, **kwargs)
        except KeyboardInterrupt as err:
            raise CommandInterruptedError(
                "interrupted", "what was written stays", "the same command again to follow it"
            ) from err

    decorated: Any = with_asked
    for decorate in (
        connection_flags,
        color_flag,
        output_flag("json", "yaml", "name", "patch"),
        dry_run_flag,
        option("--diff", "show_diff", group="Output", is_flag=True, help="Show what changes."),
        option(
            "--component",
            "components",
            group="Graph",
            metavar="NAME",
            multiple=True,
            help="Only this component; may be repeated. By default all that have to do with it.",
        ),
        option(
            "-f",
            "--filename",
            "filename",
            group="Graph",
            metavar="FILE",
            help="Change the graphs in this file (- for stdin) and print it; needs no cluster.",
        ),
        click.argument("graphs", nargs=-1, metavar="GRAPH…"),
        click.argument("name"),
    ):
        decorated = decorate(decorated)
    result: F = decorated
    return result
