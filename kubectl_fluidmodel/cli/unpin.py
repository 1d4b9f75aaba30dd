"""`kubectl fluidmodel unpin NAME GRAPH…`."""

from __future__ import annotations

import click

from kubectl_fluidmodel.cli.flags import VerbCommand
from kubectl_fluidmodel.cli.pin_options import PinOptions, pin_options
from kubectl_fluidmodel.output.console import print_warning

EXAMPLES = """
# Take back what pin added to graph chat for the cache llama
kubectl fluidmodel unpin llama chat

# See first what would change
kubectl fluidmodel unpin llama chat --dry-run=server

# In a manifest
kubectl fluidmodel unpin llama -f pinned.yaml > graph.yaml
"""


@click.command("unpin", cls=VerbCommand, examples=EXAMPLES)
@pin_options
def command(asked: PinOptions) -> int:
    """Give a graph back as it was: takes away exactly what `pin NAME` added to it.

    What somebody changed since then stays as it is, and is named.
    """
    filename = asked.file()
    return _live(asked) if filename is None else _offline(filename, asked)


def _offline(filename: str, asked: PinOptions) -> int:
    from kubectl_fluidmodel.pin import manifest_files
    from kubectl_fluidmodel.pin.output import print_diff_text

    result = manifest_files.unpin_manifest(
        manifest_files.read_manifest(filename),
        filename,
        asked.name,
        asked.components,
        asked.graphs,
        asked.connection.namespace,
    )
    for text in result.warnings:
        print_warning(text)
    if asked.show_diff:
        print_diff_text(result.diff(), asked.output is not None, asked.color)
    if asked.output is not None or not asked.show_diff:
        click.echo(result.render(asked.output or "yaml"), nl=False)
    return 0


def _live(asked: PinOptions) -> int:
    from kubectl_fluidmodel.objects.access import Object
    from kubectl_fluidmodel.pin import cluster_reader, graph_patch, pinning
    from kubectl_fluidmodel.pin.cluster_reader import CountingClient
    from kubectl_fluidmodel.pin.output import PinPrinter, for_each_graph
    from kubectl_fluidmodel.pin.preflight.gitops import detect_gitops_tool

    client = CountingClient(asked.connection)
    dry_run = asked.dry_run

    def change(obj: Object, schema: str | None) -> pinning.PinResult:
        return pinning.unpin_graph(obj, asked.name, asked.components, schema)

    def one(graph: str) -> None:
        client.requests = 0
        kind, obj, schema = cluster_reader.read_graph(client, graph, client.namespace)
        planned = graph_patch.GraphChange(kind, obj, schema, change(obj, schema))
        for remark in planned.result.remarks():
            print_warning(remark)
        if not planned.result.changed:
            printer.print_unchanged(planned, f"it is not pinned to {asked.name} by this plugin")
            return
        found = detect_gitops_tool(obj)
        if found:
            print_warning(
                f"{found} manages {planned.reference} and may put the pin back; patch for git:"
            )
            printer.print_patch_for_git(planned)
        if dry_run == "client":
            printer.print_changed(planned, planned.result.object)
            return
        planned, stored = graph_patch.dry_run_on_server(client, planned, None, change)
        if dry_run == "none":
            printer.print_diff(planned, stored)
            stored = graph_patch.apply_change(client, planned, change)
        printer.print_changed(planned, stored)

    with PinPrinter("unpinned from", asked) as printer:
        return for_each_graph(asked.graphs, one)
