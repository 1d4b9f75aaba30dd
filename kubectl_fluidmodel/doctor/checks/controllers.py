"""1xx: Fluid's controllers: there, of one version, and running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import (
    Case,
    Evidence,
    Finding,
    Fix,
    Need,
    Scope,
    Severity,
    Skip,
    check,
    event_evidence,
    reference,
)
from kubectl_fluidmodel.doctor.consequences import NO_DRIVER, NOT_BOUND
from kubectl_fluidmodel.fluid import installation, names, pod_problems
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, labels_of, name_of, namespace_of
from kubectl_fluidmodel.output.shell import Operand

SYSTEM = names.SYSTEM_NAMESPACE
_CONTROLLERS = Need(kinds.DEPLOYMENTS)
_KUBELET_CONF = "/etc/kubernetes/kubelet.conf"


def fluids(case: Case) -> list[Object]:
    """Fluid's Deployments.

    Raises:
        Skip: there are none where its chart puts them.
    """
    found = [each for each in case.snapshot.all(kinds.DEPLOYMENTS) if namespace_of(each) == SYSTEM]
    if not any(name_of(each) == installation.DATASET_CONTROLLER for each in found):
        raise Skip(f"Fluid's controllers are not in namespace {SYSTEM}")
    return [each for each in found if "control-plane" in labels_of(each)] or found


@check("FM103", "Fluid is new enough", scope=Scope.CLUSTER, needs=(_CONTROLLERS,))
def new_enough(case: Case) -> Iterator[Finding]:
    """Before Fluid 1.0 the keys of a root mount never reach Alluxio. The version is read from
    the tag of the dataset-controller's image.
    """
    fluids(case)
    controller = case.snapshot.find(kinds.DEPLOYMENTS, installation.DATASET_CONTROLLER, SYSTEM)
    version = installation.version_of(controller or {})
    if version is None:
        raise Skip("the image of the dataset-controller does not tell its version")
    if version < installation.OLDEST:
        yield Finding(
            reference(controller or {}),
            f"Fluid {installation.dotted(version)} is older than "
            f"{installation.dotted(installation.OLDEST)}, the first that works with keys in a "
            "Secret",
            (Evidence(reference(controller or {}), "image", installation.dotted(version)),),
            Fix(installation.UPGRADE, "advice"),
        )


@check(
    "FM104",
    "all parts of Fluid have one version",
    scope=Scope.CLUSTER,
    severity=Severity.WARNING,
    needs=(_CONTROLLERS,),
)
def one_version(case: Case) -> Iterator[Finding]:
    """An upgrade that stopped half-way leaves controllers and the CSI plugin of different
    versions, which disagree on labels and on what a volume's attributes mean.
    """
    parts = fluids(case)
    plugin = case.snapshot.find(kinds.DAEMON_SETS, installation.NODE_PLUGIN, SYSTEM)
    versions = {
        reference(part): version
        for part in [*parts, *([plugin] if plugin else [])]
        if (version := installation.version_of(part)) is not None
    }
    if len(set(versions.values())) > 1:
        usual = Counter(versions.values()).most_common(1)[0][0]
        odd = {name: found for name, found in versions.items() if found != usual}
        told = ", ".join(f"{name} is {installation.dotted(found)}" for name, found in odd.items())
        yield Finding(
            next(iter(odd)),
            f"most of Fluid is {installation.dotted(usual)}, but {told}",
            tuple(
                Evidence(name, "image", installation.dotted(found))
                for name, found in versions.items()
            ),
            Fix(installation.upgrade("--version", installation.dotted(usual)), "advice"),
        )


@check(
    "FM105",
    "Fluid's dataset controller runs",
    scope=Scope.CLUSTER,
    needs=(_CONTROLLERS,),
    explains=("FM106", "FM203", "FM204", "FM217", *NOT_BOUND),
)
def dataset_controller(case: Case) -> Iterator[Finding]:
    """Without it no Dataset is taken up: its phase stays empty, and no runtime controller is
    started when one is needed.
    """
    fluids(case)
    controller = case.snapshot.find(kinds.DEPLOYMENTS, installation.DATASET_CONTROLLER, SYSTEM)
    yield from _down(case, controller or {}, "no Dataset is taken up, changed or removed")


@check(
    "FM106",
    "the runtimes' controllers run",
    scope=Scope.CLUSTER,
    needs=(_CONTROLLERS,),
    explains=("FM217", *NOT_BOUND),
)
def runtime_controllers(case: Case) -> Iterator[Finding]:
    """Each kind of runtime has a controller of its own. Fluid's chart starts them with 0
    replicas, and the dataset controller starts one when a Dataset first needs it; a `helm
    upgrade` puts them back to 0 (fluid#6136). A cache that stands already goes on then, but
    nothing looks after it.
    """
    fluids(case)
    for kind in names.RUNTIMES:
        used = case.snapshot.all(kind)
        if not used:
            continue
        name = installation.controller_of(kind)
        controller = case.snapshot.find(kinds.DEPLOYMENTS, name, SYSTEM)
        waiting = [each for each in used if not _served(each)]
        severity = Severity.ERROR if waiting else Severity.WARNING
        told = f"nothing serves {len(used)} {kind.name}{'s' * (len(used) > 1)}"
        if controller is None:
            yield Finding(
                f"deployment {SYSTEM}/{name}",
                f"this Fluid was installed without {name}: {told}",
                tuple(Evidence(reference(each), "kind", kind.name) for each in used[:3]),
                Fix(
                    installation.upgrade("--set", f"runtime.{_chart(kind)}.enabled=true"), "advice"
                ),
                severity,
            )
        else:
            yield from _down(case, controller, told, severity)


def _served(runtime: Object) -> bool:
    """Whether its controller has ever brought it up."""
    return any(at(runtime, "status", f"{part}Phase") == "Ready" for part in ("master", "worker"))


def _chart(kind: kinds.Kind) -> str:
    """How the chart's values call a runtime: `alluxio`."""
    return kind.name.removesuffix("Runtime").lower()


def _down(
    case: Case, controller: Object, told: str, severity: Severity | None = None
) -> Iterator[Finding]:
    """What is wrong with a Deployment that should have a ready pod."""
    name = name_of(controller)
    where = reference(controller)
    if at(controller, "spec", "replicas", default=1) == 0:
        yield Finding(
            where,
            f"Fluid's {name} is scaled to 0: {told}",
            (Evidence(where, "spec.replicas", "0"),),
            Fix(installation.scale_up(name)),
            severity,
        )
    elif not at(controller, "status", "availableReplicas", default=0):
        seen = [observations.field(controller, "status", "availableReplicas")]
        for pod in case.snapshot.all(kinds.PODS):
            if namespace_of(pod) == SYSTEM and labels_of(pod).get("control-plane") == name:
                seen += [Evidence(reference(pod), "status", text) for text in pod_problems.pod(pod)]
        yield Finding(
            where,
            f"Fluid's {name} has no ready pod: {told}",
            tuple(seen),
            observations.look_at_fluid("describe", "pods", "-l", f"control-plane={name}"),
            severity,
        )


@check(
    "FM107",
    "Fluid's own pods run",
    scope=Scope.CLUSTER,
    needs=(Need(kinds.PODS),),
    explains=("FM105", "FM106", "FM109", "FM110", "FM421", *NO_DRIVER),
)
def pods_run(case: Case) -> Iterator[Finding]:
    """Pods of Fluid that cannot start: the image cannot be pulled, no node has room, the
    container crashes. The CSI plugin mounts the kubelet's configuration, which k3s, EKS and
    others keep elsewhere than `/etc/kubernetes/kubelet.conf`.
    """
    for pod in case.snapshot.all(kinds.PODS):
        ours = namespace_of(pod) == SYSTEM and "release" not in labels_of(pod)
        over = at(pod, "status", "phase") in ("Succeeded", "Failed")
        if not ours or over or pod_problems.ready(pod):
            continue
        seen = [Evidence(reference(pod), "status", text) for text in pod_problems.pod(pod)]
        seen += [
            event_evidence(event)
            for event in case.snapshot.events(pod)
            if event.get("reason") in ("FailedMount", "FailedScheduling", "Failed", "BackOff")
        ]
        log = pod_problems.log_cause(_log(case, pod))
        if log:
            seen.append(Evidence(reference(pod), "log", log))
        if seen:
            yield Finding(
                reference(pod), _why(pod, seen), tuple(dict.fromkeys(seen)), _mend(pod, seen)
            )


def _log(case: Case, pod: Object) -> str:
    names_of = [str(each.get("name", "")) for each in dicts(pod, "spec", "containers")]
    return "\n".join(
        case.log(pod, name, previous=previous) for name in names_of for previous in (True, False)
    )


def _why(pod: Object, seen: list[Evidence]) -> str:
    text = " ".join(each.text for each in seen)
    if _KUBELET_CONF in text:
        return f"{name_of(pod)} cannot start: this kubelet has no {_KUBELET_CONF}"
    if "ImagePull" in text or "ErrImage" in text:
        return f"{name_of(pod)} cannot start: its image cannot be pulled"
    if "not scheduled" in text or any("FailedScheduling" in each.place for each in seen):
        return f"{name_of(pod)} fits no node"
    return f"{name_of(pod)} is not ready: {seen[0].text}"


def _mend(pod: Object, seen: list[Evidence]) -> Fix:
    text = " ".join(each.text for each in seen)
    if _KUBELET_CONF in text:
        return Fix(installation.upgrade("--set", "csi.useNodeAuthorization=false"), "advice")
    if "ImagePull" in text or "ErrImage" in text:
        return Fix(
            "let the nodes reach the registry, or mirror the image and set image.imagePrefix "
            "of Fluid's chart",
            "advice",
        )
    return observations.look_at_fluid("describe", "pod", Operand(name_of(pod)))
