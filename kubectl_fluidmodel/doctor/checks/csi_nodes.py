"""4xx: Fluid's CSI plugin on the nodes where pods read a cache."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import (
    Case,
    Evidence,
    Finding,
    Fix,
    Need,
    Severity,
    Skip,
    check,
    reference,
    unread,
)
from kubectl_fluidmodel.doctor.checks.volume_mounts import failing, reader_nodes
from kubectl_fluidmodel.doctor.consequences import NO_DRIVER, NO_FUSE, NO_PLUGIN
from kubectl_fluidmodel.fluid import installation, names, pod_problems
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, labels_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.taints import untolerated
from kubectl_fluidmodel.output.shell import Operand, command

PLUGIN = installation.NODE_PLUGIN


@check(
    "FM420",
    "the readers' nodes have Fluid's CSI driver",
    needs=(kinds.PODS,),
    explains=("FM430", *NO_FUSE),
)
def registered(case: Case) -> Iterator[Finding]:
    """A pod mounts the cache through the driver fuse.csi.fluid.io of its node. A node is without
    it when the plugin's pod does not run there (taints, a crash), or when it registers in another
    directory than the kubelet's own (`csi.kubelet.rootDir` of Fluid's chart: k0s, microk8s and some
    managed clusters have another). What the kubelet says of a mount goes before the CSINode, which
    may still list what was registered once.
    """
    missing, told = case.snapshot.why_missing(kinds.CSI_NODES), False
    for node, reads in reader_nodes(case).items():
        listed = case.snapshot.find(kinds.CSI_NODES, node)
        said = next(iter(failing(case, "driver", node)), None)
        drivers = [str(each.get("name")) for each in dicts(listed, "spec", "drivers")]
        if said is None and (listed is None or names.CSI_DRIVER in drivers):
            continue
        registered_ = observations.field(
            listed or {}, "spec", "drivers", text=", ".join(drivers) or "none"
        )
        yield Finding(
            f"node {node}",
            (
                "its kubelet does not know"
                if names.CSI_DRIVER in drivers
                else "the node does not have"
            )
            + f" the driver {names.CSI_DRIVER}, so nothing there can mount it",
            (*([registered_] if listed else []), *([said[1]] if said else [])),
            Fix(
                command(
                    *("kubectl", "delete", "pod", "-n", names.SYSTEM_NAMESPACE),
                    *("-l", f"app={PLUGIN}", "--field-selector", f"spec.nodeName={node}"),
                )
            ),
            None if reads else Severity.WARNING,
        )
        told = True
    if missing is not None and not told:  # what a kubelet says can be judged all the same
        raise Skip(unread(missing), unread=True)


@check(
    "FM421",
    "the CSI plugin runs on the readers' nodes",
    needs=(kinds.PODS, Need(kinds.PODS)),
    explains=NO_DRIVER,
)
def plugin(case: Case) -> Iterator[Finding]:
    """The DaemonSet csi-nodeplugin-fluid has to have a ready pod on every node where something
    reads a cache. It has none where it does not tolerate the node's taints, or its node selector
    leaves the node out (`csi.tolerations` and `csi.nodeSelector` of Fluid's chart).
    """
    if not _plugins(case) and not case.snapshot.find(
        kinds.DAEMON_SETS, PLUGIN, names.SYSTEM_NAMESPACE
    ):
        return  # Fluid is installed otherwise, or not: that is another check's
    for node, reads in reader_nodes(case).items():
        pod = _plugins(case).get(node)
        if pod is not None and pod_problems.ready(pod):
            continue
        less = None if reads else Severity.WARNING
        if pod is not None:
            stuck = next(
                iter(observations.waits(pod, {"CrashLoopBackOff", "ImagePullBackOff"})), None
            )
            said = observations.told(case, pod, "")
            yield Finding(
                reference(pod),
                f"the CSI plugin on node {node} is not ready",
                ((stuck[1],) if stuck else observations.some(said))
                or (observations.field(pod, "status", "phase"),),
                observations.look(pod, "describe", "pod", Operand(name_of(pod))),
                less,
            )
            continue
        taint = _kept_off(case, node)
        yield Finding(
            f"node {node}",
            f"no pod of {PLUGIN} runs on the node{taint}",
            (observations.field(_node(case, node), "spec", "taints"),),
            Fix(installation.upgrade("--set", "csi.tolerations[0].operator=Exists"), "advice")
            if taint
            else observations.look_at_fluid("get", "daemonset", PLUGIN, "-o", "yaml"),
            less,
        )


def _plugins(case: Case) -> dict[str, Object]:
    """Node to the pod of the CSI plugin there."""

    def index() -> dict[str, Object]:
        return {
            str(at(pod, "spec", "nodeName", default="")): pod
            for pod in case.snapshot.all(kinds.PODS)
            if labels_of(pod).get("app") == PLUGIN and not is_terminating(pod)
        }

    return case.once("csi-plugins", index)


def _node(case: Case, name: str) -> Object:
    return case.snapshot.find(kinds.NODES, name) or {"kind": "Node", "metadata": {"name": name}}


def _kept_off(case: Case, node: str) -> str:
    daemons = case.snapshot.find(kinds.DAEMON_SETS, PLUGIN, names.SYSTEM_NAMESPACE)
    template = at(daemons, "spec", "template", "spec", default={})
    found = untolerated(template, _node(case, node))
    return f", whose taint {found[0]} it does not tolerate" if found else ""


@check(
    "FM423",
    "the CSI plugin reaches the API server",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=NO_PLUGIN,
)
def reaches(case: Case) -> Iterator[Finding]:
    """To mount a cache, the plugin labels its node, by the address that the kubelet's configuration
    has. Where only the node's own DNS knows that name, the plugin in its pod network does not find
    it: it has to run in the node's network.
    """
    for reader, said in failing(case, "node"):
        yield Finding(
            reference(reader.pod),
            f"the CSI plugin on node {reader.node} does not reach the API server",
            (said,),
            Fix(installation.upgrade("--set", "csi.config.hostNetwork=true"), "advice"),
        )


@check(
    "FM424",
    "the CSI plugin answers the kubelet",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445"),
)
def answers(case: Case) -> Iterator[Finding]:
    """The kubelet calls the plugin by a socket on its node, and nobody answers: the plugin's pod
    crashed, is starting, or has its socket in another directory than the kubelet's own.
    """
    for reader, said in failing(case, "plugin"):
        yield Finding(
            reference(reader.pod),
            f"the CSI plugin on node {reader.node} does not answer",
            (said,),
            _log_of(case, reader.node, "--previous"),
        )


@check(
    "FM434",
    "Fluid's mount command works",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445"),
)
def mounts(case: Case) -> Iterator[Finding]:
    """To mount a cache the CSI plugin runs a command on the node, of which the kubelet is told the
    exit status only. What went wrong stands in the log of the plugin on that node.
    """
    for reader, said in failing(case, "command"):
        status = _EXIT.search(said.text)
        yield Finding(
            reference(reader.pod),
            f"the mount on node {reader.node} ended with {status[0] if status else 'a failure'}: "
            "the log of the CSI plugin there says why",
            (said, *_logged(case, reader.node)),
            _log_of(case, reader.node),
        )


_EXIT = re.compile(r"exit status \d+")
_CONTAINER = "plugins"
"""The plugin's container in csi-nodeplugin-fluid; the other one registers it."""


def _log_of(case: Case, node: str, *flags: str) -> Fix:
    """How to read the log of the plugin on a node."""
    pod = _plugins(case).get(node)
    if pod is not None:
        named = ("logs", Operand(name_of(pod)), "-c", _CONTAINER, "--tail=50")
        return observations.look_at_fluid(*named, *flags)
    words = ("get", "pods", "-l", f"app={PLUGIN}", "-o", "wide")
    return observations.look_at_fluid(*words, "--field-selector", f"spec.nodeName={node}")


def _logged(case: Case, node: str) -> tuple[Evidence, ...]:
    """The last line of the plugin's log on a node that tells of a failure, where it was read."""
    pod = _plugins(case).get(node)
    if pod is None:
        return ()
    for line in reversed(case.log(pod, _CONTAINER).splitlines()):
        if re.search(r"(?i)error|fail|exit status", line):
            return (Evidence(reference(pod), f"log of {_CONTAINER}", " ".join(line.split())),)
    return ()
