"""4xx: pods that shall read a cache, and what keeps them from mounting it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.fluid import installation, names, pod_problems
from kubectl_fluidmodel.inventory.cache import Reader
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import annotations_of, at, dicts, labels_of, number
from kubectl_fluidmodel.output.shell import Operand

INJECT = "fuse.serverful.fluid.io/inject"
IN_USE = "fluid.io/datasets-in-use"
STARTING = 60.0
"""Seconds that a mount may take: the FUSE client is started by it."""

SAYS: dict[str, str] = {
    "driver": r"driver name fuse\.csi\.fluid\.io not found in the list of registered CSI drivers",
    "node": r"NodeStageVolume: can't get node",
    "plugin": r"csi\.sock|all SubConns are in TransientFailure|code = Unavailable",
    "timeout": r"timeout waiting for FUSE mount point|fuse pod on node \S+ is not ready",
    "endpoint": r"[Tt]ransport endpoint is not connected",
    "subpath": r'subPath "?(?P<path>[^"\s]*)"? not exists under FUSE mount',
    "command": r"code = InvalidArgument desc = exit status \d+",
}
"""What the events of a mount that fails say, by Fluid's CSI plugin and the kubelet. The one on time
read `fuse pod on node X is not ready` up to Fluid 0.8."""
_VOLUME = re.compile(r'for volume "([^"]+)"')
_REASONS = ("FailedMount", "FailedAttachVolume", "Failed", "FailedPrepareDynamicResources")
_MOUNTING = (
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedMountOnFilesystemMismatch",
    "AlreadyMountedVolume",
)
"""What the kubelet and the attach controller call a volume that does not come
(pkg/kubelet/events/event.go of Kubernetes 1.36)."""
_UNMADE = ("CreateContainerError", "CreateContainerConfigError", "RunContainerError")


def reader_nodes(case: Case) -> dict[str, bool]:
    """Nodes where the cache is or will be read, and whether a pod reads it there already.

    Pods that are pinned go where the cache is.
    """
    cache = case.own
    found = dict.fromkeys(cache.node_names, False)
    return found | {reader.node: True for reader in cache.readers if reader.node}


def failing(case: Case, what: str, node: str = "") -> Iterator[tuple[Reader, Evidence]]:
    """Readers that do not start, with the event that says so in one of the ways of SAYS."""
    for reader, said in _failures(case):
        if re.search(SAYS[what], said.text) and node in ("", reader.node):
            yield reader, said


def _failures(case: Case) -> list[tuple[Reader, Evidence]]:
    """The newest event of each kind about the cache's mount, of readers that are not ready."""
    found = []
    volume = names.volume_name(case.own.namespace, case.own.name)
    for reader in case.own.readers:
        if pod_problems.ready(reader.pod):
            continue
        events = [
            event
            for event in case.snapshot.events(reader.pod)
            if all(
                each == volume
                for each in _VOLUME.findall(str(event.get("message")))
                if len(case.caches) > 1
            )
        ]
        stuck = [seen for _, seen in observations.waits(reader.pod, _UNMADE)]
        for pattern in SAYS.values():
            said = observations.newest(events, pattern, *_REASONS) or next(
                (seen for seen in stuck if re.search(pattern, seen.text)), None
            )
            found += [(reader, said)] if said else []
        rest = [
            event
            for event in events
            if not any(re.search(p, str(event.get("message"))) for p in SAYS.values())
        ]
        said = observations.newest(rest, "", *_MOUNTING)
        found += [(reader, said)] if said else []
    return found


@check(
    "FM431",
    "the FUSE mounts come up in time",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445"),
)
def in_time(case: Case) -> Iterator[Finding]:
    """The CSI plugin waits half a minute for the FUSE client to mount Alluxio on the node, and the
    kubelet tries again. It does not come when no FUSE pod runs on the node, when its JVM does not
    start, or when it does not reach the master.
    """
    cache = case.own
    for reader, said in failing(case, "timeout"):
        words = ["logs", f"-lrelease={cache.name},role=alluxio-fuse", "--tail=50"]
        yield Finding(
            reference(reader.pod),
            f"the FUSE client on node {reader.node} did not mount the cache in time",
            (said,),
            observations.look(cache, *words),
        )


@check(
    "FM432",
    "the readers' mounts are alive",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445"),
)
def alive(case: Case) -> Iterator[Finding]:
    """The FUSE client behind a mount has ended ("Transport endpoint is not connected"). It comes
    back, and the pods that had mounted it still have the dead mount: every read fails. Restart
    them, or let Fluid mend such mounts itself (FuseRecovery, off by default, and a mount with
    HostToContainer propagation).
    """
    cache = case.own
    pattern = SAYS["endpoint"]
    seen: list[tuple[Reader, Evidence]] = list(failing(case, "endpoint"))
    have = {reader.name for reader, _ in seen}
    for reader in cache.readers:
        if reader.name in have:
            continue
        for container, _ in reader.mounts:
            for line in reversed(case.log(reader.pod, container).splitlines()):
                if re.search(pattern, line):
                    words = " ".join(line.split())
                    place = f"log of {container}"
                    seen.append((reader, Evidence(reference(reader.pod), place, words)))
                    break
    for reader, said in seen:
        yield Finding(
            reference(reader.pod),
            f"the FUSE client on node {reader.node} ended behind the mount of this pod",
            (said,),
            Fix(fix_commands.delete(reader.pod)),
        )
    dataset = cache.dataset
    lost = observations.told(case, dataset, "", "FuseRecoverFailed") if dataset else None
    if lost and dataset and not seen:
        yield Finding(
            reference(dataset),
            "Fluid could not mend a mount whose FUSE client had ended",
            (lost,),
            Fix(fix_commands.delete_pods(cache, (r.name for r in cache.readers))),
            Severity.WARNING,
        )


@check(
    "FM433",
    "the sub-path that is mounted exists",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445"),
)
def sub_path(case: Case) -> Iterator[Finding]:
    """The claim or volume asks for a directory of the cache (`fluid_sub_path`) that the store does
    not have. With `path: /` in the Dataset's mount, the model's files lie at the root, and no
    sub-path is needed.
    """
    for reader, said in failing(case, "subpath"):
        match = re.search(SAYS["subpath"], said.text)
        path = match["path"] if match else ""
        yield Finding(
            reference(reader.pod),
            f"the cache has no directory {path}",
            (said,),
            Fix(f"mount a directory that the store has instead of {path}, or none", "advice"),
        )


@check("FM440", "pods that read the cache are admitted", needs=(kinds.EVENTS,))
def admitted(case: Case) -> Iterator[Finding]:
    """Fluid's webhook looks at every new pod with the label fuse.serverful.fluid.io/inject, and the
    API server refuses the pod when the webhook does not answer, when its claim is missing or when
    the Dataset is not Bound. There is no pod to look at then: the refusal is an event of what
    wanted to make it.
    """
    cache = case.own
    for event in observations.refusals(case):
        message = str(event.get("message") or "")
        namespace = str(at(event, "involvedObject", "namespace", default=""))
        if namespace != cache.namespace:
            continue
        missing = re.search(r"(?:runtime infos from PVCs|following PVCs) \[([^\]]*)\]", message)
        webhook = re.search(r'failed calling webhook "(\S*\.fluid\.io)"', message)
        if missing and cache.name not in missing[1].split():
            continue
        if not missing and not (webhook and _may_read(case, event)):
            continue
        about = at(event, "involvedObject", default={})
        who = f"{str(about.get('kind', '')).lower()} {namespace}/{about.get('name')}"
        seen = observations.newest([event], "")
        cause = (
            f"Fluid's webhook refuses its pods: claim {cache.name} is missing or not Bound"
            if missing
            else f"Fluid's webhook {webhook[1] if webhook else ''} does not answer"
        )
        fix = (
            observations.look(
                cache, "wait", Operand(f"dataset/{cache.name}"), "--for=condition=Ready"
            )
            if missing
            else observations.look_at_fluid("get", "deployment", installation.WEBHOOK_SERVER)
        )
        yield Finding(who, cause, observations.some(seen), fix)


def _may_read(case: Case, event: dict[str, object]) -> bool:
    """Whether what was refused may be a reader: such an event does not name the claim.

    It counts for every cache of the namespace that a graph names, or for the only one.
    """
    near = [each for each in case.caches if each.namespace == case.own.namespace]
    return bool(case.own.graphs) or len(near) == 1


@check("FM441", "the readers find their claim", needs=(kinds.PODS,))
def finds_claim(case: Case) -> Iterator[Finding]:
    """A pod waits for a claim that does not exist yet. Fluid makes it when the Dataset is Bound;
    the pod goes on by itself then.
    """
    cache = case.own
    for reader in cache.readers:
        words = observations.unscheduled(reader.pod)
        if f'persistentvolumeclaim "{cache.name}" not found' in words:
            yield Finding(
                reference(reader.pod),
                f"it waits for the claim {cache.name}, which is not there",
                (Evidence(reference(reader.pod), "status.conditions PodScheduled", words),),
                observations.look(cache, "get", "dataset", Operand(cache.name)),
            )


@check(
    "FM442", "the readers mount the cache", needs=(kinds.PODS, kinds.EVENTS), explains=("FM445",)
)
def mounted(case: Case) -> Iterator[Finding]:
    """The kubelet cannot mount the claim into a pod, for a reason that has no check of its own; its
    words are the evidence. The pod stays in ContainerCreating, and the kubelet tries again.
    """
    known = "|".join(SAYS.values())
    for reader, said in _failures(case):
        if re.search(known, said.text):
            continue
        young = case.age(reader.pod) < STARTING and not _again(case, reader, said)
        volume = names.volume_name(case.own.namespace, case.own.name)
        other = next((each for each in _VOLUME.findall(said.text) if each != volume), "")
        what = f"volume {other}" if other else "the cache"
        yield Finding(
            reference(reader.pod),
            f"node {reader.node} cannot mount {what} into it",
            (said,),
            observations.look(reader.pod, "describe", "pod", Operand(reader.name)),
            Severity.WARNING if young else None,
        )


def _again(case: Case, reader: Reader, said: Evidence) -> bool:
    """Whether the kubelet has said so more than once: the first mount may come too early."""
    return any(
        number(event, "count") > 1 or number(event, "series", "count") > 1
        for event in case.snapshot.events(reader.pod)
        if " ".join(str(event.get("message") or "").split()) == said.text
    )


@check(
    "FM443",
    "what Fluid shall inject is injected",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
)
def injected(case: Case) -> Iterator[Finding]:
    """A pod bears the label that asks Fluid's webhook for the cache's node affinity and for mounts
    that heal, and the webhook did not see it: it was not there when the pod was made, or the label
    fluid.io/enable-injection=false forbids it. Pods are only ever changed when they are made.
    """
    cache = case.own
    for reader in cache.readers:
        labels = labels_of(reader.pod)
        if labels.get(INJECT) != "true" or IN_USE in annotations_of(reader.pod):
            continue
        off = labels.get("fluid.io/enable-injection") == "false"
        owned = bool(dicts(reader.pod, "metadata", "ownerReferences"))
        if off:
            key = "fluid.io/enable-injection"
            fix = Fix(f"remove the label {key} from the pod's template", "advice")
        elif owned:
            fix = Fix(fix_commands.delete(reader.pod))
        else:
            fix = Fix("make the pod anew: nothing else does", "advice")
        yield Finding(
            reference(reader.pod),
            "it asks for Fluid's injection, "
            + ("and its label forbids it" if off else "and was made without"),
            (
                observations.label(reader.pod, "fluid.io/enable-injection" if off else INJECT),
                observations.field(reader.pod, "metadata", "annotations", IN_USE),
            ),
            fix,
        )
