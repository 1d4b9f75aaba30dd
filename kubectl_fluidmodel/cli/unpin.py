"""`kubectl fluidmodel unpin NAME GRAPH…`."""

from __future__ import annotations

import click

from kubectl_fluidmodel.cli.pin_options import pin_options
from kubectl_fluidmodel.cli.verb_command import VerbCommand
from kubectl_fluidmodel.pin.options import PinOptions

EXAMPLES = """
# Remove what pin added to graph chat for the cache llama
kubectl fluidmodel unpin llama chat

# Preview the change
kubectl fluidmodel unpin llama chat --dry-run=server

# In a manifest
kubectl fluidmodel unpin llama -f pinned.yaml > graph.yaml
"""


@click.command("unpin", cls=VerbCommand, examples=EXAMPLES)
@pin_options
def command(options: PinOptions) -> int:
    """Restore a graph: remove exactly what `pin NAME` added to it.

    Fields that somebody has changed since then stay as they are, and the output names them.
    """
    from kubectl_fluidmodel.pin.run import run_unpin

    run_unpin(options)
    return 0
