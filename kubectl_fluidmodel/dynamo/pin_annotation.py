"""The annotation in which a graph carries what `pin` added to it.

    {"v": 1,
     "graph": {"made": […], "pins": {MODEL: {"edits": […]}}},
     "components": {NAME: {"made": […], "terms": […],
                           "pins": {MODEL: {"key", "mode", "path", "edits": […]}}}}}

`made` lists the containers (`affinity`, `volumes` …) that did not exist, `terms` holds the
required node selector terms from before the first pin, `edits` what a Journal wrote down.
The operator leaves metadata annotations of strangers alone in all releases, through conversion
as well, and they are no part of the hash that rolls workers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.dynamo.affinity import LabelRequirement
from kubectl_fluidmodel.dynamo.object_paths import make_containers, prune_containers
from kubectl_fluidmodel.dynamo.resources import PINS_ANNOTATION
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object, annotations_of, name_of
from kubectl_fluidmodel.objects.node_selector import Terms

MODE_REQUIRED, MODE_PREFERRED, MODE_MOUNT = "required", "preferred", "mount"


@dataclass
class Pin:
    """What one model's pin did to one component (or to the graph as a whole)."""

    key: str = ""
    mode: str = MODE_MOUNT
    path: str = ""
    model_path: bool = False
    recreate: bool = False
    edits: list[dict[str, Any]] = field(default_factory=list)

    def requirement(self) -> LabelRequirement:
        return LabelRequirement(self.key)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"key": self.key, "mode": self.mode, "path": self.path}
        if self.model_path:
            found["modelPath"] = True
        if self.recreate:
            found["recreate"] = True
        return {key: value for key, value in found.items() if value} | {"edits": self.edits}


@dataclass
class ComponentPins:
    """What all pins did to one component (or to the graph as a whole)."""

    created: list[str] = field(default_factory=list)
    original_terms: Terms | None = None
    removed_keys: list[str] = field(default_factory=list)
    """Keys of the user's own terms that pinning took out: they are on no node."""
    pins: dict[str, Pin] = field(default_factory=dict)

    def requirements(self, without: str = "") -> list[LabelRequirement]:
        """The requirements that pins put into the terms, in the order of pinning."""
        return [
            pinned.requirement()
            for model, pinned in self.pins.items()
            if pinned.mode == MODE_REQUIRED and model != without
        ]

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.created:
            found["made"] = self.created
        if self.original_terms is not None:
            found["terms"] = self.original_terms
        if self.removed_keys:
            found["dead"] = self.removed_keys
        if self.pins:
            found["pins"] = {model: pin.to_json() for model, pin in self.pins.items()}
        return found


@dataclass
class PinRecord:
    """The whole annotation."""

    graph: ComponentPins = field(default_factory=ComponentPins)
    components: dict[str, ComponentPins] = field(default_factory=dict)

    def models(self) -> list[str]:
        """The models that the graph is pinned to."""
        return list(dict.fromkeys(m for entry in self.components.values() for m in entry.pins))


def read_pins(obj: Object) -> PinRecord:
    """The record of an object, empty where it has none.

    Raises:
        FluidModelError: the annotation is there but is not ours to read.
    """
    text = annotations_of(obj).get(PINS_ANNOTATION)
    if not text:
        return PinRecord()
    try:
        data = json.loads(text)
        if data["v"] != 1:
            raise ValueError(f"version {data['v']}")
        components = {
            name: _parse_component_pins(part) for name, part in data.get("components", {}).items()
        }
        return PinRecord(_parse_component_pins(data.get("graph", {})), components)
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise FluidModelError(
            f"cannot read annotation {PINS_ANNOTATION} of {name_of(obj)}",
            f"it was edited, or a newer release of the plugin wrote it ({err})",
            "kubectl fluidmodel version",
        ) from err


def write_pins(obj: Object, record: PinRecord) -> None:
    """Put the record on the object, or remove it where nothing is pinned any more."""
    if record.components:
        record.graph.created += make_containers(obj, ("metadata", "annotations"), dict)
        data: dict[str, Any] = {"v": 1}
        if record.graph.created or record.graph.pins:
            data["graph"] = record.graph.to_json()
        data["components"] = {name: e.to_json() for name, e in record.components.items()}
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
        obj["metadata"]["annotations"][PINS_ANNOTATION] = text
        return
    annotations = obj.get("metadata", {}).get("annotations")
    if isinstance(annotations, dict):
        annotations.pop(PINS_ANNOTATION, None)
    prune_containers(obj, record.graph.created)


def _parse_component_pins(data: dict[str, Any]) -> ComponentPins:
    pins = {
        model: Pin(
            key=str(found.get("key", "")),
            mode=str(found.get("mode", MODE_MOUNT)),
            path=str(found.get("path", "")),
            model_path=bool(found.get("modelPath")),
            recreate=bool(found.get("recreate")),
            edits=list(found.get("edits", [])),
        )
        for model, found in data.get("pins", {}).items()
    }
    return ComponentPins(
        created=list(data.get("made", [])),
        original_terms=data.get("terms"),
        removed_keys=[str(key) for key in data.get("dead", [])],
        pins=pins,
    )
