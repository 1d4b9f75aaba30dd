"""The CRDs of one generation of the operator: ours, or copies of the real ones.

``current`` stores v1beta1 and serves v1alpha1 too, without the operator's conversion webhook
(strategy None: what is written as one version reads as the other unconverted); ``v1alpha1`` is the
same age serving and storing v1alpha1 alone; ``2025-08`` is the age that had nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..api import Api, Object
from ..assets import documents
from . import graphs
from .pods import Pods, published
from .schema import crd

GROUP = "nvidia.com"
#: Each generation: the folder that has copies of its real CRDs, below $FLUIDMODEL_CRDS.
GENERATIONS = {
    "current": "dynamo-2026-08",
    "v1alpha1": "dynamo-2026-08",
    "2025-08": "dynamo-2025-08",
}


class NotAtHand(RuntimeError):
    """Data of another project that no registry serves, and that nobody has put here."""


def given() -> Path | None:
    """Where copies of the real CRDs are, if the environment says so."""
    named = os.environ.get("FLUIDMODEL_CRDS")
    if not named:
        return None
    for folder in sorted(set(GENERATIONS.values())):
        if not list((Path(named) / folder).glob("*.yaml")):
            raise NotAtHand(f"FLUIDMODEL_CRDS is {named}, which has no CRDs in {folder}")
    return Path(named)


def crds(api: Api, generation: str) -> list[Object]:
    """What to install: the real CRDs where FLUIDMODEL_CRDS says that they are, else ours."""
    if generation not in GENERATIONS:
        raise ValueError(f"no generation {generation!r}; there are {', '.join(GENERATIONS)}")
    copies = given()
    return real(copies, generation) if copies else ours(published(api), generation)


def ours(types: dict[str, Any], generation: str) -> list[Object]:
    """The harness's own; ``types``: Kubernetes', as its API server publishes them."""
    pods = Pods(types, first=generation == "2025-08")
    if generation == "2025-08":
        graph, component = [graphs.first_graph(pods)], [graphs.first_component(pods)]
    else:
        alone = generation == "v1alpha1"
        graph = [graphs.alpha_graph(pods, alone)]
        component = [graphs.alpha_component(pods, alone)]
        if not alone:
            graph.append(graphs.beta_graph(pods, True))
            component.append(graphs.beta_component(pods, True))
    return [
        crd(GROUP, graphs.GRAPH, "dgd", graph),
        crd(GROUP, graphs.COMPONENT, "dcd", component),
    ]


def real(copies: Path, generation: str) -> list[Object]:
    """Copies of the operator's, without its conversion webhook."""
    found = documents(copies / GENERATIONS[generation], "*.yaml")
    for each in found:
        spec = each["spec"]
        spec["conversion"] = {"strategy": "None"}
        names = [version["name"] for version in spec["versions"]]
        if generation == "v1alpha1" and "v1alpha1" in names:
            spec["versions"] = [v for v in spec["versions"] if v["name"] == "v1alpha1"]
            spec["versions"][0].update(served=True, storage=True)
        each["metadata"].setdefault("annotations", {}).pop("cert-manager.io/inject-ca-from", None)
    return found
