"""`kubectl fluidmodel uncache NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cli.flags import connection_flags, dry_run_flag, timeout_flag
from kubectl_fluidmodel.cli.verb_command import VerbCommand, option
from kubectl_fluidmodel.errors import CommandInterruptedError
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout
from kubectl_fluidmodel.output.console import print_note, print_warning

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube.client import Client

EXAMPLES = """
# Show what would be deleted, without deleting it
kubectl fluidmodel uncache llama-3-3-70b-instruct --dry-run=server

# Remove the cache; refused while a pod reads from it
kubectl fluidmodel uncache llama-3-3-70b-instruct

# Give back a cache that was adopted: takes off labels, and leaves the cache alone
kubectl fluidmodel uncache llama-3-3-70b-instruct-model --release

# Do not wait for Fluid to clean up
kubectl fluidmodel uncache llama-3-3-70b-instruct --no-wait
"""


@click.command("uncache", cls=VerbCommand, examples=EXAMPLES)
@click.argument("name")
@option("--force", group="Cache", is_flag=True, help="Remove the cache even if pods read from it.")
@option(
    "--release",
    group="Cache",
    is_flag=True,
    help="Only undo `cache --adopt`: the cache stays as it was made by hand.",
)
@option("--wait/--no-wait", group="Output", default=True, help="Wait until Fluid has cleaned up.")
@timeout_flag("5m", "Maximum time to wait.")
@dry_run_flag
@connection_flags
def command(
    name: str,
    force: bool,
    release: bool,
    wait: bool,
    timeout: str,
    dry_run: str,
    connection: ConfigFlags,
) -> int:
    """Free the memory or disk space that a cache uses; the model in its bucket stays.

    Removes the staging Job, DataLoad, runtime, Dataset, Secrets and volumes of the cache NAME.
    Deletes only what `cache` created or adopted, and deletes nothing if you may not delete all
    of it.
    """
    from kubectl_fluidmodel.cache.removal import dry_run_delete, require_removable, uncache
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.output.serialize import kubectl_name

    client = Client.connect(connection)
    namespace = client.namespace
    if release:
        return _release(client, name, dry_run)
    if dry_run != "none":
        owned = require_removable(client, namespace, name, force=force, warn=print_warning)
        lines = (
            list(dry_run_delete(client, namespace, owned))
            if dry_run == "server"
            else [f"{kubectl_name(obj)} deleted (client dry run)" for obj in owned]
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
            timeout=(parse_timeout(timeout) or 0.0) if wait else 0.0,
            warn=print_warning,
        ):
            click.echo(line)
    except KeyboardInterrupt as err:
        raise CommandInterruptedError(
            "interrupted", "Fluid continues the clean-up", "the same command"
        ) from err
    if not wait:
        print_note("Fluid cleans up in the background")
    return 0


def _release(client: Client, name: str, dry_run: str) -> int:
    from kubectl_fluidmodel.cache.adoption.release import release

    try:
        for line in release(client, client.namespace, name, dry_run):
            click.echo(line)
    except KeyboardInterrupt as err:
        raise CommandInterruptedError(
            "interrupted", "labels that are left keep the cache adopted", "the same command"
        ) from err
    return 0
