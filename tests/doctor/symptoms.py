"""What can be said of a cache's objects, by whom, and which check answers.

Reasons and words: pkg/kubelet/events/event.go, pkg/kubelet/{kuberuntime,images}, the statefulset,
daemon, job and volume controllers and kube-scheduler of Kubernetes 1.36; pkg/common/constants.go,
pkg/controllers, pkg/csi/plugins and pkg/utils/mount.go of Fluid (July 2026).
"""

# ruff: noqa: E501
from __future__ import annotations

from dataclasses import dataclass

MASTER, WORKER, FUSE, LOADER, READER = "master", "worker", "fuse", "loader", "reader"
DATASET, RUNTIME, LOAD, CLAIM = "dataset", "runtime", "load", "claim"
STATEFUL_SET, DAEMON_SET, JOB = "statefulset", "daemonset", "job"


@dataclass(frozen=True)
class Symptom:
    """An event of an object, or the reason why a container of a pod waits."""

    source: str
    """`kubelet`, `scheduler`, `controllers`, `csi` or `fluid`."""
    about: str
    reason: str
    message: str
    owner: str
    """The code that answers."""
    waits: bool = False
    """Whether it is a container's reason and no event."""


_VOLUME = 'for volume "models-demo" : '
_RPC = "rpc error: code = Internal desc = "

TABLE: tuple[Symptom, ...] = (
    # -- kubelet: volumes of a reader
    Symptom("kubelet", READER, "FailedMount", f"MountVolume.MountDevice failed {_VOLUME}driver name fuse.csi.fluid.io not found in the list of registered CSI drivers", "FM420"),
    Symptom("kubelet", READER, "FailedMount", f"MountVolume.MountDevice failed {_VOLUME}rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial unix /var/lib/kubelet/csi-plugins/fuse.csi.fluid.io/csi.sock: connect: connection refused\"", "FM424"),
    Symptom("kubelet", READER, "FailedMount", f"MountVolume.MountDevice failed {_VOLUME}rpc error: code = Unavailable desc = all SubConns are in TransientFailure", "FM424"),
    Symptom("kubelet", READER, "FailedMount", f"MountVolume.SetUp failed {_VOLUME}kubernetes.io/csi: mounter.SetupAt failed: rpc error: code = InvalidArgument desc = exit status 1", "FM434"),
    Symptom("kubelet", READER, "FailedMount", "Unable to attach or mount volumes: unmounted volumes=[model], unattached volumes=[model kube-api-access-x]: timed out waiting for the condition", "FM442"),
    Symptom("kubelet", READER, "FailedMount", 'Volume has not been added to the list of VolumesInUse in the node\'s volume status for volume "other"', "FM442"),
    Symptom("kubelet", READER, "FailedMount", "hostPath type check failed: /etc/kubernetes/kubelet.conf is not a file", "FM442"),
    Symptom("kubelet", READER, "FailedAttachVolume", 'AttachVolume.Attach failed for volume "models-demo" : timed out waiting for external-attacher', "FM442"),
    Symptom("kubelet", READER, "FailedMapVolume", "MapVolume.MapPodDevice failed", "FM442"),
    Symptom("kubelet", READER, "FailedMountOnFilesystemMismatch", "the filesystem does not match", "FM442"),
    Symptom("kubelet", READER, "AlreadyMountedVolume", "The requested fsGroup is 123, but the volume is mounted elsewhere", "FM442"),
    Symptom("kubelet", READER, "Failed", 'Error: failed to generate spec: failed to stat "/var/lib/kubelet/pods/0/volumes/kubernetes.io~csi/models-demo/mount": transport endpoint is not connected', "FM432"),
    # -- csi: Fluid's plugin by way of the kubelet
    Symptom("csi", READER, "FailedMount", f"MountVolume.MountDevice failed {_VOLUME}{_RPC}NodeStageVolume: can't get node gpu-0: dial tcp: lookup api: no such host", "FM423"),
    Symptom("csi", READER, "FailedMount", f"MountVolume.MountDevice failed {_VOLUME}{_RPC}NodeStageVolume: can't get namespace and name by volume id models-demo", "FM442"),
    Symptom("csi", READER, "FailedMount", f"MountVolume.MountDevice failed {_VOLUME}{_RPC}NodeStageVolume: error when patching labels on node gpu-0: forbidden", "FM442"),
    Symptom("csi", READER, "FailedMount", f"MountVolume.MountDevice failed {_VOLUME}{_RPC}NodeStageVolume: failed to get runtime info for models/demo", "FM442"),
    Symptom("csi", READER, "FailedMount", f"MountVolume.MountDevice failed {_VOLUME}{_RPC}timeout waiting for SessMgr Pod to be ready", "FM442"),
    Symptom("csi", READER, "FailedMount", f"MountVolume.SetUp failed {_VOLUME}{_RPC}timeout waiting for FUSE mount point /runtime-mnt/alluxio/models/demo/alluxio-fuse to be ready", "FM431"),
    Symptom("csi", READER, "FailedMount", f'MountVolume.SetUp failed {_VOLUME}{_RPC}subPath "weights" not exists under FUSE mount', "FM433"),
    Symptom("csi", READER, "FailedMount", f"MountVolume.SetUp failed {_VOLUME}rpc error: code = InvalidArgument desc = fluid_path is not set", "FM442"),
    Symptom("csi", READER, "FailedMount", f"MountVolume.SetUp failed {_VOLUME}rpc error: code = Aborted desc = NodePublishVolume operation on targetPath /x already exists", "FM442"),
    # -- kubelet: containers of a reader
    Symptom("kubelet", READER, "CreateContainerError", "context deadline exceeded", "FM445", waits=True),
    Symptom("kubelet", READER, "CreateContainerConfigError", 'secret "hf" not found', "FM445", waits=True),
    Symptom("kubelet", READER, "RunContainerError", "exec: no such file", "FM445", waits=True),
    Symptom("kubelet", READER, "ImagePullBackOff", "Back-off pulling image", "FM445", waits=True),
    Symptom("kubelet", READER, "ErrImagePull", "not found", "FM445", waits=True),
    Symptom("kubelet", READER, "InvalidImageName", "invalid reference format", "FM445", waits=True),
    Symptom("kubelet", READER, "ErrImageNeverPull", "Container image is not present", "FM445", waits=True),
    Symptom("kubelet", READER, "CrashLoopBackOff", "back-off 5m0s restarting failed container", "FM445", waits=True),
    Symptom("kubelet", READER, "FailedCreatePodSandBox", "failed to set up sandbox: cni: no IP addresses", "FM445"),
    Symptom("kubelet", READER, "FailedCreatePodContainer", "cgroup", "FM445"),
    Symptom("kubelet", READER, "NetworkNotReady", "network is not ready: cni config uninitialized", "FM445"),
    Symptom("kubelet", READER, "FailedSync", "error determining status", "FM445"),
    Symptom("kubelet", READER, "FailedPrepareDynamicResources", "Failed to prepare dynamic resources: claim not found", "FM445"),
    # -- kubelet: the cache's own pods
    *(
        Symptom("kubelet", about, reason, message, owner, waits)
        for about, ready in ((MASTER, "FM311"), (WORKER, "FM331"), (FUSE, "FM430"))
        for reason, message, owner, waits in (
            ("ImagePullBackOff", "Back-off pulling image", "FM320", True),
            ("ErrImagePull", "not found", "FM320", True),
            ("InvalidImageName", "invalid", "FM320", True),
            ("ErrImageNeverPull", "not present", "FM320", True),
            ("CrashLoopBackOff", "back-off 5m0s restarting failed container", ready, True),
            ("CreateContainerError", "context deadline exceeded", ready, True),
            ("CreateContainerConfigError", "cannot", ready, True),
            ("RunContainerError", "exec: no such file", ready, True),
            ("FailedCreatePodSandBox", "cni: no IP addresses", ready, False),
            ("FailedMount", "hostPath type check failed: /dev/fuse is not a character device", ready, False),
            ("Unhealthy", "Startup probe failed", ready, False),
            ("BackOff", "Back-off restarting failed container", ready, False),
            ("Failed", "Error: cannot start", ready, False),
            ("FailedPostStartHook", "PostStartHook failed", ready, False),
            ("NetworkNotReady", "cni config uninitialized", ready, False),
            ("FailedSync", "error", ready, False),
            ("InspectFailed", "Failed to inspect image", ready, False),
        )
    ),
    Symptom("kubelet", MASTER, "FailedMount", 'MountVolume.SetUp failed for volume "x" : secret "demo-store" not found', "FM310"),
    Symptom("kubelet", WORKER, "Evicted", "The node was low on resource: memory", "FM813"),
    Symptom("kubelet", LOADER, "ImagePullBackOff", "Back-off pulling image", "FM320", waits=True),
    # -- scheduler
    *(
        Symptom("scheduler", about, "FailedScheduling", f"0/3 nodes are available: {message}.", owner)
        for about in (MASTER, WORKER)
        for message, owner in (
            ("3 Insufficient memory", "FM301"),
            ("3 Insufficient cpu", "FM301"),
            ("3 Too many pods", "FM301"),
            ("3 node(s) didn't match pod anti-affinity rules", "FM302"),
            ("3 node(s) didn't have free ports for the requested pod ports", "FM305"),
            ("3 node(s) were unschedulable", "FM304" if about == MASTER else "FM306"),
            ("no nodes available to schedule pods", "FM304" if about == MASTER else "FM306"),
        )
    ),
    Symptom("scheduler", READER, "FailedScheduling", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "FM730"),
    Symptom("scheduler", READER, "FailedScheduling", '0/3 nodes are available: persistentvolumeclaim "demo" not found.', "FM441"),
    # -- controllers
    *(
        Symptom("controllers", about, "FailedCreate", f'create Pod failed error: pods "x" is forbidden: {message}', "FM307")
        for about in (STATEFUL_SET, DAEMON_SET)
        for message in (
            "exceeded quota: team, requested: memory=9Gi, used: memory=0, limited: memory=8Gi",
            'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
            'failed calling webhook "w.example.com": connection refused',
        )
    ),
    Symptom("controllers", CLAIM, "ClaimLost", "Bound claim has lost its PersistentVolume", "FM402"),
    Symptom("controllers", CLAIM, "ClaimMisbound", "Two claims are bound to the same volume", "FM402"),
    Symptom("controllers", CLAIM, "FailedBinding", "no persistent volumes available for this claim", "FM402"),
    Symptom("controllers", CLAIM, "ProvisioningFailed", "storageclass fluid not found", "FM402"),
    Symptom("controllers", CLAIM, "VolumeMismatch", "Cannot bind to requested volume", "FM402"),
    # -- Fluid
    Symptom("fluid", DATASET, "ErrorCreateDataset", "Failed to validate dataset because err: x", "FM203"),
    Symptom("fluid", DATASET, "ErrorProcessDataset", "Process demo error x", "FM221"),
    Symptom("fluid", DATASET, "FuseRecoverFailed", "Fuse recover failed", "FM432"),
    Symptom("fluid", DATASET, "UnmountDuplicateMountpoint", "Mountpoint has been mounted many times", "FM222"),
    Symptom("fluid", RUNTIME, "ErrorProcessRuntime", "Failed to setup ddc engine due to error x", "FM208"),
    Symptom("fluid", RUNTIME, "ErrorProcessRuntime", "Process Runtime error x", "FM221"),
    Symptom("fluid", RUNTIME, "ErrorProcessRuntime", "Failed to create ddc engine due to error x", "FM221"),
    Symptom("fluid", RUNTIME, "ErrorValidateSpecFields", "Validation failed for spec fields of Dataset and Runtime: x", "FM221"),
    Symptom("fluid", RUNTIME, "RuntimeWithSecretNotSupported", "RuntimeInfo with secret is not supported", "FM221"),
    Symptom("fluid", RUNTIME, "RuntimeMountUfsFailed", "Failed to execute mount ufs command", "FM222"),
    Symptom("fluid", RUNTIME, "ErrorProcessRuntime", "Failed to sync the ddc due to x", "FM222"),
    Symptom("fluid", RUNTIME, "RuntimeScaleInFailed", "Failed to scale in", "FM222"),
    Symptom("fluid", RUNTIME, "RuntimeDeprecated", "it is deprecated", "FM222"),
    Symptom("fluid", LOAD, "TargetDatasetNotFound", "Target dataset not found: demo", "FM222"),
    Symptom("fluid", LOAD, "DataOperationNotSupport", "thinEngine does not support data operations", "FM222"),
    Symptom("fluid", LOAD, "DataOperationNotValid", "not valid", "FM222"),
    Symptom("fluid", LOAD, "DataOperationExecutionFailed", "fail to execute data operation: x", "FM222"),
    Symptom("fluid", LOAD, "DataOperationNotFound", "Preceding operation x not found", "FM222"),
    Symptom("fluid", LOAD, "DataOperationCollision", "another operation runs", "FM222"),
    Symptom("fluid", LOAD, "DataOperationFailed", "DataLoad demo failed", "FM222"),
)  # fmt: skip

ELSEWHERE: dict[str, str] = {
    "FailedKillPod": "a pod that goes: FM217, FM334",
    "ExceededGracePeriod": "a pod that goes: FM334",
    "FailedPreStopHook": "a pod that goes",
    "Preempting": "of a node's own critical pods; the pod is Failed then",
    "FailedPodSandBoxStatus": "comes with FailedSync",
    "ProbeWarning": "a probe that passed",
    "SandboxChanged": "normal",
    "FailedValidation": "of static pods",
    "VolumeResizeFailed": "volumes of Fluid have no size",
    "FileSystemResizeFailed": "volumes of Fluid have no size",
    "NodeNotReady": "the node's condition: FM810",
    "NodeNotSchedulable": "the node's spec: FM811",
    "Rebooted": "the node's condition: FM810",
    "Shutdown": "the node's condition: FM810",
    "KubeletSetupFailed": "the node's condition: FM810",
    "ContainerGCFailed": "the node's condition DiskPressure: FM812",
    "ImageGCFailed": "the node's condition DiskPressure: FM812",
    "FreeDiskSpaceFailed": "the node's condition DiskPressure: FM812",
    "InvalidDiskCapacity": "the node's own",
    "FailedNodeAllocatableEnforcement": "the node's own",
}
"""Warnings of the kubelet that are not a cache's, or are told by a state instead."""

KUBELET = (
    *("Failed", "BackOff", "Preempting", "ExceededGracePeriod", "FailedKillPod"),
    *("FailedCreatePodContainer", "NetworkNotReady", "InspectFailed", "ErrImageNeverPull"),
    *("NodeNotReady", "NodeNotSchedulable", "KubeletSetupFailed", "FailedAttachVolume"),
    *("FailedMount", "VolumeResizeFailed", "FileSystemResizeFailed", "FailedMapVolume"),
    *("AlreadyMountedVolume", "Rebooted", "Shutdown", "ContainerGCFailed", "ImageGCFailed"),
    *("FailedNodeAllocatableEnforcement", "SandboxChanged", "FailedCreatePodSandBox"),
    *("FailedPodSandBoxStatus", "FailedMountOnFilesystemMismatch"),
    *("FailedPrepareDynamicResources", "InvalidDiskCapacity", "FreeDiskSpaceFailed"),
    *("Unhealthy", "ProbeWarning", "FailedSync", "FailedValidation", "FailedPostStartHook"),
    "FailedPreStopHook",
)
"""Every warning of the kubelet."""
FLUID = (
    *("ErrorProcessDataset", "ErrorCreateDataset", "ErrorValidateSpecFields"),
    *("ErrorProcessRuntime", "RuntimeScaleInFailed", "FuseRecoverFailed"),
    *("UnmountDuplicateMountpoint", "RuntimeDeprecated", "RuntimeWithSecretNotSupported"),
    *("RuntimeMountUfsFailed", "TargetDatasetNotFound", "DataOperationNotSupport"),
    *("DataOperationExecutionFailed", "DataOperationFailed", "DataOperationNotValid"),
    *("DataOperationCollision", "DataOperationNotFound"),
)
"""Every warning of Fluid (ErrorDeleteDataset is FM217's)."""
PHASES = ("Pending", "NotBound", "Failed", "Updating", "DataMigrating", "")
"""Phases of a Dataset that is not Bound (api/v1alpha1/dataset_types.go)."""
