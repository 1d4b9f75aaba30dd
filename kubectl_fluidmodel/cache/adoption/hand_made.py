"""A cache that somebody made by hand, and how it is found by its name or source."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.cache import deletion
from kubectl_fluidmodel.cache.adoption.options import AdoptOptions
from kubectl_fluidmodel.cache.hints import adopt, doctor
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import mount, names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.mount_target import MountTarget, mount_targets, mounted_sources
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.model.source import Source, parse_source
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.records import dataclass

_MAX_NAMES = 5


@dataclass(frozen=True)
class HandMadeCache:
    """A Dataset with its AlluxioRuntime and DataLoads, made by hand or already adopted."""

    dataset: Object
    runtime: Object
    loads: tuple[Object, ...]
    source: Source

    @property
    def namespace(self) -> str:
        return namespace_of(self.dataset)

    @property
    def name(self) -> str:
        return name_of(self.dataset)

    @property
    def mount(self) -> Object:
        """The only mount of the Dataset."""
        return get_list(self.dataset, "spec", "mounts")[0]

    @property
    def directory(self) -> str:
        """The path of the model in the claim; empty for its root."""
        return mount.claim_directory(self.mount)

    @property
    def target(self) -> MountTarget:
        """What the mount defines about its store."""
        return mount_targets(_as_cache(self.dataset, self.runtime))[0]

    @property
    def objects(self) -> tuple[Object, ...]:
        """The objects to adopt, the Dataset last: its label implies that all are adopted."""
        return (*self.loads, self.runtime, self.dataset)

    @property
    def replicas(self) -> int:
        """Workers of the runtime."""
        return int(get_path(self.runtime, "spec", "replicas", default=1))

    @property
    def is_adopted(self) -> bool:
        """Whether everything is already adopted."""
        return all(names.is_adopted(obj) for obj in self.objects)


def _as_cache(dataset: Object, runtime: Object | None = None) -> Cache:
    runtimes = [runtime] if runtime is not None else []
    return Cache(namespace_of(dataset), name_of(dataset), dataset, runtimes)


def find_cache(client: Client, namespace: str, options: AdoptOptions) -> HandMadeCache:
    """Find the cache to adopt.

    Raises:
        FluidModelError: it does not exist or cannot be adopted; has the reason.
    """
    if options.name:
        dataset = client.get_or_none(names.DATASETS, options.name, namespace)
        if dataset is None:
            raise FluidModelError(
                f"there is no Dataset {options.name} in namespace {namespace}",
                "",
                kubectl("get", "datasets", namespace=namespace),
            )
    else:
        datasets = client.list_objects(names.DATASETS, namespace)
        dataset = select_by_source(datasets, options.source, namespace)
    name = name_of(dataset)
    runtime = client.get_or_none(names.ALLUXIO_RUNTIMES, name, namespace)
    loads = [
        load
        for load in client.list_objects(names.DATA_LOADS, namespace)
        if get_path(load, "spec", "dataset", "name") == name
        and get_path(load, "spec", "dataset", "namespace", default=namespace) == namespace
        and not names.has_own_spec(load)
    ]
    cache = require_adoptable(dataset, runtime, loads)
    deletion.require_not_deleting(client, namespace, name, (cache.dataset, cache.runtime))
    return cache


def select_by_source(datasets: Sequence[Object], source: Source | None, namespace: str) -> Object:
    """Find the one Dataset that mounts a source.

    Raises:
        FluidModelError: none does, or several do.
    """
    uri = source.uri if source else ""
    matches = [dataset for dataset in datasets if uri in mounted_sources(dataset)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        dataset_names = ", ".join(name_of(dataset) for dataset in matches[:_MAX_NAMES])
        raise FluidModelError(
            f"{len(matches)} Datasets in namespace {namespace} mount {uri}",
            dataset_names,
            adopt(name_of(matches[0]), namespace),
        )
    raise FluidModelError(
        f"no Dataset in namespace {namespace} mounts {uri}",
        "",
        kubectl("get", "datasets", "-o", "wide", namespace=namespace),
    )


def require_adoptable(
    dataset: Object, runtime: Object | None, loads: Sequence[Object]
) -> HandMadeCache:
    """Check that objects are a cache of one model that this plugin could have created.

    Raises:
        FluidModelError: names the obstacle.
    """
    name, namespace = name_of(dataset), namespace_of(dataset)
    if names.has_own_spec(dataset):
        raise FluidModelError(
            f"cache {name} was made by this plugin",
            "there is nothing to adopt",
            kubectl("fluidmodel", "inspect", Operand(name), namespace=namespace),
        )
    targets = mount_targets(_as_cache(dataset, runtime))
    if len(targets) != 1:
        raise FluidModelError(
            f"Dataset {name} has {len(targets)} mounts",
            "an adopted cache holds one model, with one mount",
            doctor(name, namespace),
        )
    if runtime is None:
        kind = get_path(dataset, "status", "runtimes", 0, "type", default="")
        reason = f"its runtime is of type {kind}, and only" if kind else "only"
        raise FluidModelError(
            f"Dataset {name} has no AlluxioRuntime with its name",
            f"{reason} caches with Alluxio can be compared with their source",
            kubectl("fluidmodel", "inspect", Operand(name), namespace=namespace),
        )
    try:
        source = parse_source(targets[0].uri)
    except UsageError as err:
        raise FluidModelError(
            f"Dataset {name} cannot be adopted", f"its mount {targets[0].mount}: {err.reason}"
        ) from err
    _require_no_other_manager((*loads, runtime, dataset))
    return HandMadeCache(dataset, runtime, tuple(loads), source)


def _require_no_other_manager(objects: Sequence[Object]) -> None:
    """Raises: FluidModelError: another program manages an object."""
    for obj in objects:
        manager = labels_of(obj).get(names.MANAGED_BY_LABEL, names.MANAGER)
        if manager != names.MANAGER:
            raise FluidModelError(
                f"{kubectl_name(obj)} is managed by {manager}",
                f"its label {names.MANAGED_BY_LABEL} says so, and two managers would undo each "
                "other's changes; inspect, doctor and pin work without adoption",
                kubectl(
                    *("fluidmodel", "inspect", Operand(name_of(obj))),
                    namespace=namespace_of(obj),
                ),
            )
