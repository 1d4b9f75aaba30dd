"""One component of a graph: a service of v1alpha1, in two ages, and a component of v1beta1."""

from __future__ import annotations

from . import parts
from .pods import AUTOSCALING, Pods
from .schema import (
    BOOL,
    COUNT,
    INT,
    NAME,
    POSITIVE,
    QUANTITY,
    STRING,
    Schema,
    array,
    flag,
    mapping,
    obj,
    one_of,
    rules,
)


def environment(pods: Pods) -> Schema:
    """Variables outside of a pod template, where they are one list with one owner."""
    return array(pods.of("EnvVar"))


def extra_pod_spec(pods: Pods) -> Schema:
    """A pod spec of which nothing is asked, and the main container beside the others."""
    made = pods.of("PodSpec")
    made.pop("required")
    made["properties"]["mainContainer"] = main = pods.of("Container")
    main.pop("required")
    return made


def resources(*more: str) -> Schema:
    amounts = obj(
        {
            **dict.fromkeys(("cpu", "memory", "gpu", *more), STRING),
            "custom": mapping(STRING),
        }
    )
    return obj({"limits": amounts, "requests": amounts})


def first(pods: Pods) -> dict[str, Schema]:
    """A service of 2025-08: a claim of its own is all that it can mount by name."""
    words = ("componentType", "dynamoNamespace", "envFromSecret", "serviceName")
    return {
        **dict.fromkeys(words, STRING),
        "annotations": mapping(STRING),
        "labels": mapping(STRING),
        "autoscaling": obj(
            {
                "enabled": BOOL,
                "minReplicas": INT,
                "maxReplicas": INT,
                "behavior": pods.of("HorizontalPodAutoscalerBehavior", AUTOSCALING),
                "metrics": array(pods.of("MetricSpec", AUTOSCALING)),
            }
        ),
        "envs": environment(pods),
        "extraPodMetadata": obj({"annotations": mapping(STRING), "labels": mapping(STRING)}),
        "extraPodSpec": extra_pod_spec(pods),
        "ingress": obj(
            {
                "enabled": BOOL,
                "useVirtualService": BOOL,
                "annotations": mapping(STRING),
                "labels": mapping(STRING),
                "tls": obj({"secretName": STRING}),
                **dict.fromkeys(
                    (
                        "host",
                        "hostPrefix",
                        "hostSuffix",
                        "ingressControllerClassName",
                        "virtualServiceGateway",
                    ),
                    STRING,
                ),
            }
        ),
        "livenessProbe": pods.of("Probe"),
        "readinessProbe": pods.of("Probe"),
        "multinode": obj({"nodeCount": parts.NODES}, required=("nodeCount",)),
        "pvc": obj(
            {
                "create": BOOL,
                "name": STRING,
                "mountPoint": STRING,
                "size": QUANTITY,
                "storageClass": STRING,
                "volumeAccessMode": STRING,
            }
        ),
        "replicas": {"type": "integer", "format": "int32"},
        "resources": resources(),
    }


def alpha(pods: Pods, graph: bool) -> dict[str, Schema]:
    """A service of v1alpha1 today; ``graph``: within one, where Grove's overrides may stand."""
    made = first(pods)
    made.pop("pvc")
    claim = obj({"name": STRING, "request": STRING}, required=("name",))
    amounts = resources("gpuType")
    amounts["properties"]["claims"] = array(claim)
    made |= {
        "checkpoint": parts.checkpoint(STRING, enabled=flag(False)),
        "eppConfig": obj({"config": parts.EPP_CONFIG, "configMapRef": parts.KEY_OF_CONFIG_MAP}),
        "failover": obj(
            {
                "enabled": BOOL,
                "mode": one_of("intraPod", "interPod", default="intraPod"),
                "numShadows": {**POSITIVE, "default": 1},
            },
            required=("enabled",),
        ),
        "frontendSidecar": obj(
            {
                "image": STRING,
                "args": array(STRING),
                "envFromSecret": STRING,
                "envs": environment(pods),
            },
            required=("image",),
        ),
        "globalDynamoNamespace": BOOL,
        "gpuMemoryService": parts.gpu_memory_service("intraPod", "interPod", enabled=BOOL),
        "minAvailable": POSITIVE,
        "modelRef": obj({"name": STRING, "revision": STRING}, required=("name",)),
        "replicas": COUNT,
        "resources": amounts,
        "runtimeVersionOverride": parts.RELEASE,
        "scalingAdapter": obj({"enabled": flag(False)}),
        "sharedMemory": obj(
            {"disabled": BOOL, "size": QUANTITY},
            **rules(
                (
                    "(has(self.disabled) && self.disabled)"
                    " || (has(self.size) && quantity(self.size).isGreaterThan(quantity('0')))",
                    "shared memory that is not disabled has a size",
                )
            ),
        ),
        "subComponentType": STRING,
        "topologyConstraint": parts.TOPOLOGY_OF_COMPONENT,
        "volumeMounts": array(
            obj(
                {"name": STRING, "mountPoint": STRING, "useAsCompilationCache": flag(False)},
                required=("name",),
            )
        ),
    }
    return made | (overrides(made) if graph else {})


def beta(pods: Pods, graph: bool) -> dict[str, Schema]:
    """A component of v1beta1: its pod is a pod template."""
    made = {
        "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 63,
            "pattern": "^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$",
        },
        "type": one_of("frontend", "worker", "prefill", "decode", "planner", "epp"),
        "compilationCache": obj({"pvcName": NAME, "mountPath": STRING}, required=("pvcName",)),
        "eppConfig": obj(
            {"config": parts.EPP_CONFIG, "configMapRef": parts.KEY_OF_CONFIG_MAP},
            **rules(
                ("has(self.configMapRef) != has(self.config)", "one of configMapRef and config")
            ),
        ),
        "experimental": obj(
            {
                "checkpoint": parts.checkpoint(NAME, enabled=BOOL),
                "failover": obj(
                    {
                        "mode": one_of("IntraPod", "InterPod", default="IntraPod"),
                        "numShadows": {**POSITIVE, "maximum": 1, "default": 1},
                    }
                ),
                "gpuMemoryService": parts.gpu_memory_service("IntraPod", "InterPod"),
                "grove": obj({"forceScalingGroup": BOOL}),
            }
        ),
        "frontendSidecar": STRING,
        "globalDynamoNamespace": BOOL,
        "minAvailable": POSITIVE,
        "modelRef": obj({"name": NAME, "revision": STRING}, required=("name",)),
        "multinode": obj({"nodeCount": parts.NODES}),
        "podTemplate": pod_template(pods),
        "replicas": COUNT,
        "runtimeVersionOverride": parts.RELEASE,
        "scalingAdapter": obj({}),
        "sharedMemorySize": QUANTITY,
        "topologyConstraint": parts.TOPOLOGY_OF_COMPONENT,
    }
    return made | (overrides(made) if graph else {})


#: What is asked of a component of v1beta1 as a whole.
BETA_RULES = (
    (
        "!has(self.eppConfig) || (has(self.type) && self.type == 'epp')",
        "eppConfig wants type epp",
    ),
    *parts.REPLICAS,
)


def overrides(made: dict[str, Schema]) -> dict[str, Schema]:
    """Where a graph lets the provider's own fields through."""
    leader = obj({"providerOverride": parts.PROVIDER})
    several = made["multinode"]
    return {
        "providerOverride": parts.PROVIDER,
        "multinode": {
            **several,
            "properties": {**several["properties"], "leader": leader, "worker": leader},
        },
    }


def pod_template(pods: Pods) -> Schema:
    """Kubernetes' pod template, with what Dynamo asks of it."""
    made = pods.of("PodTemplateSpec")
    inside = made["properties"]["spec"]["properties"]
    annotations = made["properties"]["metadata"]["properties"]["annotations"]
    key = "nvidia.com/vllm-distributed-executor-backend"
    made["properties"]["metadata"] = {
        **made["properties"]["metadata"],
        "properties": {
            **made["properties"]["metadata"]["properties"],
            "annotations": {
                **annotations,
                "additionalProperties": {"type": "string", "maxLength": 262144},
                **rules(
                    (
                        f"!('{key}' in self) || self['{key}'].lowerAscii() in ['mp', 'ray']",
                        "the backend is mp or ray",
                    )
                ),
            },
        },
    }
    imaged = "has(self.image) && self.image != ''"
    inside["containers"]["items"] |= rules(
        (f"self.name == 'main' || ({imaged})", "a container beside main has an image")
    )
    inside["initContainers"]["items"] |= rules((imaged, "an init container has an image"))
    return made
