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

from kubectl_fluidmodel.dynamo.affinity import Requirement
from kubectl_fluidmodel.dynamo.object_paths import make, prune
from kubectl_fluidmodel.dynamo.resources import PINS
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object, annotations_of, name_of
from kubectl_fluidmodel.objects.node_selector import Terms

REQUIRE, PREFER, MOUNT = "required", "preferred", "mount"


@dataclass
class Pinned:
    """What one model's pin did to one component (or to the graph as a whole)."""

    key: str = ""
    mode: str = MOUNT
    path: str = ""
    model_path: bool = False
    recreate: bool = False
    edits: list[dict[str, Any]] = field(default_factory=list)

    def requirement(self) -> Requirement:
        return Requirement(self.key)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"key": self.key, "mode": self.mode, "path": self.path}
        if self.model_path:
            found["modelPath"] = True
        if self.recreate:
            found["recreate"] = True
        return {key: value for key, value in found.items() if value} | {"edits": self.edits}


@dataclass
class Entry:
    """What all pins did to one component (or to the graph as a whole)."""

    made: list[str] = field(default_factory=list)
    terms: Terms | None = None
    dead: list[str] = field(default_factory=list)
    """Keys of the user's own terms that pinning took out: they are on no node."""
    pins: dict[str, Pinned] = field(default_factory=dict)

    def requirements(self, without: str = "") -> list[Requirement]:
        """The requirements that pins put into the terms, in the order of pinning."""
        return [
            pinned.requirement()
            for model, pinned in self.pins.items()
            if pinned.mode == REQUIRE and model != without
        ]

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.made:
            found["made"] = self.made
        if self.terms is not None:
            found["terms"] = self.terms
        if self.dead:
            found["dead"] = self.dead
        if self.pins:
            found["pins"] = {model: pin.to_json() for model, pin in self.pins.items()}
        return found


@dataclass
class Record:
    """The whole annotation."""

    graph: Entry = field(default_factory=Entry)
    components: dict[str, Entry] = field(default_factory=dict)

    def models(self) -> list[str]:
        """The models that the graph is pinned to."""
        return list(dict.fromkeys(m for entry in self.components.values() for m in entry.pins))


def read(obj: Object) -> Record:
    """The record of an object, empty where it has none.

    Raises:
        FluidModelError: the annotation is there but is not ours to read.
    """
    text = annotations_of(obj).get(PINS)
    if not text:
        return Record()
    try:
        data = json.loads(text)
        if data["v"] != 1:
            raise ValueError(f"version {data['v']}")
        components = {name: _entry(part) for name, part in data.get("components", {}).items()}
        return Record(_entry(data.get("graph", {})), components)
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise FluidModelError(
            f"cannot read annotation {PINS} of {name_of(obj)}",
            f"it was edited, or a newer release of the plugin wrote it ({err})",
            "kubectl fluidmodel version",
        ) from err


def write(obj: Object, record: Record) -> None:
    """Put the record on the object, or remove it where nothing is pinned any more."""
    if record.components:
        record.graph.made += make(obj, ("metadata", "annotations"), dict)
        data: dict[str, Any] = {"v": 1}
        if record.graph.made or record.graph.pins:
            data["graph"] = record.graph.to_json()
        data["components"] = {name: e.to_json() for name, e in record.components.items()}
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
        obj["metadata"]["annotations"][PINS] = text
        return
    annotations = obj.get("metadata", {}).get("annotations")
    if isinstance(annotations, dict):
        annotations.pop(PINS, None)
    prune(obj, record.graph.made)


def _entry(data: dict[str, Any]) -> Entry:
    pins = {
        model: Pinned(
            key=str(found.get("key", "")),
            mode=str(found.get("mode", MOUNT)),
            path=str(found.get("path", "")),
            model_path=bool(found.get("modelPath")),
            recreate=bool(found.get("recreate")),
            edits=list(found.get("edits", [])),
        )
        for model, found in data.get("pins", {}).items()
    }
    return Entry(
        made=list(data.get("made", [])),
        terms=data.get("terms"),
        dead=[str(key) for key in data.get("dead", [])],
        pins=pins,
    )
