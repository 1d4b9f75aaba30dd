"""`kubectl fluidmodel pin NAME GRAPH…`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cli.flags import VerbCommand, option
from kubectl_fluidmodel.cli.pin_options import PinOptions, pin_options
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.kube.config import parse_timeout
from kubectl_fluidmodel.output.console import print_note, print_warning

if TYPE_CHECKING:
    from kubectl_fluidmodel.objects.access import Object
    from kubectl_fluidmodel.objects.kinds import Kind
    from kubectl_fluidmodel.pin.cluster_reader import CountingClient
    from kubectl_fluidmodel.pin.graph_patch import GraphChange
    from kubectl_fluidmodel.pin.output import PinPrinter
    from kubectl_fluidmodel.pin.pinning import PinRequest
    from kubectl_fluidmodel.pin.preflight.context import CacheInfo

EXAMPLES = """
# Workers of graph chat onto the nodes that hold llama; follow the roll-out
kubectl fluidmodel pin llama chat --wait

# See first what would change
kubectl fluidmodel pin llama chat --dry-run=server

# Let the engines read the mount, too
kubectl fluidmodel pin llama chat --use-model-path

# A manifest in git: comments, order and other documents stay as they are
kubectl fluidmodel pin llama -f graph.yaml -n prod > pinned.yaml

# For kustomize and Helm users: the patch alone
kubectl fluidmodel pin llama -f graph.yaml -n prod -o patch
"""


@click.command("pin", cls=VerbCommand, examples=EXAMPLES)
@option(
    "--mount-path",
    group="Graph",
    metavar="DIR",
    help="Where the containers see the model.  [default: /model]",
)
@option(
    "--use-model-path",
    group="Graph",
    is_flag=True,
    help="Point the engines' --model(-path) at the mount; the served name stays.",
)
@option("--force", group="Graph", is_flag=True, help="Patch although the preflight refuses.")
@option(
    "--preferred",
    group="Placement",
    is_flag=True,
    help="Prefer the cache's nodes, not require them.",
)
@option(
    "--recreate",
    group="Placement",
    is_flag=True,
    help="Let old workers go before new ones come: for a node without GPUs to spare.",
)
@option("--wait/--no-wait", group="Output", default=False, help="Follow the roll-out to its end.")
@option(
    "--timeout",
    group="Output",
    metavar="DURATION",
    default="30m",
    show_default=True,
    help="How long to wait in all.",
)
@pin_options
def command(
    asked: PinOptions,
    mount_path: str | None,
    preferred: bool,
    use_model_path: bool,
    recreate: bool,
    force: bool,
    wait: bool,
    timeout: str,
) -> int:
    """Run a graph's workers on the nodes that hold the model, with the model mounted.

    NAME is the cache. GRAPH is the name of a DynamoGraphDeployment, or dcd/NAME for a
    DynamoComponentDeployment. Workers get the mount and a node affinity, frontends the mount,
    planners and EPPs nothing. All else stays as it is, and `unpin` takes back exactly what was
    added.
    """
    from kubectl_fluidmodel.pin.output import PinPrinter
    from kubectl_fluidmodel.pin.pinning import PinRequest

    if mount_path is not None and (not mount_path.startswith("/") or ":" in mount_path):
        raise UsageError("--mount-path", f"'{mount_path}' is not an absolute path")
    wish = PinRequest(
        model=asked.name,
        key="",
        preferred=preferred,
        mount_path=mount_path,
        use_model_path=use_model_path,
        recreate=recreate,
        components=asked.components,
    )
    filename = asked.file()
    if filename is not None:
        if wait:
            raise UsageError("-f works on the file alone", "it does not go with --wait")
        return _offline(wish, filename, asked)
    seconds = parse_timeout(timeout) or 0.0
    with PinPrinter("pinned to", asked) as printer:
        return _live(wish, asked, printer, force, wait, seconds)


def _offline(wish: PinRequest, filename: str, asked: PinOptions) -> int:
    from kubectl_fluidmodel.kube.config import context_namespace
    from kubectl_fluidmodel.pin import manifest_files
    from kubectl_fluidmodel.pin.output import print_diff_text

    result = manifest_files.pin_manifest(
        manifest_files.read_manifest(filename),
        filename,
        wish,
        asked.graphs,
        lambda: context_namespace(asked.connection),
        asked.connection.namespace,
    )
    for text in result.notes:
        print_note(text)
    for text in result.warnings:
        print_warning(text)
    if asked.show_diff:
        print_diff_text(result.diff(), asked.output is not None, asked.color)
    if asked.output is not None or not asked.show_diff:
        click.echo(result.render(asked.output or "yaml"), nl=False)
    return 0


def _live(
    wish: PinRequest,
    asked: PinOptions,
    printer: PinPrinter,
    force: bool,
    wait: bool,
    timeout: float,
) -> int:
    from kubectl_fluidmodel.dynamo.graph import request_patch
    from kubectl_fluidmodel.dynamo.operator_bugs import request_conflicts
    from kubectl_fluidmodel.dynamo.resources import REQUEST
    from kubectl_fluidmodel.output.serialize import to_yaml
    from kubectl_fluidmodel.pin import cluster_reader
    from kubectl_fluidmodel.pin.cluster_reader import CountingClient
    from kubectl_fluidmodel.pin.output import for_each_graph
    from kubectl_fluidmodel.pin.pinning import DEFAULT_MOUNT_PATH

    client = CountingClient(asked.connection)
    facts: list[CacheInfo] = []

    def one(graph: str) -> None:
        client.requests = 0
        if not facts:
            facts.append(cluster_reader.read_cache(client, wish.model, client.namespace))
        read = cluster_reader.read_graph(client, graph, client.namespace)
        subpath = cluster_reader.model_directory(facts[0].dataset)
        if read[0].name == REQUEST:
            path = wish.mount_path or DEFAULT_MOUNT_PATH
            for remark in request_conflicts(read[1], wish.model):
                print_warning(f"{REQUEST} {graph}: {remark}")
            print_note(to_yaml(request_patch(read[1], wish.model, path, subpath)).rstrip("\n"))
        full = replace(
            wish,
            key=facts[0].key,
            equal=facts[0].equal,
            dead=facts[0].dead,
            subpath=subpath,
        )
        planned, stored = _pin(client, read, full, facts[0], printer, force)
        if wait and printer.dry_run == "none":
            _wait(client, planned, stored, full, facts[0], timeout, printer)
        elif planned.result.changed and printer.dry_run == "none" and printer.output is None:
            flag = f" -n {client.namespace}" if client.namespace != "default" else ""
            print_note(
                f"to follow the roll-out: kubectl fluidmodel pin {wish.model} {graph}{flag} --wait"
            )

    return for_each_graph(asked.graphs, one)


def _pin(
    client: CountingClient,
    read: tuple[Kind, Object, str | None],
    wish: PinRequest,
    facts: CacheInfo,
    printer: PinPrinter,
    force: bool,
) -> tuple[GraphChange, Object]:
    """Judge, try and patch one graph; the plan and the object as stored."""
    from kubectl_fluidmodel.pin import graph_patch, pinning
    from kubectl_fluidmodel.pin.output import enforce_preflight, require_cache_label
    from kubectl_fluidmodel.pin.preflight import PreflightContext, run_preflight

    def change(obj: Object, schema: str | None) -> pinning.PinResult:
        return pinning.pin_graph(obj, wish, schema)

    kind, obj, schema = read
    require_cache_label(facts)
    planned = graph_patch.GraphChange(kind, obj, schema, change(obj, schema))
    planned.findings = run_preflight(PreflightContext(facts, obj, planned.result, wish, schema))
    enforce_preflight(planned, force, printer)
    if not planned.result.changed:
        printer.print_unchanged(planned, planned.result.why_unchanged())
        return planned, obj
    if printer.dry_run == "client":
        printer.print_changed(planned, planned.result.object)
        return planned, planned.result.object
    planned, stored = graph_patch.dry_run_on_server(client, planned, wish.model, change)
    if printer.dry_run == "none":
        printer.print_diff(planned, stored)
        stored = graph_patch.apply_change(client, planned, change)
    printer.print_changed(planned, stored)
    return planned, stored


def _wait(
    client: CountingClient,
    planned: GraphChange,
    stored: Object,
    wish: PinRequest,
    facts: CacheInfo,
    timeout: float,
    printer: PinPrinter,
) -> None:
    from kubectl_fluidmodel.doctor import lasting
    from kubectl_fluidmodel.dynamo import rollout
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.objects.access import name_of
    from kubectl_fluidmodel.pin import wait

    judge = lasting.FailureMonitor(
        Client(access=client.access),
        planned.namespace,
        wish.model,
        lasting.GRAPH_FAILURES,
        interval=6.0,
    )

    def check_hope() -> None:
        problem = judge.poll()
        if problem is not None:
            raise lasting.failure_error(
                f"{planned.reference} cannot become ready",
                problem,
                f"kubectl fluidmodel doctor {wish.model} -n {planned.namespace}",
            )

    modes = {part.component: part.mode for part in planned.result.changes}
    components = [(c, modes[c.name]) for c in planned.result.graph.components if c.name in modes]
    progress = wait.wait_for_rollout(
        client,
        planned.kind,
        stored,
        rollout.expected_pods(components),
        schema=planned.schema,
        claim=wish.model,
        key=wish.key,
        cache_nodes={name_of(node) for node in facts.nodes or []},
        timeout=timeout,
        log=print_note,
        raise_if_hopeless=check_hope,
    )
    printer.print_rollout(planned, progress)
    wait.raise_if_failed(progress, planned.reference, planned.namespace)
