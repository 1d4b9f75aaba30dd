"""Who else writes a graph, and undoes what is changed in the cluster. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.dynamo.resources import REQUEST
from kubectl_fluidmodel.objects.access import Object, annotations_of, labels_of, metadata_of


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
