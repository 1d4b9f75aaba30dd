"""Entry points: the command group, and the only place where errors become exit codes.

A verb's module is imported when the verb is named, so that `--help`, `version` and completion
never pay for the Kubernetes client or boto3.
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
    "cache": "Build a cache of a model and prove that it holds every byte",
    "pin": "Mount a cache in a graph's workers and run them on its nodes",
    "unpin": "Undo `pin` in a graph",
    "inspect": "Show cached models, where they are, and which pods read them",
    "doctor": "Find what is broken, say why, and print the fix",
    "stage": "Copy a model from the Hugging Face Hub to a bucket, and prove every byte",
    "uncache": "Remove what `cache` made, and nothing else",
    "completion": "Print the completion script of a shell",
    "version": "Print the version",
}
"""One line of help per verb, in the order of use; each verb is in cli/VERB.py."""

_QUICKSTART_STEPS = {
    "cache": ("cache org/model --to s3://bucket", "builds the cache and proves it complete"),
    "pin": ("pin NAME GRAPH", "runs the graph's workers on the cache's node"),
    "doctor": ("doctor NAME", "finds what is broken, and prints the fix"),
    "uncache": ("uncache NAME", "removes it again"),
}
"""The first steps, by verb; three are shown."""


def quickstart() -> str:
    """The first steps, in five lines."""
    steps = [step for verb, step in _QUICKSTART_STEPS.items() if verb in VERBS][:3]
    lines = [f"  {PROGRAM} {words:<34} {does}" for words, does in steps]
    return "\n".join(
        (
            "Serve a large model from the memory or disk of the node that runs it.",
            *lines,
            f"`{PROGRAM} --help` lists the verbs, `{PROGRAM} VERB --help` has examples.",
            "",
        )
    )


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "__complete":
            return _load_command("completion", "complete_words")
        if cmd_name not in VERBS:
            return None
        return _load_command(cmd_name, "command")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Verbs from the table: looking into each would import them all."""
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
            from difflib import get_close_matches

            close = get_close_matches(args[0], VERBS, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"unknown verb '{args[0]}'{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _load_command(module: str, attribute: str) -> click.Command:
    found: click.Command = getattr(
        importlib.import_module(f"kubectl_fluidmodel.cli.{module}"), attribute
    )
    return found


@click.group(
    cls=LazyGroup,
    name=PROGRAM,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", message=f"{PROGRAM} v%(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Serve a large model from the memory or disk of the node that runs it."""
    if ctx.invoked_subcommand is None:
        click.echo(quickstart(), nl=False)


def main(argv: list[str] | None = None) -> int:
    """Run one command line; returns the exit code of the CLI contract and never raises."""
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
        # The reader of the output (head, less) is gone. click turns its own broken pipes into a
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
    gc.set_threshold(20_000, 20, 20)  # imports create no garbage worth collecting
    # What the caller ignores stays ignored, as for SIGINT, which Python leaves alone then: behind
    # `&` in a script, Ctrl-C is meant for another process.
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _on_sigterm)
    _fast_exit(main())


def complete() -> None:
    """Console script `kubectl_complete-fluidmodel`, which kubectl runs at TAB."""
    _fast_exit(main(["__complete", *sys.argv[1:]]))


def _fast_exit(code: int) -> NoReturn:
    """Exit without Python's finalization, which takes a tenth of a short run.

    Finalization is needed only where output cannot be written or threads still run.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)
    if any(
        not each.daemon for each in threading.enumerate() if each is not threading.main_thread()
    ):
        sys.exit(code)
    os._exit(code)


def _on_sigterm(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
