"""The arguments and flags that `pin` and `unpin` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from kubectl_fluidmodel.cli.flags import color_flag, connection_flags, dry_run_flag, output_flag
from kubectl_fluidmodel.cli.verb_command import option
from kubectl_fluidmodel.errors import CommandInterruptedError
from kubectl_fluidmodel.pin.options import PinOptions


def pin_options(function: Callable[[PinOptions], int]) -> Any:
    """Add NAME GRAPH… and the common flags; the command gets all of them as one PinOptions.

    Declare flags of a single command above this decorator, with the field names of PinOptions.
    """

    @functools.wraps(function)
    def with_options(**arguments: Any) -> int:
        try:
            return function(PinOptions(**arguments))
        except KeyboardInterrupt as err:
            raise CommandInterruptedError(
                "interrupted", "changes that were written stay", "the same command again to resume"
            ) from err

    decorated: Any = with_options
    for decorate in (
        connection_flags,
        color_flag,
        output_flag("json", "yaml", "name", "patch"),
        dry_run_flag,
        option("--diff", "show_diff", group="Output", is_flag=True, help="Show the diff."),
        option(
            "--component",
            "components",
            group="Graph",
            metavar="NAME",
            multiple=True,
            help="Only this component; repeatable. Default: all that use the model.",
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
        click.argument("cache", metavar="NAME"),
    ):
        decorated = decorate(decorated)
    return decorated
