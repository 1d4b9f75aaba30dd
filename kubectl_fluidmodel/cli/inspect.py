"""`kubectl fluidmodel inspect [NAME]`."""

from __future__ import annotations

import sys

import click

from kubectl_fluidmodel.cli.flags import price_flag, view_flags
from kubectl_fluidmodel.cli.verb_command import VerbCommand, flag_group, option
from kubectl_fluidmodel.errors import CommandInterruptedError, UsageError
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.records import dataclass

EXAMPLES = """
# Which models are cached, where they are, and which pods read them
kubectl fluidmodel inspect
kubectl fluidmodel inspect -A -o wide --sort-by size

# One cache in detail, and as a tree from the model down to its readers
kubectl fluidmodel inspect llama-3-3-70b-instruct
kubectl fluidmodel inspect llama-3-3-70b-instruct -o tree

# Watch for changes
kubectl fluidmodel inspect -w

# Another cluster, from a file of `doctor --bundle`
kubectl fluidmodel inspect --from-bundle bundle.tar.gz
"""

_SORTS = ("name", "namespace", "size", "cached", "nodes", "phase", "readers", "age")


@dataclass(frozen=True)
class InspectFlags:
    """The flags that only `inspect` has."""

    selector: str | None
    watch: bool
    offline: bool
    price_per_gib: float | None
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
    option("-w", "--watch", "watch", group="Inspect", is_flag=True, help="Watch for changes."),
    option(
        "--offline",
        group="Inspect",
        is_flag=True,
        help="Query only the API server, not the Hub, the bucket or the cache's master.",
    ),
    price_flag("Inspect"),
    option(
        "--sort-by",
        "sort_by",
        group="Output",
        type=click.Choice(_SORTS),
        default=None,
        help="Sort order of the table.",
    ),
    option(
        "--no-headers", "no_headers", group="Output", is_flag=True, help="Omit the table's header."
    ),
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
    """Show which models are cached, where they are, and which pods read them.

    With NAME, shows one cache in detail: its source, staging, runtime, nodes, files and readers,
    and what would make the readers start faster.
    """
    from kubectl_fluidmodel.inspect.run import (
        InspectCommand,
        print_without_live_details,
        run_once,
    )
    from kubectl_fluidmodel.inspect.view import InspectOptions

    options = InspectOptions(
        name=name,
        output=output,
        selector=flags.selector,
        sort_by=flags.sort_by,
        header=not flags.no_headers,
        color=color,
        all_namespaces=everywhere,
        price_per_gib=flags.price_per_gib,
    ).validated()
    if flags.watch and from_bundle:
        raise UsageError("cannot watch a bundle", "its content does not change")
    if flags.watch and output == "name":
        raise UsageError("cannot watch with -o name", "", "-w or -w -o json")
    if from_bundle:
        from kubectl_fluidmodel.snapshot.archive import load_snapshot

        snapshot = load_snapshot(from_bundle)
        namespace = connection.namespace or snapshot.namespace or None
        inspect = InspectCommand(options, None if everywhere else namespace)
        print_without_live_details(inspect, snapshot, "the bundle has no report of the master")
        return 0
    from kubectl_fluidmodel.kube.client import Client

    client = Client.connect(connection)
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
