"""`kubectl fluidmodel cache SOURCE`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cache.adoption.command import AdoptCommand
from kubectl_fluidmodel.cache.adoption.options import parse_adopt_options
from kubectl_fluidmodel.cache.command import CacheCommand
from kubectl_fluidmodel.cache.options import CacheFlags, StagingFlags, parse_options
from kubectl_fluidmodel.cache.reference.command import ReferenceCommand
from kubectl_fluidmodel.cache.reference.options import is_reference, parse_reference_options
from kubectl_fluidmodel.cli.flags import (
    color_flag,
    connection_flags,
    dry_run_flag,
    output_flag,
    price_flag,
    timeout_flag,
)
from kubectl_fluidmodel.cli.model_flags import (
    hub_flags,
    staging_job_flags,
    store_flags,
)
from kubectl_fluidmodel.cli.verb_command import VerbCommand, flag_group, option
from kubectl_fluidmodel.errors import CommandInterruptedError, UsageError
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube.client import Client

EXAMPLES = """
# A model from the Hugging Face Hub: copied to your bucket from this machine, then cached
kubectl fluidmodel cache Qwen/Qwen2.5-7B-Instruct --to s3://models --stage-on client

# The same, copied by a Job in the cluster
kubectl fluidmodel cache Qwen/Qwen2.5-7B-Instruct --to s3://models --image registry/image:1

# A model in a bucket, cached on one GPU node and verified
kubectl fluidmodel cache s3://models/meta-llama/Llama-3.3-70B-Instruct

# On a node of your choice, on its NVMe disk
kubectl fluidmodel cache s3://models/llama --node gpu-7 --medium SSD --path /mnt/nvme/cache

# Take over a cache that was made by hand; shows how it differs, and changes only its labels
kubectl fluidmodel cache llama-3-3-70b-instruct-model --adopt

# The YAML for git; needs no cluster
kubectl fluidmodel cache s3://models/llama --s3-secret keys --quota 160Gi --dry-run -o yaml
"""


@dataclass(frozen=True)
class RunFlags:
    """How the command runs and what it prints."""

    adopt: bool
    price_per_gib: float | None
    wait: bool
    timeout: str
    dry_run: str
    output: str | None
    color: str


_STAGING_FLAGS = flag_group(
    StagingFlags,
    "staging",
    option(
        "--to",
        group="Hub",
        metavar="s3://BUCKET[/PREFIX]",
        help="Where to stage a Hub model; required for org/model.",
    ),
    *staging_job_flags(),
)

_CACHE_FLAGS = flag_group(
    CacheFlags,
    "cache",
    option(
        "--name", group="Model", metavar="NAME", help="Name of the cache; default: the model's."
    ),
    option(
        "--gcs-secret",
        group="Store",
        metavar="NAME",
        help="Existing Secret with a service account's credentials.json, for gs://.",
    ),
    option(
        "--replicas",
        group="Cache",
        metavar="N",
        type=click.IntRange(1, 100),
        default=None,
        help="Number of nodes that hold a complete copy.  [default: 1]",
    ),
    option(
        "--medium",
        group="Cache",
        type=click.Choice(["auto", "MEM", "SSD", "HDD"]),
        default="auto",
        show_default=True,
        help="auto: memory if the cache fits beside the engine, else SSD.",
    ),
    option("--path", group="Cache", metavar="DIR", help="Directory of the cache on the node."),
    option(
        "--quota",
        group="Cache",
        metavar="SIZE",
        default="auto",
        show_default=True,
        help="Size of the cache per node; auto: what the model needs.",
    ),
    option(
        "--high-concurrency/--no-high-concurrency",
        group="Cache",
        default=None,
        help="Use Fluid's settings for 32 and more parallel reads per node. The node's page cache "
        "then keeps nothing.  [default: as it is, else off]",
    ),
    option(
        "--runtime",
        group="Cache",
        type=click.Choice(["alluxio"]),
        default="alluxio",
        show_default=True,
        help="Fluid's cache engine.",
    ),
    option(
        "--load/--no-load",
        group="Cache",
        default=None,
        help="Load the model into the cache now; --adopt only does so with --load.  "
        "[default: load]",
    ),
    option(
        "--verify",
        group="Cache",
        type=click.Choice(["list", "read"]),
        default="list",
        show_default=True,
        help="list: compare Alluxio's list of files with the source; read: also read every file "
        "through the claim, in a pod on each node, and compare hashes.",
    ),
    option(
        "--preheat",
        group="Cache",
        type=click.Choice(["auto", "on", "off"]),
        default="auto",
        show_default=True,
        help="Read the model once on each node, so that workers start from its page cache; auto: "
        "if there is an image, permission and memory for it.",
    ),
    option(
        "--node",
        "nodes",
        group="Placement",
        metavar="NODE",
        multiple=True,
        help="Node to cache on; repeatable.",
    ),
    option(
        "--node-selector",
        group="Placement",
        metavar="K=V,…",
        help="Labels of the nodes to choose from; default: GPU nodes.",
    ),
)

_RUN_FLAGS = flag_group(
    RunFlags,
    "run",
    option(
        "--adopt",
        group="Cache",
        is_flag=True,
        help="Take over the Dataset with this NAME or SOURCE that was made by hand: show how it "
        "differs, label it and verify it.",
    ),
    option(
        "--wait/--no-wait", group="Output", default=True, help="Wait until the cache is verified."
    ),
    timeout_flag("30m"),
    dry_run_flag,
    price_flag("Output"),
    output_flag("json", "yaml", "name"),
    color_flag,
)


@click.command("cache", cls=VerbCommand, examples=EXAMPLES)
@click.argument("source")
@store_flags(
    "S3 endpoint, as the cluster's pods reach it.",
    "Existing Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; by default, one is "
    "created from the credentials that boto3 finds.",
)
@hub_flags
@_STAGING_FLAGS
@_CACHE_FLAGS
@_RUN_FLAGS
@connection_flags
def command(
    source: str,
    store: StoreOptions,
    hub: HubOptions,
    staging: StagingFlags,
    cache: CacheFlags,
    run: RunFlags,
    connection: ConfigFlags,
) -> int:
    """Build a cache of a model on the node that will serve it, and verify that it is complete.

    SOURCE is org/model[@REVISION] on the Hugging Face Hub (with --to), s3://bucket/prefix,
    gs://bucket/prefix, https://host/dir/, hdfs://host:port/dir, nfs://server/export,
    pvc://claim/dir or local:///dir. Creates the Secret, Dataset, runtime and DataLoad; Fluid
    creates the PVC. You can run the command again at any time: it resumes from the current state.
    With --adopt, SOURCE can also be the name of a Dataset. dataset://NAMESPACE/NAME makes the cache
    of another namespace readable in this one.
    """
    waiting = (run.wait, parse_timeout(run.timeout) or 0.0)
    if run.price_per_gib is not None and (run.dry_run == "none" or run.adopt):
        raise UsageError("--price-per-gib is for the estimate of a dry run", "", "--dry-run")
    try:
        if run.adopt:
            adopt_options = parse_adopt_options(source, cache, store, staging, hub, waiting)
            return _adopt(AdoptCommand(adopt_options, connection, run.output, run.color), run)
        if is_reference(source):
            other_flags = (store, staging, hub)
            reference = parse_reference_options(source, cache, other_flags, waiting)
            return _refer(ReferenceCommand(reference, connection, run.output), run)
        options = parse_options(source, cache, store, staging, hub, waiting)
        work = CacheCommand(options, connection, run.output, run.color, run.price_per_gib)
        return _build(work, run)
    except KeyboardInterrupt as err:
        raise CommandInterruptedError(
            "interrupted",
            "the objects that were created stay and keep working",
            "the same command again to resume",
        ) from err


def _build(work: CacheCommand, run: RunFlags) -> int:
    if run.dry_run == "client":
        return work.dry_run_client()
    if run.dry_run == "server":
        return work.dry_run_server()
    return work.run(hopeless_check)


def _adopt(work: AdoptCommand, run: RunFlags) -> int:
    if run.dry_run != "none":
        return work.dry_run(on_server=run.dry_run == "server")
    return work.run(hopeless_check)


def _refer(work: ReferenceCommand, run: RunFlags) -> int:
    if run.dry_run == "client":
        return work.dry_run_client()
    return work.run(dry_run=run.dry_run == "server")


def hopeless_check(client: Client, name: str) -> Callable[[], None]:
    """Return the check that ends a wait if doctor finds a problem that waiting cannot fix."""
    from kubectl_fluidmodel.cache.hints import doctor
    from kubectl_fluidmodel.doctor.failure_monitor import (
        CACHE_FAILURES,
        FailureMonitor,
        failure_error,
    )
    from kubectl_fluidmodel.kube.client import Client

    monitor: FailureMonitor | None = None

    def check() -> None:
        nonlocal monitor
        if monitor is None:
            own_client = Client(client.access)
            monitor = FailureMonitor(own_client, client.namespace, name, CACHE_FAILURES)
        problem = monitor.poll()
        if problem is not None:
            hint = doctor(name, client.namespace)
            raise failure_error(f"cache {name} cannot become ready", problem, hint)

    return check
