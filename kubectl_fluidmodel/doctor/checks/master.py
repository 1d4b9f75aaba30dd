"""3xx: Alluxio's master, which all else waits for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.consequences import NO_MASTER, NOT_LOADED
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.inventory.cache import MASTER, WORKER, Cached
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, name_of
from kubectl_fluidmodel.output.shell import Operand

STARTING = 120.0
"""Seconds that a master may take from its pod's creation to ready: probes begin after 5 s, and
its image may have to come first."""
_MISSING = re.compile(
    r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found'
    r"|references non-existent (?P<keyed>secret|config) key: ?(?P<key>\S*)"
    r"|couldn't find key (?P<env>\S+) in (?P<in>Secret|ConfigMap) (?P<where>\S+)",
    re.IGNORECASE,
)
_UNKNOWN_HOST = re.compile(r"UnknownHostException:? ?(?P<host>[\w.-]+)")


@check(
    "FM310",
    "what the cache pods mount is there",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM311", "FM331", *NO_MASTER),
)
def mounted(case: Case) -> Iterator[Finding]:
    """Fluid mounts the Secret of the Dataset's `encryptOptions` into the master. When the Secret
    or the key in it is missing, the kubelet cannot make the container, and the pod stays in
    ContainerCreating for as long as that is so. It starts by itself when the Secret is there.
    """
    for _, pod in observations.pods_of(case.own, MASTER, WORKER):
        if pod_problems.ready(pod) or observations.over(pod) or observations.unscheduled(pod):
            continue
        seen = observations.told(case, pod, _MISSING, "FailedMount", "Failed")
        if seen is None:
            continue
        match = _MISSING.search(seen.text)
        yield Finding(reference(pod), _missing(case.own, match), (seen,), _bring(case.own, match))


def _missing(cache: Cached, match: re.Match[str] | None) -> str:
    if match and match["name"]:
        kind = "Secret" if match["kind"].lower() == "secret" else "ConfigMap"
        return f"{kind} {cache.namespace}/{match['name']} does not exist, and the pod mounts it"
    key = match and (match["key"] or match["env"])
    secrets = ", ".join(dict.fromkeys(secret for secret, _ in _refers(cache))) or "it mounts"
    return f"the Secret {secrets} lacks the key {key or 'that the Dataset names'}"


def _refers(cache: Cached) -> list[tuple[str, str]]:
    """(Secret, key) of everything that the Dataset's mounts refer to."""
    options = [
        *dicts(cache.dataset, "spec", "sharedEncryptOptions"),
        *(o for m in dicts(cache.dataset, "spec", "mounts") for o in dicts(m, "encryptOptions")),
    ]
    found = [at(option, "valueFrom", "secretKeyRef", default={}) for option in options]
    return [(str(each.get("name", "")), str(each.get("key", ""))) for each in found]


def _bring(cache: Cached, match: re.Match[str] | None) -> Fix:
    if match and match["name"] and match["kind"].lower() == "configmap":
        return observations.look(cache, "get", "configmap", Operand(match["name"]))
    secret = match["name"] if match and match["name"] else ""
    secret = secret or next((name for name, _ in _refers(cache)), "SECRET")
    keys = [key for name, key in _refers(cache) if name == secret] or ["KEY"]
    there = not (match and match["name"])  # only a key lacks
    return Fix(fix_commands.secret(cache.namespace, secret, keys, there=there))


@check("FM311", "the master is ready", needs=(kinds.PODS,), explains=("FM323", *NO_MASTER))
def ready(case: Case) -> Iterator[Finding]:
    """The master has to start before anything else of the cache. Where it mounts the model's store
    as it starts and that fails, so does the startup probe, and the kubelet restarts it over and
    over. Its log names the reason; mend that, and the master comes up at its next restart. A
    master that starts without its store is FM313's.
    """
    cache = case.own
    pods = [pod for _, pod in observations.pods_of(cache, MASTER)]
    if not pods and cache.sets.get(MASTER) and case.snapshot.knows(kinds.PODS, cache.namespace):
        yield _no_pod(case, cache.sets[MASTER])
    for pod in pods:
        if pod_problems.ready(pod) or observations.unscheduled(pod):
            continue
        cause, line = observations.log_cause(case, pod)
        probe = observations.told(case, pod, "probe failed", "Unhealthy")
        stuck = next(
            iter(observations.waits(pod, {"CrashLoopBackOff", "CreateContainerError"})), None
        )
        restarts = sum(
            pod_problems.restarts(pod, c) for c in ("alluxio-master", "alluxio-job-master")
        )
        young = case.age(pod) < STARTING and not (restarts or cause or stuck)
        evidence = [
            *observations.some(line),
            *observations.some(probe),
            *([stuck[1]] if stuck else []),
        ]
        evidence = evidence or [_state(pod)]
        again = f" and was restarted {restarts} times" if restarts else ""
        text = f": {cause}" if cause else ("; it still starts" if young else "")
        yield Finding(
            reference(pod),
            f"the master is not ready{again}{text}",
            tuple(evidence),
            None if young else _look(cache, pod, cause),
            Severity.WARNING if young else None,
        )


def _no_pod(case: Case, owner: Object) -> Finding:
    seen = observations.told(case, owner, "", "FailedCreate")
    return Finding(
        reference(owner),
        "there is no pod of the master",
        (*observations.some(seen), observations.field(owner, "status", "replicas")),
        observations.look(owner, "describe", "statefulset", Operand(name_of(owner))),
    )


def _state(pod: Object) -> Evidence:
    for status in observations.containers(pod):
        if not status.get("ready"):
            state: dict[str, object] = status.get("state") or {}
            words = next(iter(state), "not started")
            reason = at(state, words, "reason", default="")
            place = f"status of container {status.get('name')}"
            return Evidence(reference(pod), place, f"not ready, {words} {reason}".rstrip())
    return observations.field(pod, "status", "phase")


def _look(cache: Cached, pod: Object, cause: str) -> Fix:
    if "key" in cause and names.is_ours(cache.dataset or {}):
        return Fix(fix_commands.cache(cache))
    if cause:
        named = ("doctor", Operand(cache.name))
        return Fix(
            fix_commands.fluidmodel(cache, *named, flags=("--only", "5xx", "--probe")), "advice"
        )
    return observations.look(pod, "logs", Operand(name_of(pod)), "--all-containers", "--tail=50")


@check(
    "FM313",
    "the cache's pods can read their store",
    needs=(kinds.PODS,),
    explains=("FM208", "FM221", *NOT_LOADED),
)
def reads(case: Case) -> Iterator[Finding]:
    """Alluxio's master starts with wrong keys, a wrong endpoint or no such bucket too, and is
    Ready; only what needs the store then fails: listing, counting, loading. The logs of master and
    workers name the reason, which is looked at while the cache is not complete.
    """
    cache = case.own
    if amount(cache).whole:
        return
    for part, pod in observations.pods_of(cache, MASTER, WORKER):
        cause, line = observations.log_cause(case, pod)
        if pod_problems.ready(pod) and line and pod_problems.is_of_store(cause):
            yield Finding(
                reference(pod),
                f"the {part} is ready and cannot read the store: {cause}",
                (line,),
                _look(cache, pod, cause),
            )


@check(
    "FM312",
    "the nodes' own names resolve",
    needs=(kinds.PODS,),
    explains=("FM311", "FM331", *NO_MASTER),
)
def resolves(case: Case) -> Iterator[Finding]:
    """Alluxio's processes look up the name of their own host when they start. In the node's
    network that is the node's name, and where neither DNS nor /etc/hosts knows it, they end at
    once with UnknownHostException. Add the name to the node's /etc/hosts, or run the parts in a
    network of their own.
    """
    cache = case.own
    for part, pod in observations.pods_of(cache, MASTER, WORKER):
        own = {str(at(pod, "spec", "nodeName", default="")), name_of(pod)}
        own |= {each.partition(".")[0] for each in own}
        if pod_problems.ready(pod):
            continue
        for host, line in _unknown(case, pod):
            if host.partition(".")[0] in own:
                yield Finding(
                    reference(pod),
                    f"the {part} cannot look up the name of its own host, {host}",
                    (line,),
                    Fix(
                        fix_commands.change_runtime(
                            cache.runtime, {part: {"networkMode": "ContainerNetwork"}}
                        )
                    )
                    if cache.runtime
                    else None,
                )
                break


def _unknown(case: Case, pod: Object) -> Iterator[tuple[str, Evidence]]:
    for status in dicts(pod, "status", "containerStatuses"):
        name = str(status.get("name", ""))
        for previous in (False, True):
            for line in case.log(pod, name, previous=previous).splitlines():
                match = _UNKNOWN_HOST.search(line)
                if match:
                    place = f"{'previous ' if previous else ''}log of {name}"
                    yield match["host"], Evidence(reference(pod), place, " ".join(line.split()))
