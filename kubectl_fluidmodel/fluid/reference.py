"""Fluid's reference Datasets: `dataset://namespace/name`, a cache of another namespace. Pure.

Fluid (v1.0.8, pkg/ddc/thin/referencedataset) makes a ThinRuntime without pods of its own, and a
claim and a volume that are copies of the source's, so that the source's FUSE clients serve them.
The claim has a label of the form that names a cache's nodes, but Fluid puts it on no node: the
nodes of a reference are those with its source's label. It lists a Dataset's references in
`status.datasetRef`, and does not delete the Dataset while there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import get_path, labels_of

SCHEME = "dataset"
_REFERRING = "fluid.io/dataset.referring"
"""Labels of the claim (pkg/common/label.go)."""
THIN_CONTROLLER = "thinruntime-controller"
"""The Deployment of the controller that binds references."""


def referred_dataset(dataset: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Return the namespace and name of the Dataset that a reference refers to; else None."""
    point = str(get_path(dataset, "spec", "mounts", 0, "mountPoint", default=""))
    scheme, _, rest = point.partition("://")
    namespace, _, name = rest.strip("/").partition("/")
    return (namespace, name.split("/")[0]) if scheme == SCHEME and name else None


def referred_claim(claim: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Return the namespace and name that Fluid wrote on a reference's claim; else None."""
    labels = labels_of(claim or {})
    namespace = labels.get(f"{_REFERRING}-namespace", "")
    name = labels.get(f"{_REFERRING}-name", "")
    return (namespace, name) if namespace and name else None


def reference_uri(namespace: str, name: str) -> str:
    """Return the mount point, and the SOURCE, of a reference."""
    return f"{SCHEME}://{namespace}/{name}"


def references_to(dataset: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the namespaces and names of the references to a Dataset, as Fluid lists them."""
    listed = get_path(dataset, "status", "datasetRef", default=[])
    parts = [text.partition("/") for text in listed if isinstance(text, str)]
    return [(namespace, name) for namespace, _, name in parts if name]
