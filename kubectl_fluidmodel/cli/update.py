"""`kubectl fluidmodel update NAME[@REVISION]`."""

from __future__ import annotations

import click

from kubectl_fluidmodel.cache.options import CacheFlags, StagingFlags
from kubectl_fluidmodel.cli.flags import (
    color_flag,
    connection_flags,
    dry_run_flag,
    output_flag,
    timeout_flag,
)
from kubectl_fluidmodel.cli.model_flags import hub_flags, staging_job_flags, store_flags
from kubectl_fluidmodel.cli.verb_command import VerbCommand, flag_group, option
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.update.options import STEPS, UpdateFlags, parse_update_options

EXAMPLES = """
# What the newest commit would take: bytes, room, graphs; writes nothing
kubectl fluidmodel update llama --dry-run

# Stage the commit, build its cache, move the graphs, remove the old cache
kubectl fluidmodel update llama --image registry/image:1

# Only stage and cache it; go on later with the same command without --to-step
kubectl fluidmodel update llama --stage-on client --to-step cache

# A branch, a tag or a commit; the commit of before goes back
kubectl fluidmodel update llama@v1.1 --stage-on client
kubectl fluidmodel update llama@1a2b3c4d5e6f

# Without room for a second cache: stop the workers first, nothing can read it meanwhile
kubectl fluidmodel update llama --in-place --stage-on client
"""


@dataclass(frozen=True)
class PlacementFlags:
    """Where the new cache goes, and how it is verified."""

    nodes: tuple[str, ...]
    node_selector: str | None
    verify: str


@dataclass(frozen=True)
class RunFlags:
    """How the command runs and what it prints."""

    timeout: str
    dry_run: str
    output: str | None
    color: str


_UPDATE_FLAGS = flag_group(
    UpdateFlags,
    "flags",
    option(
        "--to-step",
        group="Update",
        type=click.Choice(STEPS),
        default=None,
        help="Stop after this step.  [default: the last one]",
    ),
    option(
        "--in-place",
        group="Update",
        is_flag=True,
        help="Recreate the cache instead of building a second one. Needs no more room, but nothing "
        "can read the cache until it is loaded again.",
    ),
    option(
        "--recreate",
        group="Update",
        is_flag=True,
        help="Delete old workers before starting new ones: for nodes without spare GPUs.",
    ),
)

_PLACEMENT_FLAGS = flag_group(
    PlacementFlags,
    "placement",
    option(
        "--verify",
        group="Cache",
        type=click.Choice(["list", "read"]),
        default="list",
        show_default=True,
        help="How the new cache is verified; as for `cache`.",
    ),
    option(
        "--node",
        "nodes",
        group="Placement",
        metavar="NODE",
        multiple=True,
        help="Node of the new cache; repeatable.",
    ),
    option(
        "--node-selector",
        group="Placement",
        metavar="K=V,…",
        help="Labels of the nodes to choose from; default: GPU nodes.",
    ),
)

_STAGING_FLAGS = flag_group(StagingFlags, "staging", *staging_job_flags(), defaults=("to",))

_RUN_FLAGS = flag_group(
    RunFlags,
    "run",
    timeout_flag("2h"),
    dry_run_flag,
    output_flag("json", "yaml"),
    color_flag,
)


@click.command("update", cls=VerbCommand, examples=EXAMPLES)
@click.argument("name")
@_UPDATE_FLAGS
@store_flags(
    "S3 endpoint; default: that of the old cache.",
    "Existing Secret with the store's keys; default: that of the old cache.",
)
@hub_flags
@_STAGING_FLAGS
@_PLACEMENT_FLAGS
@_RUN_FLAGS
@connection_flags
def command(
    name: str,
    flags: UpdateFlags,
    store: StoreOptions,
    hub: HubOptions,
    staging: StagingFlags,
    placement: PlacementFlags,
    run: RunFlags,
    connection: ConfigFlags,
) -> int:
    """Move graphs from a cache to one of a newer commit, without downtime.

    NAME is a cache of a Hub model, REVISION a branch, tag or commit; by default, the newest commit
    of the branch that the cache follows. The steps are: stage the commit beside the old one (files
    that have not changed are copied within the bucket), build and verify a second cache, move the
    graphs that mount the old cache one by one, and retire: remove the old cache when nothing reads
    it. The old cache serves until then. The same command resumes after an interruption.
    """
    from kubectl_fluidmodel.cli.cache import hopeless_check
    from kubectl_fluidmodel.cli.pin import watch_with_doctor
    from kubectl_fluidmodel.update.command import UpdateCommand

    options = parse_update_options(
        name,
        flags,
        CacheFlags(
            nodes=placement.nodes, node_selector=placement.node_selector, verify=placement.verify
        ),
        store,
        staging,
        hub,
        parse_timeout(run.timeout) or 0.0,
    )
    work = UpdateCommand(
        options, connection, run.output, run.color, hopeless_check, watch_with_doctor
    )
    if run.dry_run != "none":
        return work.dry_run(on_server=run.dry_run == "server")
    return work.run()
