"""Pin and unpin in manifests, without a cluster."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.dynamo import pinning
from kubectl_fluidmodel.dynamo.graph import is_graph, request_patch
from kubectl_fluidmodel.dynamo.kinds import REQUEST, reference
from kubectl_fluidmodel.dynamo.manifest import Document, documents
from kubectl_fluidmodel.dynamo.patch import diff, kustomize
from kubectl_fluidmodel.dynamo.pinning import MOUNT_PATH, Outcome, Wish
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid.names import UidNeeded, cache_label
from kubectl_fluidmodel.kube.kind import Object, name_of, namespace_of
from kubectl_fluidmodel.ui.document import objects, to_yaml


@dataclass
class Result:
    """A file before and after, and what there is to say about it."""

    name: str
    before: str
    documents: list[Document]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refusals: list[FluidModelError] = field(default_factory=list)
    changes: list[tuple[Object, Outcome]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(document.text for document in self.documents)

    def diff(self) -> str:
        import difflib

        name = "stdin" if self.name == "-" else self.name
        old, new = self.before.splitlines(True), self.text.splitlines(True)
        return "".join(difflib.unified_diff(old, new, name, f"{name} (pinned)"))

    def render(self, output: str) -> str:
        """The file (`yaml`), the patches alone (`patch`), or its graphs (`json`, `name`)."""
        if output == "yaml":
            return self.text
        if output == "patch":
            patches = [
                kustomize(before, diff(before, outcome.object), to_yaml)
                for before, outcome in self.changes
            ]
            return to_yaml({"patches": patches})
        return objects([outcome.object for _, outcome in self.changes], output)


def read(name: str) -> str:
    """The text of a file, or of stdin for `-`; line ends as they are.

    Raises:
        FluidModelError: it cannot be read.
    """
    try:
        if name == "-":
            return sys.stdin.buffer.read().decode()
        return Path(name).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as err:
        why = err.strerror if isinstance(err, OSError) else "it is not UTF-8 text"
        raise FluidModelError(f"cannot read {name}", str(why)) from err


def pin(
    text: str, name: str, wish: Wish, graphs: tuple[str, ...], default: Callable[[], str]
) -> Result:
    """Pin the graphs of a file, or those of them that are named.

    `default` gives the namespace of objects that name none.

    Raises:
        FluidModelError: no such graph, a label that needs the Dataset's UID, or a graph that
            cannot be pinned.
    """
    result = Result(name, text, documents(text, name))
    namespace = functools.cache(default)

    def change(obj: Object) -> Object:
        if obj.get("kind") == REQUEST:
            return _request(result, obj, wish)
        if not _meant(obj, graphs):
            return obj
        where = namespace_of(obj) or namespace()
        label = _label(where, wish.model, name_of(obj))
        note = f"cache label of {where}/{wish.model}: {label}"
        if note not in result.notes and not namespace_of(obj):
            result.notes.append(note)
        outcome = pinning.pin(obj, replace(wish, key=label))
        _record(result, obj, outcome)
        return outcome.object

    return _through(result, graphs, change)


def _label(namespace: str, model: str, graph: str) -> str:
    """The cache's label by Fluid's rule.

    Raises:
        UidNeeded: it is made of the Dataset's UID, which no file tells.
    """
    try:
        return cache_label(namespace, model)
    except UidNeeded as err:
        raise UidNeeded(
            err.what,
            err.why,
            f"kubectl fluidmodel pin {model} {graph} -n {namespace} --dry-run=server -o patch",
        ) from err


def unpin(
    text: str, name: str, model: str, components: tuple[str, ...], graphs: tuple[str, ...]
) -> Result:
    """Unpin the graphs of a file, or those of them that are named."""
    result = Result(name, text, documents(text, name))

    def change(obj: Object) -> Object:
        if not _meant(obj, graphs):
            return obj
        outcome = pinning.unpin(obj, model, components)
        _record(result, obj, outcome)
        return outcome.object

    return _through(result, graphs, change)


def _through(result: Result, graphs: tuple[str, ...], change: Callable[[Object], Object]) -> Result:
    found = [
        obj for document in result.documents for obj in document.objects() if _meant(obj, graphs)
    ]
    where = "stdin" if result.name == "-" else result.name
    named = {name_of(obj) for obj in found}
    for graph in graphs:
        if reference(graph)[1] not in named:
            raise UsageError(f"{where} has no graph {graph}", f"it has {_listed(result)}")
    if not found and not any(True for d in result.documents for _ in d.objects()):
        raise FluidModelError(f"{where} has no DynamoGraphDeployment", "", "-f with another file")
    result.documents = [document.changed(change) for document in result.documents]
    return result


def _listed(result: Result) -> str:
    names = [name_of(obj) for d in result.documents for obj in d.objects() if is_graph(obj)]
    return ", ".join(names) or "none"


def _meant(obj: Object, graphs: tuple[str, ...]) -> bool:
    if not is_graph(obj):
        return False
    if not graphs:
        return True
    wanted = [reference(graph) for graph in graphs]
    return any(name_of(obj) == name and kind in ("", obj["kind"]) for kind, name in wanted)


def _record(result: Result, before: Object, outcome: Outcome) -> None:
    if outcome.changed:
        result.changes.append((before, outcome))
    for remark in outcome.remarks():
        if remark not in result.warnings:
            result.warnings.append(remark)


def _request(result: Result, obj: Object, wish: Wish) -> Object:
    """A request is left as it is; what to add to it is said."""
    patch: Any = request_patch(obj, wish.model, wish.mount_path or MOUNT_PATH, wish.subpath)
    result.warnings.append(
        f"{REQUEST} {name_of(obj)} is not changed: its graph is generated from it; add this to "
        "it before you create it, and pin the graph that it makes"
    )
    result.notes.append(to_yaml(patch).rstrip("\n"))
    return obj
