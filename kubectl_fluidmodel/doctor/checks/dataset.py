"""2xx: the Dataset itself: taken up, set up, of a known size, and not stuck at its end."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, mount_fix, observations
from kubectl_fluidmodel.doctor.check import (
    Case,
    Evidence,
    Finding,
    Fix,
    Severity,
    check,
    event_evidence,
    reference,
)
from kubectl_fluidmodel.doctor.checks.names import about, events
from kubectl_fluidmodel.doctor.consequences import NOT_BOUND, NOT_BUILT
from kubectl_fluidmodel.fluid import alluxio, installation, mount, names, pod_problems, status
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import MASTER, WORKER, Cached
from kubectl_fluidmodel.objects.access import Object, at, dicts, meta, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.quantity import from_bytes
from kubectl_fluidmodel.output.shell import Command, Operand, chain

_NEW = 30.0
"""Seconds within which a Dataset may still be waiting for its turn."""
_RETRIED = 180.0
"""Seconds within which Fluid has tried again to set a cache up."""
_SIZED = 300.0
"""Seconds within which Fluid has counted the files of any model."""
_ENDING = 60.0
"""Seconds within which a deletion is through."""
_TIER_TOO_LARGE = re.compile(r"tier\w+'s size .* is greater than .*limits memory")
_INCOMPLETE = re.compile(r'(\w+)\S* "([\w.-]+)" not found')
_AFFINITY = "anti-affinity"
_NO_VERSION = re.compile(r'could not parse "([^"]*)" as version')
_VERSION = "2.9.5"
"""The newest Alluxio of the line that Fluid 1.0 and 1.1 come with."""


@check("FM203", "Fluid has taken up the Dataset", explains=NOT_BOUND)
def taken_up(case: Case) -> Iterator[Finding]:
    """A new Dataset has an empty phase. Within seconds Fluid's dataset controller makes it
    NotBound; where that does not happen, it is down or refuses the Dataset.
    """
    cache = case.own
    if cache.dataset is None or status.dataset(cache.dataset).phase != "New":
        return
    refused = events(case, cache.dataset, "ErrorCreateDataset")
    if not refused and case.age(cache.dataset) < _NEW:
        return
    seen = [Evidence(about(cache), "status.phase", "empty")]
    seen += [event_evidence(each) for each in refused[-1:]]
    yield Finding(
        about(cache),
        "Fluid refuses the Dataset" if refused else "Fluid has not looked at the Dataset yet",
        tuple(seen),
        observations.look_at_fluid("logs", f"deployment/{installation.DATASET_CONTROLLER}"),
    )


@check("FM208", "Fluid could set the cache up", explains=NOT_BOUND)
def set_up(case: Case) -> Iterator[Finding]:
    """Fluid installs the pods of a cache as a helm release and then talks to its master. What
    goes wrong there stands in the Dataset's condition `NotReady` and in events of the runtime,
    in Fluid's own words.
    """
    cache = case.own
    found = status.dataset(cache.dataset)
    if cache.dataset is None or found.bound or is_terminating(cache.dataset):
        return
    failed = [
        each
        for each in events(case, cache.runtime, "ErrorProcessRuntime")
        if "Failed to setup" in str(each.get("message"))
    ]
    text = found.setup_error or (str(failed[-1].get("message")) if failed else "")
    if found.phase == "Failed" and not text:
        text = "Fluid gave up on the Dataset"
    if not text or _mended(case, cache, text):
        return
    seen = [Evidence(about(cache), "status.phase", found.phase)]
    if found.setup_error:
        seen.append(Evidence(about(cache), "condition NotReady", found.setup_error))
    seen += [event_evidence(each) for each in failed[-1:]]
    cause, fix = _setup(cache, text)
    yield Finding(about(cache), cause, tuple(seen), fix)


def _mended(case: Case, cache: Cached, text: str) -> bool:
    """Whether it was so, and is no more: Fluid leaves the condition until the Dataset is Bound.

    It tries again every 20 s and renews the condition each time.
    """
    if _TIER_TOO_LARGE.search(text) and MASTER in cache.sets:
        return True  # it looks at this before it installs anything
    renewed = [
        pod_problems.parse_time(each.get("lastUpdateTime"))
        for each in dicts(cache.dataset, "status", "conditions")
        if each.get("type") == "NotReady"
    ]
    return any(renewed) and case.snapshot.taken - max(renewed) > _RETRIED


def _setup(cache: Cached, text: str) -> tuple[str, Fix]:
    """What a setup error means, and what mends it."""
    runtime = cache.runtime or {}
    lost = _INCOMPLETE.search(text)
    if lost and lost[1] in ("StatefulSet", "DaemonSet"):
        return (
            f"Fluid's helm release of the cache is incomplete: {lost[1]} {lost[2]} is not there",
            Fix(fix_commands.again(runtime)),
        )
    if _TIER_TOO_LARGE.search(text):
        quota = alluxio.tier(runtime)[2] or 0
        limit = from_bytes(quota + (8 << 30))
        change = {"spec": {"worker": {"resources": {"limits": {"memory": limit}}}}}
        return (
            "the memory limit of the workers is below the quota of their MEM tier",
            Fix(fix_commands.patch(runtime, change)),
        )
    tag = _NO_VERSION.search(text)
    if tag:
        return (
            f"Fluid reads Alluxio's version from the tag of the FUSE image, and {tag[1]} is none",
            Fix(fix_commands.change_runtime(runtime, {"fuse": {"imageTag": _VERSION}})),
        )
    controller = f"{fix_commands.kind_of(runtime) or 'alluxioruntime'}-controller"
    short = " ".join(text.split())[:160]
    return (
        f"Fluid cannot set the cache up: {short}",
        observations.look_at_fluid("logs", Operand(f"deployment/{controller}")),
    )


@check("FM209", "placement lets caches share a node", severity=Severity.WARNING)
def placement(case: Case) -> Iterator[Finding]:
    """With `placement: Exclusive`, which is Fluid's default, a worker repels the workers of all
    other Datasets of its namespace from its node. That matters as soon as there is another cache
    with workers: the next one finds no place (FM302). Fluid builds the affinity once, so the cache
    has to be made anew.
    """
    cache = case.own
    if not _has_workers(cache) or at(cache.dataset, "spec", "placement") == "Shared":
        return
    others = sum(
        _has_workers(each)
        for each in case.caches
        if each.namespace == cache.namespace and each.name != cache.name
    )
    if not others or case.once("dataset: repelled", lambda: _repelled(case.caches)):
        return
    chosen = at(cache.dataset, "spec", "placement") or "not given, which means Exclusive"
    yield Finding(
        about(cache),
        f"this cache lets no other share its node, and there {_are(others)}",
        (Evidence(about(cache), "spec.placement", str(chosen)),),
        Fix(_shared(cache)),
    )


def _shared(cache: Cached) -> Command:
    if cache.dataset is None or cache.runtime is None or names.is_ours(cache.dataset):
        return fix_commands.anew(cache)  # `cache` makes it so
    change = fix_commands.patch(cache.dataset, {"spec": {"placement": "Shared"}})
    return chain(change, fix_commands.again(cache.runtime))


def _has_workers(cache: Cached) -> bool:
    """Whether a cache has workers or will: not a reference, an orphan, or what Fluid refuses."""
    if cache.dataset is None or cache.runtime is None or cache.refers_to is not None:
        return False
    if cache.pods.get(WORKER) or cache.sets.get(WORKER):
        return True
    if cache.runtime.get("kind") == "ThinRuntime" or runtimes.replicas(cache.runtime) == 0:
        return False
    leaving = is_terminating(cache.dataset) or is_terminating(cache.runtime)
    return names.is_legal(cache.name) and len(cache.name) <= names.MAX_NAME and not leaving


def _are(count: int) -> str:
    return "is one other" if count == 1 else f"are {count} others"


def _repelled(caches: tuple[Cached, ...]) -> bool:
    """Whether a worker waits for a node without another cache, which FM302 tells."""
    return any(
        _AFFINITY in text
        for cache in caches
        for pod in cache.pods.get(WORKER, [])
        for text in pod_problems.pod(pod)
    )


@check("FM210", "the files are at the root of the volume", severity=Severity.WARNING)
def at_root(case: Case) -> Iterator[Finding]:
    """A mount without `path: /` shows its files below `/<name of the mount>`, and so does each of
    several. An engine looks for `config.json` at the root of what it mounts, so each of its pods
    then needs a `subPath`. One of several mounts cannot have `path: /`: Fluid leaves it out.
    """
    cache = case.own
    mounts = dicts(cache.dataset, "spec", "mounts")
    lost = mount.never_mounted(mounts)
    for number in lost:
        yield Finding(
            about(cache),
            f"mount {number} belongs at the root, and Fluid mounts nothing there beside others: "
            "its files are nowhere",
            _path_of(cache, number),
            Fix("make a Dataset of its own for each source, or give each mount a name", "advice"),
            Severity.ERROR,
        )
    if mount_fix.belongs_at_root(cache):
        folder = mount.directory(mounts[0])
        yield Finding(
            about(cache),
            f"the files are in the folder /{folder} of the volume, not at its root",
            _path_of(cache, 0),
            mount_fix.mend(case),
        )
    folders = [mount.directory(each) for n, each in enumerate(mounts) if n not in lost]
    below = [folder for folder in folders if folder]
    if len(mounts) < 2 or not below or mount_fix.reads_below(cache, below):
        return
    yield Finding(
        about(cache),
        f"the files are in the folders {', '.join(f'/{each}' for each in below)} of the volume, "
        "not at its root",
        tuple(e for n in range(len(mounts)) if n not in lost for e in _path_of(cache, n)),
        Fix(
            f"mount the folder that an engine reads with its subPath ({', '.join(below)}), or make "
            "a Dataset of its own for each model",
            "advice",
        ),
    )


def _path_of(cache: Cached, number: int) -> tuple[Evidence, ...]:
    """What Fluid makes a mount's path of, as it stands there."""
    place = ("spec", "mounts", number)
    given = [key for key in ("path", "name") if at(cache.dataset, *place, key) is not None]
    return tuple(observations.field(cache.dataset or {}, *place, key) for key in given or ["path"])


@check("FM216", "the size of the source is known", severity=Severity.WARNING)
def sized(case: Case) -> Iterator[Finding]:
    """After a Dataset is Bound, Fluid counts what is in the source, and says `[Calculating]`
    until then. For a model that takes seconds; where it goes on, the count fails or hangs, the
    share of what is cached is never known, and Fluid does not label the nodes.
    """
    cache = case.own
    text = str(at(cache.dataset, "status", "ufsTotal", default=""))
    if text != "[Calculating]" or cache.dataset is None:
        return
    ready = [
        pod_problems.parse_time(each.get("lastTransitionTime"))
        for each in dicts(cache.dataset, "status", "conditions")
        if each.get("type") == "Ready"
    ]
    since = case.snapshot.taken - max(ready) if any(ready) else case.age(cache.dataset)
    if since < _SIZED:
        return
    runtime = cache.runtime or {}
    kind = fix_commands.kind_of(runtime) or "alluxioruntime"
    change = {"spec": {"management": {"metadataSyncPolicy": {"autoSync": False}}}}
    fix = (
        Fix(fix_commands.patch(runtime, change))
        if cache.runtime is not None
        else observations.look_at_fluid("logs", Operand(f"deployment/{kind}-controller"))
    )
    yield Finding(
        about(cache),
        f"Fluid has been counting the files of the source for {int(since // 60)} minutes",
        (Evidence(about(cache), "status.ufsTotal", text),),
        fix,
    )


@check(
    "FM217",
    "nothing of the cache is being deleted",
    explains=("FM204", "FM205", "FM212", "FM406", *NOT_BUILT),
)
def not_stuck(case: Case) -> Iterator[Finding]:
    """The Dataset, its runtime, its DataLoad or its volume was deleted. It looks as before, with
    its phase and all, and goes as soon as nothing holds it: a pod that mounts the claim, or a
    controller that should clean up and is down.
    """
    cache = case.own
    for obj in (cache.dataset, *cache.runtimes, *cache.loads, cache.volume):
        since = pod_problems.parse_time(meta(obj or {}).get("deletionTimestamp"))
        if obj is None or not is_terminating(obj):
            continue
        refused = events(case, obj, "ErrorDeleteDataset")
        readers = [reader.pod for reader in cache.readers]
        young = not refused and case.snapshot.taken - since < _ENDING
        seen = [Evidence(reference(obj), "metadata.deletionTimestamp", _when(obj))]
        finalizers = meta(obj).get("finalizers")
        if finalizers:
            seen.append(Evidence(reference(obj), "metadata.finalizers", str(finalizers)))
        seen += [event_evidence(each) for each in refused[-1:]]
        seen += [
            Evidence(reference(pod), "spec.volumes", f"claimName: {cache.name}") for pod in readers
        ]
        if readers:
            listed = ", ".join(name_of(pod) for pod in readers[:3])
            why = f"{listed}{' and others' * (len(readers) > 3)} still mount it"
            fix = Fix(fix_commands.delete(*readers[:20]))
        else:
            why = "Fluid has not cleaned up after it"
            named = (Operand(fix_commands.kind_of(obj)), Operand(name_of(obj)))
            fix = observations.look(obj, "get", *named, "-o", "jsonpath={.metadata.finalizers}")
        yield Finding(
            reference(obj),
            "it is being deleted" if young else f"it was deleted and cannot go: {why}",
            tuple(seen),
            fix,
            Severity.WARNING if young else None,
        )


def _when(obj: Object) -> str:
    return str(meta(obj).get("deletionTimestamp"))


@check("FM218", "Fluid can read this kind of source", explains=("FM208",))
def scheme(case: Case) -> Iterator[Finding]:
    """Alluxio knows object stores, HDFS and web directories, Fluid besides them claims and
    directories of nodes. The Hugging Face Hub is none of them: a model from there has to be
    staged in a bucket first.
    """
    cache = case.own
    if cache.runtime is None or cache.runtime.get("kind") != names.ALLUXIO_RUNTIMES.name:
        return
    for number, entry in enumerate(dicts(cache.dataset, "spec", "mounts")):
        point = str(entry.get("mountPoint", ""))
        found = point.partition("://")[0].lower() if "://" in point else ""
        hub = _HUB.match(point)
        if found in _SCHEMES and not hub:
            continue
        where = (Evidence(about(cache), f"spec.mounts[{number}].mountPoint", point),)
        if hub:
            model = hub[1] or "ORG/MODEL"
            yield Finding(
                about(cache),
                "Fluid cannot read from the Hugging Face Hub",
                where,
                Fix(fix_commands.anew(cache, source=model, flags=("--to", "s3://BUCKET"))),
            )
        else:
            yield Finding(
                about(cache),
                f"Fluid with Alluxio cannot read {found + '://' if found else point}",
                where,
                Fix("kubectl fluidmodel cache --help tells which sources there are", "advice"),
            )


_SCHEMES = {
    *("s3", "s3a", "oss", "cosn", "cos", "gs", "gcs", "hdfs", "http", "https", "local", "pvc"),
    *("dataset", "wasb", "wasbs", "abfs", "abfss", "adl", "swift", "kodo", "cephfs", "ozone"),
    *("o3fs", "ofs", "obs", "viewfs", "alluxio", "file"),
}
_HUB = re.compile(r"(?:hf://|https?://(?:www\.)?huggingface\.co/)([\w.-]+/[\w.-]+)?.*")
