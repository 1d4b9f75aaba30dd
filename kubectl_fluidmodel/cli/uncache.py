"""`kubectl fluidmodel uncache NAME`."""

from __future__ import annotations

import click

from kubectl_fluidmodel.cli.flags import VerbCommand, connection_flags, dry_run_flag, option
from kubectl_fluidmodel.errors import Interrupted
from kubectl_fluidmodel.kube.config import Connection, parse_timeout
from kubectl_fluidmodel.output.text import note, warn

EXAMPLES = """
# What would go, without touching anything
kubectl fluidmodel uncache llama-3-3-70b-instruct --dry-run=server

# Remove it; refused while a pod reads from it
kubectl fluidmodel uncache llama-3-3-70b-instruct

# Do not wait for Fluid to clean up
kubectl fluidmodel uncache llama-3-3-70b-instruct --no-wait
"""


@click.command("uncache", cls=VerbCommand, examples=EXAMPLES)
@click.argument("name")
@option("--force", group="Cache", is_flag=True, help="Even while pods read from it.")
@option("--wait/--no-wait", group="Output", default=True, help="Wait until Fluid has cleaned up.")
@option(
    "--timeout",
    group="Output",
    metavar="DURATION",
    default="5m",
    show_default=True,
    help="How long to wait.",
)
@dry_run_flag
@connection_flags
def command(
    name: str, force: bool, wait: bool, timeout: str, dry_run: str, connection: Connection
) -> int:
    """Free the memory or disk that a cache takes; the model in its bucket stays.

    Removes of the cache NAME its staging Job, DataLoad, runtime, Dataset, Secrets and volumes of
    ours: only what `cache` made goes, and nothing before all of it may go.
    """
    from kubectl_fluidmodel.cache.removal import check, rehearse, uncache
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.output.serialize import reference

    client = Client(connection)
    namespace = client.namespace
    if dry_run != "none":
        found = check(client, namespace, name, force=force, warn=warn)
        lines = (
            list(rehearse(client, namespace, found))
            if dry_run == "server"
            else [f"{reference(obj)} deleted (client dry run)" for obj in found]
        )
        for line in lines:
            click.echo(line)
        return 0
    try:
        for line in uncache(
            client,
            namespace,
            name,
            force=force,
            wait=(parse_timeout(timeout) or 0.0) if wait else 0.0,
            warn=warn,
        ):
            click.echo(line)
    except KeyboardInterrupt as err:
        raise Interrupted("interrupted", "Fluid goes on cleaning up", "the same command") from err
    if not wait:
        note("Fluid cleans up in the background")
    return 0
