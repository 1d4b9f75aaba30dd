"""The annotation in which a graph records what `pin` added to it.

    {"v": 1,
     "graph": {"made": […], "pins": {CACHE: {"edits": […]}}},
     "components": {NAME: {"made": […], "terms": […],
                           "pins": {CACHE: {"key", "mode", "path", "edits": […]}}}}}

`made` lists the containers (`affinity`, `volumes` …) that did not exist, `terms` has the required
node selector terms from before the first pin, and `edits` has the entries of an `EditLog`.
Operators of all releases keep unknown metadata annotations, also through conversion, and the
annotation is not part of the hash by which they replace workers.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel.dynamo.affinity import LabelRequirement, has_requirement, node_preferences
from kubectl_fluidmodel.dynamo.object_paths import make_containers, prune_containers
from kubectl_fluidmodel.dynamo.resources import PINS_ANNOTATION
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object, annotations_of, name_of
from kubectl_fluidmodel.objects.node_selector import Terms, is_empty, terms_of
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.dynamo.component import Component

MODE_REQUIRED, MODE_PREFERRED, MODE_MOUNT = "required", "preferred", "mount"


@dataclass
class Pin:
    """What the pin to one cache did to one component (or to the graph as a whole)."""

    key: str = ""
    """Key of the required or preferred node label; empty for a mount only."""
    mode: str = MODE_MOUNT
    path: str = ""
    model_path: bool = False
    """Whether the engines' model path was set."""
    recreate: bool = False
    """Whether the strategy `Recreate` was set."""
    startup_seconds: int = 0
    """Seconds to which startup probes were raised; 0 if unchanged."""
    loader: str = ""
    """The loader that was set, one of `loader_names.LOADERS`; empty for the author's own."""
    loader_threads: int = 0
    """Its threads for each process."""
    adopted: bool = False
    """Whether somebody else made the edits, and `pin --adopt` recorded them."""
    edits: list[dict[str, Any]] = field(default_factory=list)

    def requirement(self) -> LabelRequirement:
        return LabelRequirement(self.key)

    def to_json(self) -> dict[str, Any]:
        fields = {
            "key": self.key,
            "mode": self.mode,
            "path": self.path,
            "modelPath": self.model_path,
            "recreate": self.recreate,
            "startupSeconds": self.startup_seconds,
            "loader": self.loader,
            "loaderThreads": self.loader_threads,
            "adopted": self.adopted,
        }
        return {key: value for key, value in fields.items() if value} | {"edits": self.edits}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Pin:
        return Pin(
            key=str(data.get("key", "")),
            mode=str(data.get("mode", MODE_MOUNT)),
            path=str(data.get("path", "")),
            model_path=bool(data.get("modelPath")),
            recreate=bool(data.get("recreate")),
            startup_seconds=int(data.get("startupSeconds", 0)),
            loader=str(data.get("loader", "")),
            loader_threads=int(data.get("loaderThreads", 0)),
            adopted=bool(data.get("adopted")),
            edits=list(data.get("edits", [])),
        )


@dataclass
class ComponentPins:
    """What all pins did to one component (or to the graph as a whole)."""

    created: list[str] = field(default_factory=list)
    """Paths of the containers that did not exist before the first pin."""
    original_terms: Terms | None = None
    """Required node selector terms from before the first pin."""
    removed_keys: list[str] = field(default_factory=list)
    """Label keys that pinning removed from these terms, because no node has them."""
    pins: dict[str, Pin] = field(default_factory=dict)
    """Pins by cache."""

    def requirements(self, without: str = "") -> list[LabelRequirement]:
        """The requirements that pins put into the terms, in the order of pinning."""
        return [
            pin.requirement()
            for cache, pin in self.pins.items()
            if pin.mode == MODE_REQUIRED and cache != without
        ]

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if self.created:
            fields["made"] = self.created
        if self.original_terms is not None:
            fields["terms"] = self.original_terms
        if self.removed_keys:
            fields["dead"] = self.removed_keys
        if self.pins:
            fields["pins"] = {cache: pin.to_json() for cache, pin in self.pins.items()}
        return fields

    @staticmethod
    def from_json(data: dict[str, Any]) -> ComponentPins:
        return ComponentPins(
            created=list(data.get("made", [])),
            original_terms=data.get("terms"),
            removed_keys=[str(key) for key in data.get("dead", [])],
            pins={cache: Pin.from_json(pin) for cache, pin in data.get("pins", {}).items()},
        )


@dataclass
class PinRecord:
    """The whole annotation."""

    graph: ComponentPins = field(default_factory=ComponentPins)
    components: dict[str, ComponentPins] = field(default_factory=dict)

    def caches(self) -> list[str]:
        """The caches that the graph is pinned to."""
        return list(dict.fromkeys(name for pins in self.components.values() for name in pins.pins))


def read_pins(obj: Object) -> PinRecord:
    """Parse the pins of a graph; an empty record if there are none.

    Raises:
        FluidModelError: the annotation cannot be parsed.
    """
    text = annotations_of(obj).get(PINS_ANNOTATION)
    if not text:
        return PinRecord()
    try:
        data = json.loads(text)
        if data["v"] != 1:
            raise ValueError(f"version {data['v']}")
        return PinRecord(
            ComponentPins.from_json(data.get("graph", {})),
            {
                name: ComponentPins.from_json(part)
                for name, part in data.get("components", {}).items()
            },
        )
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise FluidModelError(
            f"cannot read annotation {PINS_ANNOTATION} of {name_of(obj)}",
            f"it was edited, or a newer release of the plugin wrote it ({err})",
            "kubectl fluidmodel version",
        ) from err


def write_pins(obj: Object, record: PinRecord) -> None:
    """Write the record to a graph, or remove it if nothing is pinned any more."""
    if record.components:
        record.graph.created += make_containers(obj, ("metadata", "annotations"), dict)
        data: dict[str, Any] = {"v": 1}
        if record.graph.created or record.graph.pins:
            data["graph"] = record.graph.to_json()
        data["components"] = {name: pins.to_json() for name, pins in record.components.items()}
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
        obj["metadata"]["annotations"][PINS_ANNOTATION] = text
        return
    annotations = obj.get("metadata", {}).get("annotations")
    if isinstance(annotations, dict):
        annotations.pop(PINS_ANNOTATION, None)
    prune_containers(obj, record.graph.created)


def missing_parts(component: Component, pin: Pin, cache: str) -> list[str]:
    """Return what a component's pin lacks: `mount`, `node affinity`."""
    missing = []
    if component.paths_without_mount(cache):
        missing.append("mount")
    affinity = component.pod_spec().get("affinity")
    terms = terms_of(affinity)
    required = terms is not None and all(
        is_empty(term) or has_requirement(term, pin.requirement()) for term in terms
    )
    preferred = pin.requirement().to_preference() in node_preferences(affinity)
    if (pin.mode == MODE_REQUIRED and not required) or (
        pin.mode == MODE_PREFERRED and not preferred
    ):
        missing.append("node affinity")
    return missing
