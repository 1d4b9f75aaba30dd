"""`kubectl fluidmodel completion SHELL`, and the hidden command `__complete` that it uses.

On TAB, kubectl runs `kubectl_complete-fluidmodel WORD…` and reads lines of
`candidate<TAB>description`, followed by `:DIRECTIVE` (kubectl ≥ 1.26,
pkg/cmd/plugin/plugin_completion.go). The scripts in completion_scripts.py use the same protocol for
`kubectl-fluidmodel` itself.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click

from kubectl_fluidmodel.cli.completion_scripts import SCRIPTS
from kubectl_fluidmodel.cli.verb_command import VerbCommand, option
from kubectl_fluidmodel.errors import FluidModelError

FILES, NO_FILES = 0, 4
"""Directives: whether file names are also candidates."""

_KUBECTL_BRIDGE = '#!/bin/sh\nexec kubectl-fluidmodel __complete "$@"\n'

EXAMPLES = """
# Completion for `kubectl fluidmodel` (kubectl 1.26 or newer)
kubectl fluidmodel completion kubectl --install

# Completion for `kubectl-fluidmodel` in bash, for this shell and for future ones
source <(kubectl fluidmodel completion bash)
kubectl fluidmodel completion bash >> ~/.bashrc

# The same for zsh and fish
kubectl fluidmodel completion zsh > "${fpath[1]}/_kubectl-fluidmodel"
kubectl fluidmodel completion fish > ~/.config/fish/completions/kubectl-fluidmodel.fish
"""


@click.command("completion", cls=VerbCommand, examples=EXAMPLES)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish", "kubectl"]))
@option(
    "--install",
    group="Output",
    is_flag=True,
    help="kubectl only: install kubectl_complete-fluidmodel on PATH, or in ~/.local/bin.",
)
def command(shell: str, install: bool) -> int:
    """Complete commands, flags and names from your cluster with TAB.

    Prints the completion script of SHELL (bash, zsh or fish). `kubectl` prints the program that
    kubectl runs for completion. Names come from the cluster within a fraction of a second; if the
    cluster is slow, unreachable or denies access, no names are offered.
    FLUIDMODEL_COMPLETION_TIMEOUT sets the limit in seconds.
    """
    if shell != "kubectl":
        if install:
            raise click.UsageError("--install is only for kubectl")
        click.echo(SCRIPTS[shell], nl=False)
        return 0
    if not install:
        click.echo(_KUBECTL_BRIDGE, nl=False)
        return 0
    target = _install_directory() / "kubectl_complete-fluidmodel"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_KUBECTL_BRIDGE)
        target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError as err:
        raise FluidModelError(
            f"cannot write {target}",
            str(err.strerror),
            "kubectl fluidmodel completion kubectl > DIR-ON-PATH/kubectl_complete-fluidmodel",
        ) from err
    click.echo(f"wrote {target}")
    return 0


def _install_directory() -> Path:
    """Return the first writable directory on PATH below the home directory, else ~/.local/bin."""
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
    """Print the candidates for the last word, one per line, and a directive."""
    from click.shell_completion import ShellComplete

    from kubectl_fluidmodel.cli.main import root
    from kubectl_fluidmodel.output.escaping import one_line

    *before, last = words or ("",)
    try:
        if _expects_value(before):
            # click ignores a flag without its value, and the value may be a graph's name
            last = f"{before.pop()}={last}"
        candidates = ShellComplete(root, {}, "", "").get_completions(list(before), last)
    except (click.ClickException, FluidModelError):
        candidates = []  # wrong words before the cursor: the command itself reports them
    directive = NO_FILES
    for candidate in candidates:
        if candidate.type == "file":
            directive = FILES
            continue
        about = f"\t{one_line(candidate.help)}" if candidate.help else ""
        click.echo(f"{one_line(str(candidate.value))}{about}")
    click.echo(f":{directive}")
    return 0


def _expects_value(words: list[str]) -> bool:
    """Return whether the last word is a flag that takes the next word as its value."""
    from kubectl_fluidmodel.cli.main import root

    if len(words) < 2 or "--" in words:
        return False
    verb = root.get_command(click.Context(root), words[0])
    return any(
        isinstance(param, click.Option) and not param.is_flag and words[-1] in param.opts
        for param in (verb.params if verb else [])
    )
