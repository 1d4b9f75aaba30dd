"""`kubectl fluidmodel stage MODEL --to s3://BUCKET`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cli.flags import (
    VerbCommand,
    color_flag,
    connection_flags,
    hub_flags,
    option,
    output_flag,
)
from kubectl_fluidmodel.cli.flags import (
    dry_run as dry_run_choice,
)
from kubectl_fluidmodel.errors import CommandInterruptedError, FluidModelError, UsageError
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout
from kubectl_fluidmodel.stage.command import StageCommand

if TYPE_CHECKING:
    from kubectl_fluidmodel.stage.options import TransferOptions

EXAMPLES = """
# What would be staged: files, bytes, and what is left out
kubectl fluidmodel stage Qwen/Qwen2.5-7B-Instruct --to s3://models --dry-run

# Stage it; run it again after anything, and it goes on
kubectl fluidmodel stage Qwen/Qwen2.5-7B-Instruct --to s3://models --endpoint http://minio:9000

# Check what is staged against its manifest and the hub
kubectl fluidmodel stage Qwen/Qwen2.5-7B-Instruct --to s3://models --verify

# Drop what interrupted runs left in the bucket
kubectl fluidmodel stage Qwen/Qwen2.5-7B-Instruct --to s3://models --abort-stale
"""


@click.command("stage", cls=VerbCommand, examples=EXAMPLES)
@click.argument("model")
@option("--to", group="Store", metavar="s3://BUCKET[/PREFIX]", required=True, help="Where to.")
@option("--endpoint", group="Store", metavar="URL", help="S3 endpoint, as seen from here.")
@option("--region", group="Store", metavar="REGION", help="Region of the bucket.")
@option("--s3-secret", group="Store", metavar="NAME", help="Secret of the cluster with the keys.")
@hub_flags
@option("--verify", group="Work", is_flag=True, help="Check what is staged; stage nothing.")
@option("--read", group="Work", is_flag=True, help="With --verify: read every byte back.")
@option("--abort-stale", group="Work", is_flag=True, help="Drop our own leftover uploads.")
@option(
    "--stale-after",
    group="Work",
    metavar="DURATION",
    default="10m",
    show_default=True,
    help="How long an upload must not have gone on to be left over: 1m at least.",
)
@option(
    "--stage-workers",
    group="Work",
    metavar="N",
    type=click.IntRange(1, 64),
    default=None,
    help="Connections at once.  [default: 8]",
)
@option("--memory", group="Work", metavar="SIZE", help="For the whole process.  [default: 256Mi]")
@option("--part-size", group="Work", metavar="SIZE", help="Of a part; by file size if not given.")
@option("--shard", group="Work", metavar="I/N", help="Only the I-th of N shares, from 0.")
@option(
    "--retry-for",
    group="Work",
    metavar="DURATION",
    default="5m",
    show_default=True,
    help="How long one part is tried again without progress.",
)
@option(
    "--stall",
    group="Work",
    metavar="DURATION",
    default="30s",
    show_default=True,
    help="A connection that brings nothing for so long is dead.",
)
@option(
    "--log",
    group="Output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one JSON object per line on stdout, for programs.",
)
@dry_run_choice(
    "client, or bare: print the plan; server: and what the store holds of it. Nothing is written."
)
@output_flag("json", "yaml", "name")
@color_flag
@connection_flags
def command(
    model: str,
    to: str,
    endpoint: str | None,
    region: str | None,
    s3_secret: str | None,
    hub: HubOptions,
    verify: bool,
    read: bool,
    abort_stale: bool,
    stale_after: str,
    stage_workers: int | None,
    memory: str | None,
    part_size: str | None,
    shard: str | None,
    retry_for: str,
    stall: str,
    dry_run: str,
    log: str,
    output: str | None,
    color: str,
    connection: ConfigFlags,
) -> int:
    """Bring a model from the Hugging Face Hub into a bucket, and prove every byte.

    Streams with no scratch disk, goes on where an earlier run stopped, and checks each file
    against the hub's hash before its object exists. The files go to
    BUCKET/PREFIX/org/model/COMMIT/, a manifest beside them; `cache` can then be given that
    prefix.
    """
    from kubectl_fluidmodel.model.source import parse_source
    from kubectl_fluidmodel.objectstore.layout import parse_bucket_prefix

    if verify and abort_stale:
        raise UsageError("--verify and --abort-stale do not go together", "", "one of them")
    if read and not verify:
        raise UsageError("--read goes with --verify", "", "--verify --read")
    source = parse_source(model, "stage")
    if source.scheme != "hf":
        raise UsageError(f"cannot stage '{model}'", "staging takes a model of the hub", "org/model")
    where = parse_bucket_prefix(to)
    options = _parse_options(stage_workers, memory, part_size, shard, retry_for, stall)
    checks = verify or abort_stale
    work = StageCommand(source, where, options, output, color, log)
    work.resolve_credentials(
        connection, endpoint, region, s3_secret, hub, keys=dry_run != "client" or checks
    )
    try:
        if dry_run != "none" and not checks:
            return work.show_plan(hub, compared=dry_run == "server")
        if abort_stale:
            return work.abort_stale(parse_timeout(stale_after) or 0.0, dry_run != "none")
        if verify:
            return work.verify(read)
        return work.stage(hub)
    except KeyboardInterrupt as err:
        stopped = CommandInterruptedError(
            "interrupted", "what the store holds stays", "the same command again goes on from it"
        )
        work.log_error(stopped)
        raise stopped from err
    except FluidModelError as err:
        work.log_error(err)
        raise


def _parse_options(
    workers: int | None,
    memory: str | None,
    part_size: str | None,
    shard: str | None,
    retry_for: str,
    stall: str,
) -> TransferOptions:
    from kubectl_fluidmodel.stage.options import DEFAULT_MEMORY, DEFAULT_WORKERS, TransferOptions
    from kubectl_fluidmodel.stage.parts import MIN_PART

    found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", shard or "0/1")
    if not found:
        raise UsageError(f"cannot read --shard '{shard}'", "", "--shard 0/4 … --shard 3/4")
    part = _parse_bytes(part_size, "--part-size") if part_size else 0
    if part and (part < MIN_PART or part % 64):
        raise UsageError(f"--part-size {part_size} is not usable", "S3 wants 5Mi or more", "16Mi")
    return TransferOptions(
        memory=_parse_bytes(memory, "--memory") if memory else DEFAULT_MEMORY,
        workers=workers or DEFAULT_WORKERS,
        stall=parse_timeout(stall) or 30.0,
        patience=parse_timeout(retry_for) or 300.0,
        shard=int(found[1]),
        shards=int(found[2]),
        part_size=part,
    ).validated()


def _parse_bytes(text: str, flag: str) -> int:
    from kubectl_fluidmodel.objects.quantity import quantity_to_int

    found = quantity_to_int(text)
    if found is None or found <= 0:
        raise UsageError(f"cannot read {flag} '{text}'", "write a size", f"{flag} 256Mi")
    return found
