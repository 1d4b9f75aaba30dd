"""Reading the logs of what is not well: side by side, a few lines each, redacted at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kubectl_fluidmodel.doctor.check import log_key
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.fluid.installation import NODE_PLUGIN
from kubectl_fluidmodel.inventory.cache import MASTER, WORKER, Cached
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden, KubeError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, labels_of, name_of, namespace_of
from kubectl_fluidmodel.snapshot import redact
from kubectl_fluidmodel.snapshot.snapshot import Missing, Snapshot

LINES = 200
BYTES = 32 << 10
"""Of one log, from its end."""
MOST = 80
"""Logs that are read at all: where more pods are ill, a few tell the cause."""
MOST_OF_A_CACHE = 12
PATIENCE = 10.0
"""Seconds for one log: a node may not answer."""
_AT_ONCE = 8
_FEW = 2
"""Workers of a cache whose logs are read though they are well."""
RESOURCE = "pods/log"


@dataclass(frozen=True)
class Wanted:
    """One log to read."""

    pod: Object
    container: str
    previous: bool


def ask(
    client: Client, caches: Sequence[Cached], snapshot: Snapshot, *, everything: bool = False
) -> None:
    """Put into `snapshot.texts` what containers that are not well have logged.

    With `everything` those that are well too, as a bundle wants them. A log that cannot be read
    is in `snapshot.missing`, once for each namespace.
    """
    wanted = choose(caches, snapshot, everything=everything)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = pool.map(lambda each: _read(client, each), wanted)
        for each, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, Missing):
                known = {(one.resource, one.namespace) for one in snapshot.missing}
                if (answer.resource, answer.namespace) not in known:
                    snapshot.missing.append(answer)
            elif answer:
                key = log_key(each.pod, each.container, previous=each.previous)
                snapshot.texts[key] = answer


def choose(
    caches: Sequence[Cached], snapshot: Snapshot, *, everything: bool = False
) -> list[Wanted]:
    """Which logs to read: of Fluid's own pods and of each cache's, those that are not well."""
    found: list[Wanted] = []
    seen: set[tuple[str, str, str, bool]] = set()
    staging = _staging(snapshot)
    for each in _blamed(caches, snapshot):
        seen.add((namespace_of(each.pod), name_of(each.pod), each.container, each.previous))
        found.append(each)
    own = [pod for pod in snapshot.all(kinds.PODS) if namespace_of(pod) == names.SYSTEM_NAMESPACE]
    groups: list[Iterable[Object]] = [own]
    groups += [_of(cache, staging) for cache in caches]
    for pods in groups:
        count = 0
        for each in (want for pod in pods for want in _containers(pod, everything)):
            key = (namespace_of(each.pod), name_of(each.pod), each.container, each.previous)
            if key in seen or count >= MOST_OF_A_CACHE or len(found) >= MOST:
                continue
            seen.add(key)
            found.append(each)
            count += 1
    return found


def _blamed(caches: Sequence[Cached], snapshot: Snapshot) -> Iterator[Wanted]:
    """Logs of what is well and is to blame all the same.

    Of the CSI plugin on a node where a mount command failed; of master and workers of a cache that
    is not complete, because Alluxio starts without its store.
    """
    nodes = set()
    for cache in caches:
        for reader in cache.readers:
            said = (str(event.get("message")) for event in snapshot.events(reader.pod))
            if not pod_problems.ready(reader.pod) and any("exit status" in each for each in said):
                nodes.add(reader.node)
        if cache.dataset is not None and not amount(cache).whole:
            for part in (MASTER, WORKER):
                for pod in cache.pods.get(part, [])[:_FEW]:
                    first = at(pod, "status", "containerStatuses", 0, "name")
                    if first and pod_problems.ready(pod):
                        yield Wanted(pod, str(first), False)
    for pod in snapshot.all(kinds.PODS):
        if labels_of(pod).get("app") == NODE_PLUGIN and at(pod, "spec", "nodeName") in nodes:
            yield Wanted(pod, "plugins", False)


def _staging(snapshot: Snapshot) -> dict[tuple[str, str], list[Object]]:
    found: dict[tuple[str, str], list[Object]] = {}
    for pod in snapshot.all(kinds.PODS):
        model = labels_of(pod).get(names.MODEL_LABEL)
        if model:
            found.setdefault((namespace_of(pod), str(model)), []).append(pod)
    return found


def _of(cache: Cached, staging: dict[tuple[str, str], list[Object]]) -> Iterator[Object]:
    for part in ("master", "worker", "fuse"):
        yield from cache.pods.get(part, [])
    yield from cache.load_pods
    yield from staging.get((cache.namespace, cache.name), [])
    yield from (reader.pod for reader in cache.readers)


def _containers(pod: Object, everything: bool) -> Iterator[Wanted]:
    if at(pod, "status", "phase") == "Succeeded" and not everything:
        return
    statuses = dicts(pod, "status", "initContainerStatuses")
    statuses += dicts(pod, "status", "containerStatuses")
    for status in statuses:
        name = str(status.get("name", ""))
        count = status.get("restartCount")
        again = isinstance(count, int) and count > 0
        ran = bool(at(status, "state", "running") or at(status, "state", "terminated") or again)
        done = at(status, "state", "terminated", "exitCode") == 0
        well = (bool(status.get("ready")) or done) and not again
        # A pod may be unready though its containers are: a readiness gate, a node that is gone.
        if ran and name and (everything or not well or not (pod_problems.ready(pod) or done)):
            yield Wanted(pod, name, False)
            if again:
                yield Wanted(pod, name, True)


def _read(client: Client, wanted: Wanted) -> str | Missing:
    namespace = namespace_of(wanted.pod)
    try:
        found = client.log(
            namespace,
            name_of(wanted.pod),
            wanted.container,
            tail=LINES,
            previous=wanted.previous,
            timeout=PATIENCE,
        )
    except Forbidden as err:
        return Missing(RESOURCE, namespace, err.why or err.what, True)
    except KubeError as err:
        if err.status in (400, 404):
            return ""  # it has not run yet, or is gone meanwhile
        return Missing(RESOURCE, namespace, err.why or err.what, False)
    except FluidModelError as err:
        return Missing(RESOURCE, namespace, err.why or err.what, False)
    return redact.text(found[-BYTES:])
