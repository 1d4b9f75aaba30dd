"""`kubectl fluidmodel inspect [NAME]`."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import click

from kubectl_fluidmodel.cli.flags import VerbCommand, flag_group, option, view_flags
from kubectl_fluidmodel.errors import CommandInterruptedError, UsageError
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


@dataclass(frozen=True)
class InspectFlags:
    """The flags that only `inspect` has."""

    selector: str | None
    watch: bool
    offline: bool
    sort_by: str | None
    no_headers: bool


_INSPECT_FLAGS = flag_group(
    InspectFlags,
    "flags",
    option(
        "-l",
        "--selector",
        "selector",
        group="Inspect",
        metavar="LABELS",
        help="Only Datasets with these labels: key=value, key!=value, key in (a,b), key, !key.",
    ),
    option("-w", "--watch", "watch", group="Inspect", is_flag=True, help="Follow changes."),
    option(
        "--offline",
        group="Inspect",
        is_flag=True,
        help="Ask the API server alone: not the Hub, not the bucket, not the cache's master.",
    ),
    option(
        "--sort-by",
        "sort_by",
        group="Output",
        type=click.Choice(_SORTS),
        default=None,
        help="Order of the table.",
    ),
    option("--no-headers", "no_headers", group="Output", is_flag=True, help="Only rows."),
)


@click.command("inspect", cls=VerbCommand, examples=EXAMPLES)
@click.argument("name", required=False)
@view_flags("Inspect", "wide", "tree", "json", "yaml", "name")
@_INSPECT_FLAGS
def command(
    name: str | None,
    everywhere: bool,
    flags: InspectFlags,
    from_bundle: str | None,
    output: str | None,
    color: str,
    connection: ConfigFlags,
) -> int:
    """Show the cached models: whole or not, where, in what, and who reads them from how far.

    With NAME one of them in depth: its source, its staging, its runtime, node by node, file by
    file, its readers, and what would make them start faster.
    """
    from kubectl_fluidmodel.inspect.run import InspectCommand, InspectOptions, run_once

    options = InspectOptions(
        name=name,
        output=output,
        selector=flags.selector,
        sort_by=flags.sort_by,
        header=not flags.no_headers,
        color=color,
        all_namespaces=everywhere,
    ).validated()
    if flags.watch and from_bundle:
        raise UsageError("--from-bundle does not change", "there is nothing to watch")
    if flags.watch and output == "name":
        raise UsageError("-o name has nothing to follow", "", "-w, or -w -o json")
    if from_bundle:
        from kubectl_fluidmodel.inspect.details import LiveDetails
        from kubectl_fluidmodel.snapshot.archive import load_snapshot

        snapshot = load_snapshot(from_bundle)
        namespace = connection.namespace or snapshot.namespace or None
        inspect = InspectCommand(options, None if everywhere else namespace)
        reason = "the master was not asked when the bundle was made"
        inspect.print(snapshot, LiveDetails(files_reason=reason))
        return 0
    from kubectl_fluidmodel.kube.client import Client

    client = Client(connection)
    inspect = InspectCommand(options, None if everywhere else client.namespace)
    if flags.watch:
        from kubectl_fluidmodel.inspect.watch import watch_caches

        try:
            return watch_caches(client, inspect)
        except KeyboardInterrupt:
            sys.stdout.flush()
            return CommandInterruptedError.exit_code
    run_once(client, inspect, offline=flags.offline)
    return 0
