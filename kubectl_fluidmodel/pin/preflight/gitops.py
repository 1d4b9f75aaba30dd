"""Detects tools that manage an object and would revert a change."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.dynamo.resources import REQUEST
from kubectl_fluidmodel.objects.access import Object, annotations_of, labels_of, metadata_of
from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.pin.preflight.context import NOTE, WARN, PreflightContext, PreflightFinding

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def detect_gitops_tool(obj: Object) -> str:
    """Return the tool or object that manages a graph from elsewhere, or empty."""
    labels, annotations = labels_of(obj), annotations_of(obj)
    for owner in metadata_of(obj).get("ownerReferences") or []:
        if owner.get("kind") == REQUEST:
            return f"{REQUEST} {owner.get('name')}"
    keys = (*labels, *annotations)
    if any(key.startswith("argocd.argoproj.io/") for key in keys):
        return "Argo CD"
    if any(".toolkit.fluxcd.io/" in key for key in keys):
        return "Flux"
    release = annotations.get("meta.helm.sh/release-name")
    if release is not None or labels.get("app.kubernetes.io/managed-by") == "Helm":
        return f"Helm release {release}" if release else "Helm"
    return ""


def check_gitops(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Warn if the pin also has to be made in git."""
    tool = detect_gitops_tool(context.before)
    name = context.graph.reference
    cache = shell.operands([context.request.cache])
    command = shell.command("kubectl", "fluidmodel", "pin", *cache, "-f", "FILE")
    if tool:
        yield PreflightFinding(
            WARN,
            f"{tool} manages {name} and will revert this",
            "the patch for git follows",
            f"{command}, and commit the result",
        )
    elif _LAST_APPLIED in annotations_of(context.before):
        yield PreflightFinding(
            NOTE,
            f"{name} was created with kubectl apply, and applying its file again reverts this",
            "",
            f"{command} > FILE.new",
        )
