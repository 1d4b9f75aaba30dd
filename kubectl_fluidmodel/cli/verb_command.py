"""A click command with help by heading, and groups of flags as a dataclass."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, TypeVar

import click

from kubectl_fluidmodel.cli import completers

F = TypeVar("F", bound=Callable[..., Any])

HEADINGS = (
    "Model",
    "Update",
    "Hub",
    "Store",
    "Work",
    "Cache",
    "Graph",
    "Placement",
    "Probe",
    "Bench",
    "Pod",
    "Output",
    "Connection",
)
"""Headings of `--help` in display order; a heading that is not listed comes before Output."""


class GroupedOption(click.Option):
    """An option that `--help` shows under a heading.

    With `bare` its value may be omitted, and is `bare` then. As in kubectl, such an option never
    consumes the next word: a value takes the form --option=VALUE. Of an option `as_in_kubectl`,
    `--help` shows only the name.
    """

    def __init__(
        self,
        *args: Any,
        group: str,
        bare: str | None = None,
        as_in_kubectl: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.group = group
        self.bare = bare
        self.as_in_kubectl = as_in_kubectl


class VerbCommand(click.Command):
    """A command whose help is laid out as in kubectl.

    The description comes first, then examples, flags by heading, and usage.
    """

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples.strip("\n")
        for param in self.params:
            kind = completers.completer_for(param)
            if kind is not None:
                param.type = kind

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments like kubectl: a bare --dry-run does not consume the next word."""
        end = args.index("--") if "--" in args else len(args)
        bare = {
            name: f"{name}={param.bare}"
            for param in self.params
            if isinstance(param, GroupedOption) and param.bare is not None
            for name in param.opts
        }
        return super().parse_args(ctx, [bare.get(word, word) for word in args[:end]] + args[end:])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for line in inspect.cleandoc(self.help or "").splitlines():
            formatter.write(f"{line}\n")
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.splitlines():
                    formatter.write(f"  {line}\n" if line else "\n")
        self.format_options(ctx, formatter)
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """`NAME GRAPH… --needed VALUE [OPTIONS]`."""
        pieces: list[str] = []
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):
                pieces += param.get_usage_pieces(ctx)
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and param.required:
                pieces.append(f"{param.opts[-1]} {param.make_metavar(ctx)}")
        return [*pieces, "[OPTIONS]"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, options in self.options_by_heading(ctx).items():
            from_kubectl = [param for param in options if getattr(param, "as_in_kubectl", False)]
            records = [
                record
                for param in options
                if param not in from_kubectl and (record := param.get_help_record(ctx))
            ]
            with formatter.section(title):
                formatter.write_dl(records)
                if from_kubectl:
                    names = (name for param in from_kubectl for name in param.opts)
                    text = f"As in kubectl: {', '.join(names)}"
                    width = formatter.width - formatter.current_indent
                    for line in textwrap.wrap(text, width, break_on_hyphens=False):
                        formatter.write(f"{'':>{formatter.current_indent}}{line}\n")

    def options_by_heading(self, ctx: click.Context) -> dict[str, list[click.Option]]:
        """Return the visible flags by heading, in the order of HEADINGS."""
        groups: dict[str, list[click.Option]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and not param.hidden:
                groups.setdefault(getattr(param, "group", "Output"), []).append(param)
        order = {title: index for index, title in enumerate(HEADINGS)}
        before_output = order["Output"] - 0.5
        return {
            title: groups[title]
            for title in sorted(groups, key=lambda title: order.get(title, before_output))
        }


def option(*names: str, group: str, **settings: Any) -> Callable[[F], F]:
    """Return click.option with a heading for `--help`."""
    return click.option(*names, cls=GroupedOption, group=group, **settings)


def flag_group(
    cls: type,
    argument: str,
    *flags: Callable[[Any], Any],
    prefix: str = "",
    defaults: Collection[str] = (),
) -> Callable[[F], F]:
    """Return a decorator for flags that a command receives together, as one dataclass.

    Args:
        cls: The dataclass. Its fields are the parameter names of the flags.
        argument: The name of the command's parameter.
        flags: The decorators of the flags, in the order of `--help`.
        prefix: The prefix of the parameter names that the fields omit.
        defaults: The fields without a flag, which keep their defaults.
    """

    def with_flags(function: F) -> F:
        @functools.wraps(function)
        def with_group(*args: Any, **kwargs: Any) -> Any:
            values = {
                field.name: kwargs.pop(prefix + field.name)
                for field in fields(cls)
                if field.name not in defaults
            }
            return function(*args, **{argument: cls(**values)}, **kwargs)

        decorated: Any = with_group
        for flag in reversed(flags):
            decorated = flag(decorated)
        result: F = decorated
        return result

    return with_flags
