"""`kubectl fluidmodel bench NAME`."""

from __future__ import annotations

import click

from kubectl_fluidmodel.bench.options import ANY_NODE
from kubectl_fluidmodel.cli.flags import (
    color_flag,
    connection_flags,
    dry_run_flag,
    output_flag,
    timeout_flag,
)
from kubectl_fluidmodel.cli.model_flags import pod_flags
from kubectl_fluidmodel.cli.verb_command import VerbCommand, flag_group, option
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout
from kubectl_fluidmodel.records import dataclass

EXAMPLES = """
# Measure how fast the cache reads on its node, and which loader to use
kubectl fluidmodel bench llama-3-3-70b-instruct --image REGISTRY/kubectl-fluidmodel:0.1.0

# Compare with a node without the cache, as a table for a report
kubectl fluidmodel bench llama-3-3-70b-instruct --off-node -o markdown

# The whole model in every case, on one of several nodes
kubectl fluidmodel bench llama-3-3-70b-instruct --full --node gpu-1 --timeout 1h
"""


@dataclass(frozen=True)
class BenchFlags:
    """The flags that only `bench` has."""

    sample: str | None
    full: bool
    off_node: str | None
    node: str | None
    store: bool
    save: bool
    timeout: str
    image: str | None
    pull_secrets: tuple[str, ...]
    bench_proxy: str | None
    bench_no_proxy: str | None
    bench_ca: str | None


_BENCH_FLAGS = flag_group(
    BenchFlags,
    "flags",
    option(
        "--sample",
        group="Bench",
        metavar="SIZE",
        help="Bytes to read per node, in all cases together.  [default: 8Gi]",
    ),
    option("--full", group="Bench", is_flag=True, help="Read the whole model in each case."),
    option(
        "--off-node",
        "off_node",
        group="Bench",
        metavar="[=NODE]",
        bare=ANY_NODE,
        help="Also read on a node without the cache, which is slow; without a value, on any.",
    ),
    option(
        "--node",
        group="Bench",
        metavar="NODE",
        help="The cache's node to read on; default: the first complete one.",
    ),
    option(
        "--store/--no-store",
        "store",
        group="Bench",
        default=True,
        help="Also read from the object store, with the cache's own keys.",
    ),
    option(
        "--save/--no-save",
        "save",
        group="Bench",
        default=True,
        help="Save the result as an annotation of the Dataset, for `inspect` and `pin`.",
    ),
    timeout_flag("5m", "Maximum time for each pod.", group="Bench"),
    *pod_flags("bench", group="Pod", pod="the pod that reads", target="the store"),
)


@click.command("bench", cls=VerbCommand, examples=EXAMPLES)
@click.argument("name")
@_BENCH_FLAGS
@dry_run_flag
@output_flag("json", "yaml", "markdown")
@color_flag
@connection_flags
def command(
    name: str,
    flags: BenchFlags,
    dry_run: str,
    output: str | None,
    color: str,
    connection: ConfigFlags,
) -> int:
    """Measure how fast a cache reads, and recommend how engines should load the model.

    A short-lived pod on a node of the cache reads a random sample of the model: from a memory map
    as `safetensors` does, in blocks with 1 to 16 threads, again from the page cache, and from the
    object store. The pod is unprivileged, needs no GPU, and is always removed.
    """
    from kubectl_fluidmodel.bench.options import DEFAULT_SAMPLE, BenchOptions
    from kubectl_fluidmodel.bench.run import BenchCommand
    from kubectl_fluidmodel.objects.plugin_pod import parse_network, require_image
    from kubectl_fluidmodel.objects.quantity import parse_size_flag

    if flags.full and flags.sample:
        raise UsageError(
            "--full reads everything", "it cannot be combined with --sample", "use one of them"
        )
    sample = parse_size_flag(flags.sample, "--sample") if flags.sample else DEFAULT_SAMPLE
    options = BenchOptions(
        name=name,
        image=require_image(flags.image),
        network=parse_network(
            flags.bench_proxy,
            flags.bench_no_proxy,
            flags.bench_ca,
            flags.pull_secrets,
            "--bench",
        ),
        sample_bytes=0 if flags.full else sample,
        node=flags.node or "",
        off_node=flags.off_node or "",
        store=flags.store,
        save=flags.save,
        timeout=parse_timeout(flags.timeout) or 0.0,
        dry_run=dry_run,
        output=output,
        color=color,
    ).validated()
    return BenchCommand(options, connection).run()
