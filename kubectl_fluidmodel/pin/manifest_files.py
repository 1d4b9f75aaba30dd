"""Pin and unpin in manifests, without a cluster."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.dynamo.graph import is_graph, request_patch
from kubectl_fluidmodel.dynamo.json_patch import diff, kustomize
from kubectl_fluidmodel.dynamo.operator_bugs import of_request
from kubectl_fluidmodel.dynamo.resources import REQUEST, reference
from kubectl_fluidmodel.dynamo.yaml_stream import Document, documents
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid.names import UidNeeded, cache_label, is_legal, node_labels
from kubectl_fluidmodel.objects.access import Object, is_dns_label, name_of, namespace_of
from kubectl_fluidmodel.output.goyaml import LARGEST
from kubectl_fluidmodel.output.serialize import objects, to_yaml
from kubectl_fluidmodel.pin import pinning
from kubectl_fluidmodel.pin.pinning import MOUNT_PATH, NoWorkersError, Outcome, Wish


@dataclass
class Result:
    """A file before and after, and what there is to say about it."""

    name: str
    before: str
    documents: list[Document]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    passed_over: list[NoWorkersError] = field(default_factory=list)
    """Graphs that were left alone, beside others that were pinned."""
    changes: list[tuple[Object, Outcome]] = field(default_factory=list)

    @property
    def where(self) -> str:
        """The file as messages name it."""
        return "stdin" if self.name == "-" else self.name

    @property
    def text(self) -> str:
        return "".join(document.text for document in self.documents)

    def diff(self) -> str:
        import difflib

        name = self.where
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
        FluidModelError: it cannot be read, or is larger than any manifest.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise FluidModelError(f"cannot read {name}", f"it is larger than {LARGEST >> 20} MiB")
        return data.decode()
    except (OSError, UnicodeDecodeError) as err:
        why = err.strerror if isinstance(err, OSError) else "it is not UTF-8 text"
        raise FluidModelError(f"cannot read {name}", str(why)) from err


def pin(
    text: str,
    name: str,
    wish: Wish,
    graphs: tuple[str, ...],
    default: Callable[[], str],
    given: str | None = None,
) -> Result:
    """Pin the graphs of a file, or those of them that are named.

    Graphs without workers are left alone beside others that have some.

    Args:
        default: gives the namespace of objects that name none.
        given: the namespace that the command line names, which every object has to be in.

    Raises:
        UsageError: no such graph, or a namespace that contradicts the file.
        FluidModelError: a label that needs the Dataset's UID, or a graph that cannot be pinned.
    """
    if not is_legal(wish.model):
        raise UsageError(
            f"'{wish.model}' is no name of a cache",
            "a name has lower-case letters, digits and '-', and begins with a letter",
            "kubectl fluidmodel inspect",
        )
    result = Result(name, text, documents(text, name))
    namespace = functools.cache(default)

    def change(obj: Object) -> Object:
        if obj.get("kind") == REQUEST:
            return _request(result, obj, wish)
        if not _meant(obj, graphs):
            return obj
        where = _namespace(obj, result.where, given) or namespace()
        label = _label(where, wish.model, name_of(obj))
        note = f"cache label of {where}/{wish.model}: {label}"
        if note not in result.notes and not namespace_of(obj):
            result.notes.append(note)
        try:
            live, dead = node_labels(where, wish.model)
            full = replace(wish, key=label, equal=tuple(live), dead=tuple(dead))
            outcome = pinning.pin(obj, full)
        except NoWorkersError as err:
            if graphs:
                raise
            result.passed_over.append(err)
            return obj
        _record(result, obj, outcome)
        return outcome.object

    _through(result, graphs, change)
    found = sum(_meant(obj, graphs) for document in result.documents for obj in document.objects())
    if result.passed_over and len(result.passed_over) == found:
        raise result.passed_over[0]
    result.warnings += [f"left alone: {err.what}" for err in result.passed_over]
    return result


def _namespace(obj: Object, where: str, given: str | None) -> str:
    """The namespace that an object names; empty where it names none.

    Raises:
        UsageError: it is no legal one, or not the one that the command line names.
    """
    theirs, name = namespace_of(obj), name_of(obj)
    for namespace, origin in ((theirs, f"{where}: {name}"), (given or "", "-n")):
        if namespace and not is_dns_label(namespace):
            raise UsageError(
                f"{origin}: '{namespace}' is no namespace",
                "it is a placeholder" if "<" in namespace or "$" in namespace else "",
                "put in the name of one: kubectl get namespaces",
            )
    if theirs and given and theirs != given:
        raise UsageError(
            f"{where}: the namespace of {name} is '{theirs}', and -n says '{given}'",
            "",
            f"-n {theirs}",
        )
    return theirs


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
    text: str,
    name: str,
    model: str,
    components: tuple[str, ...],
    graphs: tuple[str, ...],
    given: str | None = None,
) -> Result:
    """Unpin the graphs of a file, or those of them that are named; `given` as for `pin`."""
    result = Result(name, text, documents(text, name))

    def change(obj: Object) -> Object:
        if not _meant(obj, graphs):
            return obj
        _namespace(obj, result.where, given)
        outcome = pinning.unpin(obj, model, components)
        _record(result, obj, outcome)
        return outcome.object

    return _through(result, graphs, change)


def _through(result: Result, graphs: tuple[str, ...], change: Callable[[Object], Object]) -> Result:
    found = [
        obj for document in result.documents for obj in document.objects() if _meant(obj, graphs)
    ]
    where = result.where
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
    result.warnings += [f"{REQUEST} {name_of(obj)}: {each}" for each in of_request(obj, wish.model)]
    result.notes.append(to_yaml(patch).rstrip("\n"))
    return obj
