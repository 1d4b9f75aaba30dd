"""Read the last lines of unhealthy containers' logs in parallel, and redact them at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import container_log_key
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.fluid.installation import NODE_PLUGIN, NODE_PLUGIN_CONTAINER
from kubectl_fluidmodel.inventory.cache import MASTER, WORKER, Cache
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    get_int,
    get_list,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot import redact
from kubectl_fluidmodel.snapshot.snapshot import LogKey, ReadFailure, Snapshot

TAIL_LINES = 200
MAX_BYTES = 32 << 10
"""Bytes of one log, from its end."""
MAX_LOGS = 80
"""Logs that are read, at most: a few show the cause even if many pods fail."""
MAX_LOGS_PER_CACHE = 12
LOG_TIMEOUT = 10.0
"""Seconds for one log: the kubelet of a node may not respond."""
_MAX_PARALLEL = 8
_HEALTHY_PODS_READ = 2
"""Healthy pods of a component whose logs are read, where `_suspect_logs` wants them."""
LOG_RESOURCE = "pods/log"


@dataclass(frozen=True)
class LogRequest:
    """One log to read."""

    pod: Object
    container: str
    previous: bool

    @property
    def key(self) -> LogKey:
        """Where the snapshot keeps the log."""
        return container_log_key(self.pod, self.container, previous=self.previous)


def collect_logs(
    client: Client, caches: Sequence[Cache], snapshot: Snapshot, *, all_logs: bool = False
) -> None:
    """Read the logs of containers that are not well into the snapshot.

    With `all_logs` those of healthy containers, too, as a bundle needs them. What cannot be read is
    recorded in `snapshot.read_failures`, once per namespace.
    """
    requests = select_logs(caches, snapshot, all_logs=all_logs)
    with ThreadPoolExecutor(_MAX_PARALLEL) as pool:
        results = pool.map(lambda request: _read_log(client, request), requests)
        for request, result in zip(requests, results, strict=True):
            if isinstance(result, ReadFailure):
                recorded = {
                    (failure.resource, failure.namespace) for failure in snapshot.read_failures
                }
                if (result.resource, result.namespace) not in recorded:
                    snapshot.read_failures.append(result)
            elif result:
                snapshot.logs[request.key] = result


def select_logs(
    caches: Sequence[Cache], snapshot: Snapshot, *, all_logs: bool = False
) -> list[LogRequest]:
    """Select the logs to read: those of unhealthy containers of Fluid and of each cache."""
    requests = {request.key: request for request in _suspect_logs(caches, snapshot)}
    staging_pods = _staging_pods_by_model(snapshot)
    fluid_pods = [
        pod for pod in snapshot.of_kind(kinds.PODS) if namespace_of(pod) == names.SYSTEM_NAMESPACE
    ]
    groups: list[Iterable[Object]] = [fluid_pods]
    groups += [_cache_pods(cache, staging_pods) for cache in caches]
    for pods in groups:
        count = 0
        for request in chain.from_iterable(_pod_logs(pod, all_logs) for pod in pods):
            is_full = count >= MAX_LOGS_PER_CACHE or len(requests) >= MAX_LOGS
            if request.key not in requests and not is_full:
                requests[request.key] = request
                count += 1
    return list(requests.values())


def _suspect_logs(caches: Sequence[Cache], snapshot: Snapshot) -> Iterator[LogRequest]:
    """Logs of healthy containers that may show the cause of a failure elsewhere.

    The CSI plugin's on a node where a mount command failed, and those of master and workers of an
    incomplete cache, because Alluxio starts even if it cannot reach its store. What a file was not
    loaded for is in the log of the job worker (the store) or the worker (its disk).
    """
    nodes = set()
    for cache in caches:
        for reader in cache.readers:
            messages = (str(event.get("message")) for event in snapshot.events_about(reader.pod))
            if not pod_problems.is_ready(reader.pod) and any(
                "exit status" in message for message in messages
            ):
                nodes.add(reader.node)
        if cache.dataset is not None and not cache_usage(cache).is_complete:
            for part in (MASTER, WORKER):
                for pod in cache.pods.get(part, [])[:_HEALTHY_PODS_READ]:
                    if not pod_problems.is_ready(pod):
                        continue
                    for status in get_list(pod, "status", "containerStatuses"):
                        yield LogRequest(pod, str(status.get("name", "")), False)
    for pod in snapshot.of_kind(kinds.PODS):
        if labels_of(pod).get("app") == NODE_PLUGIN and get_path(pod, "spec", "nodeName") in nodes:
            yield LogRequest(pod, NODE_PLUGIN_CONTAINER, False)


def _staging_pods_by_model(snapshot: Snapshot) -> dict[tuple[str, str], list[Object]]:
    pods: dict[tuple[str, str], list[Object]] = {}
    for pod in snapshot.of_kind(kinds.PODS):
        model = labels_of(pod).get(names.MODEL_LABEL)
        if model:
            pods.setdefault((namespace_of(pod), str(model)), []).append(pod)
    return pods


def _cache_pods(
    cache: Cache, staging_pods: dict[tuple[str, str], list[Object]]
) -> Iterator[Object]:
    for part in observations.COMPONENTS:
        yield from cache.pods.get(part, [])
    yield from cache.load_pods
    yield from staging_pods.get((cache.namespace, cache.name), [])
    yield from (reader.pod for reader in cache.readers)


def _pod_logs(pod: Object, all_logs: bool) -> Iterator[LogRequest]:
    if get_path(pod, "status", "phase") == "Succeeded" and not all_logs:
        return
    for status in observations.container_statuses(pod):
        name = str(status.get("name", ""))
        restarted = get_int(status, "restartCount") > 0
        ran = bool(
            get_path(status, "state", "running")
            or get_path(status, "state", "terminated")
            or restarted
        )
        done = get_path(status, "state", "terminated", "exitCode") == 0
        well = (bool(status.get("ready")) or done) and not restarted
        # A pod with ready containers may be unready: a readiness gate, a node that is gone.
        if ran and name and (all_logs or not well or not (pod_problems.is_ready(pod) or done)):
            yield LogRequest(pod, name, False)
            if restarted:
                yield LogRequest(pod, name, True)


def _read_log(client: Client, request: LogRequest) -> str | ReadFailure:
    namespace = namespace_of(request.pod)
    try:
        log = client.pod_logs(
            namespace,
            name_of(request.pod),
            request.container,
            tail=TAIL_LINES,
            previous=request.previous,
            timeout=LOG_TIMEOUT,
        )
    except FluidModelError as err:
        if isinstance(err, KubeError) and err.status in (400, 404):
            return ""  # it has not run yet, or is gone by now
        denied = isinstance(err, ForbiddenError)
        return ReadFailure(LOG_RESOURCE, namespace, err.reason or err.message, denied)
    return redact.redact_text(log[-MAX_BYTES:])
