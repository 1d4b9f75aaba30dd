"""`kubectl fluidmodel cache SOURCE`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cache.options import CacheOptions, parse_options
from kubectl_fluidmodel.cli.flags import (
    HubOptions,
    VerbCommand,
    color_flag,
    connection_flags,
    dry_run_flag,
    hub_flags,
    option,
    output_flag,
)
from kubectl_fluidmodel.errors import CommandInterruptedError, UsageError
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout

if TYPE_CHECKING:
    from kubectl_fluidmodel.cache.hub_staging import StagingOptions
    from kubectl_fluidmodel.model.source import Source

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


@click.command("cache", cls=VerbCommand, examples=EXAMPLES)
@click.argument("source")
@option(
    "--name", group="Model", metavar="NAME", help="Name of the cache; the model's if not given."
)
@option(
    "--endpoint", group="Store", metavar="URL", help="S3 endpoint, as the cluster's pods see it."
)
@option("--region", group="Store", metavar="REGION", help="Region of the bucket.")
@option(
    "--s3-secret",
    group="Store",
    metavar="NAME",
    help="Existing Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; by default one is "
    "made of the credentials that boto3 finds.",
)
@option(
    "--gcs-secret",
    group="Store",
    metavar="NAME",
    help="Existing Secret with a service account's credentials.json, for gs://.",
)
@option(
    "--to",
    group="Hub",
    metavar="s3://BUCKET[/PREFIX]",
    help="Where a model of the Hub is staged; needed for org/model.",
)
@hub_flags
@option(
    "--stage-on",
    group="Hub",
    type=click.Choice(["cluster", "client"]),
    default="cluster",
    show_default=True,
    help="Where the transfer runs: in a Job, or here.",
)
@option(
    "--image",
    group="Hub",
    metavar="IMAGE",
    help="Image of the Job, which has this plugin; FLUIDMODEL_IMAGE if not given.",
)
@option(
    "--image-pull-secret",
    "pull_secrets",
    group="Hub",
    metavar="NAME",
    multiple=True,
    help="Existing Secret to pull the Job's image with; may be repeated.",
)
@option("--stage-proxy", group="Hub", metavar="URL", help="Proxy by which the Job reaches the Hub.")
@option(
    "--stage-no-proxy",
    group="Hub",
    metavar="HOST,…",
    help="Hosts that the Job reaches without it; the cluster's own if not given.",
)
@option(
    "--stage-ca",
    group="Hub",
    metavar="KIND/NAME[:KEY]",
    help="ConfigMap or Secret with the certificates that the Job trusts: configmap/ca:ca.crt.",
)
@option(
    "--stage-workers",
    group="Hub",
    metavar="N",
    type=click.IntRange(1, 64),
    default=None,
    help="Connections at once, per shard.  [default: 8]",
)
@option(
    "--shards",
    group="Hub",
    metavar="N",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Pods that share the transfer.",
)
@option(
    "--replicas",
    group="Cache",
    metavar="N",
    type=click.IntRange(1, 100),
    default=None,
    help="Nodes that each hold the whole model.  [default: 1]",
)
@option(
    "--medium",
    group="Cache",
    type=click.Choice(["auto", "MEM", "SSD", "HDD"]),
    default="auto",
    show_default=True,
    help="auto: memory where it fits beside the engine, else SSD.",
)
@option("--path", group="Cache", metavar="DIR", help="Directory of the cache on its node.")
@option(
    "--quota",
    group="Cache",
    metavar="SIZE",
    default="auto",
    show_default=True,
    help="Room per node; auto: what the model needs.",
)
@option(
    "--runtime",
    group="Cache",
    type=click.Choice(["alluxio"]),
    default="alluxio",
    show_default=True,
    help="Fluid's cache engine.",
)
@option("--load/--no-load", group="Cache", default=True, help="Pull the model in now.")
@option(
    "--node",
    "nodes",
    group="Placement",
    metavar="NODE",
    multiple=True,
    help="Node to cache on; may be repeated.",
)
@option(
    "--node-selector",
    group="Placement",
    metavar="K=V,…",
    help="Labels of the nodes to choose among; GPU nodes by default.",
)
@option("--wait/--no-wait", group="Output", default=True, help="Wait until it is proven complete.")
@option(
    "--timeout",
    group="Output",
    metavar="DURATION",
    default="30m",
    show_default=True,
    help="How long to wait in all.",
)
@dry_run_flag
@output_flag("json", "yaml", "name")
@color_flag
@connection_flags
def command(
    source: str,
    name: str | None,
    endpoint: str | None,
    region: str | None,
    s3_secret: str | None,
    gcs_secret: str | None,
    to: str | None,
    hub: HubOptions,
    stage_on: str,
    image: str | None,
    pull_secrets: tuple[str, ...],
    stage_proxy: str | None,
    stage_no_proxy: str | None,
    stage_ca: str | None,
    stage_workers: int | None,
    shards: int,
    replicas: int | None,
    medium: str,
    path: str | None,
    quota: str,
    runtime: str,
    load: bool,
    nodes: tuple[str, ...],
    node_selector: str | None,
    wait: bool,
    timeout: str,
    dry_run: str,
    output: str | None,
    color: str,
    connection: ConfigFlags,
) -> int:
    """Build a cache of a model on the node that will serve it, and prove it complete.

    SOURCE is org/model[@REVISION] of the Hugging Face Hub (with --to), s3://bucket/prefix,
    gs://bucket/prefix, https://host/dir/, hdfs://host:port/dir, nfs://server/export,
    pvc://claim/dir or local:///dir. Makes the Secret, Dataset, runtime and DataLoad; Fluid makes
    the PVC. Safe to run again: it goes on from where things stand.
    """
    from kubectl_fluidmodel.cache.command import CacheCommand
    from kubectl_fluidmodel.objects.plugin_pod import parse_network

    seconds = parse_timeout(timeout) or 0.0
    request = parse_options(
        source,
        name=name,
        replicas=replicas,
        medium=medium,
        path=path,
        quota=quota,
        nodes=nodes,
        node_selector=node_selector,
        runtime=runtime,
        load=load,
        s3_secret=s3_secret,
        gcs_secret=gcs_secret,
    )
    staging = None
    if request.source.scheme == "hf":
        staging = _parse_staging_options(request, to, stage_on, image, stage_workers, shards)
        staging = replace(
            staging,
            network=parse_network(stage_proxy, stage_no_proxy, stage_ca, pull_secrets),
            include=hub.include,
            exclude=hub.exclude,
            endpoint_hub=hub.endpoint,
            hf_secret=hub.secret,
            endpoint=endpoint,
            region=region,
        )
    elif to:
        raise UsageError(f"--to with {request.source.uri}", "only a model of the Hub is staged")
    work = CacheCommand(request, staging, connection, endpoint, region, output, color)
    try:
        if dry_run == "client":
            return work.dry_run_client()
        return work.dry_run_server() if dry_run == "server" else work.run(wait, seconds)
    except KeyboardInterrupt as err:
        raise CommandInterruptedError(
            "interrupted", "what was made stays and goes on", "the same command again to follow it"
        ) from err


def _parse_staging_options(
    options: CacheOptions,
    to: str | None,
    stage_on: str,
    given: str | None,
    workers: int | None,
    shards: int,
) -> StagingOptions:
    from kubectl_fluidmodel.cache.hub_staging import StagingOptions
    from kubectl_fluidmodel.objects.plugin_pod import require_image
    from kubectl_fluidmodel.objectstore.layout import parse_bucket_prefix
    from kubectl_fluidmodel.stage.options import DEFAULT_WORKERS

    if not to:
        raise _missing_bucket_error(options.source)
    return StagingOptions(
        parse_bucket_prefix(to),
        on=stage_on,
        image=require_image(given) if stage_on == "cluster" else "",
        workers=workers or DEFAULT_WORKERS,
        shards=shards,
    )


def _missing_bucket_error(source: Source) -> UsageError:
    """What is said where a model of the Hub has no --to: it may have been meant as a bucket."""
    from kubectl_fluidmodel.model.source import command_for_source, parse_source

    way = command_for_source(source.uri.removeprefix("hf://"))
    with suppress(UsageError):  # not every organisation's name could be a bucket's
        bucket = parse_source(f"s3://{source.host}") if not source.revision else None
        if bucket is not None:
            way += f", or, if {bucket.host} is a bucket: {command_for_source(bucket.uri)}"
    return UsageError(
        f"{source.uri} has to be staged in a bucket", "Fluid cannot read the Hugging Face Hub", way
    )
