"""`kubectl fluidmodel unpin NAME GRAPH…`."""

from __future__ import annotations

import click

from kubectl_fluidmodel.cli.flags import (
    VerbCommand,
    color_flag,
    connection_flags,
    dry_run_flag,
    option,
    output_flag,
)
from kubectl_fluidmodel.errors import Interrupted, UsageError
from kubectl_fluidmodel.kube.config import Connection
from kubectl_fluidmodel.ui.text import warn

EXAMPLES = """
# Take back what pin added to graph chat for the cache llama
kubectl fluidmodel unpin llama chat

# In a manifest
kubectl fluidmodel unpin llama -f pinned.yaml > graph.yaml
"""


@click.command("unpin", cls=VerbCommand, examples=EXAMPLES)
@click.argument("name")
@click.argument("graphs", nargs=-1, metavar="GRAPH…")
@option(
    "-f",
    "--filename",
    "filename",
    group="Pin",
    metavar="FILE",
    help="Change the graphs in this file (- for stdin) and print it; needs no cluster.",
)
@option(
    "--component",
    "components",
    group="Pin",
    metavar="NAME",
    multiple=True,
    help="Only this component; may be repeated.",
)
@option("--diff", "show_diff", group="Output", is_flag=True, help="Show what changes.")
@dry_run_flag
@output_flag("json", "yaml", "name", "patch")
@color_flag
@connection_flags
def command(
    name: str,
    graphs: tuple[str, ...],
    filename: str | None,
    components: tuple[str, ...],
    show_diff: bool,
    dry_run: str,
    output: str | None,
    color: str,
    connection: Connection,
) -> int:
    """Take back from GRAPH exactly what `pin NAME` added to it.

    What somebody changed since then stays as it is, and is named.
    """
    if filename is not None:
        if dry_run == "server":
            raise UsageError("-f works on the file alone", "it does not go with a server dry run")
        return _offline(name, filename, components, graphs, output, show_diff, color)
    if not graphs:
        raise UsageError("no graph given", "name one, or a file with -f", "kubectl get dgd")
    try:
        return _live(name, graphs, components, connection, dry_run, output, show_diff, color)
    except KeyboardInterrupt as err:
        raise Interrupted("interrupted", "what was written stays", "the same command") from err


def _offline(
    name: str,
    filename: str,
    components: tuple[str, ...],
    graphs: tuple[str, ...],
    output: str | None,
    show_diff: bool,
    color: str,
) -> int:
    from kubectl_fluidmodel.cli.pinned import print_diff
    from kubectl_fluidmodel.dynamo import files

    result = files.unpin(files.read(filename), filename, name, components, graphs)
    for text in result.warnings:
        warn(text)
    if show_diff:
        print_diff(result.diff(), output is not None, color)
    if output is not None or not show_diff:
        click.echo(result.render(output or "yaml"), nl=False)
    return 0


def _live(
    name: str,
    graphs: tuple[str, ...],
    components: tuple[str, ...],
    connection: Connection,
    dry_run: str,
    output: str | None,
    show_diff: bool,
    color: str,
) -> int:
    from kubectl_fluidmodel.cli.pinned import Printer, each
    from kubectl_fluidmodel.dynamo import gather, live, pinning
    from kubectl_fluidmodel.dynamo.gather import Counted
    from kubectl_fluidmodel.dynamo.preflight.managers import manager
    from kubectl_fluidmodel.kube.kind import Object

    client = Counted(connection)
    printer = Printer("unpinned from", name, output, show_diff or dry_run != "none", dry_run, color)

    def change(obj: Object, schema: str | None) -> pinning.Outcome:
        return pinning.unpin(obj, name, components, schema)

    def one(graph: str) -> None:
        client.requests = 0
        kind, obj, schema = gather.graph(client, graph, client.namespace)
        planned = live.Plan(kind, obj, schema, change(obj, schema))
        for remark in planned.outcome.remarks():
            warn(remark)
        if not planned.outcome.changed:
            printer.unchanged(planned, f"it is not pinned to {name} by this plugin")
            return
        found = manager(obj)
        if found:
            warn(f"{found} manages {planned.reference} and may put the pin back; patch for git:")
            printer.patch_for_git(planned)
        if dry_run == "client":
            printer.changed(planned, planned.outcome.object)
            return
        planned, stored = live.attempt(client, planned, None, change)
        if dry_run == "none":
            printer.diff(planned, stored)
            stored = live.carry_out(client, planned, change)
        printer.changed(planned, stored)

    with printer:
        return each(graphs, one)
