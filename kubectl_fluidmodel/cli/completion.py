"""`kubectl fluidmodel completion SHELL`, and the hidden `__complete` behind it.

kubectl runs `kubectl_complete-fluidmodel WORD…` at TAB and reads `candidate<TAB>description`
lines with a last line `:DIRECTIVE` (kubectl ≥ 1.26, pkg/cmd/plugin/plugin_completion.go). The
scripts in shells.py ask in the same way for `kubectl-fluidmodel` itself.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click

from kubectl_fluidmodel.cli.completion_scripts import SCRIPTS
from kubectl_fluidmodel.cli.flags import VerbCommand, option
from kubectl_fluidmodel.errors import FluidModelError

FILES, NO_FILES = 0, 4
"""Directives: whether file names are candidates, too."""

_KUBECTL_BRIDGE = '#!/bin/sh\nexec kubectl-fluidmodel __complete "$@"\n'

EXAMPLES = """
# TAB after `kubectl fluidmodel` (kubectl 1.26 or newer)
kubectl fluidmodel completion kubectl --install

# TAB after `kubectl-fluidmodel`, in this shell and from now on
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
    help="kubectl only: write kubectl_complete-fluidmodel next to the plugin, or to ~/.local/bin.",
)
def command(shell: str, install: bool) -> int:
    """Let TAB complete verbs, flags and the names of your cluster.

    Prints the script of SHELL, which is bash, zsh or fish, or with kubectl the program that
    kubectl asks at TAB. Names come from the cluster in at most a fifth of a second; one
    that is slow, away or forbids offers nothing (FLUIDMODEL_COMPLETION_TIMEOUT: seconds).
    """
    if shell != "kubectl":
        if install:
            raise click.UsageError("--install goes with kubectl")
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
    """Candidates for the last word, one a line, and a directive."""
    from click.shell_completion import ShellComplete

    from kubectl_fluidmodel.cli.main import root
    from kubectl_fluidmodel.output.escaping import one_line

    *before, last = words or ("",)
    try:
        if _expects_value(before):
            # click reads nothing behind a flag without its value, and that may be a graph's name
            last = f"{before.pop()}={last}"
        found = ShellComplete(root, {}, "", "").get_completions(list(before), last)
    except (click.ClickException, FluidModelError):
        found = []  # wrong words before the cursor: the verb itself reports them
    directive = NO_FILES
    for item in found:
        if item.type == "file":
            directive = FILES
            continue
        about = f"\t{one_line(item.help)}" if item.help else ""
        click.echo(f"{one_line(str(item.value))}{about}")
    click.echo(f":{directive}")
    return 0


def _expects_value(words: list[str]) -> bool:
    """Whether the last of the words is a flag of the verb that takes the next one."""
    from kubectl_fluidmodel.cli.main import root

    if len(words) < 2 or "--" in words:
        return False
    verb = root.get_command(click.Context(root), words[0])
    return any(
        isinstance(param, click.Option) and not param.is_flag and words[-1] in param.opts
        for param in (verb.params if verb else [])
    )
