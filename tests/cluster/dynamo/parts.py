"""What graphs and components of both versions have in common."""

from __future__ import annotations

from .schema import (
    ANYTHING,
    COUNT,
    INT,
    INT64,
    NAME,
    NUMBER,
    POSITIVE,
    STRING,
    TIME,
    Schema,
    array,
    list_map,
    list_set,
    mapping,
    obj,
    one_of,
    rules,
)

BACKEND = one_of("sglang", "vllm", "trtllm")
DOMAIN: Schema = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}
CONTAINER_NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 63,
    "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
}
#: Major, minor and patch, each of at most four digits.
RELEASE: Schema = {
    "type": "string",
    "pattern": r"^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$",
}
NODES: Schema = {"type": "integer", "format": "int32", "minimum": 2, "default": 2}
PROVIDER = obj(
    {"apiVersion": NAME, "target": STRING, "value": ANYTHING}, required=("apiVersion", "value")
)
KEY_OF_CONFIG_MAP = obj(
    {"name": {**STRING, "default": ""}, "key": STRING, "optional": {"type": "boolean"}},
    required=("key",),
    **{"x-kubernetes-map-type": "atomic"},
)
TOPOLOGY_OF_COMPONENT = obj({"packDomain": DOMAIN}, required=("packDomain",))
RESTART = obj(
    {
        "id": NAME,
        "strategy": obj(
            {
                "order": array(STRING),
                "type": one_of("Sequential", "Parallel", default="Sequential"),
            }
        ),
    },
    required=("id",),
)
LABEL_KEY: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 317,
    "pattern": (
        r"^(([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*/)?"
        r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$"
    ),
    **rules(
        (
            "!self.contains('/') || size(self.split('/')[0]) <= 253",
            "a label's prefix has at most 253 characters",
        )
    ),
}
EXPERIMENTAL = obj(
    {
        "kvTransferPolicy": obj(
            {
                "domain": DOMAIN,
                "labelKey": LABEL_KEY,
                "clusterTopologyName": NAME,
                "enforcement": one_of("required", "preferred", default="required"),
                "preferredWeight": {**NUMBER, "minimum": 0, "maximum": 1},
            },
            required=("domain",),
            **rules(
                (
                    "has(self.labelKey) != has(self.clusterTopologyName)",
                    "one of labelKey and clusterTopologyName",
                ),
                (
                    "(has(self.enforcement) && self.enforcement == 'preferred')"
                    " == has(self.preferredWeight)",
                    "preferredWeight goes with enforcement preferred",
                ),
            ),
        )
    }
)
EPP_CONFIG = obj(
    {
        "apiVersion": STRING,
        "kind": STRING,
        "featureGates": array(STRING),
        "plugins": array(
            obj(
                {
                    "name": STRING,
                    "type": STRING,
                    "parameters": {"x-kubernetes-preserve-unknown-fields": True},
                },
                required=("type",),
            )
        ),
        "saturationDetector": obj(
            {
                "kvCacheUtilThreshold": NUMBER,
                "metricsStalenessThreshold": STRING,
                "queueDepthThreshold": INT,
            }
        ),
        "schedulingProfiles": array(
            obj(
                {
                    "name": STRING,
                    "plugins": array(
                        obj({"pluginRef": STRING, "weight": INT}, required=("pluginRef",))
                    ),
                },
                required=("name", "plugins"),
            )
        ),
    },
    required=("plugins", "schedulingProfiles"),
    **{"x-kubernetes-preserve-unknown-fields": True},
)
#: What both versions ask of a component's replicas.
REPLICAS = (
    (
        "!has(self.minAvailable) || (has(self.replicas) && self.replicas == 0)"
        " || self.minAvailable <= (has(self.replicas) ? self.replicas : 1)",
        "minAvailable is at most replicas, but for replicas: 0",
    ),
    (
        "!has(oldSelf.minAvailable)"
        " || (has(self.minAvailable) && self.minAvailable == oldSelf.minAvailable)",
        "minAvailable stays as it was made",
    ),
)


def checkpoint(model: Schema, **enabled: Schema) -> Schema:
    """A component's checkpoint; ``enabled`` is filled in for v1alpha1, and asked for in v1beta1."""
    return obj(
        {
            **enabled,
            "checkpointRef": STRING,
            "deletionPolicy": one_of("Delete", "Retain", default="Delete"),
            "identity": obj(
                {
                    "backendFramework": BACKEND,
                    "dtype": STRING,
                    "dynamoVersion": STRING,
                    "extraParameters": mapping(STRING),
                    "maxModelLen": POSITIVE,
                    "model": model,
                    "pipelineParallelSize": {**POSITIVE, "default": 1},
                    "tensorParallelSize": {**POSITIVE, "default": 1},
                },
                required=("backendFramework", "model"),
            ),
            "job": obj({"gmsClientContainers": list_set(CONTAINER_NAME), "podTemplate": ANYTHING}),
            "mode": one_of("Auto", "Manual"),
            "startupPolicy": one_of("Immediate", "WaitForCheckpoint", default="Immediate"),
            "targetContainerName": {**CONTAINER_NAME, "default": "main"},
        },
        required=() if "default" in enabled["enabled"] else ("enabled",),
        **rules(
            (
                "!has(self.job) || !has(self.checkpointRef) || self.checkpointRef == ''",
                "a checkpoint has a job or is referred to, not both",
            )
        ),
    )


def gpu_memory_service(within: str, between: str, **enabled: Schema) -> Schema:
    """``within`` and ``between`` are the version's words for one pod and several."""
    clients = "!has(self.{0}) || size(self.{0}) == 0"
    return obj(
        {
            **enabled,
            "deviceClassName": {**STRING, "default": "gpu.nvidia.com"},
            "extraClientContainers": list_set(CONTAINER_NAME),
            "extraClientPods": list_map(
                obj(
                    {"name": CONTAINER_NAME, "podTemplate": ANYTHING},
                    required=("name", "podTemplate"),
                ),
                "name",
            ),
            "mode": one_of(within, between, default=within),
        },
        required=tuple(enabled),
        **rules(
            (
                f"{clients.format('extraClientContainers')} || self.mode == '{within}'",
                f"extraClientContainers want mode {within}",
            ),
            (clients.format("extraClientPods"), "extraClientPods are for later"),
        ),
    )


# -- status ---------------------------------------------------------------------------------------

CONDITION = obj(
    {
        "type": {
            "type": "string",
            "maxLength": 316,
            "pattern": (
                r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
                r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
            ),
        },
        "status": one_of("True", "False", "Unknown"),
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "message": {"type": "string", "maxLength": 32768},
        "lastTransitionTime": TIME,
        "observedGeneration": {**INT64, "minimum": 0},
    },
    required=("lastTransitionTime", "message", "reason", "status", "type"),
)


def replica_status(*own: str) -> Schema:
    """How many replicas of a component are where; ``own``: names that this version has besides."""
    return obj(
        {
            "componentKind": one_of(
                "PodClique", "PodCliqueScalingGroup", "Deployment", "LeaderWorkerSet"
            ),
            "componentNames": array(STRING),
            "runtimeNamespace": STRING,
            **dict.fromkeys(own, STRING),
            **dict.fromkeys(
                (
                    "replicas",
                    "updatedReplicas",
                    "readyReplicas",
                    "availableReplicas",
                    "scheduledReplicas",
                ),
                COUNT,
            ),
        },
        required=("componentKind", "replicas", "updatedReplicas", *own),
    )
