"""6xx: what a DataLoad should load: which Dataset, which paths, how many copies."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Scope,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.checks.load import covers_all_mounts, latest_load, reload_fix
from kubectl_fluidmodel.fluid import alluxio_runtime, names
from kubectl_fluidmodel.fluid.dataload import load_targets
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import WORKER, Cache
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects.access import get_list, get_path, namespace_of


@register_check(
    "FM602", "a DataLoad names the namespace of its Dataset", explains=("FM601", "FM606")
)
def load_names_dataset_namespace(context: CheckContext) -> Iterator[Finding]:
    """A DataLoad does not name the namespace of its Dataset.

    The schema allows omitting `spec.dataset.namespace`, but Fluid then looks for the Dataset in an
    empty namespace and never finds it (TargetDatasetNotFound).
    """
    cache = context.cache
    for load in cache.loads:
        if get_path(load, "spec", "dataset", "namespace"):
            continue
        warning = observations.warning_event(context, load, "", "TargetDatasetNotFound")
        yield Finding(
            object_reference(load),
            "it does not set its Dataset's namespace, so Fluid never finds the Dataset",
            (
                observations.field_evidence(load, "spec", "dataset", "namespace"),
                *observations.as_tuple(warning),
            ),
            Fix(
                fix_commands.patch_object(
                    load, {"spec": {"dataset": {"namespace": cache.namespace}}}
                )
            ),
        )


@register_check(
    "FM603", "a DataLoad is in its Dataset's namespace", explains=("FM604", "FM606", "FM601")
)
def load_is_in_dataset_namespace(context: CheckContext) -> Iterator[Finding]:
    """A DataLoad is in another namespace than its Dataset.

    Fluid rejects it (TargetDatasetNamespaceNotSame). Create it in the namespace of the Dataset.
    """
    cache = context.cache
    for load in cache.loads:
        if namespace_of(load) == cache.namespace:
            continue
        warning = observations.warning_event(context, load, "", "TargetDatasetNamespaceNotSame")
        yield Finding(
            object_reference(load),
            f"it is in namespace {namespace_of(load)}, and its Dataset in {cache.namespace}",
            (
                observations.field_evidence(load, "spec", "dataset", "namespace"),
                *observations.as_tuple(warning),
            ),
            reload_fix(cache, load, delete_first=True),
        )


@register_check(
    "FM608",
    "every DataLoad has a Dataset",
    scope=Scope.CLUSTER,
    severity=Severity.WARNING,
    needs=(names.DATASETS, names.DATA_LOADS),
)
def load_has_dataset(context: CheckContext) -> Iterator[Finding]:
    """A DataLoad names a Dataset that does not exist.

    Fluid looks for it every 20 s, forever (TargetDatasetNotFound).
    """
    for load in context.snapshot.of_kind(names.DATA_LOADS):
        name = str(get_path(load, "spec", "dataset", "name", default=""))
        namespace = str(get_path(load, "spec", "dataset", "namespace") or namespace_of(load))
        was_read = context.snapshot.namespace in (None, namespace)
        if (
            not was_read
            or context.snapshot.get(names.DATASETS, name, namespace)
            or _is_known_cache(context, name, namespace)
        ):
            continue
        warning = observations.warning_event(context, load, "", "TargetDatasetNotFound")
        yield Finding(
            object_reference(load),
            f"its Dataset {namespace}/{name} does not exist",
            (observations.field_evidence(load, "spec", "dataset"), *observations.as_tuple(warning)),
            Fix(fix_commands.delete_objects(load)),
        )


def _is_known_cache(context: CheckContext, name: str, namespace: str) -> bool:
    """Whether a runtime with the name exists, so that only the Dataset is missing."""
    return any((cache.namespace, cache.name) == (namespace, name) for cache in context.caches)


@register_check(
    "FM609", "the load covers the whole model", severity=Severity.WARNING, explains=("FM605",)
)
def load_covers_the_whole_model(context: CheckContext) -> Iterator[Finding]:
    """The load does not cover the whole model.

    A load reads the paths in its `target`, and everything without one. Fluid refuses an empty path,
    and its script splits a path with a colon or a space: it joins paths with these characters.
    """
    cache = context.cache
    load = latest_load(cache)
    if (
        load is None
        or cache.dataset is None
        or covers_all_mounts(cache, load)
        or cache_usage(cache).is_complete
    ):
        return
    paths = [target.path for target in load_targets(load)]
    odd = [path for path in paths if ":" in path or " " in path]
    if odd:
        cause = f"Fluid's script splits the path '{odd[0]}' at its colons and spaces"
    elif "" in paths:
        cause = "one of its paths is empty, so Fluid creates no loader for it"
    else:
        cause = f"it loads only {', '.join(paths)} of the model"
    yield Finding(
        object_reference(load),
        cause,
        (observations.field_evidence(load, "spec", "target"),),
        reload_fix(cache, load),
    )


@register_check(
    "FM612",
    "the load makes all copies that the cache should hold",
    severity=Severity.WARNING,
    explains=("FM605",),
)
def load_makes_all_copies(context: CheckContext) -> Iterator[Finding]:
    """The load makes fewer copies than the runtime should hold.

    The load's `replicas`, 1 if it names none, limits how many copies of a file Alluxio keeps
    (`setReplication --max`), whatever the runtime's `data.replicas` says. With fewer copies, the
    other nodes hold only parts of the model.
    """
    cache = context.cache
    load, copies = latest_load(cache), runtimes.wanted_copies(cache.runtime)
    if load is None or copies < 2:
        return
    for target in load_targets(load):
        if target.copies < copies:
            yield Finding(
                object_reference(load),
                f"it makes {target.copies} of the {copies} copies of {target.path}",
                (
                    observations.field_evidence(load, "spec", "target"),
                    observations.field_evidence(cache.runtime or {}, "spec", "data", "replicas"),
                ),
                reload_fix(cache, load),
            )
            return


@register_check(
    "FM615",
    "the cache's Alluxio has the command that loads it",
    explains=("FM601", "FM604", "FM605", "FM610"),
)
def alluxio_can_load(context: CheckContext) -> Iterator[Finding]:
    """The image of the cache has an Alluxio in which DataLoads fail.

    Fluid's DataLoad runs `alluxio fs distributedLoad`. Alluxio 2.9.4 has removed this command, so
    the loader ends with `distributedLoad is an unknown command.` Use an image of Alluxio 2.9.3 or
    older. The version is that of the image's tag.
    """
    cache = context.cache
    runtime = cache.runtime
    if not names.is_alluxio_runtime(runtime) or cache_usage(cache).is_complete:
        return
    image = _image_of_workers(cache)
    if image is None or alluxio_runtime.has_distributed_load(image.text) is not False:
        return
    change = {"alluxioVersion": {"imageTag": alluxio_runtime.LATEST_VERSION}}
    yield Finding(
        object_reference(runtime),
        "DataLoads fail with its Alluxio, which does not have the command distributedLoad",
        (image,),
        Fix(fix_commands.patch_and_recreate_runtime(cache, change)),
    )


def _image_of_workers(cache: Cache) -> Evidence | None:
    """The image of the workers, or the tag that the runtime sets before there are any."""
    workers, runtime = cache.workloads.get(WORKER), cache.runtime or {}
    if workers and get_list(workers, "spec", "template", "spec", "containers"):
        return observations.field_evidence(
            workers, "spec", "template", "spec", "containers", 0, "image"
        )
    if get_path(runtime, "spec", "alluxioVersion", "imageTag"):
        return observations.field_evidence(runtime, "spec", "alluxioVersion", "imageTag")
    return None
