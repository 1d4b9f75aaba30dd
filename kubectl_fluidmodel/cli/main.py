"""Entry points: the command group, and the only place where errors become exit codes.

A command's module is imported only when the command runs, so `--help`, `version` and completion do
not import the Kubernetes client or boto3.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from kubectl_fluidmodel import __version__, frozen
from kubectl_fluidmodel.errors import CommandInterruptedError, FluidModelError

PROGRAM = "kubectl fluidmodel"

VERBS: dict[str, str] = {
    "cache": "Build a cache of a model and verify that it holds every byte",
    "pin": "Mount a cache in a graph's workers and run them on its nodes",
    "unpin": "Remove from a graph what `pin` added",
    "inspect": "Show cached models, where they are, and which pods read them",
    "doctor": "Find what is broken and why, and print the fix",
    "update": "Move graphs to the newest commit of a model, and remove the old cache",
    "bench": "Measure how fast a cache reads on its node",
    "stage": "Copy a model from the Hugging Face Hub to a bucket and verify every byte",
    "uncache": "Remove what `cache` created, and nothing else",
    "prune": "List and remove what is left over in buckets and namespaces",
    "completion": "Print the completion script for a shell",
    "version": "Print the version",
}
"""One line of help per command, in order of use. Each command is in cli/NAME.py."""

_QUICKSTART_STEPS = {
    "cache": ("cache org/model --to s3://bucket", "builds the cache and verifies it"),
    "pin": ("pin NAME GRAPH", "runs the graph's workers on the cache's nodes"),
    "doctor": ("doctor NAME", "finds what is broken and prints the fix"),
    "uncache": ("uncache NAME", "removes the cache"),
}
"""The first steps, by command; three are shown."""


def quickstart() -> str:
    """Return the first steps, in five lines."""
    steps = [step for verb, step in _QUICKSTART_STEPS.items() if verb in VERBS][:3]
    lines = [f"  {PROGRAM} {arguments:<34} {does}" for arguments, does in steps]
    return "\n".join(
        (
            "Cache a large model in the memory or on the disk of the node that serves it.",
            *lines,
            f"`{PROGRAM} --help` lists the commands, `{PROGRAM} COMMAND --help` has examples.",
            "",
        )
    )


class LazyGroup(click.Group):
    """A group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "__complete":
            return _load_command("completion", "complete_words")
        if cmd_name not in VERBS:
            return None
        return _load_command(cmd_name, "command")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """List the commands from the table, because reading each one would import them all."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(verb, help=about)
            for verb, about in VERBS.items()
            if verb.startswith(incomplete)
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from kubectl_fluidmodel.model.similarity import most_similar

            close = most_similar(args[0], VERBS, cutoff=0.6)
            hint = f"; did you mean '{close}'?" if close else ""
            raise click.UsageError(f"unknown command '{args[0]}'{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _load_command(module: str, attribute: str) -> click.Command:
    command: click.Command = getattr(
        importlib.import_module(f"kubectl_fluidmodel.cli.{module}"), attribute
    )
    return command


@click.group(
    cls=LazyGroup,
    name=PROGRAM,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", message=f"{PROGRAM} v%(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Cache a large model in the memory or on the disk of the node that serves it."""
    if ctx.invoked_subcommand is None:
        click.echo(quickstart(), nl=False)


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        result: Any = root.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as done:
        return int(done.exit_code)
    except click.UsageError as err:
        _print_error(_usage_message(err))
        return 2
    except (click.Abort, KeyboardInterrupt):
        _print_error("interrupted")
        return CommandInterruptedError.exit_code
    except FluidModelError as err:
        _print_error(str(err))
        return err.exit_code
    except (BrokenPipeError, SystemExit):
        # The reader of the output (head, less) has exited. click turns its own broken pipes into a
        # SystemExit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _usage_message(err: click.UsageError) -> str:
    verb = err.ctx.command_path if err.ctx else PROGRAM
    message = err.format_message().rstrip(".")
    return f"{message[:1].lower()}{message[1:]}; try: {verb} --help"


def _print_error(message: str) -> None:
    from kubectl_fluidmodel.output.escaping import escape_control

    sys.stderr.write(f"error: {escape_control(' '.join(message.split()))}\n")


def run() -> None:
    """Console script `kubectl-fluidmodel`."""
    frozen.restore_library_path()
    # Importing creates up to 80,000 objects, none of which is garbage.
    gc.set_threshold(100_000, 20, 20)
    # Let a thread that has a response continue before another one has imported for 5 ms.
    sys.setswitchinterval(0.0005)
    # Keep SIGTERM ignored if the caller ignores it, as Python does for SIGINT: behind `&` in a
    # script, Ctrl-C is meant for another process.
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _on_sigterm)
    _fast_exit(main())


def complete() -> None:
    """Console script `kubectl_complete-fluidmodel`, which kubectl runs on TAB."""
    _fast_exit(main(["__complete", *sys.argv[1:]]))


def _fast_exit(code: int) -> NoReturn:
    """Exit without Python's finalization, which takes a tenth of a short run.

    Finalization is needed only if output could not be written or threads are still running.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if not all(thread.daemon for thread in others):
        sys.exit(code)
    os._exit(code)


def _on_sigterm(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
