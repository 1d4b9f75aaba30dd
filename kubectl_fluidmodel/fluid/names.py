"""Names, limits and label keys, by Fluid's rules.

Sources: Fluid v1.0.8 and master of July 2026 (pkg/utils/label.go, pkg/common/label.go,
pkg/controllers/v1alpha1/dataset/dataset_controller.go, pkg/ddc/base/pv.go).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.objects.access import annotations_of, get_path, labels_of, metadata_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.shell import Operand, command, kubectl

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
"""All kinds of runtimes of Fluid 1.0 (GooseFS) and 1.1 (CacheRuntime); a cluster serves some of
them."""

CACHE_COUNT_LABEL = "fluid.io/dataset-num"
"""Node label with the number of Datasets cached on it (pkg/common/label.go)."""

ADVANCED_SETS = Kind("workload.fluid.io", VERSION, "AdvancedStatefulSet", "advancedstatefulsets")
"""Kind of the masters and workers of a CacheRuntime (pkg/ddc/cache/component)."""
CACHE_RUNTIME_LABEL = "cacheruntime.fluid.io/name"
CACHE_COMPONENT_LABEL = "cacheruntime.fluid.io/component-name"
"""Labels of the workloads and pods of a CacheRuntime; all other runtimes use `release` and `role`.
The component is called `<name>-master`, `<name>-worker` or `<name>-client`."""

CSI_DRIVER = "fuse.csi.fluid.io"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "kubectl-fluidmodel"
MODEL_LABEL = "fluidmodel.io/model"
"""On every object of the plugin: the name of the cache."""
ADOPTED_LABEL = "fluidmodel.io/adopted"
"""On a Dataset, runtime or DataLoad that `cache --adopt` adopted: others own its spec."""
SOURCE_ANNOTATION = "fluidmodel.io/source"
"""On a Dataset: the canonical SOURCE; `hf://org/model` for a staged model."""
COMMIT_ANNOTATION = "fluidmodel.io/commit"
"""On a Dataset or staging Job: the commit of a Hub model."""
REVISION_ANNOTATION = "fluidmodel.io/revision"
"""On a Dataset: the branch or tag of the Hub that `update` follows, where it is not `main`."""
INCLUDE_ANNOTATION = "fluidmodel.io/include"
"""On a Dataset: the globs of `--include`, as a JSON list, where there are any."""
EXCLUDE_ANNOTATION = "fluidmodel.io/exclude"
"""On a Dataset: the globs of `--exclude`, as a JSON list, where there are any."""
REPLACES_ANNOTATION = "fluidmodel.io/replaces"
"""On a Dataset that `update` made: the name of the cache that it replaces."""
BYTES_ANNOTATION = "fluidmodel.io/bytes"
"""On a Dataset: size of the source in bytes."""
FILES_ANNOTATION = "fluidmodel.io/files"
"""On a Dataset: number of files in the source."""
EXCLUDED_BYTES_ANNOTATION = "fluidmodel.io/left-out-bytes"
"""On a Dataset: bytes of files beside the model in the source that are not part of it."""
READ_RATES_ANNOTATION = "fluidmodel.io/read-rates"
"""On a Dataset: the latest measurement of `bench`, as JSON (`inventory/read_rates.py`)."""
PREHEATED_ANNOTATION = "fluidmodel.io/preheated"
"""On a Dataset: the content that was read on each node through its FUSE client, as JSON
(`inventory/preheat_record.py`)."""

MAX_NAME_LENGTH = 45
"""Maximum length of a Dataset's name: the pods of its StatefulSet have a label
`<name>-master-<hash>` of at most 63 characters, and its Helm release `<name>-loader` has at most
53."""

SYSTEM_NAMESPACE = "fluid-system"

_LABEL_LIMIT = 63
_DNS_1035_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def derive_dataset_name(model: str) -> str:
    """Derive a valid Dataset name from a model: `meta-llama/Llama-3.3-70B` → `llama-3-3-70b`.

    Only the last part of the path counts. The result is a DNS-1035 label of at most
    `MAX_NAME_LENGTH` characters, cut at a word boundary if that costs less than ten characters.

    Raises:
        UsageError: no valid character is left.
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
    """Return the name itself, if Fluid accepts it.

    Raises:
        UsageError: it is not a DNS-1035 label, or too long for the names that Fluid derives from
            it.
    """
    if len(name) > MAX_NAME_LENGTH:
        raise UsageError(
            f"the name '{name}' has {len(name)} characters",
            "Fluid derives labels and Helm releases from it, which allows at most "
            f"{MAX_NAME_LENGTH}",
            command("--name", derive_dataset_name(name)),
        )
    if not _DNS_1035_LABEL.fullmatch(name):
        raise UsageError(
            f"the name '{name}' is invalid",
            "Fluid requires lowercase letters, digits and '-', starting with a letter",
            command("--name", derive_dataset_name(name)),
        )
    return name


def is_valid_name(name: str) -> bool:
    """Return whether Fluid accepts the name of a Dataset or runtime: a DNS-1035 label."""
    return bool(_DNS_1035_LABEL.fullmatch(name)) and len(name) <= _LABEL_LIMIT


class UidRequiredError(FluidModelError):
    """The label key contains the Dataset's UID, which only the cluster knows."""


def _fits_label_key(key: str) -> bool:
    """Return whether Fluid labels nodes with this key, and not with one that contains the UID."""
    return len(key) < _LABEL_LIMIT


def _label_key(prefix: str, namespace: str, name: str, uid: str) -> str:
    full = f"{prefix}{namespace}-{name}"
    if _fits_label_key(full):
        return full
    if not uid:
        raise UidRequiredError(
            f"the cache label of {namespace}/{name} cannot be computed",
            f"'{full}' is too long for a label, so Fluid uses the Dataset's UID instead",
            kubectl(
                *("get", "dataset", Operand(name), "-o", "jsonpath={.metadata.uid}"),
                namespace=namespace,
            ),
        )
    return prefix + uid


def cache_label(namespace: str, name: str, uid: str = "") -> str:
    """Return the label key of every node with a cache worker of the Dataset; its value is `true`.

    Fluid's GetCommonLabelName replaces a key of 63 characters or more by one with the UID. Thin
    runtimes never set it.

    Raises:
        UidRequiredError: the name is that long and no UID is given.
    """
    return _label_key("fluid.io/s-", namespace, name, uid)


def runtime_label(namespace: str, name: str, runtime: str = "alluxio", uid: str = "") -> str:
    """Like `cache_label`, with the runtime's type in the key (Fluid's GetRuntimeLabelName).

    It is longer, so Fluid uses the UID for shorter names than in the common key.
    """
    return _label_key(f"fluid.io/s-{runtime}-", namespace, name, uid)


def node_label_keys(
    namespace: str, name: str, runtime: str = "alluxio", uid: str = ""
) -> tuple[list[str], list[str]]:
    """Return the label keys that select the nodes of a Dataset, and those that select none.

    Fluid labels a node with the common key and the runtime's key. A graph that was edited by hand
    can use either. A key that is too long exists on no node, because Fluid replaces it by one with
    the UID.
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
    """Return the label key that the CSI plugin sets on a node whose pods mount the Dataset."""
    return _label_key("fluid.io/f-", namespace, name, uid)


def cache_label_of_pvc(pvc: Mapping[str, Any]) -> str | None:
    """Return the cache label key that Fluid wrote on the Dataset's PVC, or None."""
    for key, value in labels_of(pvc).items():
        if key.startswith("fluid.io/s-") and value == "true":
            return key
    return None


def volume_name(namespace: str, name: str) -> str:
    """Return the name of Fluid's PV; those of two Datasets can collide (`a-b/c`, `a/b-c`)."""
    return f"{namespace}-{name}"


def managed_labels(name: str) -> dict[str, str]:
    """Return the labels of every object that we create."""
    return {MANAGED_BY_LABEL: MANAGER, MODEL_LABEL: name}


def is_managed(obj: Mapping[str, Any]) -> bool:
    """Whether an object is ours: made by this plugin, or adopted."""
    return labels_of(obj).get(MANAGED_BY_LABEL) == MANAGER


def is_adopted(obj: Mapping[str, Any]) -> bool:
    """Whether an object is ours by adoption: its spec is as somebody else wrote it."""
    return is_managed(obj) and labels_of(obj).get(ADOPTED_LABEL) == "true"


def is_alluxio_runtime(obj: Mapping[str, Any] | None) -> TypeGuard[dict[str, Any]]:
    """Return whether an object is a runtime of Alluxio, the kind that this plugin creates."""
    return obj is not None and obj.get("kind") == ALLUXIO_RUNTIMES.name


def has_own_spec(obj: Mapping[str, Any]) -> bool:
    """Return whether this plugin wrote the spec of an object, so it may replace it."""
    return is_managed(obj) and not is_adopted(obj)


def source_uri(dataset: Mapping[str, Any]) -> str:
    """Return the SOURCE of a Dataset: our annotation, else its first mount point."""
    recorded = annotations_of(dataset).get(SOURCE_ANNOTATION)
    return recorded or str(get_path(dataset, "spec", "mounts", 0, "mountPoint", default=""))


def uid_of(obj: Mapping[str, Any]) -> str:
    return str(metadata_of(obj).get("uid", ""))
