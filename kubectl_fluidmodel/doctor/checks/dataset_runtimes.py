"""2xx: the runtime of a Dataset: there is exactly one with its name."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Finding,
    Fix,
    event_evidence,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NOT_BOUND
from kubectl_fluidmodel.doctor.observations import cache_reference, events_with_reason
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.model.similarity import most_similar
from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.objects.kinds import Kind


def _require_runtimes_read(context: CheckContext) -> None:
    """Check that a missing runtime is missing, not unreadable.

    Raises:
        CheckSkippedError: a kind of runtime could not be read.
    """
    for kind in names.RUNTIME_KINDS:
        if context.snapshot.is_served(kind) and not context.snapshot.was_read(
            kind, context.cache.namespace
        ):
            raise CheckSkippedError(_unread_reason(context, kind))


def _unread_reason(context: CheckContext, kind: Kind) -> str:
    missing = context.snapshot.read_failure(kind, context.cache.namespace)
    return f"no permission to list {kind.resource}" if missing else f"{kind.resource} was not read"


@register_check(
    "FM204",
    "the Dataset has a runtime with its name",
    needs=(names.DATASETS,),
    explains=("FM205", *NOT_BOUND),
)
def dataset_has_runtime(context: CheckContext) -> Iterator[Finding]:
    """No runtime has the name of the Dataset.

    A Dataset is served by the runtime with the same name in the same namespace. Without one it
    stays NotBound, and there is never a claim to mount.
    """
    cache = context.cache
    if cache.dataset is None or cache.runtimes or _is_reference(cache.dataset):
        return
    _require_runtimes_read(context)
    match = _likely_match(cache, _unpaired_caches(context, cache.namespace)["runtimes"])
    phase = str(get_path(cache.dataset, "status", "phase", default="") or "empty")
    evidence = [Evidence(cache_reference(cache), "status.phase", phase)]
    if match is not None:
        runtime = match.runtimes[0]
        evidence.append(Evidence(object_reference(runtime), "metadata.name", match.name))
        yield Finding(
            cache_reference(cache),
            f"no runtime has the name {cache.name}, so the Dataset stays unbound; "
            f"{runtime.get('kind')} {match.name} has no Dataset with its name",
            tuple(evidence),
            Fix(fix_commands.rename_runtime(runtime, cache.name)),
        )
        return
    bound = phase == "Bound"
    yield Finding(
        cache_reference(cache),
        f"no runtime has the name {cache.name}, "
        + ("though the Dataset still says Bound" if bound else "so the Dataset stays unbound"),
        tuple(evidence),
        _create_runtime_fix(cache),
    )


def _create_runtime_fix(cache: Cache) -> Fix:
    """Create the runtime with `cache`, which measures the source, where it knows such sources."""
    if names.has_own_spec(cache.dataset or {}):
        return Fix(cache_commands.cache_command(cache))
    if cache_commands.can_be_made_by_cache(cache):
        return Fix(cache_commands.recreate_cache(cache))
    return Fix(
        f"make an AlluxioRuntime {cache.name} in namespace {cache.namespace} with a quota of the "
        "size of the models and a tenth more, or a cache of its own for each model",
        "advice",
    )


@register_check("FM205", "the runtime has a Dataset with its name", needs=(names.DATASETS,))
def runtime_has_dataset(context: CheckContext) -> Iterator[Finding]:
    """No Dataset has the name of the runtime.

    A runtime waits until its namespace has a Dataset with the same name.
    """
    cache = context.cache
    if cache.dataset is not None or cache.runtime is None:
        return
    match = _likely_match(cache, _unpaired_caches(context, cache.namespace)["datasets"])
    runtime = cache.runtime
    evidence = [Evidence(object_reference(runtime), "metadata.name", cache.name)]
    events = events_with_reason(context, runtime, "ErrorProcessRuntime")
    evidence += map(event_evidence, events[-1:])
    if match is not None:
        yield Finding(
            object_reference(runtime),
            f"no Dataset has the name {cache.name}, so the runtime waits; Dataset {match.name} has "
            "no runtime with its name",
            tuple(evidence),
            Fix(fix_commands.rename_runtime(runtime, match.name)),
            other_cache=(match.namespace, match.name),
        )
        return
    yield Finding(
        object_reference(runtime),
        f"no Dataset has the name {cache.name}, so the runtime waits and is not used",
        tuple(evidence),
        Fix(fix_commands.delete_objects(runtime)),
    )


def _unpaired_caches(context: CheckContext, namespace: str) -> dict[str, list[Cache]]:
    """A namespace's Datasets without a runtime, and runtimes without a Dataset."""

    def build() -> dict[str, dict[str, list[Cache]]]:
        by_namespace: dict[str, dict[str, list[Cache]]] = {}
        for cache in context.caches:
            unpaired = by_namespace.setdefault(cache.namespace, {"datasets": [], "runtimes": []})
            if cache.dataset is None:
                unpaired["runtimes"].append(cache)
            elif not cache.runtimes:
                unpaired["datasets"].append(cache)
        return by_namespace

    return context.cached("naming: alone", build).get(namespace, {"datasets": [], "runtimes": []})


def _likely_match(cache: Cache, candidates: list[Cache]) -> Cache | None:
    """The cache that was probably meant: the one with a similar name, or the only one."""
    by_name = {
        candidate.name: candidate for candidate in candidates if candidate.name != cache.name
    }
    close = most_similar(cache.name, by_name, cutoff=0.5)
    if close:
        return by_name[close]
    return next(iter(by_name.values())) if len(by_name) == 1 else None


def _is_reference(dataset: Object) -> bool:
    """Whether a Dataset refers to another (`dataset://`); Fluid creates its runtime."""
    mounts = get_list(dataset, "spec", "mounts")
    return any(str(mount.get("mountPoint", "")).startswith("dataset://") for mount in mounts)


@register_check("FM206", "only one runtime has the Dataset's name", explains=("FM208",))
def runtime_is_unique(context: CheckContext) -> Iterator[Finding]:
    """Several runtimes have the name of the Dataset.

    A Dataset is bound to one runtime. Fluid rejects a second one with the same name and another
    kind, which then retries forever.
    """
    cache = context.cache
    if len(cache.runtimes) < 2:
        return
    bound = str(get_path(cache.dataset, "status", "runtimes", 0, "type", default="")).lower()
    bound_runtime = next(
        (
            candidate
            for candidate in cache.runtimes
            if bound and fix_commands.kubectl_kind(candidate).startswith(bound)
        ),
        cache.runtimes[0],
    )
    kinds = [str(candidate.get("kind")) for candidate in cache.runtimes]
    evidence = [
        Evidence(object_reference(candidate), "kind", kind)
        for candidate, kind in zip(cache.runtimes, kinds, strict=True)
    ]
    rejected = [candidate for candidate in cache.runtimes if candidate is not bound_runtime]
    for runtime in rejected:
        events = events_with_reason(context, runtime, "ErrorProcessRuntime")
        evidence += map(event_evidence, events[-1:])
    yield Finding(
        cache_reference(cache),
        f"{' and '.join(kinds)} all have the name {cache.name}, and a Dataset has only one runtime",
        tuple(evidence),
        Fix(fix_commands.delete_objects(*rejected)),
    )
