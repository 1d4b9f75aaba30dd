"""`kubectl fluidmodel cache SOURCE`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cache.options import CacheFlags, StagingFlags, parse_options
from kubectl_fluidmodel.cli.flags import (
    VerbCommand,
    color_flag,
    connection_flags,
    dry_run_flag,
    flag_group,
    hub_flags,
    option,
    output_flag,
    pod_flags,
    store_flags,
)
from kubectl_fluidmodel.errors import CommandInterruptedError
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout
from kubectl_fluidmodel.objectstore.options import StoreOptions

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube.client import Client

EXAMPLES = """
# A model of the Hugging Face Hub: staged in your bucket from here, then cached
kubectl fluidmodel cache Qwen/Qwen2.5-7B-Instruct --to s3://models --stage-on client

# The same, staged by a Job in the cluster
kubectl fluidmodel cache Qwen/Qwen2.5-7B-Instruct --to s3://models --image registry/image:1

# A model in a bucket, on one GPU node, proven complete
kubectl fluidmodel cache s3://models/meta-llama/Llama-3.3-70B-Instruct

# MinIO in the cluster, with the keys of an existing Secret
kubectl fluidmodel cache s3://models/llama --endpoint http://minio:9000 --s3-secret minio-keys

# On a node of your choice, on its NVMe disk
kubectl fluidmodel cache s3://models/llama --node gpu-7 --medium SSD --path /mnt/nvme/cache

# The YAML for git; needs no cluster
kubectl fluidmodel cache s3://models/llama --s3-secret keys --quota 160Gi --dry-run -o yaml
"""


@dataclass(frozen=True)
class RunFlags:
    """How the command runs and what it prints."""

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
        help="Where a model of the Hub is staged; needed for org/model.",
    ),
    option(
        "--stage-on",
        group="Hub",
        type=click.Choice(["cluster", "client"]),
        default="cluster",
        show_default=True,
        help="Where the transfer runs: in a Job, or here.",
    ),
    *pod_flags("stage", group="Hub", pod="the Job", target="the Hub"),
    option(
        "--stage-workers",
        group="Hub",
        metavar="N",
        type=click.IntRange(1, 64),
        default=None,
        help="Connections at once, per shard.  [default: 8]",
    ),
    option(
        "--shards",
        group="Hub",
        metavar="N",
        type=click.IntRange(1, 100),
        default=1,
        show_default=True,
        help="Pods that share the transfer.",
    ),
)

_CACHE_FLAGS = flag_group(
    CacheFlags,
    "cache",
    option(
        "--name", group="Model", metavar="NAME", help="Name of the cache; the model's if not given."
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
        help="Nodes that each hold the whole model.  [default: 1]",
    ),
    option(
        "--medium",
        group="Cache",
        type=click.Choice(["auto", "MEM", "SSD", "HDD"]),
        default="auto",
        show_default=True,
        help="auto: memory where it fits beside the engine, else SSD.",
    ),
    option("--path", group="Cache", metavar="DIR", help="Directory of the cache on its node."),
    option(
        "--quota",
        group="Cache",
        metavar="SIZE",
        default="auto",
        show_default=True,
        help="Room per node; auto: what the model needs.",
    ),
    option(
        "--runtime",
        group="Cache",
        type=click.Choice(["alluxio"]),
        default="alluxio",
        show_default=True,
        help="Fluid's cache engine.",
    ),
    option("--load/--no-load", group="Cache", default=True, help="Pull the model in now."),
    option(
        "--node",
        "nodes",
        group="Placement",
        metavar="NODE",
        multiple=True,
        help="Node to cache on; may be repeated.",
    ),
    option(
        "--node-selector",
        group="Placement",
        metavar="K=V,…",
        help="Labels of the nodes to choose among; GPU nodes by default.",
    ),
)

_RUN_FLAGS = flag_group(
    RunFlags,
    "run",
    option(
        "--wait/--no-wait", group="Output", default=True, help="Wait until it is proven complete."
    ),
    option(
        "--timeout",
        group="Output",
        metavar="DURATION",
        default="30m",
        show_default=True,
        help="How long to wait in all.",
    ),
    dry_run_flag,
    output_flag("json", "yaml", "name"),
    color_flag,
)


@click.command("cache", cls=VerbCommand, examples=EXAMPLES)
@click.argument("source")
@store_flags(
    "S3 endpoint, as the cluster's pods see it.",
    "Existing Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; by default one is "
    "made of the credentials that boto3 finds.",
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
    """Build a cache of a model on the node that will serve it, and prove it complete.

    SOURCE is org/model[@REVISION] of the Hugging Face Hub (with --to), s3://bucket/prefix,
    gs://bucket/prefix, https://host/dir/, hdfs://host:port/dir, nfs://server/export,
    pvc://claim/dir or local:///dir. Makes the Secret, Dataset, runtime and DataLoad; Fluid makes
    the PVC. Safe to run again: it continues from what exists.
    """
    from kubectl_fluidmodel.cache.command import CacheCommand

    waiting = (run.wait, parse_timeout(run.timeout) or 0.0)
    options = parse_options(source, cache, store, staging, hub, waiting)
    work = CacheCommand(options, connection, run.output, run.color)
    try:
        if run.dry_run == "client":
            return work.dry_run_client()
        if run.dry_run == "server":
            return work.dry_run_server()
        return work.run(_hopeless_check)
    except KeyboardInterrupt as err:
        raise CommandInterruptedError(
            "interrupted",
            "what was made stays and keeps running",
            "the same command again to follow it",
        ) from err


def _hopeless_check(client: Client, name: str) -> Callable[[], None]:
    """The check that ends a wait where doctor finds what no waiting fixes."""
    from kubectl_fluidmodel.doctor import lasting
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.output.shell import Operand
    from kubectl_fluidmodel.output.shell import command as shell_command

    monitor: lasting.FailureMonitor | None = None

    def check() -> None:
        nonlocal monitor
        if monitor is None:
            own = Client(access=client.access)
            monitor = lasting.FailureMonitor(own, client.namespace, name, lasting.CACHE_FAILURES)
        problem = monitor.poll()
        if problem is not None:
            doctor = ("kubectl", "fluidmodel", "doctor", Operand(name), "-n", client.namespace)
            raise lasting.failure_error(
                f"cache {name} cannot become ready", problem, shell_command(*doctor)
            )

    return check
