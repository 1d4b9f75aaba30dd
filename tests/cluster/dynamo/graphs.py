"""A graph and a component by itself, in each version, with their status."""

from __future__ import annotations

from . import parts
from .components import BETA_RULES, alpha, beta, environment, first
from .parts import CONDITION, replica_status
from .pods import Pods
from .schema import (
    BOOL,
    INT64,
    NAME,
    QUANTITY,
    STRING,
    TIME,
    Schema,
    array,
    list_map,
    mapping,
    obj,
    one_of,
    rules,
    version,
)

READY = '.status.conditions[?(@.type=="Ready")].status'
AVAILABLE = ".status.conditions[?(@.type=='Available')].status"
AGE = {"Age": ".metadata.creationTimestamp"}
BACKEND = {"Backend": ".spec.backendFramework"}
OLD = {
    "deprecated": True,
    "deprecationWarning": "nvidia.com/v1alpha1 {0} is deprecated; use nvidia.com/v1beta1 {0}",
}
GRAPH, COMPONENT = "DynamoGraphDeployment", "DynamoComponentDeployment"
NOT_AT_BIRTH = {
    "x-kubernetes-validations": [
        {
            "rule": "oldSelf.hasValue() || !has(self.restart)",
            "optionalOldSelf": True,
            "message": "a graph is made without restart",
        }
    ]
}


def first_graph(pods: Pods) -> Schema:
    """2025-08: v1alpha1 alone."""
    spec = obj(
        {
            "backendFramework": parts.BACKEND,
            "dynamoGraph": STRING,
            "envs": environment(pods),
            "services": mapping(obj(first(pods))),
        }
    )
    status = obj({"conditions": array(CONDITION), "state": STRING})
    return version("v1alpha1", spec, status, {}, storage=True)


def first_component(pods: Pods) -> Schema:
    """2025-08: a component knows what it was built from."""
    more = ("dynamoComponent", "dynamoTag")
    spec = obj({**first(pods), "backendFramework": parts.BACKEND, **dict.fromkeys(more, STRING)})
    status = obj(
        {"conditions": array(CONDITION), "podSelector": mapping(STRING)}, required=("conditions",)
    )
    columns = {"DynamoComponent": ".spec.dynamoComponent", "Available": AVAILABLE, **AGE}
    return version("v1alpha1", spec, status, columns, storage=True)


def graph_spec(**own: Schema) -> Schema:
    return obj(
        {
            "annotations": mapping(STRING),
            "labels": mapping(STRING),
            "backendFramework": parts.BACKEND,
            "priorityClassName": STRING,
            "providerOverride": parts.PROVIDER,
            "restart": parts.RESTART,
            "experimental": parts.EXPERIMENTAL,
            **own,
        },
        **NOT_AT_BIRTH,
    )


def graph_status(conditions: Schema, of: str, each: Schema) -> Schema:
    """``of``: the version's word for the parts of a graph."""
    return obj(
        {
            "conditions": conditions,
            "observedGeneration": INT64,
            "state": one_of(
                "initializing", "pending", "successful", "failed", default="initializing"
            ),
            "checkpoints": mapping(
                obj(
                    {
                        "checkpointID": STRING,
                        "checkpointName": STRING,
                        "identityHash": STRING,
                        "ready": BOOL,
                    }
                )
            ),
            "placement": obj(
                {
                    "score": {"type": "number", "minimum": 0, "maximum": 1},
                    "state": one_of("Reported", "Partial", "Unsupported", "Unknown"),
                }
            ),
            "restart": obj({"inProgress": array(STRING), "observedID": STRING, "phase": STRING}),
            "rollingUpdate": obj(
                {
                    "phase": one_of("Pending", "InProgress", "Completed", "Failed", ""),
                    "startTime": TIME,
                    "endTime": TIME,
                    f"updated{of.capitalize()}": array(STRING),
                }
            ),
            of: mapping(each),
        },
        required=("state",),
    )


def alpha_graph(pods: Pods, storage: bool) -> Schema:
    """v1alpha1 with ``pvcs`` and ``volumeMounts``."""
    claim = obj(
        {
            "create": BOOL,
            "name": STRING,
            "size": QUANTITY,
            "storageClass": STRING,
            "volumeAccessMode": STRING,
        },
        required=("name",),
        **rules(
            (
                "!has(self.create) || !self.create || (has(self.size)"
                " && has(self.storageClass) && has(self.volumeAccessMode))",
                "a claim to be created has size, storageClass and volumeAccessMode",
            )
        ),
    )
    spec = graph_spec(
        envs=environment(pods),
        pvcs=array(claim, maxItems=100),
        services=mapping(obj(alpha(pods, True), **rules(*parts.REPLICAS)), maxProperties=25),
        topologyConstraint=obj(
            {"packDomain": parts.DOMAIN, "topologyProfile": NAME}, required=("topologyProfile",)
        ),
    )
    status = graph_status(array(CONDITION), "services", replica_status("componentName"))
    return version(
        "v1alpha1", spec, status, {"Ready": READY, **BACKEND, **AGE}, storage, **deprecated(GRAPH)
    )


def beta_graph(pods: Pods, storage: bool) -> Schema:
    """v1beta1: a list of components."""
    named = "c.name.lowerAscii()"
    spec = graph_spec(
        env=environment(pods),
        components=list_map(
            obj(beta(pods, True), required=("name",), **rules(*BETA_RULES)),
            "name",
            maxItems=25,
            **rules(
                (
                    "size(self.filter(c, has(c.type) && c.type == 'epp')) <= 1",
                    "one component may be of type epp",
                ),
                (
                    f"self.all(o, size(self.filter(c, {named} == o.name.lowerAscii())) == 1)",
                    "names differ in more than case",
                ),
            ),
        ),
        topologyConstraint=obj(
            {"packDomain": parts.DOMAIN, "clusterTopologyName": NAME},
            required=("clusterTopologyName",),
        ),
    )
    status = graph_status(list_map(CONDITION, "type"), "components", replica_status())
    return version("v1beta1", spec, status, {"Ready": READY, **BACKEND, **AGE}, storage)


def alpha_component(pods: Pods, storage: bool) -> Schema:
    """v1alpha1: a service, with the words that a graph has for all of its services."""
    spec = obj(
        {**alpha(pods, False), "backendFramework": parts.BACKEND},
        **rules(*parts.REPLICAS),
    )
    status = obj(
        {
            "conditions": array(CONDITION),
            "observedGeneration": INT64,
            "podSelector": mapping(STRING),
            "service": replica_status("componentName"),
        },
        required=("conditions",),
    )
    columns = {
        "DynamoComponent": ".spec.dynamoComponent",
        "Available": AVAILABLE,
        **BACKEND,
        **AGE,
    }
    return version("v1alpha1", spec, status, columns, storage, **deprecated(COMPONENT))


def beta_component(pods: Pods, storage: bool) -> Schema:
    """v1beta1: the name may be left out."""
    spec = obj({**beta(pods, False), "backendFramework": parts.BACKEND}, **rules(*BETA_RULES))
    status = obj(
        {
            "conditions": list_map(CONDITION, "type"),
            "observedGeneration": INT64,
            "component": replica_status(),
        }
    )
    columns = {"Available": AVAILABLE, **BACKEND, **AGE}
    return version("v1beta1", spec, status, columns, storage)


def deprecated(kind: str) -> dict[str, object]:
    return {**OLD, "deprecationWarning": str(OLD["deprecationWarning"]).format(kind)}
