"""The workflows of `pin` and `unpin` in a cluster.

For each graph: read it, plan the change, preflight, dry run on the server, patch, wait.
`pin_graphs` and `unpin_graphs` differ in what they read, plan and check; `_change_graph` has the
common steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

from kubectl_fluidmodel.dynamo.resources import REQUEST
from kubectl_fluidmodel.fluid.fuse import limits_parallel_reads, uses_jnr_fuse
from kubectl_fluidmodel.inventory.read_rates import best_reads
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.output.console import print_note, print_warning
from kubectl_fluidmodel.output.serialize import to_yaml
from kubectl_fluidmodel.pin import preflight
from kubectl_fluidmodel.pin.cluster_reader import CountingClient, read_autoscalers, read_cache
from kubectl_fluidmodel.pin.graph_patch import (
    GraphChange,
    apply_change,
    dry_run_on_server,
)
from kubectl_fluidmodel.pin.graph_reader import read_graph
from kubectl_fluidmodel.pin.options import PinOptions
from kubectl_fluidmodel.pin.output import PinPrinter, for_each_graph
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import unpin_graph
from kubectl_fluidmodel.pin.preflight.context import CacheInfo, PreflightContext
from kubectl_fluidmodel.pin.replacement import pin_or_replace
from kubectl_fluidmodel.pin.request_advice import request_advice
from kubectl_fluidmodel.pin.wait import RolloutTarget, raise_if_failed, wait_for_rollout

RaiseIfHopeless = Callable[[], None]
"""Raises an error if waiting cannot help."""
Watchdog = Callable[[Client, str, str, str], RaiseIfHopeless]
"""Creates it for a client, a namespace, a cache and a graph (`dgd/NAME`)."""


def pin_graphs(request: PinRequest, options: PinOptions, watchdog: Watchdog) -> None:
    """Pin graphs of the cluster.

    Raises:
        FluidModelError: the first failure; the other graphs are still pinned.
    """
    client = CountingClient.connect(options.connection)
    needs_runtime = bool(options.loader)
    cache = functools.cache(
        lambda: read_cache(client, options.cache, client.namespace, needs_runtime)
    )
    with PinPrinter("pinned to", options) as printer:

        def pin_one(reference: str) -> None:
            client.requests = 0
            info = cache()
            served = read_graph(client, reference, client.namespace)
            full = _complete_request(request, info)
            if served.kind.name == REQUEST:
                _print_request_patch(served.object, reference, full)
            preflight.require_cache_label(info)
            change = GraphChange.of(
                served, lambda obj, schema: pin_or_replace(obj, full, schema), options.cache
            )
            autoscalers, unread = read_autoscalers(client, change.result.graph)
            context = PreflightContext(info, change.before, change.result, full, autoscalers)
            findings = preflight.run_preflight(context)
            if unread:
                print_note(f"note: how many replicas autoscalers may ask for is unknown: {unread}")
            change, stored = _change_graph(client, options, printer, change, findings)
            if options.dry_run == "none":
                _follow(client, options, printer, change, stored, info, watchdog)

        for_each_graph(options.graphs, pin_one)


def unpin_graphs(options: PinOptions) -> None:
    """Unpin graphs of the cluster.

    Raises:
        FluidModelError: the first failure; the other graphs are still unpinned.
    """
    client = CountingClient.connect(options.connection)
    with PinPrinter("unpinned from", options) as printer:

        def unpin_one(reference: str) -> None:
            client.requests = 0
            served = read_graph(client, reference, client.namespace)
            change = GraphChange.of(
                served,
                lambda obj, schema: unpin_graph(obj, options.cache, options.components, schema),
            )
            findings = preflight.unpin_findings(change.before, change.result)
            _change_graph(client, options, printer, change, findings)

        for_each_graph(options.graphs, unpin_one)


def _change_graph(
    client: CountingClient,
    options: PinOptions,
    printer: PinPrinter,
    change: GraphChange,
    findings: list[preflight.PreflightFinding],
) -> tuple[GraphChange, Object]:
    """Check, dry-run and patch one graph, as the options require.

    Returns:
        The applied change, and the object as stored.
    """
    printer.enforce(change, findings, force=options.force)
    if not change.result.changed:
        printer.print_unchanged(change)
        return change, change.before
    if options.dry_run == "client":
        printer.print_changed(change, change.result.object)
        return change, change.result.object
    change, stored = dry_run_on_server(client, change)
    if options.dry_run == "none":
        printer.print_diff(change, stored)
        stored = apply_change(client, change)
    printer.print_changed(change, stored)
    return change, stored


def _follow(
    client: CountingClient,
    options: PinOptions,
    printer: PinPrinter,
    change: GraphChange,
    stored: Object,
    info: CacheInfo,
    watchdog: Watchdog,
) -> None:
    """Wait for the roll-out, or print the command for it."""
    if not options.wait:
        if change.result.changed and options.output is None and not options.adopt:
            printer.print_wait_hint(change)
        return
    status = wait_for_rollout(
        client,
        RolloutTarget.of(change, stored, info),
        timeout=options.timeout,
        log=print_note,
        raise_if_hopeless=watchdog(client, change.namespace, options.cache, change.reference),
    )
    printer.print_rollout(change, status)
    raise_if_failed(status, change.reference, change.namespace)


def _complete_request(request: PinRequest, info: CacheInfo) -> PinRequest:
    """Complete a request with data about the cache that only the cluster has."""
    return replace(
        request,
        label=info.label,
        equal_labels=info.equal_labels,
        dead_labels=info.dead_labels,
        subpath=info.subpath,
        model_bytes=info.model_bytes,
        node_gpus=info.node_gpus,
        limits_reads=limits_parallel_reads(info.runtime),
        has_page_cache=not uses_jnr_fuse(info.runtime),
        best_reads=best_reads(info.dataset),
    )


def _print_request_patch(obj: Object, reference: str, request: PinRequest) -> None:
    """Print what to add to a DynamoGraphDeploymentRequest, which is not patched."""
    patch, conflicts = request_advice(obj, request)
    for conflict in conflicts:
        print_warning(f"{REQUEST} {reference}: {conflict}")
    print_note(to_yaml(patch).rstrip("\n"))
