"""4xx: Fluid's CSI plugin on the nodes where pods read a cache."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Finding,
    Fix,
    RequiredKind,
    Severity,
    object_reference,
    read_failure_reason,
    register_check,
)
from kubectl_fluidmodel.doctor.checks.volume_mounts import reader_nodes, readers_with_failure
from kubectl_fluidmodel.doctor.consequences import NO_DRIVER, NO_FUSE, NO_PLUGIN
from kubectl_fluidmodel.fluid import installation, names, pod_problems
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, labels_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.taints import untolerated
from kubectl_fluidmodel.output.shell import Operand, command

CSI_PLUGIN, CSI_CONTAINER = installation.NODE_PLUGIN, installation.NODE_PLUGIN_CONTAINER


@register_check(
    "FM420",
    "the readers' nodes have Fluid's CSI driver",
    needs=(kinds.PODS,),
    explains=("FM430", *NO_FUSE),
)
def csi_driver_is_registered(context: CheckContext) -> Iterator[Finding]:
    """A node where the cache is read has not registered Fluid's CSI driver.

    Pods mount the cache through the driver fuse.csi.fluid.io of their node. It is missing if the
    plugin's pod does not run there (taints, a crash), or if the plugin registers in another
    directory than the kubelet's (`csi.kubelet.rootDir` of Fluid's chart; k0s, microk8s and some
    managed clusters use another one). The kubelet's mount error takes precedence over the CSINode
    object, which may list a driver that is no longer there.
    """
    missing, reported = context.snapshot.read_failure(kinds.CSI_NODES), False
    for node, reads in reader_nodes(context).items():
        csi_node = context.snapshot.get(kinds.CSI_NODES, node)
        warning = next(readers_with_failure(context, "driver", node), None)
        drivers = [str(driver.get("name")) for driver in get_list(csi_node, "spec", "drivers")]
        if warning is None and (csi_node is None or names.CSI_DRIVER in drivers):
            continue
        registered = observations.field_evidence(
            csi_node or {}, "spec", "drivers", text=", ".join(drivers) or "none"
        )
        yield Finding(
            f"node {node}",
            (
                "its kubelet does not know"
                if names.CSI_DRIVER in drivers
                else "the node does not have"
            )
            + f" the driver {names.CSI_DRIVER}, so no pod there can mount the cache",
            (*([registered] if csi_node else []), *([warning[1]] if warning else [])),
            Fix(
                command(
                    *("kubectl", "delete", "pod", "-n", names.SYSTEM_NAMESPACE),
                    *("-l", f"app={CSI_PLUGIN}", "--field-selector", f"spec.nodeName={node}"),
                )
            ),
            None if reads else Severity.WARNING,
        )
        reported = True
    if missing is not None and not reported:  # kubelet errors count even if CSINodes are unreadable
        raise CheckSkippedError(read_failure_reason(missing), read_failed=True)


@register_check(
    "FM421",
    "the CSI plugin is running on the readers' nodes",
    needs=(kinds.PODS, RequiredKind(kinds.PODS)),
    explains=NO_DRIVER,
)
def csi_plugin_is_running(context: CheckContext) -> Iterator[Finding]:
    """The CSI plugin is not running on a node where the cache is read.

    The DaemonSet csi-nodeplugin-fluid needs a ready pod on each of these nodes. It has none if it
    does not tolerate the node's taints or if its node selector excludes the node (`csi.tolerations`
    and `csi.nodeSelector` of Fluid's chart).
    """
    if not _csi_pods_by_node(context) and not context.snapshot.get(
        kinds.DAEMON_SETS, CSI_PLUGIN, names.SYSTEM_NAMESPACE
    ):
        return  # not installed, or in another way; other checks report that
    for node, reads in reader_nodes(context).items():
        pod = _csi_pods_by_node(context).get(node)
        if pod is not None and pod_problems.is_ready(pod):
            continue
        severity = None if reads else Severity.WARNING
        if pod is not None:
            reasons = ("CrashLoopBackOff", "ImagePullBackOff")
            warning = observations.stuck_container(pod, reasons) or observations.warning_event(
                context, pod, ""
            )
            yield Finding(
                object_reference(pod),
                f"the CSI plugin on node {node} is not ready",
                (warning or observations.field_evidence(pod, "status", "phase"),),
                observations.describe(pod),
                severity,
            )
            continue
        taint = _taint_hint(context, node)
        yield Finding(
            f"node {node}",
            f"no pod of {CSI_PLUGIN} runs on the node{taint}",
            (observations.field_evidence(_node_or_stub(context, node), "spec", "taints"),),
            Fix(
                installation.upgrade_command("--set", "csi.tolerations[0].operator=Exists"),
                "advice",
            )
            if taint
            else observations.fluid_advice("get", "daemonset", CSI_PLUGIN, "-o", "yaml"),
            severity,
        )


def _csi_pods_by_node(context: CheckContext) -> dict[str, Object]:
    """The CSI plugin's pod on each node, by node name."""

    def index() -> dict[str, Object]:
        return {
            str(get_path(pod, "spec", "nodeName", default="")): pod
            for pod in context.snapshot.of_kind(kinds.PODS)
            if labels_of(pod).get("app") == CSI_PLUGIN and not is_terminating(pod)
        }

    return context.cached("csi-plugins", index)


def _node_or_stub(context: CheckContext, name: str) -> Object:
    return context.snapshot.get(kinds.NODES, name) or {"kind": "Node", "metadata": {"name": name}}


def _taint_hint(context: CheckContext, node: str) -> str:
    daemons = context.snapshot.get(kinds.DAEMON_SETS, CSI_PLUGIN, names.SYSTEM_NAMESPACE)
    template = get_path(daemons, "spec", "template", "spec", default={})
    taints = untolerated(template, _node_or_stub(context, node))
    return f", whose taint {taints[0]} it does not tolerate" if taints else ""


@register_check(
    "FM423",
    "the CSI plugin can reach the API server",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=NO_PLUGIN,
)
def csi_plugin_reaches_api_server(context: CheckContext) -> Iterator[Finding]:
    """The CSI plugin on a reader's node cannot reach the API server.

    To mount a cache, the plugin labels its node. It uses the address from the kubelet's
    configuration. If only the node's own DNS can resolve that name, a plugin in the pod network
    cannot: it has to use the host network.
    """
    for reader, warning in readers_with_failure(context, "node"):
        yield Finding(
            object_reference(reader.pod),
            f"the CSI plugin on node {reader.node} cannot reach the API server",
            (warning,),
            Fix(installation.upgrade_command("--set", "csi.config.hostNetwork=true"), "advice"),
        )


@register_check(
    "FM424",
    "the CSI plugin responds to the kubelet",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445"),
)
def csi_plugin_responds(context: CheckContext) -> Iterator[Finding]:
    """The kubelet gets no response from the CSI plugin.

    The kubelet calls the plugin through a socket on the node. The plugin's pod has crashed, is
    still starting, or has its socket in another directory than the kubelet expects.
    """
    for reader, warning in readers_with_failure(context, "plugin"):
        yield Finding(
            object_reference(reader.pod),
            f"the CSI plugin on node {reader.node} does not respond",
            (warning,),
            _csi_log_fix(context, reader.node, "--previous"),
        )


@register_check(
    "FM434",
    "Fluid's mount command works",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445"),
)
def mount_command_succeeds(context: CheckContext) -> Iterator[Finding]:
    """The mount command of the CSI plugin fails.

    The plugin runs a command on the node to mount a cache, and the kubelet learns only its exit
    status. The reason is in the log of the plugin on that node.
    """
    for reader, warning in readers_with_failure(context, "command"):
        status = _EXIT_STATUS.search(warning.text)
        yield Finding(
            object_reference(reader.pod),
            f"the mount command on node {reader.node} failed"
            f"{f' with {status[0]}' if status else ''}: see the log of the CSI plugin there",
            (warning, *_csi_log_evidence(context, reader.node)),
            _csi_log_fix(context, reader.node),
        )


_EXIT_STATUS = re.compile(r"exit status \d+")


def _csi_log_fix(context: CheckContext, node: str, *flags: str) -> Fix:
    """Advice on how to read the plugin's log on a node."""
    pod = _csi_pods_by_node(context).get(node)
    if pod is not None:
        arguments = ("logs", Operand(name_of(pod)), "-c", CSI_CONTAINER, "--tail=50")
        return observations.fluid_advice(*arguments, *flags)
    message = ("get", "pods", "-l", f"app={CSI_PLUGIN}", "-o", "wide")
    return observations.fluid_advice(*message, "--field-selector", f"spec.nodeName={node}")


def _csi_log_evidence(context: CheckContext, node: str) -> tuple[Evidence, ...]:
    """The last error in the plugin's log on a node, if the log was read."""
    pod = _csi_pods_by_node(context).get(node)
    if pod is None:
        return ()
    pattern = r"(?i)error|fail|exit status"
    return observations.as_tuple(
        observations.last_matching_line(context, pod, CSI_CONTAINER, pattern)
    )
