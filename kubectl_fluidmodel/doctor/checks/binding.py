"""2xx: a Dataset that is not Bound or not in sync, where no other check explains it."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    event_evidence,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NOT_BOUND
from kubectl_fluidmodel.doctor.observations import cache_reference
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.fluid.reference import THIN_CONTROLLER
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects import kinds, time
from kubectl_fluidmodel.objects.access import Object, get_int, get_path
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.output.units import format_duration

_BINDING_TIMEOUT = 180.0
"""Seconds within which Fluid binds a cache, including the start of its pods."""
_REFERENCE_BINDING_TIMEOUT = 60.0
"""The same for a Dataset that only refers to another: no pod has to start."""
_REFERENCE_WARNING_AFTER = 30.0
"""Seconds after which an unbound reference is reported as a warning."""
_RECENT_WARNING = 120.0
"""Seconds for which a Fluid warning counts as recent; its controllers sync every 15 to 20 s."""
_MIN_REPEATS = 3
"""Repetitions from which on a warning is reported; update conflicts are transient."""
_TRANSIENT_WARNINGS = ("No dataset can be bound to the runtime, waiting",)
_UNBOUND_REFERENCE = (*NOT_BOUND, "FM204")


def missing_referenced_dataset(context: CheckContext) -> str:
    """`namespace/name` of the referenced Dataset if it is known to be missing, else ""."""
    target = context.cache.refers_to
    if target is None or context.cache.origin is not None:
        return ""
    namespace, name = target
    absent = context.snapshot.is_absent(names.DATASETS, name, namespace)
    return f"{namespace}/{name}" if absent else ""


@register_check(
    "FM223", "the Dataset that this one refers to exists and is Bound", explains=_UNBOUND_REFERENCE
)
def referenced_dataset_is_bound(context: CheckContext) -> Iterator[Finding]:
    """The Dataset that this one refers to is missing or not Bound.

    A Dataset with a mount `dataset://namespace/name` shows the files of that other Dataset and has
    no pods of its own. The other one has to exist and to be Bound; otherwise this one stays
    NotBound.
    """
    cache = context.cache
    evidence = Evidence(
        cache_reference(cache),
        "spec.mounts[0].mountPoint",
        str(get_path(cache.dataset, "spec", "mounts", 0, "mountPoint", default="")),
    )
    missing = missing_referenced_dataset(context)
    if missing:
        namespace = missing.partition("/")[0]
        yield Finding(
            cache_reference(cache),
            f"it refers to {missing}, which does not exist",
            (evidence,),
            Fix(command("kubectl", "get", "datasets", "-n", namespace), "advice"),
        )
    elif cache.origin is not None and cache.refers_to is not None:
        source = cache.origin.dataset
        phase = fluid_status.parse_dataset(source).phase if source else "without a Dataset"
        if source is not None and is_terminating(source):
            phase = "being deleted"
        if phase not in ("Bound", "New"):
            yield Finding(
                cache_reference(cache),
                f"it refers to {'/'.join(cache.refers_to)}, which is {phase}",
                (
                    evidence,
                    *([observations.field_evidence(source, "status", "phase")] if source else []),
                ),
                observations.advice(
                    cache.origin, "fluidmodel", "doctor", Operand(cache.refers_to[1])
                ),
            )


@register_check("FM221", "the Dataset is Bound", explains=NOT_BOUND, fallback=True)
def dataset_is_bound(context: CheckContext) -> Iterator[Finding]:
    """The Dataset has not been Bound for longer than Fluid needs, and no other check explains it.

    Nothing can mount it. The latest warning event from Fluid is shown as evidence; the logs of its
    controllers say more.
    """
    cache = context.cache
    dataset = cache.dataset
    phase = fluid_status.parse_dataset(dataset).phase
    if dataset is None or phase in ("Bound", "New") or is_terminating(dataset):
        return
    since = _seconds_unbound(context, dataset)
    limit = _REFERENCE_BINDING_TIMEOUT if cache.refers_to else _BINDING_TIMEOUT
    if since < min(limit, _REFERENCE_WARNING_AFTER if cache.refers_to else limit):
        return
    runtime_kind = fix_commands.kubectl_kind(cache.runtime or {})
    controller = f"{runtime_kind or 'dataset'}-controller"
    if not runtime_kind and cache.refers_to:
        controller = THIN_CONTROLLER
    problem = _missing_thin_controller(context, cache)
    yield Finding(
        cache_reference(cache),
        f"it has been {phase} for {format_duration(since)}" + (f": {problem}" if problem else ""),
        (
            Evidence(cache_reference(cache), "status.phase", phase),
            *map(event_evidence, _fluid_warnings(context, cache)[-1:]),
        ),
        observations.fluid_advice("logs", Operand(f"deployment/{controller}"), "--tail=50"),
        Severity.WARNING if since < limit else None,
    )


def _seconds_unbound(context: CheckContext, dataset: Object) -> float:
    """Seconds since the Dataset was created, or was last Bound."""
    changed = observations.condition_of(dataset, "Ready").get("lastTransitionTime")
    age, since = context.age(dataset), observations.seconds_since(context, changed)
    return age if since is None else min(age, since)


def _missing_thin_controller(context: CheckContext, cache: Cache) -> str:
    """Why no controller handles a reference, else ""; FM106 covers the other runtimes."""
    system = names.SYSTEM_NAMESPACE
    if not cache.refers_to or not context.snapshot.was_read(kinds.DEPLOYMENTS, system):
        return ""
    controller = context.snapshot.get(kinds.DEPLOYMENTS, THIN_CONTROLLER, system)
    if get_path(controller, "status", "availableReplicas", default=0):
        return ""
    return f"no ThinRuntime controller runs ({system}/{THIN_CONTROLLER})"


def _fluid_warnings(context: CheckContext, cache: Cache) -> list[Object]:
    """Warning events of Fluid about the cache's own objects, oldest first."""
    events = [
        event
        for obj in (cache.dataset, *cache.runtimes, *cache.loads)
        if obj is not None
        for event in context.snapshot.events_about(obj)
        if not any(transient in str(event.get("message")) for transient in _TRANSIENT_WARNINGS)
    ]
    return sorted(events, key=time.event_time)


@register_check(
    "FM222",
    "Fluid keeps the cache in sync",
    severity=Severity.WARNING,
    needs=(
        kinds.PODS,
        kinds.EVENTS,
        kinds.NODES,
        kinds.PVCS,
        kinds.STATEFUL_SETS,
        kinds.DAEMON_SETS,
    ),
    fallback=True,
)
def cache_is_in_sync(context: CheckContext) -> Iterator[Finding]:
    """A Fluid controller repeatedly fails to do something for the cache.

    For example to sync its status, to mount a source that was added, or to start a data operation.
    The existing cache keeps working, but the status that Fluid shows may be outdated.
    """
    for event in reversed(_fluid_warnings(context, context.cache)):
        age = context.snapshot.taken_at - time.event_time(event)
        count = max(get_int(event, "count"), get_int(event, "series", "count"))
        if age > _RECENT_WARNING or count < _MIN_REPEATS:
            continue
        evidence = event_evidence(event)
        kind, _, name = evidence.object.partition(" ")
        yield Finding(
            evidence.object,
            f"Fluid reports {event.get('reason')}, {count} times: {evidence.text[:160]}",
            (evidence,),
            observations.advice(context.cache, "describe", kind, name.rpartition("/")[2]),
        )
        return
