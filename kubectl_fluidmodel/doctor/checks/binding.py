"""2xx: a Dataset that is not Bound, or no longer kept in step, and nothing else says why."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    Case,
    Evidence,
    Finding,
    Fix,
    Severity,
    check,
    event_evidence,
)
from kubectl_fluidmodel.doctor.checks.names import about
from kubectl_fluidmodel.doctor.consequences import NOT_BOUND
from kubectl_fluidmodel.fluid import installation, names, pod_problems
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, number
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.output.text import duration

_BOUND_IN = 180.0
"""Seconds within which Fluid binds a cache whose pods have to start."""
_REFERS_IN = 60.0
"""As that, of a Dataset that only refers to another: no pod has to start."""
_EARLY = 30.0
"""Seconds from which on such a wait is worth a word."""
_RECENT = 120.0
"""Seconds for which a warning of Fluid is news; its controllers sync every 15 to 20 s."""
_OFTEN = 3
"""Times that Fluid has to say the same: an update that meets another's passes by itself."""
_PASSING = ("No dataset can be bound to the runtime, waiting",)
_THIN = next(kind for kind in names.RUNTIMES if kind.name == "ThinRuntime")
_SERVED = (*NOT_BOUND, "FM204")


def referent(case: Case) -> str:
    """`namespace/name` of the Dataset that this one refers to, where that is known to be absent."""
    target = case.own.refers_to
    if target is None or case.own.origin is not None:
        return ""
    namespace, name = target
    absent = case.snapshot.is_absent(names.DATASETS, name, namespace)
    return f"{namespace}/{name}" if absent else ""


@check("FM223", "what the Dataset refers to is there", explains=_SERVED)
def refers(case: Case) -> Iterator[Finding]:
    """A Dataset whose mount is `dataset://namespace/name` shows the files of that other one, and
    has no pods of its own. The other has to exist, and to be Bound: a reference to nothing stays
    NotBound for ever.
    """
    cache = case.own
    where = Evidence(
        about(cache),
        "spec.mounts[0].mountPoint",
        str(at(cache.dataset, "spec", "mounts", 0, "mountPoint", default="")),
    )
    gone = referent(case)
    if gone:
        namespace = gone.partition("/")[0]
        yield Finding(
            about(cache),
            f"it refers to {gone}, which does not exist",
            (where,),
            Fix(command("kubectl", "get", "datasets", "-n", namespace), "advice"),
        )
    elif cache.origin is not None and cache.refers_to is not None:
        other = cache.origin.dataset
        phase = fluid_status.dataset(other).phase if other else "without a Dataset"
        if other is not None and is_terminating(other):
            phase = "being deleted"
        if phase not in ("Bound", "New"):
            yield Finding(
                about(cache),
                f"it refers to {'/'.join(cache.refers_to)}, which is {phase}",
                (where, *((observations.field(other, "status", "phase"),) if other else ())),
                observations.look(
                    cache.origin, "fluidmodel", "doctor", Operand(cache.refers_to[1])
                ),
            )


@check("FM221", "the Dataset is Bound", explains=NOT_BOUND, fallback=True)
def is_bound(case: Case) -> Iterator[Finding]:
    """The Dataset has not been Bound for longer than Fluid needs, whatever its kind, and no other
    check knows why. Nothing can mount it. The newest warning of Fluid is the evidence; its
    controllers' logs say more.
    """
    cache = case.own
    dataset = cache.dataset
    phase = fluid_status.dataset(dataset).phase
    if dataset is None or phase in ("Bound", "New") or is_terminating(dataset):
        return
    since = _since(case, dataset)
    limit = _REFERS_IN if cache.refers_to else _BOUND_IN
    if since < min(limit, _EARLY if cache.refers_to else limit):
        return
    kind = cache.runtime or ({"kind": _THIN.name} if cache.refers_to else {})
    controller = _controller(case, cache)
    said = [*_warnings(case, cache)][-1:]
    yield Finding(
        about(cache),
        f"it has been {phase} for {duration(since)}" + (f": {controller}" if controller else ""),
        (Evidence(about(cache), "status.phase", phase), *(event_evidence(each) for each in said)),
        observations.look_at_fluid(
            "logs",
            Operand(f"deployment/{fix_commands.kind_of(kind) or 'dataset'}-controller"),
            "--tail=50",
        ),
        Severity.WARNING if since < limit else None,
    )


def _since(case: Case, dataset: Object) -> float:
    """Seconds since the Dataset was made, or was Bound last."""
    changed = [
        pod_problems.parse_time(each.get("lastTransitionTime"))
        for each in dicts(dataset, "status", "conditions")
        if each.get("type") == "Ready"
    ]
    return min([case.age(dataset), *(case.snapshot.taken - each for each in changed if each)])


def _controller(case: Case, cache: Cached) -> str:
    """Why nobody serves a reference; what serves other runtimes is FM106's."""
    system = names.SYSTEM_NAMESPACE
    if not cache.refers_to or not case.snapshot.knows(kinds.DEPLOYMENTS, system):
        return ""
    name = installation.controller_of(_THIN)
    found = case.snapshot.find(kinds.DEPLOYMENTS, name, system)
    if found is None or not at(found, "status", "availableReplicas", default=0):
        return f"no ThinRuntime controller runs ({system}/{name})"
    return ""


def _warnings(case: Case, cache: Cached) -> Iterator[Object]:
    """Fluid's warnings of the cache's own objects, oldest first."""
    found = [
        event
        for obj in (cache.dataset, *cache.runtimes, *cache.loads)
        if obj is not None
        for event in case.snapshot.events(obj)
        if not any(each in str(event.get("message")) for each in _PASSING)
    ]
    yield from sorted(found, key=pod_problems.event_time)


@check(
    "FM222",
    "Fluid keeps the cache in step",
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
def in_step(case: Case) -> Iterator[Finding]:
    """A controller of Fluid says again and again that it cannot do something for the cache: sync
    its status, mount a source that was added, begin a data operation. What is there goes on, and
    what Fluid shows of it may be old.
    """
    for event in [*_warnings(case, case.own)][::-1]:
        age = case.snapshot.taken - pod_problems.event_time(event)
        count = max(number(event, "count"), number(event, "series", "count"))
        if age > _RECENT or count < _OFTEN:
            continue
        seen = event_evidence(event)
        kind, _, name = seen.object.partition(" ")
        yield Finding(
            seen.object,
            f"Fluid says {event.get('reason')}, {count} times: {seen.text[:160]}",
            (seen,),
            observations.look(case.own, "describe", kind, name.rpartition("/")[2]),
        )
        return
