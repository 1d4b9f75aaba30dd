"""4xx: pods that read a cache, and what keeps them from mounting it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.fluid import installation, names, pod_problems
from kubectl_fluidmodel.inventory.cache import FUSE, ReaderPod
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_int, get_list, get_path
from kubectl_fluidmodel.objects.time import parse_time
from kubectl_fluidmodel.output.shell import Operand

MOUNT_TIMEOUT = 60.0
"""Seconds that a mount may take, including the start of the FUSE client."""

MOUNT_FAILURES: dict[str, str] = {
    "driver": r"driver name fuse\.csi\.fluid\.io not found in the list of registered CSI drivers",
    "node": r"NodeStageVolume: can't get node",
    "plugin": r"csi\.sock|all SubConns are in TransientFailure|code = Unavailable",
    "timeout": r"timeout waiting for FUSE mount point|fuse pod on node \S+ is not ready",
    "endpoint": r"[Tt]ransport endpoint is not connected",
    "subpath": r'subPath "?(?P<path>[^"\s]*)"? not exists under FUSE mount',
    "command": r"code = InvalidArgument desc = exit status \d+",
}
"""Patterns of mount errors from Fluid's CSI plugin and the kubelet. The second pattern of
`timeout` is that of Fluid up to 0.8."""
_EVENT_VOLUME = re.compile(r'for volume "([^"]+)"')
_KNOWN_FAILURE_REASONS = (
    "FailedMount",
    "FailedAttachVolume",
    "Failed",
    "FailedPrepareDynamicResources",
)
_MOUNT_EVENT_REASONS = (
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedMountOnFilesystemMismatch",
    "AlreadyMountedVolume",
)
"""Event reasons of the kubelet and the attach controller for volumes that fail
(pkg/kubelet/events/event.go of Kubernetes 1.36)."""
_CREATE_ERRORS = ("CreateContainerError", "CreateContainerConfigError", "RunContainerError")


def reader_nodes(context: CheckContext) -> dict[str, bool]:
    """Nodes where the cache is or will be read, and whether a pod already reads it there.

    Pinned pods run where the cache is.
    """
    cache = context.cache
    nodes = dict.fromkeys(cache.node_names, False)
    return nodes | {reader.node: True for reader in cache.readers if reader.node}


def readers_with_failure(
    context: CheckContext, failure: str, node: str = ""
) -> Iterator[tuple[ReaderPod, Evidence]]:
    """Readers that do not start because of one of MOUNT_FAILURES, each with the event."""
    for reader, warning in _mount_failures(context):
        if re.search(MOUNT_FAILURES[failure], warning.text) and node in ("", reader.node):
            yield reader, warning


def _mount_failures(context: CheckContext) -> list[tuple[ReaderPod, Evidence]]:
    """The latest event of each kind about the cache's mount, for readers that are not ready."""
    failures = []
    volume = names.volume_name(context.cache.namespace, context.cache.name)
    for reader in context.cache.readers:
        if pod_problems.is_ready(reader.pod):
            continue
        events = [
            event
            for event in context.snapshot.events_about(reader.pod)
            if all(
                name == volume
                for name in _EVENT_VOLUME.findall(str(event.get("message")))
                if len(context.caches) > 1
            )
        ]
        stuck = [
            evidence for _, evidence in observations.waiting_containers(reader.pod, _CREATE_ERRORS)
        ]
        for pattern in MOUNT_FAILURES.values():
            warning = observations.latest_event(events, pattern, *_KNOWN_FAILURE_REASONS) or next(
                (evidence for evidence in stuck if re.search(pattern, evidence.text)), None
            )
            failures += [(reader, warning)] if warning else []
        unexplained = [
            event
            for event in events
            if not any(re.search(p, str(event.get("message"))) for p in MOUNT_FAILURES.values())
        ]
        warning = observations.latest_event(unexplained, "", *_MOUNT_EVENT_REASONS)
        failures += [(reader, warning)] if warning else []
    return failures


@register_check(
    "FM431",
    "the FUSE mounts come up in time",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445"),
)
def fuse_mounts_come_up_in_time(context: CheckContext) -> Iterator[Finding]:
    """A FUSE mount does not come up in time.

    The CSI plugin waits half a minute for the FUSE client to mount Alluxio on the node, then the
    kubelet retries. The mount does not come up if no FUSE pod runs on the node, if its JVM does not
    start, or if it cannot reach the master.
    """
    cache = context.cache
    for reader, warning in readers_with_failure(context, "timeout"):
        message = ["logs", f"-lrelease={cache.name},role=alluxio-fuse", "--tail=50"]
        yield Finding(
            object_reference(reader.pod),
            f"the FUSE client on node {reader.node} did not mount the cache in time",
            (warning,),
            observations.advice(cache, *message),
        )


@register_check(
    "FM432",
    "the readers' mounts are alive",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445", "FM827"),
)
def fuse_mounts_are_alive(context: CheckContext) -> Iterator[Finding]:
    """The FUSE client behind a mount has exited ("Transport endpoint is not connected").

    The client restarts, but pods that had mounted it keep the dead mount: every read fails. Restart
    these pods, or let Fluid repair such mounts (FuseRecovery, off by default, together with a mount
    with HostToContainer propagation; Fluid's `runtime.mountRoot` has to be a single directory, like
    the default `/runtime-mnt`).
    """
    cache = context.cache
    failures = list(readers_with_failure(context, "endpoint"))
    for more_failures in (_logged_dead_mounts(context), _readers_older_than_fuse(context)):
        reported = {reader.name for reader, _ in failures}
        failures += [pair for pair in more_failures if pair[0].name not in reported]
    for reader, warning in failures:
        yield Finding(
            object_reference(reader.pod),
            f"the FUSE client on node {reader.node} exited, so the mount of this pod is dead",
            (warning,),
            Fix(fix_commands.delete_objects(reader.pod)),
        )
    dataset = cache.dataset
    unrepaired = (
        observations.warning_event(context, dataset, "", "FuseRecoverFailed") if dataset else None
    )
    if unrepaired and dataset and not failures:
        yield Finding(
            object_reference(dataset),
            "Fluid could not repair a mount whose FUSE client exited",
            (unrepaired,),
            Fix(fix_commands.delete_pods(cache, (r.name for r in cache.readers))),
            Severity.WARNING,
        )


def _logged_dead_mounts(context: CheckContext) -> Iterator[tuple[ReaderPod, Evidence]]:
    """Readers whose containers have logged that their mount is dead."""
    for reader in context.cache.readers:
        for container, _ in reader.mounts:
            line = observations.last_matching_line(
                context, reader.pod, container, MOUNT_FAILURES["endpoint"]
            )
            if line is not None:
                yield reader, line


def _readers_older_than_fuse(context: CheckContext) -> Iterator[tuple[ReaderPod, Evidence]]:
    """Yield readers that mounted the cache before the FUSE client on their node was restarted.

    A pod that only waits does not log that its mount is dead. Nothing is yielded if Fluid may have
    repaired the mounts.
    """
    plugin = context.snapshot.get(
        kinds.DAEMON_SETS, installation.NODE_PLUGIN, names.SYSTEM_NAMESPACE
    )
    if plugin is None or _repairs_mounts(plugin):
        return
    restarted: dict[str, tuple[float, Evidence]] = {}
    for _, pod in observations.cache_pods(context.cache, FUSE):
        for index, status in enumerate(get_list(pod, "status", "containerStatuses")):
            start = parse_time(get_path(status, "state", "running", "startedAt"))
            if start and get_int(status, "restartCount"):
                path = ("status", "containerStatuses", index, "state", "running", "startedAt")
                evidence = observations.field_evidence(pod, *path)
                restarted[str(get_path(pod, "spec", "nodeName"))] = (start, evidence)
    for reader in context.cache.readers:
        if reader.node not in restarted:
            continue
        when, evidence = restarted[reader.node]
        mounting = {container for container, _ in reader.mounts}
        for status in get_list(reader.pod, "status", "containerStatuses"):
            since = parse_time(get_path(status, "state", "running", "startedAt"))
            # Times are in seconds; a mount by the new client takes longer than that.
            if status.get("name") in mounting and 0 < since <= when:
                yield reader, evidence
                break


def _repairs_mounts(plugin: Object) -> bool:
    """Whether the CSI plugin repairs mounts (feature gate FuseRecovery).

    It takes the Dataset's name from a fixed position in the mount's path, so it repairs nothing
    below a mount root of several directories (`runtime.mountRoot` of Fluid's chart, by default
    `/runtime-mnt`; pkg/utils/mountinfo/mountpoint.go, getGlobalMounts, Fluid 1.0.8).
    """
    if "FuseRecovery=true" not in str(get_path(plugin, "spec", "template")):
        return False
    roots = {
        str(variable.get("value"))
        for container in get_list(plugin, "spec", "template", "spec", "containers")
        for variable in get_list(container, "env")
        if variable.get("name") == "MOUNT_ROOT"
    }
    return all(root.strip("/").count("/") == 0 for root in roots)


@register_check(
    "FM433",
    "the mounted sub-path exists",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM442", "FM445"),
)
def mounted_sub_path_exists(context: CheckContext) -> Iterator[Finding]:
    """The claim or volume asks for a directory that the cache does not have.

    `fluid_sub_path` names a directory that the store does not have. With `path: /` in the Dataset's
    mount the model's files are at the root, and no sub-path is needed.
    """
    for reader, warning in readers_with_failure(context, "subpath"):
        match = re.search(MOUNT_FAILURES["subpath"], warning.text)
        path = match["path"] if match else ""
        yield Finding(
            object_reference(reader.pod),
            f"the cache has no directory {path}",
            (warning,),
            Fix(f"mount a directory that the store has instead of {path}, or none", "advice"),
        )


@register_check(
    "FM442",
    "the readers can mount the cache",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM445",),
)
def readers_mount_the_cache(context: CheckContext) -> Iterator[Finding]:
    """The kubelet cannot mount the claim into a pod, for a reason without a check of its own.

    Its message is shown as evidence. The pod stays in ContainerCreating, and the kubelet retries.
    """
    mount_failures = "|".join(MOUNT_FAILURES.values())
    for reader, warning in _mount_failures(context):
        if re.search(mount_failures, warning.text):
            continue
        is_recent = context.age(reader.pod) < MOUNT_TIMEOUT and not _was_repeated(
            context, reader, warning
        )
        volume = names.volume_name(context.cache.namespace, context.cache.name)
        other_volume = next(
            (name for name in _EVENT_VOLUME.findall(warning.text) if name != volume), ""
        )
        mounted = f"volume {other_volume}" if other_volume else "the cache"
        yield Finding(
            object_reference(reader.pod),
            f"node {reader.node} cannot mount {mounted} into it",
            (warning,),
            observations.advice(reader.pod, "describe", "pod", Operand(reader.name)),
            Severity.WARNING if is_recent else None,
        )


def _was_repeated(context: CheckContext, reader: ReaderPod, warning: Evidence) -> bool:
    """Whether the kubelet reported it more than once; a first attempt may come too early."""
    return any(
        get_int(event, "count") > 1 or get_int(event, "series", "count") > 1
        for event in context.snapshot.events_about(reader.pod)
        if " ".join(str(event.get("message") or "").split()) == warning.text
    )
