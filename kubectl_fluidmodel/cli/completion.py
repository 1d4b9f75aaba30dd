"""`kubectl fluidmodel completion SHELL`, and the hidden `__complete` behind it.

kubectl runs `kubectl_complete-fluidmodel WORD…` at TAB and reads `candidate<TAB>description`
lines with a last line `:DIRECTIVE` (kubectl ≥ 1.26, pkg/cmd/plugin/plugin_completion.go).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click

from kubectl_fluidmodel.cli.flags import VerbCommand, option
from kubectl_fluidmodel.errors import FluidModelError

NO_FILES = 4
"""Directive: do not fall back to file names."""

_BRIDGE = '#!/bin/sh\nexec kubectl fluidmodel __complete "$@"\n'

_EXAMPLES = """
# TAB after `kubectl fluidmodel` (kubectl 1.26 or newer)
kubectl fluidmodel completion kubectl --install

# TAB after `kubectl-fluidmodel` in this shell
source <(kubectl fluidmodel completion bash)
"""


@click.command("completion", cls=VerbCommand, examples=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "kubectl"]))
@option(
    "--install",
    group="Output",
    is_flag=True,
    help="kubectl only: write kubectl_complete-fluidmodel next to the plugin, or to ~/.local/bin.",
)
def command(shell: str, install: bool) -> int:
    """Print the completion script of a shell, or of kubectl itself."""
    if shell != "kubectl":
        if install:
            raise click.UsageError("--install goes with kubectl")
        from click.shell_completion import get_completion_class

        from kubectl_fluidmodel.cli.main import root

        kind = get_completion_class(shell)
        if kind is None:
            raise FluidModelError(f"click has no completion for {shell}")
        complete = kind(root, {}, "kubectl-fluidmodel", "_KUBECTL_FLUIDMODEL_COMPLETE")
        click.echo(complete.source())
        return 0
    if not install:
        click.echo(_BRIDGE, nl=False)
        return 0
    target = _directory() / "kubectl_complete-fluidmodel"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_BRIDGE)
        target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError as err:
        raise FluidModelError(
            f"cannot write {target}",
            str(err.strerror),
            "kubectl fluidmodel completion kubectl > DIR-ON-PATH/kubectl_complete-fluidmodel",
        ) from err
    click.echo(f"wrote {target}")
    return 0


def _directory() -> Path:
    """The first directory of PATH that is the user's own and writable; ~/.local/bin else."""
    home = Path.home()
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(entry)
        if entry and path.is_dir() and home in path.parents and os.access(path, os.W_OK):
            return path
    return home / ".local" / "bin"


@click.command(
    "__complete",
    hidden=True,
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": [],
    },
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def complete_words(words: tuple[str, ...]) -> int:
    """Candidates for the last word, for kubectl."""
    from click.shell_completion import ShellComplete

    from kubectl_fluidmodel.cli.main import root

    *before, last = words or ("",)
    found = ShellComplete(root, {}, "kubectl-fluidmodel", "").get_completions(list(before), last)
    for item in found:
        help_ = f"\t{item.help}" if item.help else ""
        click.echo(f"{item.value}{help_}")
    click.echo(f":{NO_FILES}")
    return 0
