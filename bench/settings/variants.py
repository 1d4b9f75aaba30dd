"""What is compared: the write-up's own YAML, what `cache` writes, and that with changes. Pure.

A change is KEY=VALUE; several of one variant are joined by commas.

    medium=SSD                                     the tier, on the machine's disk
    fuse=+max_background=1, fuse=-kernel_cache     an option of the FUSE client's mount, or none
    jvm=+-XX:+UseParallelGC                        an option of the FUSE client's JVM
    readahead=1024                                 KiB that the kernel reads ahead on the mount,
                                                   which the node's administrator can set
    socket=/run/alluxio                            a domain socket in this folder of the node, by
                                                   which the FUSE client then reads from the worker
    alluxio.…=VALUE                                a property of the runtime
"""

from __future__ import annotations

import copy
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.fluid import fuse, names
from kubectl_fluidmodel.objects.access import get_path

Object = dict[str, Any]

SEED_NAME, CACHE_NAME = "seed", "cache"
FUSE_OPTIONS = ("kernel_cache", "ro", "attr_timeout=7200", "entry_timeout=7200")
"""Fluid's own for a read-only Dataset (pkg/ddc/alluxio/transform_optimization.go, v1.0.8)."""
_OPTION = "--fuse-opts="
_KEYS = ("medium", "fuse", "jvm", "readahead", "socket")
_SOCKET_BY_UUID_PROPERTY = "alluxio.worker.data.server.domain.socket.as.uuid"


@dataclass(frozen=True)
class Variant:
    """A cache to measure."""

    name: str
    changes: tuple[tuple[str, str], ...] = ()
    """Of what `cache` writes; none for the write-up's YAML."""

    @property
    def medium(self) -> str:
        """The tier's: MEM, SSD or HDD."""
        return dict(self.changes).get("medium", "MEM")

    @property
    def readahead(self) -> str:
        """KiB that the kernel reads ahead; empty for what FUSE asks for."""
        return dict(self.changes).get("readahead", "")

    @property
    def is_seed(self) -> bool:
        return self.name == SEED_NAME


SEED, CACHE = Variant(SEED_NAME), Variant(CACHE_NAME)


def parse_variant(text: str) -> Variant:
    """Parse a value of `--set`.

    Raises:
        ArgumentTypeError: it is not KEY=VALUE, or the key is unknown.
    """
    changes = []
    for each in text.split(","):
        key, separator, value = each.partition("=")
        if not separator or not value:
            raise ArgumentTypeError(f"'{each}' is not KEY=VALUE")
        if key not in _KEYS and not key.startswith("alluxio."):
            reason = f"'{key}' is none of {', '.join(_KEYS)} and Alluxio's properties"
            raise ArgumentTypeError(reason)
        if key in ("fuse", "jvm") and value[0] not in "+-":
            raise ArgumentTypeError(f"'{value}' begins with neither + nor -")
        if key == "readahead" and not value.isdigit():
            raise ArgumentTypeError(f"'{value}' is no number of KiB")
        if key == "socket" and value[0] != "/":
            raise ArgumentTypeError(f"'{value}' is no folder of the node")
        if key == "medium" and value not in ("MEM", "SSD", "HDD"):
            raise ArgumentTypeError(f"'{value}' is no medium")
        changes.append((key, value))
    return Variant(text, tuple(changes))


def changed_runtime(runtime: Mapping[str, Any], variant: Variant) -> Object:
    """Return the runtime that `cache` writes with a variant's changes, but for its medium.

    It requests no memory, so that the caches of all variants are on one node.
    """
    found: Object = copy.deepcopy(dict(runtime))
    spec = found["spec"]
    for component in ("master", "worker"):
        spec[component].pop("resources", None)
    for key, value in variant.changes:
        if key == "fuse":
            spec["fuse"]["args"] = _changed_args(spec["fuse"].get("args") or [], value)
        elif key == "jvm":
            options = spec["fuse"]["jvmOptions"]
            spec["fuse"]["jvmOptions"] = _changed(options, value)
        elif key == "socket":
            _add_socket(spec, value)
        elif key.startswith("alluxio."):
            spec["properties"][key] = value
    return found


def _add_socket(spec: Object, path: str) -> None:
    """Let worker and FUSE client meet in a folder of the node, and prefer that to short-circuit.

    AlluxioRuntime has no field for a domain socket, but it has volumes. With a UUID as the name of
    the socket, a client takes a worker for its own if it finds the socket (Alluxio 2.9.3,
    `BlockInStream.create`).
    """
    volume = "domain-socket"
    spec.setdefault("volumes", []).append(
        {"name": volume, "hostPath": {"path": path, "type": "DirectoryOrCreate"}}
    )
    for component in ("worker", "fuse"):
        spec[component].setdefault("volumeMounts", []).append({"name": volume, "mountPath": path})
    spec["properties"] |= {
        fuse.DOMAIN_SOCKET_PROPERTY: path,
        _SOCKET_BY_UUID_PROPERTY: "true",
        fuse.PREFER_SHORT_CIRCUIT_PROPERTY: "false",
    }


def _changed_args(args: list[str], change: str) -> list[str]:
    given = [each for each in args if each.startswith(_OPTION)]
    options = given[0].removeprefix(_OPTION).split(",") if given else list(FUSE_OPTIONS)
    return ["fuse", _OPTION + ",".join(_changed(options, change))]


def _changed(options: list[str], change: str) -> list[str]:
    """Options with one more, which replaces those of its name, or without one."""
    text = change[1:]
    kept = [each for each in options if each.partition("=")[0] != text.partition("=")[0]]
    return [*kept, text] if change[0] == "+" else kept


def seed_objects(
    objects: Mapping[str, Object], name: str, namespace: str, like: Mapping[str, Any]
) -> dict[str, Object]:
    """Return the write-up's objects as they fit on one node beside another cache.

    They stay as they are but for the names, the quota (the write-up's is 300Gi), the JVM sizes
    (Fluid's own are 16 GiB for the FUSE client alone), and `placement`, by which another cache can
    be on the node. The first three are taken from what `cache` writes for this model.

    Args:
        objects: The write-up's, by kind.
        name: Of the cache.
        namespace: Its namespace.
        like: The runtime that `cache` writes.
    """
    found = {kind: copy.deepcopy(each) for kind, each in objects.items()}
    for each in found.values():
        each["metadata"] = {"name": name, "namespace": namespace}
    found["Dataset"]["spec"]["placement"] = "Shared"
    spec = found["AlluxioRuntime"]["spec"]
    spec["tieredstore"]["levels"][0]["quota"] = get_path(
        like, "spec", "tieredstore", "levels", 0, "quota"
    )
    for component in ("master", "worker", "fuse"):
        spec[component] = {"jvmOptions": list(get_path(like, "spec", component, "jvmOptions"))}
    return found


def load_object(name: str, namespace: str, number: int) -> Object:
    """Return a DataLoad of a whole cache, as both sides write it; Fluid runs each name once."""
    return {
        "apiVersion": names.DATA_LOADS.api_version,
        "kind": names.DATA_LOADS.name,
        "metadata": {"name": f"{name}-{number}", "namespace": namespace},
        "spec": {
            "dataset": {"name": name, "namespace": namespace},
            "loadMetadata": True,
            "target": [{"path": "/", "replicas": 1}],
        },
    }
