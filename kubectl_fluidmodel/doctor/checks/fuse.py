"""4xx: the FUSE clients, one for each node with readers.

Fluid always reports them as ready (pkg/ctrl/fuse.go), so the runtime's status is no help.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_FUSE
from kubectl_fluidmodel.fluid import fuse, pod_problems
from kubectl_fluidmodel.inventory.cache import FUSE, Cache
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, labels_of, name_of
from kubectl_fluidmodel.output.shell import Operand

FUSE_START_TIMEOUT = 120.0
"""Seconds from a FUSE pod's creation within which it becomes ready."""
LIBFUSE_3 = "libfuse 3"


@register_check(
    "FM430",
    "a FUSE client is running wherever the cache is read",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM323", "FM827", *NO_FUSE),
)
def fuse_clients_are_running(context: CheckContext) -> Iterator[Finding]:
    """A node where the cache is read has no working FUSE client.

    The node has the FUSE label, but the client's pod does not fit, was killed, or crashes. By
    default, Fluid gives it a JVM heap of 16 GiB that is allocated at startup (-Xms16G), too much
    for most nodes that already run something. With libfuse 3, which is Fluid's default, it does not
    mount if `fuse.args` have `max_read` or `nonempty`, as in older examples.
    """
    cache = context.cache
    daemons = cache.workloads.get(FUSE)
    if daemons is None:
        return
    reading = {reader.node for reader in cache.readers}
    nodes: set[str] = set()
    for _, pod in observations.cache_pods(cache, FUSE):
        node = observations.assigned_node(pod)
        nodes.add(node)
        if pod_problems.is_ready(pod):
            continue
        cause, evidence = _not_ready_cause(context, pod)
        is_recent = context.age(pod) < FUSE_START_TIMEOUT and not cause
        yield Finding(
            object_reference(pod),
            f"the FUSE client on node {node} {cause or 'is not ready'}",
            evidence or (observations.field_evidence(pod, "status", "phase"),),
            _not_ready_fix(cache, pod, cause),
            Severity.WARNING if is_recent or node not in reading else None,
        )
    selector = get_path(daemons, "spec", "template", "spec", "nodeSelector", default={})
    key = next((key for key in selector if key.startswith("fluid.io/f-")), "")
    for name in sorted(reading - nodes - {""}):
        unserved = context.snapshot.get(kinds.NODES, name)
        if not key or unserved is None or labels_of(unserved).get(key) != "true":
            continue
        unmet = [f"{a}={b}" for a, b in selector.items() if labels_of(unserved).get(a) != b]
        mismatch = (
            f", which does not match {unmet[0]} of the runtime's fuse.nodeSelector" if unmet else ""
        )
        yield Finding(
            f"node {name}",
            f"no FUSE pod is scheduled on the node{mismatch}",
            (
                observations.label_evidence(unserved, key),
                observations.field_evidence(daemons, "status", "desiredNumberScheduled"),
            ),
            Fix(fix_commands.label_nodes([name], unmet[:1]))
            if unmet
            else observations.describe(daemons),
        )


def _not_ready_cause(context: CheckContext, pod: Object) -> tuple[str, tuple[Evidence, ...]]:
    """Why a client is not ready, "" if unknown, with the evidence."""
    message = observations.scheduling_failure(pod)
    if message:
        short = "does not fit: Insufficient memory" if "Insufficient memory" in message else ""
        condition = Evidence(object_reference(pod), "status.conditions PodScheduled", message)
        return short or "is not scheduled", (condition,)
    cause, line = observations.find_log_cause(context, pod)
    stuck = observations.stuck_container(pod)
    evidence = (*observations.as_tuple(line), *observations.as_tuple(stuck))
    runtime = context.cache.fuse_runtime
    refused = fuse.refused_mount_options(runtime) if cause == pod_problems.NOT_MOUNTED else []
    if runtime is not None and refused:
        cause = f"{LIBFUSE_3} does not mount with {' and '.join(refused)}"
        options = observations.field_evidence(runtime, "spec", "fuse", "args")
        return f"crashes: {cause}", (*evidence, options)
    if cause:
        return f"is not ready: {cause}", evidence
    return ("crashes" if stuck else ""), evidence


def _not_ready_fix(cache: Cache, pod: Object, cause: str) -> Fix:
    if LIBFUSE_3 in cause:
        return Fix(cache_commands.recreate_cache(cache.origin or cache))
    if "memory" in cause:
        return Fix(cache_commands.recreate_cache(cache))
    if "libfuse 2" in cause:
        return Fix(cache_commands.recreate_cache(cache, flags=("--no-high-concurrency",)))
    return observations.advice(pod, "logs", Operand(name_of(pod)), "--tail=50")
