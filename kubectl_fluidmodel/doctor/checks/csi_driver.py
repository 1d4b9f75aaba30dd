"""1xx: Fluid's CSI driver and its plugin on the nodes."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Finding,
    Fix,
    RequiredKind,
    Scope,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_DRIVER
from kubectl_fluidmodel.fluid import installation, names, pod_problems
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_int, name_of, namespace_of

SYSTEM = names.SYSTEM_NAMESPACE


@register_check(
    "FM108",
    "Fluid's CSI driver is registered with the cluster",
    scope=Scope.CLUSTER,
    needs=(kinds.CSI_DRIVERS,),
)
def csi_driver_object_exists(context: CheckContext) -> Iterator[Finding]:
    """The CSIDriver object of Fluid is missing.

    It tells kubelets to mount Fluid's volumes without attaching them first. Without it, every pod
    with such a volume waits for an attachment that never happens.
    """
    observations.require_fluid(context)
    if context.snapshot.get(kinds.CSI_DRIVERS, names.CSI_DRIVER) is None:
        yield Finding(
            f"csidriver {names.CSI_DRIVER}",
            "the cluster has no CSIDriver of Fluid, so kubelets wait to attach its volumes and "
            "never mount them",
            (Evidence("csidrivers", "metadata.name", "not there"),),
            Fix(
                fix_commands.apply_manifest(
                    {
                        "apiVersion": kinds.CSI_DRIVERS.api_version,
                        "kind": kinds.CSI_DRIVERS.name,
                        "metadata": {"name": names.CSI_DRIVER},
                        "spec": {"attachRequired": False, "podInfoOnMount": True},
                    }
                )
            ),
        )


@register_check(
    "FM109",
    "Fluid's CSI plugin is ready on its nodes",
    scope=Scope.CLUSTER,
    needs=(RequiredKind(kinds.DAEMON_SETS),),
    explains=("FM421", *NO_DRIVER),
)
def csi_plugin_is_ready(context: CheckContext) -> Iterator[Finding]:
    """Fluid's CSI plugin is not ready on some nodes.

    The plugin mounts caches into pods. Where it is not ready, no pod that reads a cache can start.
    This is an error if such a pod is on the node, otherwise a warning.
    """
    observations.require_fluid(context)
    daemons = context.snapshot.get(kinds.DAEMON_SETS, installation.NODE_PLUGIN, SYSTEM)
    reference = f"daemonset {SYSTEM}/{installation.NODE_PLUGIN}"
    if daemons is None:
        if not context.snapshot.get(kinds.DEPLOYMENTS, installation.DATASET_CONTROLLER, SYSTEM):
            raise CheckSkippedError(f"Fluid's controllers are not in namespace {SYSTEM}")
        yield Finding(
            reference,
            "Fluid was installed without its CSI plugin: nothing mounts a cache into a pod",
            (Evidence(reference, "metadata.name", "not there"),),
            Fix(installation.upgrade_command("--set", "csi.enabled=true"), "advice"),
        )
        return
    desired = get_int(daemons, "status", "desiredNumberScheduled")
    if desired == 0:
        yield Finding(
            reference,
            "Fluid's CSI plugin runs on no node: nothing mounts a cache into a pod",
            (Evidence(reference, "status.desiredNumberScheduled", "0"),),
            observations.fluid_advice("get", "daemonset", name_of(daemons), "-o", "yaml"),
        )
        return
    ready = get_int(daemons, "status", "numberReady")
    if ready >= desired:
        return
    down = _unready_plugin_pods(context)
    readers = {reader.node for cache in context.caches for reader in cache.readers}
    affected = sorted(readers & set(down))
    nodes = f" ({', '.join(sorted(down)[:5])})" if down else ""
    yield Finding(
        reference,
        f"Fluid's CSI plugin is ready on {ready} of {desired} nodes{nodes}"
        + (f"; pods that read a cache are on {', '.join(affected)}" if affected else ""),
        (
            observations.field_evidence(daemons, "status", "numberReady"),
            observations.field_evidence(daemons, "status", "desiredNumberScheduled"),
            *(Evidence(object_reference(pod), "spec.nodeName", node) for node, pod in down.items()),
        ),
        observations.fluid_advice(
            "get", "pods", "-l", f"app={installation.NODE_PLUGIN}", "-o", "wide"
        ),
        Severity.ERROR if affected or ready == 0 else Severity.WARNING,
    )


def _unready_plugin_pods(context: CheckContext) -> dict[str, Object]:
    """The CSI plugin's pods that are not ready, by node name."""
    pods = {}
    for pod in context.snapshot.of_kind(kinds.PODS):
        is_plugin = namespace_of(pod) == SYSTEM and name_of(pod).startswith(
            installation.NODE_PLUGIN
        )
        if is_plugin and not pod_problems.is_ready(pod):
            pods[observations.assigned_node(pod)] = pod
    return pods
