"""The arguments and flags that `pin` and `unpin` have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from kubectl_fluidmodel.cli.flags import (
    color_flag,
    connection_flags,
    dry_run_flag,
    option,
    output_flag,
)
from kubectl_fluidmodel.errors import CommandInterruptedError
from kubectl_fluidmodel.pin.options import PinOptions


def pin_options(function: Callable[[PinOptions], int]) -> Any:
    """Add NAME GRAPH… and the common flags; the verb gets all of them as one PinOptions.

    Flags of one verb alone are declared above this decorator, by the names of fields of
    PinOptions.
    """

    @functools.wraps(function)
    def with_options(**arguments: Any) -> int:
        try:
            return function(PinOptions(**arguments))
        except KeyboardInterrupt as err:
            raise CommandInterruptedError(
                "interrupted", "what was written stays", "the same command again to follow it"
            ) from err

    decorated: Any = with_options
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
        click.argument("cache", metavar="NAME"),
    ):
        decorated = decorate(decorated)
    return decorated
