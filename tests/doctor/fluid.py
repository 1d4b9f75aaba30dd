"""Fluid's objects of a healthy cache, as Fluid 1.0.8 leaves them, less what no check reads."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object

NS, NAME = "models", "demo"
LABEL = f"fluid.io/s-{NS}-{NAME}"
FUSE_LABEL = f"fluid.io/f-{NS}-{NAME}"
SNAPSHOT_TIME = 1_790_000_000.0
"""When the Snapshot was taken, Unix time in seconds: 2026-09-21T14:13:20Z."""
CREATED = "2026-09-21T12:00:00Z"
RECENT = "2026-09-21T14:12:00Z"
GIB = 1 << 30
MODEL_BYTES = 100 * GIB


def meta(name: str, namespace: str = NS, **more: Any) -> Object:
    metadata: Object = {
        "name": name,
        "uid": f"uid-{namespace}-{name}",
        "creationTimestamp": CREATED,
    }
    if namespace:
        metadata["namespace"] = namespace
    return {**metadata, **more}


def dataset(name: str = NAME, namespace: str = NS) -> Object:
    secret = f"{name}-store"
    root = "alluxio.master.mount.table.root.option.aws."
    keys = {"accessKeyId": "AWS_ACCESS_KEY_ID", "secretKey": "AWS_SECRET_ACCESS_KEY"}
    mount = {
        "mountPoint": f"s3://hf-models/{name}",
        "name": name,
        "path": "/",
        "readOnly": True,
        "options": {
            "alluxio.underfs.s3.endpoint": "http://minio:9000",
            "alluxio.underfs.s3.endpoint.region": "us-east-1",
            "alluxio.underfs.s3.disable.dns.buckets": "true",
            "alluxio.underfs.s3.inherit.acl": "false",
        },
        "encryptOptions": [
            {
                "name": root + option,
                "valueFrom": {"secretKeyRef": {"name": secret, "key": key}},
            }
            for option, key in keys.items()
        ],
    }
    hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["gpu-0"]}
    return {
        "apiVersion": "data.fluid.io/v1alpha1",
        "kind": "Dataset",
        "metadata": meta(
            name,
            namespace,
            labels={**names.managed_labels(name), "fluid.io/dataset-id": f"{namespace}-{name}"},
            annotations={
                names.SOURCE_ANNOTATION: f"s3://hf-models/{name}",
                names.BYTES_ANNOTATION: str(MODEL_BYTES),
                names.FILES_ANNOTATION: "36",
            },
            finalizers=["fluid-dataset-controller-finalizer"],
        ),
        "spec": {
            "mounts": [mount],
            "accessModes": ["ReadOnlyMany"],
            "placement": "Shared",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [hosts]}]}},
            "tolerations": [GPU_TOLERATION],
        },
        "status": {
            "phase": "Bound",
            "ufsTotal": "100.00GiB",
            "fileNum": "36",
            "runtimes": [
                {"category": "Accelerate", "name": name, "namespace": namespace, "type": "alluxio"}
            ],
            "mounts": [mount],
            "cacheStates": {
                "cacheCapacity": "108.00GiB",
                "cached": "100.00GiB",
                "cachedPercentage": "100.0%",
                "cacheHitRatio": "",
                "localHitRatio": "",
                "remoteHitRatio": "",
            },
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "DatasetReady",
                    "message": "The ddc runtime is ready.",
                }
            ],
        },
    }


GPU_TOLERATION = {
    "key": "nvidia.com/gpu",
    "operator": "Equal",
    "value": "present",
    "effect": "NoSchedule",
}


def runtime(name: str = NAME, namespace: str = NS, replicas: int = 1) -> Object:
    level = {
        "mediumtype": "SSD",
        "volumeType": "hostPath",
        "volumeSource": {},
        "path": "/var/lib/fluidmodel/cache",
        "quota": "108Gi",
    }
    return {
        "apiVersion": "data.fluid.io/v1alpha1",
        "kind": "AlluxioRuntime",
        "metadata": meta(
            name,
            namespace,
            labels=names.managed_labels(name),
            ownerReferences=[{"kind": "Dataset", "name": name, "uid": f"uid-{namespace}-{name}"}],
        ),
        "spec": {
            "replicas": replicas,
            "data": {"replicas": replicas, "pin": False},
            "tieredstore": {"levels": [level]},
            "properties": {"alluxio.user.block.size.bytes.default": "128MB"},
            "master": {"jvmOptions": ["-Xmx1g"], "resources": {"requests": {"memory": "1Gi"}}},
            "worker": {
                "jvmOptions": ["-Xmx4g", "-XX:MaxDirectMemorySize=4g"],
                "resources": {"requests": {"memory": "8Gi"}},
            },
            "fuse": {
                "jvmOptions": ["-Xmx4g", "-XX:+UseG1GC", "-XX:MaxDirectMemorySize=4g"],
                "cleanPolicy": "OnRuntimeDeleted",
            },
        },
        "status": {
            "masterPhase": "Ready",
            "workerPhase": "Ready",
            "fusePhase": "Ready",
            "masterNumberReady": 1,
            "desiredMasterNumberScheduled": 1,
            "workerNumberReady": replicas,
            "desiredWorkerNumberScheduled": replicas,
            "currentWorkerNumberScheduled": replicas,
            "setupDuration": "5s",
            "conditions": [],
        },
    }


def load(name: str = NAME, namespace: str = NS) -> Object:
    return {
        "apiVersion": "data.fluid.io/v1alpha1",
        "kind": "DataLoad",
        "metadata": meta(name, namespace, labels=names.managed_labels(name)),
        "spec": {
            "dataset": {"name": name, "namespace": namespace},
            "loadMetadata": True,
            "policy": "Once",
            "target": [{"path": "/", "replicas": 1}],
            "tolerations": [GPU_TOLERATION],
        },
        "status": {
            "phase": "Complete",
            "duration": "5m2s",
            "conditions": [
                {
                    "type": "Complete",
                    "status": "True",
                    "reason": "CompletionsReached",
                    "lastTransitionTime": CREATED,
                }
            ],
        },
    }


def claim(name: str = NAME, namespace: str = NS) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta(
            name,
            namespace,
            labels={
                f"fluid.io/s-{namespace}-{name}": "true",
                "fluid.io/dataset-id": f"{namespace}-{name}",
            },
            annotations={"CreatedBy": "fluid", "pv.kubernetes.io/bind-completed": "yes"},
        ),
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "resources": {"requests": {"storage": "100Pi"}},
            "storageClassName": "fluid",
            "volumeName": f"{namespace}-{name}",
        },
        "status": {"phase": "Bound", "accessModes": ["ReadOnlyMany"]},
    }


def volume(name: str = NAME, namespace: str = NS) -> Object:
    own = f"{namespace}-{name}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": meta(
            own, "", labels={f"fluid.io/s-{own}": "true"}, annotations={"CreatedBy": "fluid"}
        ),
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "capacity": {"storage": "100Pi"},
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                "namespace": namespace,
                "name": name,
                "uid": f"uid-{namespace}-{name}",
            },
            "csi": {
                "driver": names.CSI_DRIVER,
                "volumeHandle": own,
                "volumeAttributes": {
                    "fluid_path": f"/runtime-mnt/alluxio/{namespace}/{name}/alluxio-fuse",
                    "mount_type": "fuse.alluxio-fuse",
                    "runtime_name": name,
                    "runtime_namespace": namespace,
                    # Fluid 1.1 writes this one, 1.0 does not.
                    "mount_pod_node_selector_key": f"fluid.io/f-{own}",
                },
            },
            "storageClassName": "fluid",
        },
        "status": {"phase": "Bound"},
    }


def staging_job(name: str = NAME, namespace: str = NS) -> Object:
    """A staging Job of ours that is over and well."""
    labels = {**names.managed_labels(name), "fluidmodel.io/stage": "true"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta(
            f"{name}-stage-0a1b2c3d",
            namespace,
            labels=labels,
            annotations={
                names.SOURCE_ANNOTATION: "hf://org/demo",
                names.COMMIT_ANNOTATION: "c" * 40,
                names.BYTES_ANNOTATION: str(MODEL_BYTES),
                names.FILES_ANNOTATION: "36",
            },
        ),
        "spec": {"completions": 1, "parallelism": 1, "backoffLimit": 6},
        "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    }


def secret(name: str = NAME, namespace: str = NS) -> Object:
    """The store's keys; the values are no keys of anything."""
    data = {"AWS_ACCESS_KEY_ID": "QUtJQQ==", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta(f"{name}-store", namespace, labels=names.managed_labels(name)),
        "data": data,
    }
