"""2xx: names, and what must bear the same one."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from kubectl_fluidmodel.doctor import fix_commands
from kubectl_fluidmodel.doctor.check import (
    Case,
    Evidence,
    Finding,
    Fix,
    Skip,
    check,
    event_evidence,
    reference,
)
from kubectl_fluidmodel.doctor.consequences import NOT_BOUND, NOT_BUILT
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects.access import Object, at, dicts, labels_of, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.shell import chain


def about(cache: Cached) -> str:
    """The Dataset, or the runtime where there is none, as findings name it."""
    obj = cache.dataset or cache.runtime
    return reference(obj) if obj else f"cache {cache.namespace}/{cache.name}"


def events(case: Case, obj: Object | None, reason: str) -> list[Object]:
    """The events of an object with a reason, oldest first."""
    found = case.snapshot.events(obj) if obj else []
    return [each for each in found if each.get("reason") == reason]


def _seen_runtimes(case: Case) -> None:
    """Raises: Skip: a kind of runtime could not be read, so that none may only be out of sight."""
    for kind in names.RUNTIMES:
        if case.snapshot.served(kind) and not case.snapshot.knows(kind, case.own.namespace):
            raise Skip(_unseen(case, kind))


def _unseen(case: Case, kind: Kind) -> str:
    missing = case.snapshot.why_missing(kind, case.own.namespace)
    return f"no permission to list {kind.resource}" if missing else f"{kind.resource} was not read"


@check("FM201", "the name is one that Fluid takes", explains=("FM203", "FM204", "FM205", "FM208"))
def legal(case: Case) -> Iterator[Finding]:
    """Dataset and runtime must be DNS-1035 labels: lower-case letters, digits and `-`,
    beginning with a letter. The API server lets more pass (`qwen2.5-7b`), but Fluid's
    controllers refuse it: the phase of the Dataset stays empty.
    """
    cache = case.own
    if names.is_legal(cache.name):
        return
    seen = [Evidence(about(cache), "metadata.name", cache.name)]
    seen += [event_evidence(each) for each in events(case, cache.dataset, "ErrorCreateDataset")]
    yield Finding(
        about(cache),
        f"Fluid refuses the name {cache.name}: it wants lower-case letters, digits and '-', "
        "beginning with a letter",
        tuple(seen),
        Fix(fix_commands.anew(cache, _legal(cache.name))),
    )


def _legal(name: str) -> str:
    try:
        return names.dataset_name(name)
    except UsageError:  # nothing of it can be kept, which only a bundle can hold
        return "model"


@check("FM202", "the name is short enough", explains=("FM203", "FM204", "FM208"))
def short(case: Case) -> Iterator[Finding]:
    """Fluid derives names from that of the Dataset: pods of `<name>-master` carry a label of at
    most 63 characters, helm releases have at most 53. More than 45 do not fit, and the master's
    or the workers' pods are never made.
    """
    cache = case.own
    if len(cache.name) <= names.MAX_NAME or not names.is_legal(cache.name):
        return
    yield Finding(
        about(cache),
        f"the name has {len(cache.name)} characters, and what Fluid derives from it fits at most "
        f"{names.MAX_NAME}",
        (Evidence(about(cache), "metadata.name", cache.name),),
        Fix(fix_commands.anew(cache, _legal(cache.name))),
    )


@check(
    "FM204",
    "the Dataset has a runtime of its name",
    needs=(names.DATASETS,),
    explains=("FM205", *NOT_BOUND),
)
def has_runtime(case: Case) -> Iterator[Finding]:
    """A Dataset is served by the runtime of the same name in the same namespace. Without one it
    stays NotBound, and there is never a claim to mount.
    """
    cache = case.own
    if cache.dataset is None or cache.runtimes or _reference_mount(cache.dataset):
        return
    _seen_runtimes(case)
    near = _nearest(cache, _alone(case, cache.namespace)["runtimes"])
    phase = str(at(cache.dataset, "status", "phase", default="") or "empty")
    seen = [Evidence(about(cache), "status.phase", phase)]
    if near is not None:
        runtime = near.runtimes[0]
        seen.append(Evidence(reference(runtime), "metadata.name", near.name))
        yield Finding(
            about(cache),
            f"no runtime is called {cache.name}, so the Dataset stays unbound; "
            f"{runtime.get('kind')} {near.name} has no Dataset of its name",
            tuple(seen),
            Fix(fix_commands.rename_runtime(runtime, cache.name)),
        )
        return
    yield Finding(
        about(cache),
        f"no runtime is called {cache.name}, so the Dataset stays unbound",
        tuple(seen),
        _runtime_for(cache),
    )


def _runtime_for(cache: Cached) -> Fix:
    """Have `cache` make it, which measures the source; it cannot make one of several mounts."""
    if cache.dataset is not None and names.is_ours(cache.dataset):
        return Fix(fix_commands.cache(cache))
    if len(dicts(cache.dataset, "spec", "mounts")) == 1:
        return Fix(fix_commands.anew(cache))
    return Fix(
        f"make an AlluxioRuntime {cache.name} in namespace {cache.namespace} with a quota of the "
        "size of the models and a tenth more, or a cache of its own for each model",
        "advice",
    )


@check("FM205", "the runtime has a Dataset of its name", needs=(names.DATASETS,))
def has_dataset(case: Case) -> Iterator[Finding]:
    """A runtime waits until there is a Dataset of its name in its namespace."""
    cache = case.own
    if cache.dataset is not None or cache.runtime is None:
        return
    near = _nearest(cache, _alone(case, cache.namespace)["datasets"])
    runtime = cache.runtime
    seen = [Evidence(reference(runtime), "metadata.name", cache.name)]
    seen += [event_evidence(each) for each in events(case, runtime, "ErrorProcessRuntime")][-1:]
    if near is not None:
        yield Finding(
            reference(runtime),
            f"no Dataset is called {cache.name}, so the runtime waits; Dataset {near.name} has no "
            "runtime of its name",
            tuple(seen),
            Fix(fix_commands.rename_runtime(runtime, near.name)),
            other=(near.namespace, near.name),
        )
        return
    yield Finding(
        reference(runtime),
        f"no Dataset is called {cache.name}, so the runtime waits and serves nobody",
        tuple(seen),
        Fix(fix_commands.delete(runtime)),
    )


def _alone(case: Case, namespace: str) -> dict[str, list[Cached]]:
    """The Datasets without a runtime and the runtimes without a Dataset of a namespace."""

    def build() -> dict[str, dict[str, list[Cached]]]:
        found: dict[str, dict[str, list[Cached]]] = {}
        for each in case.caches:
            here = found.setdefault(each.namespace, {"datasets": [], "runtimes": []})
            if each.dataset is None:
                here["runtimes"].append(each)
            elif not each.runtimes:
                here["datasets"].append(each)
        return found

    return case.once("naming: alone", build).get(namespace, {"datasets": [], "runtimes": []})


def _nearest(cache: Cached, others: list[Cached]) -> Cached | None:
    """The one that was probably meant: of a similar name, or the only one there is."""
    by_name = {each.name: each for each in others if each.name != cache.name}
    close = get_close_matches(cache.name, by_name, n=1, cutoff=0.5)
    if close:
        return by_name[close[0]]
    return next(iter(by_name.values())) if len(by_name) == 1 else None


def _reference_mount(dataset: Object) -> bool:
    """A Dataset of `dataset://` gets its runtime from Fluid itself."""
    mounts = dicts(dataset, "spec", "mounts")
    return any(str(mount.get("mountPoint", "")).startswith("dataset://") for mount in mounts)


@check("FM206", "only one runtime has the name", explains=("FM208",))
def one_runtime(case: Case) -> Iterator[Finding]:
    """A Dataset is bound to one runtime. A second of the same name, of another kind, is refused
    and tries again for ever.
    """
    cache = case.own
    if len(cache.runtimes) < 2:
        return
    bound = str(at(cache.dataset, "status", "runtimes", 0, "type", default="")).lower()
    kept = next(
        (each for each in cache.runtimes if bound and fix_commands.kind_of(each).startswith(bound)),
        cache.runtimes[0],
    )
    others = [each for each in cache.runtimes if each is not kept]
    seen = [Evidence(reference(each), "kind", str(each.get("kind"))) for each in cache.runtimes]
    for other in others:
        seen += [event_evidence(each) for each in events(case, other, "ErrorProcessRuntime")][-1:]
    kinds = " and ".join(str(each.get("kind")) for each in cache.runtimes)
    yield Finding(
        about(cache),
        f"{kinds} are all called {cache.name}, and a Dataset has one runtime only",
        tuple(seen),
        Fix(fix_commands.delete(*others)),
    )


@check(
    "FM207", "the volume's name is free", needs=(k.PVS,), explains=("FM402", "FM442", *NOT_BOUND)
)
def volume_free(case: Case) -> Iterator[Finding]:
    """Fluid calls the PersistentVolume `<namespace>-<name>`, so that `a-b/c` and `a/b-c` get
    the same. The second Dataset takes the volume for its own, and its claim never binds. Do not
    remove it alone: Fluid then deletes the volume and the claim of the first (seen with 1.0.8).
    """
    cache = case.own
    wanted = names.volume_name(cache.namespace, cache.name)
    volume = case.snapshot.find(k.PVS, wanted)
    if volume is None:
        return
    claim = at(volume, "spec", "claimRef", default={})
    owner = (namespace_of({"metadata": claim}), name_of({"metadata": claim}))
    if owner == (cache.namespace, cache.name):
        return
    theirs = "/".join(owner).strip("/") or "nobody"
    yield Finding(
        about(cache),
        f"PersistentVolume {wanted}, which Fluid would make for this cache, belongs to {theirs}",
        (Evidence(reference(volume), "spec.claimRef", theirs),),
        Fix(
            f"stop the pods that read {theirs}, because Fluid removes its volume together with "
            f"this cache; remove both caches, make {theirs} again, and this one under another "
            f"name: {fix_commands.cache(cache, fix_commands.other_name(cache))}",
            "advice",
        ),
    )


@check(
    "FM219",
    "nothing else has the names of the cache's workloads",
    needs=(k.STATEFUL_SETS, k.DAEMON_SETS),
    explains=("FM203", *NOT_BUILT),
)
def workloads_free(case: Case) -> Iterator[Finding]:
    """Fluid installs `<name>-master`, `<name>-worker` and `<name>-fuse` as a helm release. Where a
    StatefulSet or DaemonSet of one of these names was made by somebody else, the release stays
    incomplete; it has to be made anew once that is out of the way.
    """
    cache = case.own
    for kind, part in (
        (k.STATEFUL_SETS, "master"),
        (k.STATEFUL_SETS, "worker"),
        (k.DAEMON_SETS, "fuse"),
    ):
        found = case.snapshot.find(kind, f"{cache.name}-{part}", cache.namespace)
        if found is None or "release" in labels_of(found) or cache.runtime is None:
            continue
        managed = labels_of(found).get("app.kubernetes.io/managed-by") or "not set"
        yield Finding(
            reference(found),
            f"{kind.name} {cache.name}-{part} is in the way: Fluid makes one of that name, and "
            "this is not it",
            (
                Evidence(reference(found), "metadata.labels.release", "not set"),
                Evidence(reference(found), "app.kubernetes.io/managed-by", managed),
            ),
            Fix(chain(fix_commands.delete(found), fix_commands.again(cache.runtime))),
        )
