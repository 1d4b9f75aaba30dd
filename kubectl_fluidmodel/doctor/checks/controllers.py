"""1xx: whether Fluid's controllers exist, have one version, and are running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Finding,
    Fix,
    RequiredKind,
    Scope,
    Severity,
    event_evidence,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_DRIVER, NOT_BOUND
from kubectl_fluidmodel.fluid import installation, names, pod_problems
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.pods import is_terminated
from kubectl_fluidmodel.output.shell import Operand

SYSTEM = names.SYSTEM_NAMESPACE
_CONTROLLERS = RequiredKind(kinds.DEPLOYMENTS)
_KUBELET_CONF = "/etc/kubernetes/kubelet.conf"


def fluid_deployments(context: CheckContext) -> list[Object]:
    """Fluid's Deployments.

    Raises:
        CheckSkippedError: there are none where its chart puts them.
    """
    deployments = [
        deployment
        for deployment in context.snapshot.of_kind(kinds.DEPLOYMENTS)
        if namespace_of(deployment) == SYSTEM
    ]
    if not any(
        name_of(deployment) == installation.DATASET_CONTROLLER for deployment in deployments
    ):
        raise CheckSkippedError(f"Fluid's controllers are not in namespace {SYSTEM}")
    return [
        deployment for deployment in deployments if "control-plane" in labels_of(deployment)
    ] or deployments


@register_check("FM103", "Fluid's version is supported", scope=Scope.CLUSTER, needs=(_CONTROLLERS,))
def fluid_version_is_supported(context: CheckContext) -> Iterator[Finding]:
    """This Fluid is older than 1.0.

    In those versions the credentials of a root mount never reach Alluxio. The version is read from
    the image tag of the dataset controller.
    """
    fluid_deployments(context)
    controller = context.snapshot.get(kinds.DEPLOYMENTS, installation.DATASET_CONTROLLER, SYSTEM)
    version = installation.parse_image_version(controller or {})
    if version is None:
        raise CheckSkippedError("the image of the dataset controller does not show its version")
    if version < installation.MIN_VERSION:
        reference, text = object_reference(controller or {}), installation.format_version(version)
        yield Finding(
            reference,
            f"Fluid {text} is older than {installation.format_version(installation.MIN_VERSION)}, "
            "the first that works with keys in a Secret",
            (Evidence(reference, "image", text),),
            Fix(installation.UPGRADE_COMMAND, "advice"),
        )


@register_check(
    "FM104",
    "all components of Fluid have the same version",
    scope=Scope.CLUSTER,
    severity=Severity.WARNING,
    needs=(_CONTROLLERS,),
)
def fluid_components_have_one_version(context: CheckContext) -> Iterator[Finding]:
    """Fluid's components have different versions.

    An upgrade that stopped halfway leaves controllers and a CSI plugin that disagree about labels
    and volume attributes.
    """
    parts = fluid_deployments(context)
    plugin = context.snapshot.get(kinds.DAEMON_SETS, installation.NODE_PLUGIN, SYSTEM)
    parsed = {
        object_reference(part): installation.parse_image_version(part)
        for part in [*parts, *([plugin] if plugin else [])]
    }
    versions = {
        name: installation.format_version(version) for name, version in parsed.items() if version
    }
    if len(set(versions.values())) > 1:
        usual = Counter(versions.values()).most_common(1)[0][0]
        odd = [name for name, version in versions.items() if version != usual]
        yield Finding(
            odd[0],
            f"most of Fluid is {usual}, but "
            + ", ".join(f"{name} is {versions[name]}" for name in odd),
            tuple(Evidence(name, "image", version) for name, version in versions.items()),
            Fix(installation.upgrade_command("--version", usual), "advice"),
        )


@register_check(
    "FM105",
    "Fluid's dataset controller is running",
    scope=Scope.CLUSTER,
    needs=(_CONTROLLERS,),
    explains=("FM106", "FM203", "FM204", "FM217", *NOT_BOUND),
)
def dataset_controller_is_running(context: CheckContext) -> Iterator[Finding]:
    """Fluid's dataset controller is not running.

    Without it, nothing reconciles new Datasets: their phase stays empty, and no runtime controller
    is started when one is needed.
    """
    fluid_deployments(context)
    controller = context.snapshot.get(kinds.DEPLOYMENTS, installation.DATASET_CONTROLLER, SYSTEM)
    yield from _unavailable_findings(context, controller or {}, "Datasets are not reconciled")


@register_check(
    "FM106",
    "the runtimes' controllers are running",
    scope=Scope.CLUSTER,
    needs=(_CONTROLLERS,),
    explains=("FM217", *NOT_BOUND),
)
def runtime_controllers_are_running(context: CheckContext) -> Iterator[Finding]:
    """The controller of a runtime that is in use is not running.

    Each kind of runtime has its own controller. Fluid's chart installs them with 0 replicas; the
    dataset controller scales one up when the first Dataset needs it. `helm upgrade` scales them
    back to 0 (fluid#6136). Existing caches keep working then, but nothing reconciles them.
    """
    fluid_deployments(context)
    for kind in names.RUNTIME_KINDS:
        used = context.snapshot.of_kind(kind)
        if not used:
            continue
        name = installation.controller_name(kind)
        controller = context.snapshot.get(kinds.DEPLOYMENTS, name, SYSTEM)
        waiting = [runtime for runtime in used if not _was_ever_ready(runtime)]
        severity = Severity.ERROR if waiting else Severity.WARNING
        reported = f"no controller reconciles {len(used)} {kind.name}{'s' * (len(used) > 1)}"
        if controller is None:
            yield Finding(
                f"deployment {SYSTEM}/{name}",
                f"this Fluid was installed without {name}: {reported}",
                tuple(
                    Evidence(object_reference(runtime), "kind", kind.name) for runtime in used[:3]
                ),
                Fix(
                    installation.upgrade_command(
                        "--set", f"runtime.{_chart_value_name(kind)}.enabled=true"
                    ),
                    "advice",
                ),
                severity,
            )
        else:
            yield from _unavailable_findings(context, controller, reported, severity)


def _was_ever_ready(runtime: Object) -> bool:
    """Whether the runtime was ever ready."""
    return any(
        get_path(runtime, "status", f"{part}Phase") == "Ready" for part in ("master", "worker")
    )


def _chart_value_name(kind: kinds.Kind) -> str:
    """The name of a runtime in the values of Fluid's chart: `alluxio`."""
    return kind.name.removesuffix("Runtime").lower()


def _unavailable_findings(
    context: CheckContext, controller: Object, reported: str, severity: Severity | None = None
) -> Iterator[Finding]:
    """A finding if a Deployment that should have a ready pod has none."""
    name = name_of(controller)
    reference = object_reference(controller)
    if get_path(controller, "spec", "replicas", default=1) == 0:
        yield Finding(
            reference,
            f"Fluid's {name} is scaled to 0: {reported}",
            (Evidence(reference, "spec.replicas", "0"),),
            Fix(installation.scale_up_command(name)),
            severity,
        )
    elif not get_path(controller, "status", "availableReplicas", default=0):
        evidence = [observations.field_evidence(controller, "status", "availableReplicas")]
        for pod in context.snapshot.of_kind(kinds.PODS):
            if namespace_of(pod) == SYSTEM and labels_of(pod).get("control-plane") == name:
                evidence += [
                    Evidence(object_reference(pod), "status", text)
                    for text in pod_problems.find_pod_problems(pod)
                ]
        yield Finding(
            reference,
            f"Fluid's {name} has no ready pod: {reported}",
            tuple(evidence),
            observations.fluid_advice("describe", "pods", "-l", f"control-plane={name}"),
            severity,
        )


@register_check(
    "FM107",
    "Fluid's own pods are running",
    scope=Scope.CLUSTER,
    needs=(RequiredKind(kinds.PODS),),
    explains=("FM105", "FM106", "FM109", "FM110", "FM421", *NO_DRIVER),
)
def fluid_pods_are_running(context: CheckContext) -> Iterator[Finding]:
    """A pod of Fluid cannot start.

    Its image cannot be pulled, it fits on no node, or its container crashes. The CSI plugin mounts
    the kubelet's configuration from `/etc/kubernetes/kubelet.conf`; k3s, EKS and others keep it
    elsewhere.
    """
    for pod in context.snapshot.of_kind(kinds.PODS):
        is_fluid_pod = namespace_of(pod) == SYSTEM and "release" not in labels_of(pod)
        if not is_fluid_pod or is_terminated(pod) or pod_problems.is_ready(pod):
            continue
        evidence = [
            Evidence(object_reference(pod), "status", text)
            for text in pod_problems.find_pod_problems(pod)
        ]
        evidence += [
            event_evidence(event)
            for event in context.snapshot.events_about(pod)
            if event.get("reason") in ("FailedMount", "FailedScheduling", "Failed", "BackOff")
        ]
        log = pod_problems.find_log_error(_pod_logs(context, pod))
        if log:
            evidence.append(Evidence(object_reference(pod), "log", log))
        if evidence:
            yield Finding(
                object_reference(pod),
                _pod_cause(pod, evidence),
                tuple(dict.fromkeys(evidence)),
                _pod_fix(pod, evidence),
            )


def _pod_logs(context: CheckContext, pod: Object) -> str:
    return "\n".join(
        context.container_log(pod, str(container.get("name", "")), previous=previous)
        for container in get_list(pod, "spec", "containers")
        for previous in (True, False)
    )


def _pod_cause(pod: Object, evidence: list[Evidence]) -> str:
    text = " ".join(item.text for item in evidence)
    if _KUBELET_CONF in text:
        return f"{name_of(pod)} cannot start: this kubelet has no {_KUBELET_CONF}"
    if "ImagePull" in text or "ErrImage" in text:
        return f"{name_of(pod)} cannot start: its image cannot be pulled"
    if "not scheduled" in text or any("FailedScheduling" in item.location for item in evidence):
        return f"{name_of(pod)} fits on no node"
    return f"{name_of(pod)} is not ready: {evidence[0].text}"


def _pod_fix(pod: Object, evidence: list[Evidence]) -> Fix:
    text = " ".join(item.text for item in evidence)
    if _KUBELET_CONF in text:
        return Fix(
            installation.upgrade_command("--set", "csi.useNodeAuthorization=false"), "advice"
        )
    if "ImagePull" in text or "ErrImage" in text:
        return Fix(
            "let the nodes reach the registry, or mirror the image and set image.imagePrefix "
            "of Fluid's chart",
            "advice",
        )
    return observations.fluid_advice("describe", "pod", Operand(name_of(pod)))
