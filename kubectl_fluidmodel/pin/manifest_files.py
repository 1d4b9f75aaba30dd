"""Pin and unpin in manifests, without a cluster."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.dynamo.graph import is_graph, request_patch
from kubectl_fluidmodel.dynamo.json_patch import kustomize_patch, make_patch
from kubectl_fluidmodel.dynamo.operator_bugs import request_conflicts
from kubectl_fluidmodel.dynamo.resources import REQUEST, parse_reference
from kubectl_fluidmodel.dynamo.yaml_stream import Document, split_documents
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid.names import (
    UidRequiredError,
    cache_label,
    is_valid_name,
    node_label_keys,
)
from kubectl_fluidmodel.objects.access import Object, is_dns_label, name_of, namespace_of
from kubectl_fluidmodel.output.goyaml import MAX_BYTES
from kubectl_fluidmodel.output.serialize import format_objects, to_yaml
from kubectl_fluidmodel.pin import pinning
from kubectl_fluidmodel.pin.pinning import DEFAULT_MOUNT_PATH, NoWorkersError, PinRequest, PinResult


@dataclass
class ManifestResult:
    """A file before and after, and what there is to say about it."""

    name: str
    before: str
    documents: list[Document]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: list[NoWorkersError] = field(default_factory=list)
    """Graphs that were left alone, beside others that were pinned."""
    changes: list[tuple[Object, PinResult]] = field(default_factory=list)

    @property
    def display_name(self) -> str:
        """The file as messages name it."""
        return "stdin" if self.name == "-" else self.name

    @property
    def text(self) -> str:
        return "".join(document.text for document in self.documents)

    def diff(self) -> str:
        import difflib

        name = self.display_name
        old, new = self.before.splitlines(True), self.text.splitlines(True)
        return "".join(difflib.unified_diff(old, new, name, f"{name} (pinned)"))

    def render(self, output: str) -> str:
        """The file (`yaml`), the patches alone (`patch`), or its graphs (`json`, `name`)."""
        if output == "yaml":
            return self.text
        if output == "patch":
            patches = [
                kustomize_patch(before, make_patch(before, outcome.object), to_yaml)
                for before, outcome in self.changes
            ]
            return to_yaml({"patches": patches})
        return format_objects([outcome.object for _, outcome in self.changes], output)


def read_manifest(name: str) -> str:
    """The text of a file, or of stdin for `-`; line ends as they are.

    Raises:
        FluidModelError: it cannot be read, or is larger than any manifest.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise FluidModelError(f"cannot read {name}", f"it is larger than {MAX_BYTES >> 20} MiB")
        return data.decode()
    except (OSError, UnicodeDecodeError) as err:
        why = err.strerror if isinstance(err, OSError) else "it is not UTF-8 text"
        raise FluidModelError(f"cannot read {name}", str(why)) from err


def pin_manifest(
    text: str,
    name: str,
    request: PinRequest,
    graphs: tuple[str, ...],
    default_namespace: Callable[[], str],
    flag_namespace: str | None = None,
) -> ManifestResult:
    """Pin the graphs of a file, or those of them that are named.

    Graphs without workers are left alone beside others that have some.

    Args:
        default: gives the namespace of objects that name none.
        given: the namespace that the command line names, which every object has to be in.

    Raises:
        UsageError: no such graph, or a namespace that contradicts the file.
        FluidModelError: a label that needs the Dataset's UID, or a graph that cannot be pinned.
    """
    if not is_valid_name(request.model):
        raise UsageError(
            f"'{request.model}' is no name of a cache",
            "a name has lower-case letters, digits and '-', and begins with a letter",
            "kubectl fluidmodel inspect",
        )
    result = ManifestResult(name, text, split_documents(text, name))
    namespace = functools.cache(default_namespace)

    def change(obj: Object) -> Object:
        if obj.get("kind") == REQUEST:
            return _explain_request(result, obj, request)
        if not _is_selected(obj, graphs):
            return obj
        where = _object_namespace(obj, result.display_name, flag_namespace) or namespace()
        label = _cache_label(where, request.model, name_of(obj))
        note = f"cache label of {where}/{request.model}: {label}"
        if note not in result.notes and not namespace_of(obj):
            result.notes.append(note)
        try:
            live, dead = node_label_keys(where, request.model)
            full = replace(request, key=label, equal=tuple(live), dead=tuple(dead))
            outcome = pinning.pin_graph(obj, full)
        except NoWorkersError as err:
            if graphs:
                raise
            result.skipped.append(err)
            return obj
        _record_result(result, obj, outcome)
        return outcome.object

    _change_graphs(result, graphs, change)
    found = sum(
        _is_selected(obj, graphs) for document in result.documents for obj in document.objects()
    )
    if result.skipped and len(result.skipped) == found:
        raise result.skipped[0]
    result.warnings += [f"left alone: {err.message}" for err in result.skipped]
    return result


def _object_namespace(obj: Object, where: str, flag_namespace: str | None) -> str:
    """The namespace that an object names; empty where it names none.

    Raises:
        UsageError: it is no legal one, or not the one that the command line names.
    """
    theirs, name = namespace_of(obj), name_of(obj)
    for namespace, origin in ((theirs, f"{where}: {name}"), (flag_namespace or "", "-n")):
        if namespace and not is_dns_label(namespace):
            raise UsageError(
                f"{origin}: '{namespace}' is no namespace",
                "it is a placeholder" if "<" in namespace or "$" in namespace else "",
                "put in the name of one: kubectl get namespaces",
            )
    if theirs and flag_namespace and theirs != flag_namespace:
        raise UsageError(
            f"{where}: the namespace of {name} is '{theirs}', and -n says '{flag_namespace}'",
            "",
            f"-n {theirs}",
        )
    return theirs


def _cache_label(namespace: str, model: str, graph: str) -> str:
    """The cache's label by Fluid's rule.

    Raises:
        UidRequiredError: it is made of the Dataset's UID, which no file tells.
    """
    try:
        return cache_label(namespace, model)
    except UidRequiredError as err:
        raise UidRequiredError(
            err.message,
            err.reason,
            f"kubectl fluidmodel pin {model} {graph} -n {namespace} --dry-run=server -o patch",
        ) from err


def unpin_manifest(
    text: str,
    name: str,
    model: str,
    components: tuple[str, ...],
    graphs: tuple[str, ...],
    flag_namespace: str | None = None,
) -> ManifestResult:
    """Unpin the graphs of a file, or those of them that are named; `given` as for `pin`."""
    result = ManifestResult(name, text, split_documents(text, name))

    def change(obj: Object) -> Object:
        if not _is_selected(obj, graphs):
            return obj
        _object_namespace(obj, result.display_name, flag_namespace)
        outcome = pinning.unpin_graph(obj, model, components)
        _record_result(result, obj, outcome)
        return outcome.object

    return _change_graphs(result, graphs, change)


def _change_graphs(
    result: ManifestResult, graphs: tuple[str, ...], change: Callable[[Object], Object]
) -> ManifestResult:
    found = [
        obj
        for document in result.documents
        for obj in document.objects()
        if _is_selected(obj, graphs)
    ]
    where = result.display_name
    named = {name_of(obj) for obj in found}
    for graph in graphs:
        if parse_reference(graph)[1] not in named:
            raise UsageError(f"{where} has no graph {graph}", f"it has {_graph_names(result)}")
    if not found and not any(True for d in result.documents for _ in d.objects()):
        raise FluidModelError(f"{where} has no DynamoGraphDeployment", "", "-f with another file")
    result.documents = [document.with_changes(change) for document in result.documents]
    return result


def _graph_names(result: ManifestResult) -> str:
    names = [name_of(obj) for d in result.documents for obj in d.objects() if is_graph(obj)]
    return ", ".join(names) or "none"


def _is_selected(obj: Object, graphs: tuple[str, ...]) -> bool:
    if not is_graph(obj):
        return False
    if not graphs:
        return True
    wanted = [parse_reference(graph) for graph in graphs]
    return any(name_of(obj) == name and kind in ("", obj["kind"]) for kind, name in wanted)


def _record_result(result: ManifestResult, before: Object, outcome: PinResult) -> None:
    if outcome.changed:
        result.changes.append((before, outcome))
    for remark in outcome.remarks():
        if remark not in result.warnings:
            result.warnings.append(remark)


def _explain_request(result: ManifestResult, obj: Object, request: PinRequest) -> Object:
    """A request is left as it is; what to add to it is said."""
    patch: Any = request_patch(
        obj, request.model, request.mount_path or DEFAULT_MOUNT_PATH, request.subpath
    )
    result.warnings.append(
        f"{REQUEST} {name_of(obj)} is not changed: its graph is generated from it; add this to "
        "it before you create it, and pin the graph that it makes"
    )
    result.warnings += [
        f"{REQUEST} {name_of(obj)}: {each}" for each in request_conflicts(obj, request.model)
    ]
    result.notes.append(to_yaml(patch).rstrip("\n"))
    return obj
