"""`kubectl fluidmodel unpin NAME GRAPH…`."""

from __future__ import annotations

import click

from kubectl_fluidmodel.cli.flags import VerbCommand
from kubectl_fluidmodel.cli.pin_options import Asked, graph_arguments
from kubectl_fluidmodel.output.text import warn

EXAMPLES = """
# Take back what pin added to graph chat for the cache llama
kubectl fluidmodel unpin llama chat

# See first what would change
kubectl fluidmodel unpin llama chat --dry-run=server

# In a manifest
kubectl fluidmodel unpin llama -f pinned.yaml > graph.yaml
"""


@click.command("unpin", cls=VerbCommand, examples=EXAMPLES)
@graph_arguments
def command(asked: Asked) -> int:
    """Give a graph back as it was: takes away exactly what `pin NAME` added to it.

    What somebody changed since then stays as it is, and is named.
    """
    filename = asked.file()
    return _live(asked) if filename is None else _offline(filename, asked)


def _offline(filename: str, asked: Asked) -> int:
    from kubectl_fluidmodel.pin import manifest_files
    from kubectl_fluidmodel.pin.output import print_diff

    result = manifest_files.unpin(
        manifest_files.read(filename),
        filename,
        asked.name,
        asked.components,
        asked.graphs,
        asked.connection.namespace,
    )
    for text in result.warnings:
        warn(text)
    if asked.show_diff:
        print_diff(result.diff(), asked.output is not None, asked.color)
    if asked.output is not None or not asked.show_diff:
        click.echo(result.render(asked.output or "yaml"), nl=False)
    return 0


def _live(asked: Asked) -> int:
    from kubectl_fluidmodel.objects.access import Object
    from kubectl_fluidmodel.pin import cluster_reader, graph_patch, pinning
    from kubectl_fluidmodel.pin.cluster_reader import Counted
    from kubectl_fluidmodel.pin.output import Printer, each
    from kubectl_fluidmodel.pin.preflight.gitops import manager

    client = Counted(asked.connection)
    dry_run = asked.dry_run

    def change(obj: Object, schema: str | None) -> pinning.Outcome:
        return pinning.unpin(obj, asked.name, asked.components, schema)

    def one(graph: str) -> None:
        client.requests = 0
        kind, obj, schema = cluster_reader.graph(client, graph, client.namespace)
        planned = graph_patch.Plan(kind, obj, schema, change(obj, schema))
        for remark in planned.outcome.remarks():
            warn(remark)
        if not planned.outcome.changed:
            printer.unchanged(planned, f"it is not pinned to {asked.name} by this plugin")
            return
        found = manager(obj)
        if found:
            warn(f"{found} manages {planned.reference} and may put the pin back; patch for git:")
            printer.patch_for_git(planned)
        if dry_run == "client":
            printer.changed(planned, planned.outcome.object)
            return
        planned, stored = graph_patch.attempt(client, planned, None, change)
        if dry_run == "none":
            printer.diff(planned, stored)
            stored = graph_patch.carry_out(client, planned, change)
        printer.changed(planned, stored)

    with Printer("unpinned from", asked) as printer:
        return each(asked.graphs, one)
