"""`kubectl fluidmodel prune`."""

from __future__ import annotations

import click

from kubectl_fluidmodel.cli.flags import color_flag, connection_flags, output_flag
from kubectl_fluidmodel.cli.model_flags import store_flags
from kubectl_fluidmodel.cli.verb_command import VerbCommand, flag_group, option
from kubectl_fluidmodel.errors import CommandInterruptedError
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.records import dataclass

EXAMPLES = """
# List unused objects in the namespace and in the buckets of its caches; removes nothing
kubectl fluidmodel prune

# The same for a bucket, with your own keys, and for all namespaces
kubectl fluidmodel prune --from s3://models -A --older-than 30d

# Remove the listed objects
kubectl fluidmodel prune --from s3://models -A --older-than 30d --yes

# Also remove a cache that nothing reads
kubectl fluidmodel prune llama-3-3-70b-instruct --yes
"""


@dataclass(frozen=True)
class PruneFlags:
    """The flags that only `prune` has."""

    from_uri: str | None
    older_than: str
    yes: bool
    dry_run: str | None
    all_namespaces: bool


_PRUNE_FLAGS = flag_group(
    PruneFlags,
    "flags",
    option(
        "--from",
        "from_uri",
        group="Store",
        metavar="s3://BUCKET[/PREFIX]",
        help="Where models were staged; default: the buckets of the caches that are found.",
    ),
    option(
        "--older-than",
        group="Prune",
        metavar="AGE",
        default="14d",
        show_default=True,
        help="Minimum age of the listed objects: 14d, 12h, 0.",
    ),
    option("--yes", group="Prune", is_flag=True, help="Remove the listed objects."),
    option(
        "-A",
        "--all-namespaces",
        "all_namespaces",
        group="Prune",
        is_flag=True,
        help="All namespaces.",
    ),
    option(
        "--dry-run",
        "dry_run",
        group="Output",
        type=click.Choice(["none", "client", "server"]),
        default=None,
        help="client: only list; server: also check the permissions to remove; none: --yes.  "
        "[default: client]",
    ),
)


@click.command("prune", cls=VerbCommand, examples=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[NAME…]")
@_PRUNE_FLAGS
@store_flags(
    "S3 endpoint of --from, as the cluster's pods reach it.",
    "Existing Secret with keys that may list and delete; by default, the credentials that boto3 "
    "finds.",
)
@output_flag("json", "yaml", "name")
@color_flag
@connection_flags
def command(
    names: tuple[str, ...],
    flags: PruneFlags,
    store: StoreOptions,
    output: str | None,
    color: str,
    connection: ConfigFlags,
) -> int:
    """List unused objects that this plugin created, and remove them with --yes.

    These are revisions of models in a bucket that no cache uses, unfinished uploads, finished Jobs,
    and Secrets, volumes and runtimes whose cache does not exist. Caches that nothing reads are
    listed, and removed only by NAME. Objects that others created or that are in use are never
    removed.
    """
    from kubectl_fluidmodel.prune.options import parse_prune_options
    from kubectl_fluidmodel.prune.run import PruneCommand

    options = parse_prune_options(
        names,
        flags.from_uri,
        store,
        flags.older_than,
        dry_run=flags.dry_run,
        yes=flags.yes,
        all_namespaces=flags.all_namespaces,
    )
    try:
        return PruneCommand(options, connection, output, color).run()
    except KeyboardInterrupt as err:
        raise CommandInterruptedError(
            "interrupted",
            "the remaining objects are still there",
            "the same command again to resume",
        ) from err
