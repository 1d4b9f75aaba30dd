"""Values that TAB completion offers for flags and arguments.

`kube/completion_client.py` requests names from the cluster, within a fraction of a second and
without the Kubernetes client. If that fails, no names are offered and no error is printed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.names import DATASETS
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import name_of
from kubectl_fluidmodel.objects.kinds import Kind

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube.completion_client import Row
    from kubectl_fluidmodel.kube.config import ConfigFlags

Completer = Callable[[click.Context], "Iterable[Row]"]
T = TypeVar("T")


class CompletedString(click.types.StringParamType):
    """A string with candidates: pairs of a name and its description."""

    def __init__(self, offer: Completer) -> None:
        self.completer = offer

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        value = ctx.params.get(param.name or "")
        already_given = set(value) if isinstance(value, (tuple, list)) else set()
        return [
            CompletionItem(name, help=about or None)
            for name, about in self.completer(ctx)
            if name.startswith(incomplete) and name not in already_given
        ]


class FilePath(click.types.StringParamType):
    """A string that names a file: the shell completes file names."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        return [CompletionItem(incomplete, type="file")]


def completer_for(param: click.Parameter) -> click.ParamType[str] | None:
    """Return the parameter type with candidates for a string parameter, or None if it has none."""
    if type(param.type) is not click.types.StringParamType:
        return None
    table = _ARGUMENTS if isinstance(param, click.Argument) else _OPTIONS
    return table.get(param.name or "")


def _config_flags(ctx: click.Context) -> ConfigFlags:
    """Return the connection flags that precede the cursor."""
    from dataclasses import fields

    from kubectl_fluidmodel.kube.config import ConfigFlags

    names = {field.name for field in fields(ConfigFlags)}
    values: dict[str, Any] = {
        key: value for key, value in ctx.params.items() if key in names and value is not None
    }
    return ConfigFlags(**values)


def _object_names(kind: Kind, *columns: str) -> Completer:
    """Return a completer for object names, described by columns of kubectl's table."""

    def offer(ctx: click.Context) -> Iterable[Row]:
        from kubectl_fluidmodel.kube import completion_client

        return completion_client.list_names(_config_flags(ctx), kind, *columns)

    return offer


def _list_graphs(read: Callable[[Kind], list[T]]) -> list[T]:
    """Return what is read of the graphs in the newest version in which there are any."""
    from kubectl_fluidmodel.dynamo import resources

    for version in (resources.V1BETA1, resources.V1ALPHA1):
        graphs = read(resources.kind_for(resources.GRAPH, version))
        if graphs:
            return graphs
    return []


def _graph_names(ctx: click.Context) -> Iterable[Row]:
    from kubectl_fluidmodel.kube import completion_client

    connection = _config_flags(ctx)
    return _list_graphs(
        lambda kind: completion_client.list_names(connection, kind, "Ready", "Backend")
    )


def _component_names(ctx: click.Context) -> Iterable[Row]:
    """List the components of the given graphs, or of all graphs in the namespace."""
    from kubectl_fluidmodel.dynamo.graph import open_graph
    from kubectl_fluidmodel.kube import completion_client

    connection = _config_flags(ctx)
    rows: list[Row] = []
    named = {graph.rpartition("/")[2] for graph in ctx.params.get("graphs") or ()}
    for graph in _list_graphs(lambda kind: completion_client.list_objects(connection, kind)):
        if not named or name_of(graph) in named:
            with contextlib.suppress(FluidModelError):  # skip graphs that cannot be pinned
                for component in open_graph(graph).components:
                    about = f"{component.role.value} of {name_of(graph)}"
                    rows.append((component.name, about))
    return rows


def _kubeconfig_names(part: str) -> Completer:
    def offer(ctx: click.Context) -> Iterable[Row]:
        from kubectl_fluidmodel.kube import completion_client

        return completion_client.list_kubeconfig_entries(_config_flags(ctx), part)

    return offer


_SECRETS = CompletedString(_object_names(kinds.SECRETS, "Type"))

_CACHES = CompletedString(_object_names(DATASETS, "Phase", "Cached Percentage"))


def _adoptable_names(ctx: click.Context) -> Iterable[Row]:
    """Datasets by name, where `cache --adopt` may be given one."""
    return _CACHES.completer(ctx) if ctx.params.get("adopt") else []


_ARGUMENTS: dict[str, click.ParamType[str]] = {
    "source": CompletedString(_adoptable_names),
    "name": _CACHES,
    "cache": _CACHES,
    "names": _CACHES,
    "graphs": CompletedString(_graph_names),
}
_OPTIONS: dict[str, click.ParamType[str]] = {
    "components": CompletedString(_component_names),
    "nodes": CompletedString(_object_names(kinds.NODES, "Status")),
    "namespace": CompletedString(_object_names(kinds.NAMESPACES, "Status")),
    "context": CompletedString(_kubeconfig_names("contexts")),
    "cluster": CompletedString(_kubeconfig_names("clusters")),
    "user": CompletedString(_kubeconfig_names("users")),
    "replaces": _CACHES,
    "s3_secret": _SECRETS,
    "hub_secret": _SECRETS,
    "gcs_secret": _SECRETS,
    "pull_secrets": _SECRETS,
    "kubeconfig": FilePath(),
    "certificate_authority": FilePath(),
    "client_certificate": FilePath(),
    "client_key": FilePath(),
    "filename": FilePath(),
}
"""Completers by parameter name."""
