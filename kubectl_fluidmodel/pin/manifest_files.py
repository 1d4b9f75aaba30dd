"""Pin and unpin in manifests, without a cluster."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import field, replace
from pathlib import Path

from kubectl_fluidmodel.dynamo.graph import is_graph
from kubectl_fluidmodel.dynamo.json_patch import kustomize_patch, make_patch
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
from kubectl_fluidmodel.output.shell import Operand, command, kubectl
from kubectl_fluidmodel.pin.options import PinOptions
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import NoWorkersError, PinResult, unpin_graph
from kubectl_fluidmodel.pin.replacement import NotPinnedError, pin_or_replace
from kubectl_fluidmodel.pin.request_advice import request_advice
from kubectl_fluidmodel.records import dataclass


@dataclass
class ManifestResult:
    """A file before and after the change, with remarks."""

    name: str
    before: str
    documents: list[Document]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    changes: list[tuple[Object, PinResult]] = field(default_factory=list)
    """The changed graphs, before the change."""

    @property
    def display_name(self) -> str:
        """The file as messages name it."""
        return "stdin" if self.name == "-" else self.name

    @property
    def text(self) -> str:
        return "".join(document.text for document in self.documents)

    @property
    def objects(self) -> list[Object]:
        """All Dynamo objects in the file."""
        return [obj for document in self.documents for obj in document.objects()]

    def diff(self) -> str:
        import difflib

        name = self.display_name
        old, new = self.before.splitlines(True), self.text.splitlines(True)
        return "".join(difflib.unified_diff(old, new, name, f"{name} (pinned)"))

    def render(self, output: str) -> str:
        """Return the file (`yaml`), only the patches (`patch`), or its graphs (`json`, `name`)."""
        if output == "yaml":
            return self.text
        if output == "patch":
            patches = [
                kustomize_patch(before, make_patch(before, result.object), to_yaml)
                for before, result in self.changes
            ]
            return to_yaml({"patches": patches})
        return format_objects([result.object for _, result in self.changes], output)

    def add(self, before: Object, result: PinResult) -> None:
        """Record the result for one graph."""
        if result.changed:
            self.changes.append((before, result))
        self.warnings += [text for text in result.remarks() if text not in self.warnings]
        self.notes += [f"note: {text}" for text in result.notes()]

    def transform(self, graphs: tuple[str, ...], change: Callable[[Object], Object]) -> None:
        """Apply `change` to each object.

        Raises:
            UsageError: a named graph is not in the file.
            FluidModelError: the file has no Dynamo object.
        """
        selected = {name_of(obj) for obj in self.objects if _is_selected(obj, graphs)}
        for graph in graphs:
            if parse_reference(graph)[1] not in selected:
                names = ", ".join(name_of(obj) for obj in self.objects if is_graph(obj))
                raise UsageError(
                    f"{self.display_name} has no graph {graph}", f"it has {names or 'none'}"
                )
        if not self.objects:
            raise FluidModelError(
                f"{self.display_name} has no DynamoGraphDeployment", "", "-f with another file"
            )
        self.documents = [document.with_changes(change) for document in self.documents]


def pin_file(
    request: PinRequest, options: PinOptions, default_namespace: Callable[[], str]
) -> ManifestResult:
    """Pin the graphs of a file, or those of them that are named.

    Graphs without workers, or without the pin to move, are left alone if others have one.

    Args:
        request: without labels, which follow from each graph's namespace.
        options: the file, the graphs, and the namespace of the command line.
        default_namespace: gives the namespace of objects that name none.

    Raises:
        UsageError: no such graph, or a namespace that contradicts the file.
        FluidModelError: a label that needs the Dataset's UID, or a graph that cannot be pinned.
    """
    if not is_valid_name(request.cache):
        raise UsageError(
            f"'{request.cache}' is not the name of a cache",
            "a name has lowercase letters, digits and '-', and starts with a letter",
            "kubectl fluidmodel inspect",
        )
    result = _read(options)
    namespace_of_context = functools.cache(default_namespace)
    skipped: list[FluidModelError] = []

    def change(obj: Object) -> Object:
        if obj.get("kind") == REQUEST:
            _explain_request(result, obj, request)
            return obj
        if not _is_selected(obj, options.graphs):
            return obj
        namespace = _object_namespace(obj, result, options) or namespace_of_context()
        label = _cache_label(namespace, request.cache, name_of(obj))
        note = f"cache label of {namespace}/{request.cache}: {label}"
        if note not in result.notes and not namespace_of(obj):
            result.notes.append(note)
        equal, dead = node_label_keys(namespace, request.cache)
        full = replace(request, label=label, equal_labels=tuple(equal), dead_labels=tuple(dead))
        try:
            pinned = pin_or_replace(obj, full)
        except (NoWorkersError, NotPinnedError) as err:
            if options.graphs:
                raise
            skipped.append(err)
            return obj
        result.add(obj, pinned)
        return pinned.object

    result.transform(options.graphs, change)
    if skipped and len(skipped) == sum(_is_selected(obj, ()) for obj in result.objects):
        raise skipped[0]
    result.warnings += [f"not changed: {err.message}" for err in skipped]
    return result


def unpin_file(options: PinOptions) -> ManifestResult:
    """Unpin the graphs of a file, or those of them that are named.

    Raises:
        UsageError: no such graph, or a namespace that contradicts the file.
    """
    result = _read(options)

    def change(obj: Object) -> Object:
        if not _is_selected(obj, options.graphs):
            return obj
        _object_namespace(obj, result, options)
        unpinned = unpin_graph(obj, options.cache, options.components)
        result.add(obj, unpinned)
        return unpinned.object

    result.transform(options.graphs, change)
    return result


def _read(options: PinOptions) -> ManifestResult:
    name = options.filename or "-"
    text = _read_text(name)
    return ManifestResult(name, text, split_documents(text, name))


def _read_text(name: str) -> str:
    """Read a file, or stdin for `-`; line endings stay as they are.

    Raises:
        FluidModelError: it cannot be read, or exceeds the size limit.
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
        reason = err.strerror if isinstance(err, OSError) else "it is not UTF-8 text"
        raise FluidModelError(f"cannot read {name}", str(reason)) from err


def _object_namespace(obj: Object, result: ManifestResult, options: PinOptions) -> str:
    """Return the namespace of an object; empty if it has none.

    Raises:
        UsageError: it is invalid, or differs from the command line's.
    """
    own_namespace, name, file = namespace_of(obj), name_of(obj), result.display_name
    flag = options.connection.namespace or ""
    for namespace, origin in ((own_namespace, f"{file}: {name}"), (flag, "-n")):
        if namespace and not is_dns_label(namespace):
            raise UsageError(
                f"{origin}: '{namespace}' is not a namespace",
                "it is a placeholder" if "<" in namespace or "$" in namespace else "",
                "replace it by a name from kubectl get namespaces",
            )
    if own_namespace and flag and own_namespace != flag:
        raise UsageError(
            f"{file}: the namespace of {name} is '{own_namespace}', and -n says '{flag}'",
            "",
            command("-n", own_namespace),
        )
    return own_namespace


def _cache_label(namespace: str, cache: str, graph: str) -> str:
    """Compute the cache's label by Fluid's rule.

    Raises:
        UidRequiredError: it contains the Dataset's UID, which is not in the file.
    """
    try:
        return cache_label(namespace, cache)
    except UidRequiredError as err:
        raise UidRequiredError(
            err.message,
            err.reason,
            kubectl(
                *("fluidmodel", "pin", Operand(cache), Operand(graph), "-n", namespace),
                *("--dry-run=server", "-o", "patch"),
            ),
        ) from err


def _is_selected(obj: Object, graphs: tuple[str, ...]) -> bool:
    if not is_graph(obj):
        return False
    references = [parse_reference(graph) for graph in graphs]
    return not graphs or any(
        name_of(obj) == name and kind in ("", obj["kind"]) for kind, name in references
    )


def _explain_request(result: ManifestResult, obj: Object, request: PinRequest) -> None:
    """A DynamoGraphDeploymentRequest stays as it is; say what to add to it."""
    name = f"{REQUEST} {name_of(obj)}"
    patch, conflicts = request_advice(obj, request)
    result.warnings.append(
        f"{name} is not changed, because its graph is generated; add this before you create it, "
        "and pin the generated graph"
    )
    result.warnings += [f"{name}: {text}" for text in conflicts]
    result.notes.append(to_yaml(patch).rstrip("\n"))
