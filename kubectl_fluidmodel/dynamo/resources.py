"""Dynamo's kinds, labels and annotations (ai-dynamo/dynamo, deploy/operator, 0.3 to 1.6). Pure."""

from __future__ import annotations

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objects.kinds import Kind

GROUP = "nvidia.com"
V1BETA1 = "v1beta1"
V1ALPHA1 = "v1alpha1"
V1BETA2 = "v1beta2"
"""A version of requests only."""

GRAPH = "DynamoGraphDeployment"
COMPONENT = "DynamoComponentDeployment"
REQUEST = "DynamoGraphDeploymentRequest"
LPX = "LPXGraphDeployment"

PLURALS = {
    GRAPH: "dynamographdeployments",
    COMPONENT: "dynamocomponentdeployments",
    REQUEST: "dynamographdeploymentrequests",
    LPX: "lpxgraphdeployments",
}
ALIASES = {
    "dgd": GRAPH,
    "dcd": COMPONENT,
    "dgdr": REQUEST,
    **{plural: kind for kind, plural in PLURALS.items()},
    **{kind.lower(): kind for kind in PLURALS},
}
"""Prefixes of references such as `dgd/NAME`."""

GRAPH_LABEL = "nvidia.com/dynamo-graph-deployment-name"
COMPONENT_LABEL = "nvidia.com/dynamo-component"
SELECTOR_LABEL = "nvidia.com/selector"
"""The only label of operators up to 0.5: `<graph>-<component in lower case>`."""
HASH_LABEL = "nvidia.com/dynamo-worker-hash"

STRATEGY_ANNOTATION = "nvidia.com/deployment-strategy"
MAX_UNAVAILABLE_ANNOTATION = "nvidia.com/deployment-rolling-update-max-unavailable"
ENABLE_GROVE_ANNOTATION = "nvidia.com/enable-grove"
GROVE_STRATEGY_ANNOTATION = "nvidia.com/grove-update-strategy"

PINS_ANNOTATION = "fluidmodel.io/pins"
"""Annotation on a graph: what `pin` added; `unpin` removes exactly that."""


def kind_for(name: str, version: str) -> Kind:
    return Kind(GROUP, version, name, PLURALS[name])


def parse_reference(text: str) -> tuple[str, str]:
    """Parse `NAME`, `dgd/NAME`, `dcd/NAME` … to kind and name; the kind is empty for a bare name.

    Raises:
        UsageError: the prefix is not one of Dynamo's kinds.
    """
    prefix, slash, name = text.rpartition("/")
    if not slash:
        return "", text
    kind = ALIASES.get(prefix.lower().partition(".")[0])
    if kind is None or not name:
        raise UsageError(f"'{text}' is not a graph", "use NAME, dgd/NAME or dcd/NAME")
    return kind, name
