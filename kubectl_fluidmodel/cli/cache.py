"""`kubectl fluidmodel cache SOURCE`."""

from __future__ import annotations

import click

from kubectl_fluidmodel.caching.request import Request, build
from kubectl_fluidmodel.cli.flags import (
    VerbCommand,
    color_flag,
    connection_flags,
    dry_run_flag,
    option,
    output_flag,
)
from kubectl_fluidmodel.errors import FluidModelError, Interrupted
from kubectl_fluidmodel.kube.config import Connection, context_namespace, parse_timeout
from kubectl_fluidmodel.ui.text import note

EXAMPLES = """
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
    "--replicas",
    group="Cache",
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
    type=click.Choice(["alluxio", "juicefs", "jindo"]),
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
    connection: Connection,
) -> int:
    """Build a cache of a model on the node that will serve it, and prove it complete.

    SOURCE is s3://bucket/prefix, gs://bucket/prefix, https://host/dir/, hdfs://host:port/dir,
    nfs://server/export, pvc://claim/dir or local:///dir. Makes the Secret, Dataset, runtime and
    DataLoad; Fluid makes the PVC. Safe to run again: it goes on from where things stand.
    """
    seconds = parse_timeout(timeout) or 0.0
    request = build(
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
    if request.source.scheme == "hf":
        raise FluidModelError(
            f"{request.source.uri} has to be staged in a bucket first",
            "Fluid cannot read the Hugging Face Hub, and staging is not part of this version yet",
            f"hf download {request.source.host}, upload it, and cache s3://BUCKET/PREFIX",
        )
    if dry_run == "client":
        return _print_offline(request, connection, endpoint, region, output or "yaml")
    try:
        if dry_run == "server":
            return _try(request, connection, endpoint, region, output or "yaml", color)
        return _cache(request, connection, endpoint, region, wait, seconds, output, color)
    except KeyboardInterrupt as err:
        raise Interrupted(
            "interrupted", "what was made stays and goes on", "the same command again to follow it"
        ) from err


def _print_offline(
    request: Request,
    connection: Connection,
    endpoint: str | None,
    region: str | None,
    output: str,
) -> int:
    from kubectl_fluidmodel.caching.run import plan_offline, secret_command
    from kubectl_fluidmodel.ui.document import objects

    measured, planned = plan_offline(request, context_namespace(connection), endpoint, region)
    for text in (*measured.notes, *planned.notes):
        note(f"note: {text}")
    shown = [obj for obj in planned.objects if obj is not measured.secret]
    if measured.secret is not None:
        note(f"the Secret is not printed; make it with: {secret_command(measured.secret)}")
    click.echo(objects([*shown, *([planned.load] if planned.load else [])], output), nl=False)
    return 0


def _try(
    request: Request,
    connection: Connection,
    endpoint: str | None,
    region: str | None,
    output: str,
    color: str,
) -> int:
    from kubectl_fluidmodel.caching.run import Run, try_on_server
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.ui.document import objects
    from kubectl_fluidmodel.ui.live import Live

    client = Client(connection)
    live = Live(color=color)
    run = Run(client, request, client.namespace, live, 0.0)
    _, planned = run.prepare(endpoint, region)
    for change in planned.changes:
        note(f"note: would be made anew: {change}")
    sent = [obj for obj in try_on_server(client, planned, note) if obj["kind"] != "Secret"]
    click.echo(objects(sent, output), nl=False)
    return 0


def _cache(
    request: Request,
    connection: Connection,
    endpoint: str | None,
    region: str | None,
    wait: bool,
    timeout: float,
    output: str | None,
    color: str,
) -> int:
    from kubectl_fluidmodel.caching.report import document, text
    from kubectl_fluidmodel.caching.run import Run
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.ui.document import reference, to_json, to_yaml
    from kubectl_fluidmodel.ui.live import Live

    client = Client(connection)
    with Live(color=color) as live:
        run = Run(client, request, client.namespace, live, timeout)
        measured, planned = run.prepare(endpoint, region)
        outcome = run.carry_out(measured, planned, wait=wait)
    if output is None:
        click.echo(text(request, client.namespace, outcome), nl=False)
    elif output == "name":
        click.echo(reference(outcome.design.dataset))
    else:
        found = document(request, client.namespace, outcome)
        click.echo(to_json(found) if output == "json" else to_yaml(found), nl=False)
    return 0
