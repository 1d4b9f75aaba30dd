"""Who else writes this object, and will undo what we write."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.dynamo.resources import REQUEST
from kubectl_fluidmodel.objects.access import Object, annotations_of, labels_of, metadata_of
from kubectl_fluidmodel.pin.preflight.context import NOTE, WARN, PreflightContext, PreflightFinding

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def detect_gitops_tool(obj: Object) -> str:
    """The tool that keeps an object as it is in git, or empty."""
    labels, annotations = labels_of(obj), annotations_of(obj)
    for owner in metadata_of(obj).get("ownerReferences") or []:
        if owner.get("kind") == REQUEST:
            return f"DynamoGraphDeploymentRequest {owner.get('name')}"
    if any(key.startswith("argocd.argoproj.io/") for key in (*labels, *annotations)):
        return "Argo CD"
    if any(".toolkit.fluxcd.io/" in key for key in (*labels, *annotations)):
        return "Flux"
    if labels.get("app.kubernetes.io/managed-by") == "Helm" or (
        "meta.helm.sh/release-name" in annotations
    ):
        release = annotations.get("meta.helm.sh/release-name")
        return f"Helm release {release}" if release else "Helm"
    return ""


def check_gitops(context: PreflightContext) -> Iterator[PreflightFinding]:
    """An object from git keeps the pin only if git has it."""
    found = detect_gitops_tool(context.before)
    name = context.graph.reference
    if found:
        yield PreflightFinding(
            WARN,
            f"{found} manages {name} and will undo this",
            "the patch for git follows",
            f"kubectl fluidmodel pin {context.request.model} -f FILE, and commit the result",
        )
    elif _LAST_APPLIED in annotations_of(context.before):
        yield PreflightFinding(
            NOTE,
            f"{name} was made with kubectl apply, and applying its file again undoes this",
            "",
            f"kubectl fluidmodel pin {context.request.model} -f FILE > FILE.new",
        )
