"""6xx: what a DataLoad is meant to load: which Dataset, which paths, how many copies."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Finding, Fix, Scope, Severity, check, reference
from kubectl_fluidmodel.doctor.checks.load import again, covers_all, latest
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.objects.access import at, dicts, namespace_of


@check("FM602", "a DataLoad names its Dataset's namespace", explains=("FM601", "FM606"))
def named(case: Case) -> Iterator[Finding]:
    """`spec.dataset.namespace` of a DataLoad may be left out, by its schema; Fluid then looks for
    the Dataset in no namespace at all and never finds it (TargetDatasetNotFound).
    """
    cache = case.own
    for load in cache.loads:
        if at(load, "spec", "dataset", "namespace"):
            continue
        said = observations.told(case, load, "", "TargetDatasetNotFound")
        yield Finding(
            reference(load),
            "it does not say in which namespace its Dataset is, so Fluid never finds it",
            (observations.field(load, "spec", "dataset", "namespace"), *observations.some(said)),
            Fix(fix_commands.patch(load, {"spec": {"dataset": {"namespace": cache.namespace}}})),
        )


@check("FM603", "a DataLoad is in its Dataset's namespace", explains=("FM604", "FM606", "FM601"))
def near(case: Case) -> Iterator[Finding]:
    """Fluid refuses a DataLoad for a Dataset of another namespace (TargetDatasetNamespaceNotSame).
    Make it beside the Dataset.
    """
    cache = case.own
    for load in cache.loads:
        if namespace_of(load) == cache.namespace:
            continue
        said = observations.told(case, load, "", "TargetDatasetNamespaceNotSame")
        yield Finding(
            reference(load),
            f"it is in namespace {namespace_of(load)}, and its Dataset in {cache.namespace}",
            (observations.field(load, "spec", "dataset", "namespace"), *observations.some(said)),
            again(cache, load, remove=True),
        )


@check(
    "FM608",
    "every DataLoad has a Dataset",
    scope=Scope.CLUSTER,
    severity=Severity.WARNING,
    needs=(names.DATASETS, names.DATA_LOADS),
)
def target(case: Case) -> Iterator[Finding]:
    """A DataLoad names a Dataset that does not exist; Fluid looks for it every 20 s, for ever
    (TargetDatasetNotFound).
    """
    for load in case.snapshot.all(names.DATA_LOADS):
        name = str(at(load, "spec", "dataset", "name", default=""))
        namespace = str(at(load, "spec", "dataset", "namespace") or namespace_of(load))
        seen = case.snapshot.namespace in (None, namespace)
        if (
            not seen
            or case.snapshot.find(names.DATASETS, name, namespace)
            or _runtime(case, name, namespace)
        ):
            continue
        said = observations.told(case, load, "", "TargetDatasetNotFound")
        yield Finding(
            reference(load),
            f"its Dataset {namespace}/{name} does not exist",
            (observations.field(load, "spec", "dataset"), *observations.some(said)),
            Fix(fix_commands.delete(load)),
        )


def _runtime(case: Case, name: str, namespace: str) -> bool:
    """Whether a cache of the name is known by its runtime: then the Dataset is what is missing."""
    return any((each.namespace, each.name) == (namespace, name) for each in case.caches)


@check("FM609", "the load asks for the whole model", severity=Severity.WARNING, explains=("FM605",))
def asks(case: Case) -> Iterator[Finding]:
    """A load brings what its `target` names. Without one it brings nothing and is Complete; a path
    with a colon or a space falls apart in Fluid's script, which joins and splits paths by them.
    """
    cache = case.own
    load = latest(cache)
    if load is None or cache.dataset is None or covers_all(cache, load) or amount(cache).whole:
        return
    targets = [str(each.get("path", "")) for each in dicts(load, "spec", "target")]
    odd = [path for path in targets if ":" in path or " " in path]
    if odd:
        cause = f"Fluid's script splits the path '{odd[0]}' at its colons and spaces"
    elif not targets:
        cause = "it names no path, so nothing is loaded"
    else:
        cause = f"it loads only {', '.join(targets)} of the model"
    yield Finding(
        reference(load),
        cause,
        (observations.field(load, "spec", "target"),),
        again(cache, load),
    )


@check(
    "FM612",
    "the load makes as many copies as the cache shall hold",
    severity=Severity.WARNING,
    explains=("FM605",),
)
def copies(case: Case) -> Iterator[Finding]:
    """The load's `replicas` become the most copies that Alluxio keeps of a file (`setReplication
    --max`), whatever the runtime's `data.replicas` says. With fewer, the other nodes hold only
    parts of the model.
    """
    cache = case.own
    load, wanted = latest(cache), runtimes.copies(cache.runtime)
    if load is None or wanted < 2:
        return
    for each in dicts(load, "spec", "target"):
        have = each.get("replicas") or 1
        if isinstance(have, int) and have < wanted:
            yield Finding(
                reference(load),
                f"it makes {have} of the {wanted} copies of {each.get('path')}",
                (
                    observations.field(load, "spec", "target"),
                    observations.field(cache.runtime or {}, "spec", "data", "replicas"),
                ),
                again(cache, load),
            )
            return
