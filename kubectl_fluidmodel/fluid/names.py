"""Names, limits and label keys, by Fluid's rules.

Sources: Fluid v1.0.8 and master of July 2026 (pkg/utils/label.go, pkg/common/label.go,
pkg/controllers/v1alpha1/dataset/dataset_controller.go, pkg/ddc/base/pv.go).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.objects.access import annotations_of, get_path, labels_of, metadata_of
from kubectl_fluidmodel.objects.kinds import Kind

GROUP = "data.fluid.io"
VERSION = "v1alpha1"

DATASETS = Kind(GROUP, VERSION, "Dataset", "datasets")
ALLUXIO_RUNTIMES = Kind(GROUP, VERSION, "AlluxioRuntime", "alluxioruntimes")
DATA_LOADS = Kind(GROUP, VERSION, "DataLoad", "dataloads")

RUNTIME_KINDS: tuple[Kind, ...] = (
    ALLUXIO_RUNTIMES,
    Kind(GROUP, VERSION, "JuiceFSRuntime", "juicefsruntimes"),
    Kind(GROUP, VERSION, "JindoRuntime", "jindoruntimes"),
    Kind(GROUP, VERSION, "EFCRuntime", "efcruntimes"),
    Kind(GROUP, VERSION, "VineyardRuntime", "vineyardruntimes"),
    Kind(GROUP, VERSION, "ThinRuntime", "thinruntimes"),
    Kind(GROUP, VERSION, "CacheRuntime", "cacheruntimes"),
    Kind(GROUP, VERSION, "GooseFSRuntime", "goosefsruntimes"),
)
"""Every kind of runtime of Fluid 1.0 (GooseFS) and 1.1 (CacheRuntime); a cluster serves some."""

CACHE_COUNT_LABEL = "fluid.io/dataset-num"
"""Node label with the number of Datasets cached on it (pkg/common/label.go)."""

ADVANCED_SETS = Kind("workload.fluid.io", VERSION, "AdvancedStatefulSet", "advancedstatefulsets")
"""Masters and workers of a CacheRuntime (pkg/ddc/cache/component)."""
CACHE_RUNTIME_LABEL = "cacheruntime.fluid.io/name"
CACHE_COMPONENT_LABEL = "cacheruntime.fluid.io/component-name"
"""What marks the sets and pods of a CacheRuntime; all other runtimes use `release` and `role`.
The component is called `<name>-master`, `<name>-worker` or `<name>-client`."""

CSI_DRIVER = "fuse.csi.fluid.io"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "kubectl-fluidmodel"
MODEL_LABEL = "fluidmodel.io/model"
"""On every object of ours: the name of the cache."""
ADOPTED_LABEL = "fluidmodel.io/adopted"
"""On a Dataset, runtime or DataLoad that `cache --adopt` took over: its spec is another's."""
SOURCE_ANNOTATION = "fluidmodel.io/source"
"""On a Dataset: canonical SOURCE; `hf://org/model` for a staged one."""
COMMIT_ANNOTATION = "fluidmodel.io/commit"
"""On a Dataset or staging Job: the commit of a model of the Hub."""
BYTES_ANNOTATION = "fluidmodel.io/bytes"
"""On a Dataset: bytes of the source when it was measured."""
FILES_ANNOTATION = "fluidmodel.io/files"
"""On a Dataset: files of the source when it was measured."""
EXCLUDED_BYTES_ANNOTATION = "fluidmodel.io/left-out-bytes"
"""On a Dataset: bytes that lay in the source beside the model, and are not counted as its own."""
READ_RATES_ANNOTATION = "fluidmodel.io/read-rates"
"""On a Dataset: what `bench` last measured, as JSON (`inventory/read_rates.py`)."""

MAX_NAME_LENGTH = 45
"""Longest Dataset name that works: its StatefulSet's pods carry a `<name>-master-<hash>` label
of at most 63 characters, and its helm release `<name>-loader` is at most 53."""

SYSTEM_NAMESPACE = "fluid-system"

_LABEL_LIMIT = 63
_DNS_1035_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def derive_dataset_name(model: str) -> str:
    """A legal Dataset name for a model: `meta-llama/Llama-3.3-70B` → `llama-3-3-70b`.

    Only the last part of the path counts. The result is a DNS-1035 label of at most
    `MAX_NAME` characters, cut at a word where that costs less than ten characters.

    Raises:
        UsageError: nothing legal is left of the name.
    """
    last = model.rstrip("/").rsplit("/", 1)[-1].split("@", 1)[0].lower()
    name = re.sub(r"[^a-z0-9]+", "-", last).strip("-")
    if name and not name[0].isalpha():
        name = f"m-{name}"
    if len(name) > MAX_NAME_LENGTH:
        cut = name[:MAX_NAME_LENGTH]
        word = cut.rfind("-")
        name = (
            cut[:word] if word > MAX_NAME_LENGTH - 10 and name[MAX_NAME_LENGTH] != "-" else cut
        ).strip("-")
    if not name:
        raise UsageError(f"cannot derive a name from '{model}'", "it has no letters", "--name NAME")
    return name


def validate_name(name: str) -> str:
    """The name itself, if Fluid takes it.

    Raises:
        UsageError: it is no DNS-1035 label or too long for what Fluid derives from it.
    """
    if len(name) > MAX_NAME_LENGTH:
        raise UsageError(
            f"the name '{name}' has {len(name)} characters",
            f"Fluid derives labels and helm releases from it that fit at most {MAX_NAME_LENGTH}",
            f"--name {derive_dataset_name(name)}",
        )
    if not _DNS_1035_LABEL.fullmatch(name):
        raise UsageError(
            f"the name '{name}' is not legal",
            "Fluid wants lower-case letters, digits and '-', beginning with a letter",
            f"--name {derive_dataset_name(name)}",
        )
    return name


def is_valid_name(name: str) -> bool:
    """Whether Fluid takes the name of a Dataset or runtime at all: a DNS-1035 label."""
    return bool(_DNS_1035_LABEL.fullmatch(name)) and len(name) <= _LABEL_LIMIT


class UidRequiredError(FluidModelError):
    """The label key is made of the Dataset's UID, which only the cluster knows."""


def _fits_label_key(key: str) -> bool:
    """Whether Fluid labels nodes with this key, and not with one made of the Dataset's UID."""
    return len(key) < _LABEL_LIMIT


def _label_key(prefix: str, namespace: str, name: str, uid: str) -> str:
    full = f"{prefix}{namespace}-{name}"
    if _fits_label_key(full):
        return full
    if not uid:
        raise UidRequiredError(
            f"the cache label of {namespace}/{name} cannot be computed",
            f"'{full}' is too long for a label, so Fluid uses the Dataset's UID instead",
            f"kubectl get dataset {name} -n {namespace} -o jsonpath='{{.metadata.uid}}'",
        )
    return prefix + uid


def cache_label(namespace: str, name: str, uid: str = "") -> str:
    """Label key of every node that holds a cache worker of the Dataset; its value is `true`.

    Fluid's GetCommonLabelName: the key with the UID replaces one of 63 characters or more.
    Thin runtimes never set it.

    Raises:
        UidRequiredError: the name is that long and no UID is given.
    """
    return _label_key("fluid.io/s-", namespace, name, uid)


def runtime_label(namespace: str, name: str, runtime: str = "alluxio", uid: str = "") -> str:
    """As `cache_label`, with the runtime's type in the key (Fluid's GetRuntimeLabelName).

    It is longer, so it turns into the UID form earlier than the common one does.
    """
    return _label_key(f"fluid.io/s-{runtime}-", namespace, name, uid)


def node_label_keys(
    namespace: str, name: str, runtime: str = "alluxio", uid: str = ""
) -> tuple[list[str], list[str]]:
    """The label keys that all select the nodes of a Dataset, and those that select none.

    Fluid labels a node with the common and with the runtime's key. Either is legal to write into a
    graph by hand; one that is too long is on no node, for Fluid has the UID in its place.
    """
    live, dead = [], []
    for prefix in ("fluid.io/s-", f"fluid.io/s-{runtime}-"):
        full = f"{prefix}{namespace}-{name}"
        if _fits_label_key(full):
            live.append(full)
            continue
        dead.append(full)
        if uid:
            live.append(prefix + uid)
    return live, dead


def fuse_label(namespace: str, name: str, uid: str = "") -> str:
    """Label key that the CSI plugin sets on a node whose pods mount the Dataset."""
    return _label_key("fluid.io/f-", namespace, name, uid)


def cache_label_of_pvc(pvc: Mapping[str, Any]) -> str | None:
    """The cache label key as Fluid wrote it on the Dataset's PVC, None where it did not."""
    for key, value in labels_of(pvc).items():
        if key.startswith("fluid.io/s-") and value == "true":
            return key
    return None


def volume_name(namespace: str, name: str) -> str:
    """Name of the PV that Fluid makes; two Datasets can collide on it (`a-b/c`, `a/b-c`)."""
    return f"{namespace}-{name}"


def managed_labels(name: str) -> dict[str, str]:
    """The labels that every object we make carries."""
    return {MANAGED_BY_LABEL: MANAGER, MODEL_LABEL: name}


def is_managed(obj: Mapping[str, Any]) -> bool:
    """Whether an object is ours: made by this plugin, or adopted."""
    return labels_of(obj).get(MANAGED_BY_LABEL) == MANAGER


def is_adopted(obj: Mapping[str, Any]) -> bool:
    """Whether an object is ours by adoption: its spec is as somebody else wrote it."""
    return is_managed(obj) and labels_of(obj).get(ADOPTED_LABEL) == "true"


def has_own_spec(obj: Mapping[str, Any]) -> bool:
    """Whether this plugin wrote the spec of an object, and so may write it anew."""
    return is_managed(obj) and not is_adopted(obj)


def source_uri(dataset: Mapping[str, Any]) -> str:
    """The SOURCE a Dataset was made from: our annotation, else its first mount point."""
    found = annotations_of(dataset).get(SOURCE_ANNOTATION)
    return found or str(get_path(dataset, "spec", "mounts", 0, "mountPoint", default=""))


def uid_of(obj: Mapping[str, Any]) -> str:
    return str(metadata_of(obj).get("uid", ""))
