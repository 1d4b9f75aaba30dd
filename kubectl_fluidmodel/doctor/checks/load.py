"""6xx: whether the model was loaded into the cache, all of it."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.fluid.mount import alluxio_path
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.objects.access import Object, at, dicts, name_of
from kubectl_fluidmodel.output.shell import Operand, chain
from kubectl_fluidmodel.output.text import size

SETTLE = 60.0
"""Seconds after a load in which Fluid may not have counted yet: it syncs every 15 s by default."""
PATIENCE = 120.0
"""Seconds that a load may take to begin: Fluid looks at it every 20 s."""


def latest(cache: Cached) -> Object | None:
    """The newest DataLoad of a cache."""
    return cache.loads[-1] if cache.loads else None


def again(cache: Cached, load: Object | None = None, *, remove: bool = False) -> Fix:
    """Load the model (once more): by `cache`, which proves it, or by making a DataLoad anew.

    With `remove` the load goes first whoever made it: one that is running, or of other paths.
    """
    if names.is_ours(cache.dataset or {}):
        made = fix_commands.cache(cache, standing=True)
        return Fix(chain(fix_commands.delete(load), made) if load and remove else made)
    name = name_of(load) if load else f"{cache.name}-load"
    document = {
        "apiVersion": names.DATA_LOADS.api_version,
        "kind": names.DATA_LOADS.name,
        "metadata": {"name": name, "namespace": cache.namespace},
        "spec": {
            "loadMetadata": True,
            "dataset": {"name": cache.name, "namespace": cache.namespace},
            "target": [{"path": "/", "replicas": runtimes.copies(cache.runtime)}],
        },
    }
    made = fix_commands.apply(document)
    return Fix(chain(fix_commands.delete(load), made) if load else made)


def covers_all(cache: Cached, load: Object) -> bool:
    """Whether a load asks for everything that the Dataset mounts."""
    paths = [str(each.get("path", "")).rstrip("/") for each in dicts(load, "spec", "target")]
    mounts = dicts(cache.dataset, "spec", "mounts")
    wanted = [alluxio_path(each).rstrip("/") for each in mounts]
    return "" in paths or bool(wanted and all(path in paths for path in wanted))


@check(
    "FM601",
    "the model was loaded into the cache",
    severity=Severity.WARNING,
    needs=(names.DATA_LOADS,),
)
def loaded(case: Case) -> Iterator[Finding]:
    """A cache without a load fills as it is read: the first worker waits for every byte to come
    from the store, one file after the other. A DataLoad brings the whole model beforehand.
    """
    cache = case.own
    found = amount(cache)
    if cache.loads or cache.dataset is None or found.whole is not False:
        return
    yield Finding(
        reference(cache.dataset),
        f"nothing has loaded the model: {size(found.cached)} of {size(found.total)} are cached",
        (observations.field(cache.dataset, "status", "cacheStates", "cachedPercentage"),),
        again(cache),
    )


@check("FM604", "the load did not fail", needs=(names.DATA_LOADS,))
def failed(case: Case) -> Iterator[Finding]:
    """Fluid tried the load and its Job failed four times, or Fluid refused it. The reason is in the
    condition, and the loader's log says more. An earlier load that failed does not count once a
    later one is Complete.
    """
    cache = case.own
    load = latest(cache)
    if load is None or at(load, "status", "phase") != "Failed" or amount(cache).whole:
        return
    condition = next(iter(dicts(load, "status", "conditions")), {})
    reason = condition.get("reason") or "no reason given"
    message = condition.get("message") or ""
    said = observations.told(
        case, load, "", "DataOperationExecutionFailed", "DataOperationNotSupport"
    )
    yield Finding(
        reference(load),
        f"the load failed: {reason}",
        (
            observations.field(load, "status", "phase"),
            observations.field(
                load, "status", "conditions", text=f"{reason}: {message}".rstrip(": ")
            ),
            *observations.some(said),
        ),
        again(cache, load),
    )


@check("FM605", "the load brought everything", needs=(names.DATA_LOADS,))
def everything(case: Case) -> Iterator[Finding]:
    """A DataLoad says Complete when its command has ended, and Alluxio's `distributedLoad` ends
    well even when single files could not be loaded (fluid#633, fluid#4380). What is missing is read
    from the store when it is first asked for. Load again; what is there is not loaded twice.
    """
    cache = case.own
    load, found = latest(cache), amount(cache)
    if load is None or found.whole is not False or cache.dataset is None:
        return
    if at(load, "status", "phase") != "Complete":
        return
    ended = observations.since(case, at(load, "status", "conditions", 0, "lastTransitionTime"))
    young = ended is not None and ended < SETTLE
    partly = not covers_all(cache, load)
    copies = f" of {found.copies} copies" if found.copies > 1 else ""
    wanted = (found.total or 0) * found.copies
    yield Finding(
        reference(cache.dataset),
        f"the load is Complete, and {size(found.cached)} of {size(wanted)}{copies} are cached"
        + ("; Fluid may not have counted yet" if young else ""),
        (
            observations.field(cache.dataset, "status", "cacheStates", "cached"),
            observations.field(cache.dataset, "status", "ufsTotal"),
            observations.field(load, "status", "phase"),
        ),
        None if young else again(cache, load),
        Severity.WARNING if young or partly else None,
    )


@check("FM606", "the load has begun", severity=Severity.WARNING, needs=(names.DATA_LOADS,))
def begun(case: Case) -> Iterator[Finding]:
    """A DataLoad waits until its Dataset is Bound, until another load of it is over, or for the
    operation that its `runAfter` names.
    """
    cache = case.own
    load = latest(cache)
    if load is None or status.dataload(load).phase != "Pending" or case.age(load) < PATIENCE:
        return
    running = str(at(cache.dataset, "status", "operationRef", "DataLoad", default=""))
    after = at(load, "spec", "runAfter", "name", default="")
    bound = at(cache.dataset, "status", "phase") == "Bound"
    if after and at(load, "status", "waitingFor", "operationComplete"):
        cause = f"it waits for {after} to be complete"
    elif running and name_of(load) not in running.split(","):
        cause = f"it waits for the load {running}"
    elif not bound:
        cause = "it waits for its Dataset to be Bound"
    else:
        cause = "Fluid does not take it up"
    refs = observations.field(cache.dataset or {}, "status", "operationRef", "DataLoad")
    yield Finding(
        reference(load),
        cause,
        (
            observations.field(load, "status", "phase"),
            *([refs] if running else [observations.field(cache.dataset or {}, "status", "phase")]),
        ),
        observations.look(load, "describe", "dataload", Operand(name_of(load))),
    )
