"""Builds the Dataset: what to cache, its source, and its nodes; or a reference to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.mount import Mount
from kubectl_fluidmodel.fluid.reference import reference_uri
from kubectl_fluidmodel.objects.access import Object


def build_dataset(
    name: str,
    namespace: str,
    mount: Mount,
    *,
    annotations: Mapping[str, str],
    node_affinity: Mapping[str, Any],
    tolerations: Sequence[Mapping[str, Any]],
) -> Object:
    """Build the Dataset `namespace/name`.

    `placement: Shared` lets several models share a node: with Fluid's default, Exclusive, a worker
    repels the workers of all other Datasets (pkg/ctrl/affinity.go).
    """
    spec: dict[str, Any] = {
        "mounts": [mount.spec],
        "accessModes": ["ReadOnlyMany"],
        "placement": "Shared",
        "nodeAffinity": dict(node_affinity),
    }
    if tolerations:
        spec["tolerations"] = [dict(entry) for entry in tolerations]
    return _managed_dataset(name, namespace, annotations, spec)


def build_reference(name: str, namespace: str, source: tuple[str, str]) -> Object:
    """Build the Dataset `namespace/name` that refers to another; Fluid creates its runtime."""
    uri = reference_uri(*source)
    spec = {"mounts": [{"mountPoint": uri}], "accessModes": ["ReadOnlyMany"]}
    return _managed_dataset(name, namespace, {names.SOURCE_ANNOTATION: uri}, spec)


def _managed_dataset(
    name: str, namespace: str, annotations: Mapping[str, str], spec: Mapping[str, Any]
) -> Object:
    """Return a Dataset with the labels of what this plugin creates."""
    return {
        "apiVersion": names.DATASETS.api_version,
        "kind": names.DATASETS.name,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": names.managed_labels(name),
            "annotations": dict(annotations),
        },
        "spec": dict(spec),
    }
