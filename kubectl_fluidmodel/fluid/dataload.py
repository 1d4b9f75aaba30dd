"""Builds the DataLoad, which loads the whole model into the cache once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, get_list
from kubectl_fluidmodel.records import dataclass

ATTEMPT_ANNOTATION = "fluidmodel.io/attempt"
"""On a DataLoad: the number of the load in its run."""


@dataclass(frozen=True)
class LoadTarget:
    """A path of the cache that a DataLoad loads, and how many copies of it."""

    path: str
    """Empty where the DataLoad has an empty one: Fluid's chart refuses that."""
    copies: int = 1


WHOLE_CACHE = LoadTarget("/")


def load_targets(load: Mapping[str, Any]) -> list[LoadTarget]:
    """What a DataLoad loads, as Fluid reads it.

    Without a `target`, or with an empty one, that is the whole cache, in one copy: Fluid leaves the
    field out of the chart's values (pkg/dataload/value.go, `omitempty`), and the chart's default
    is `/` (charts/fluid-dataloader/alluxio/values.yaml, v1.0.8).
    """
    return [_load_target(entry) for entry in get_list(load, "spec", "target")] or [WHOLE_CACHE]


def _load_target(entry: Mapping[str, Any]) -> LoadTarget:
    path, copies = str(entry.get("path") or ""), entry.get("replicas")
    if isinstance(copies, int) and copies > 0:  # the chart's `default 1` also replaces 0
        return LoadTarget(path, copies)
    return LoadTarget(path)


def build_dataload(
    name: str,
    namespace: str,
    *,
    replicas: int,
    tolerations: Sequence[Mapping[str, Any]],
    paths: Sequence[str] = ("/",),
) -> Object:
    """Build the DataLoad of the Dataset `namespace/name`; it has the Dataset's name.

    `dataset.namespace` is optional in the schema, but Fluid looks up an empty one literally and
    finds nothing (pkg/controllers/v1alpha1/dataload). `replicas` must equal the runtime's
    `data.replicas`, because the script calls setReplication with it. `paths` are loaded one after
    the other; the script splits them at colons and spaces.
    """
    spec: dict[str, Any] = {
        "dataset": {"name": name, "namespace": namespace},
        "loadMetadata": True,
        "target": [{"path": path, "replicas": replicas} for path in paths],
    }
    if tolerations:
        spec["tolerations"] = [dict(entry) for entry in tolerations]
    return {
        "apiVersion": names.DATA_LOADS.api_version,
        "kind": names.DATA_LOADS.name,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": names.managed_labels(name),
            "annotations": {ATTEMPT_ANNOTATION: "1"},
        },
        "spec": spec,
    }
