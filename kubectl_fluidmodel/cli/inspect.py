"""`kubectl fluidmodel inspect [NAME]`."""

from __future__ import annotations

import sys

import click

from kubectl_fluidmodel.cli.flags import VerbCommand, option, view_flags
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.kube.config import ConfigFlags

EXAMPLES = """
# Which models are cached, where, and who reads them from how far
kubectl fluidmodel inspect
kubectl fluidmodel inspect -A -o wide --sort-by size

# One of them in depth, and as a tree from the model down to its readers
kubectl fluidmodel inspect llama-3-3-70b-instruct
kubectl fluidmodel inspect llama-3-3-70b-instruct -o tree

# Follow changes
kubectl fluidmodel inspect -w

# What another cluster looked like, from a file of `doctor --bundle`
kubectl fluidmodel inspect --from-bundle bundle.tar.gz
"""

_SORTS = ("name", "namespace", "size", "cached", "nodes", "phase", "readers", "age")


@click.command("inspect", cls=VerbCommand, examples=EXAMPLES)
@click.argument("name", required=False)
@view_flags("Inspect", "wide", "tree", "json", "yaml", "name")
@option(
    "-l",
    "--selector",
    "selector",
    group="Inspect",
    metavar="LABELS",
    help="Only Datasets with these labels: key=value, key!=value, key in (a,b), key, !key.",
)
@option("-w", "--watch", "watch", group="Inspect", is_flag=True, help="Follow changes.")
@option(
    "--offline",
    group="Inspect",
    is_flag=True,
    help="Ask the API server alone: not the Hub, not the bucket, not the cache's master.",
)
@option(
    "--sort-by",
    "sort_by",
    group="Output",
    type=click.Choice(_SORTS),
    default=None,
    help="Order of the table.",
)
@option("--no-headers", "no_headers", group="Output", is_flag=True, help="Only rows.")
def command(
    name: str | None,
    everywhere: bool,
    selector: str | None,
    watch: bool,
    offline: bool,
    from_bundle: str | None,
    sort_by: str | None,
    no_headers: bool,
    output: str | None,
    color: str,
    connection: ConfigFlags,
) -> int:
    """Show the cached models: whole or not, where, in what, and who reads them from how far.

    With NAME one of them in depth: its source, its staging, its runtime, node by node, file by
    file, its readers, and what would make them start faster.
    """
    if name and (everywhere or selector or sort_by):
        raise UsageError("NAME stands for one cache", "it does not go with -A, -l and --sort-by")
    if watch and from_bundle:
        raise UsageError("--from-bundle does not change", "there is nothing to watch")
    if watch and output == "name":
        raise UsageError("-o name has nothing to follow", "", "-w, or -w -o json")
    from kubectl_fluidmodel.inspect.run import InspectCommand

    view = InspectCommand(
        name=name,
        output=output,
        selector=selector,
        sort_by=sort_by,
        header=not no_headers,
        color=color,
        all_namespaces=everywhere,
    )
    if from_bundle:
        from kubectl_fluidmodel.snapshot.archive import load_snapshot

        snapshot = load_snapshot(from_bundle)
        namespace = connection.namespace or snapshot.namespace
        view.namespace = None if everywhere or not namespace else namespace
        view.print(snapshot, files_why="the master was not asked when the bundle was made")
        return 0
    from kubectl_fluidmodel.kube.client import Client

    client = Client(connection)
    view.namespace = None if everywhere else client.namespace
    if watch:
        from kubectl_fluidmodel.inspect.watch import watch_caches

        try:
            return watch_caches(client, view)
        except KeyboardInterrupt:
            sys.stdout.flush()
            return 130
    from kubectl_fluidmodel.inspect.run import run_once

    run_once(client, view, offline=offline)
    return 0
