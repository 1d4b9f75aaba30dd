"""`kubectl fluidmodel stage MODEL --to s3://BUCKET`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cli.flags import color_flag, connection_flags, dry_run, output_flag
from kubectl_fluidmodel.cli.model_flags import hub_flags, stage_workers_flag, store_flags
from kubectl_fluidmodel.cli.verb_command import VerbCommand, flag_group, option
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.stage.options import TransferOptions

EXAMPLES = """
# Preview the plan: files, sizes, and what is skipped
kubectl fluidmodel stage Qwen/Qwen2.5-7B-Instruct --to s3://models --dry-run

# Stage it; after an interruption the same command resumes
kubectl fluidmodel stage Qwen/Qwen2.5-7B-Instruct --to s3://models --endpoint http://minio:9000

# Compare the staged files with their manifest and the Hub
kubectl fluidmodel stage Qwen/Qwen2.5-7B-Instruct --to s3://models --verify

# Abort the uploads that interrupted runs left in the bucket
kubectl fluidmodel stage Qwen/Qwen2.5-7B-Instruct --to s3://models --abort-stale
"""


@dataclass(frozen=True)
class WorkFlags:
    """Flags for what the command does, as on the command line."""

    verify: bool
    read: bool
    abort_stale: bool
    stale_after: str
    stage_workers: int | None
    memory: str | None
    part_size: str | None
    shard: str | None
    retry_for: str
    stall: str


@dataclass(frozen=True)
class OutputFlags:
    """Flags for what the command prints, and --dry-run."""

    log: str
    dry_run: str
    output: str | None
    color: str


_WORK_FLAGS = flag_group(
    WorkFlags,
    "work",
    option("--verify", group="Work", is_flag=True, help="Verify the staged files; stage nothing."),
    option("--read", group="Work", is_flag=True, help="With --verify: read every byte back."),
    option(
        "--abort-stale",
        group="Work",
        is_flag=True,
        help="Abort unfinished uploads of earlier runs.",
    ),
    option(
        "--stale-after",
        group="Work",
        metavar="DURATION",
        default="10m",
        show_default=True,
        help="Time without progress after which an upload is stale; at least 1m.",
    ),
    stage_workers_flag("Work", "Parallel connections"),
    option(
        "--memory",
        group="Work",
        metavar="SIZE",
        help="Memory limit of the process.  [default: 256Mi]",
    ),
    option(
        "--part-size",
        group="Work",
        metavar="SIZE",
        help="Size of a part; default: depends on the file size.",
    ),
    option("--shard", group="Work", metavar="I/N", help="Stage only shard I of N, starting at 0."),
    option(
        "--retry-for",
        group="Work",
        metavar="DURATION",
        default="5m",
        show_default=True,
        help="Time without progress after which retries end.",
    ),
    option(
        "--stall",
        group="Work",
        metavar="DURATION",
        default="30s",
        show_default=True,
        help="Time without data after which a connection is replaced.",
    ),
)

_OUTPUT_FLAGS = flag_group(
    OutputFlags,
    "run",
    option(
        "--log",
        group="Output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json: one JSON object per line on stdout.",
    ),
    dry_run(
        "client (or no value): print the plan; server: also what is in the store. Writes nothing."
    ),
    output_flag("json", "yaml", "name"),
    color_flag,
)


@click.command("stage", cls=VerbCommand, examples=EXAMPLES)
@click.argument("model")
@option("--to", group="Store", metavar="s3://BUCKET[/PREFIX]", required=True, help="Destination.")
@store_flags("S3 endpoint, as this machine reaches it.", "Existing Secret with S3 keys.")
@hub_flags
@_WORK_FLAGS
@_OUTPUT_FLAGS
@connection_flags
def command(
    model: str,
    to: str,
    store: StoreOptions,
    hub: HubOptions,
    work: WorkFlags,
    run: OutputFlags,
    connection: ConfigFlags,
) -> int:
    """Copy a model from the Hugging Face Hub to a bucket and verify every byte.

    Streams without a scratch disk, resumes interrupted runs, and verifies the hash of each file
    before its object exists. The files go to BUCKET/PREFIX/org/model/COMMIT/, with a manifest
    beside them; pass that prefix to `cache`.
    """
    from kubectl_fluidmodel.model.source import parse_source
    from kubectl_fluidmodel.objectstore.layout import parse_bucket_prefix
    from kubectl_fluidmodel.stage.command import Action, StageCommand, StageOptions

    if work.verify and work.abort_stale:
        raise UsageError("cannot combine --verify and --abort-stale", "", "one of them")
    action = Action.ABORT_STALE if work.abort_stale else Action.STAGE
    options = StageOptions(
        source=parse_source(model, "stage"),
        destination=parse_bucket_prefix(to),
        store=store,
        hub=hub,
        transfer=_parse_transfer_options(work),
        action=Action.VERIFY if work.verify else action,
        read_content=work.read,
        stale_after=parse_timeout(work.stale_after) or 0.0,
        dry_run=run.dry_run,
        output=run.output,
        color=run.color,
        log=run.log,
    )
    return StageCommand(options, connection).run()


def _parse_transfer_options(work: WorkFlags) -> TransferOptions:
    from kubectl_fluidmodel.objects.quantity import parse_size_flag
    from kubectl_fluidmodel.stage.options import DEFAULT_MEMORY, DEFAULT_WORKERS, TransferOptions
    from kubectl_fluidmodel.stage.parts import MIN_PART

    shard = re.fullmatch(r"(\d{1,4})/(\d{1,4})", work.shard or "0/1")
    if not shard:
        raise UsageError(f"invalid --shard '{work.shard}'", "", "--shard 0/4 … --shard 3/4")
    part_size = parse_size_flag(work.part_size, "--part-size") if work.part_size else 0
    if part_size and (part_size < MIN_PART or part_size % 64):
        raise UsageError(
            f"--part-size {work.part_size} is invalid",
            "S3 requires 5Mi or more",
            "--part-size 16Mi",
        )
    return TransferOptions(
        memory=parse_size_flag(work.memory, "--memory") if work.memory else DEFAULT_MEMORY,
        workers=work.stage_workers or DEFAULT_WORKERS,
        stall_timeout=parse_timeout(work.stall) or 30.0,
        retry_timeout=parse_timeout(work.retry_for) or 300.0,
        shard=int(shard[1]),
        shards=int(shard[2]),
        part_size=part_size,
    ).validated()
