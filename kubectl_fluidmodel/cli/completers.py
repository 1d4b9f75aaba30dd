"""Which flags and arguments take what: the values that TAB offers.

Names of the cluster are asked for by `kube/peek.py`, in a fraction of a second and without the
Kubernetes client; whatever goes wrong there, there is nothing to offer and nothing is said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.names import DATASETS
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.kinds import Kind

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube.completion_client import Row
    from kubectl_fluidmodel.kube.config import Connection

Offer = Callable[[click.Context], "Iterable[Row]"]


class Offered(click.types.StringParamType):
    """A text, with candidates for it: pairs of a name and what it is."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        given = ctx.params.get(param.name or "")
        taken = set(given) if isinstance(given, (tuple, list)) else set()
        return [
            CompletionItem(name, help=about or None)
            for name, about in self.offer(ctx)
            if name.startswith(incomplete) and name not in taken
        ]


class File(click.types.StringParamType):
    """A text that names a file: the shell offers those."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        return [CompletionItem(incomplete, type="file")]


def of(param: click.Parameter) -> click.ParamType[str] | None:
    """The type with candidates for a plain text of this name; None where there is none."""
    if type(param.type) is not click.types.StringParamType:
        return None
    table = _ARGUMENTS if isinstance(param, click.Argument) else _OPTIONS
    return table.get(param.name or "")


def _connection(ctx: click.Context) -> Connection:
    """The connection flags of the words before the cursor."""
    from dataclasses import fields

    from kubectl_fluidmodel.kube.config import Connection

    known = {each.name for each in fields(Connection)}
    given: dict[str, Any] = {
        key: value for key, value in ctx.params.items() if key in known and value is not None
    }
    return Connection(**given)


def _named(kind: Kind, *columns: str) -> Offer:
    """Objects of a kind, told apart by columns of kubectl's table."""

    def offer(ctx: click.Context) -> Iterable[Row]:
        from kubectl_fluidmodel.kube import completion_client

        return completion_client.rows(_connection(ctx), kind, *columns)

    return offer


def _graphs(ctx: click.Context) -> Iterable[Row]:
    from kubectl_fluidmodel.dynamo import resources
    from kubectl_fluidmodel.kube import completion_client

    for version in (resources.BETA, resources.ALPHA):
        found = completion_client.rows(
            _connection(ctx), resources.kind(resources.GRAPH, version), "Ready", "Backend"
        )
        if found:
            return found
    return []


def _components(ctx: click.Context) -> Iterable[Row]:
    """Components of the graphs that were named, or of all graphs of the namespace."""
    from kubectl_fluidmodel.dynamo import resources
    from kubectl_fluidmodel.dynamo.graph import open_graph
    from kubectl_fluidmodel.kube import completion_client

    graphs: list[Object] = []
    named = {graph.rpartition("/")[2] for graph in ctx.params.get("graphs") or ()}
    for version in (resources.BETA, resources.ALPHA):
        graphs = completion_client.objects(
            _connection(ctx), resources.kind(resources.GRAPH, version)
        )
        if graphs:
            break
    found: list[Row] = []
    for graph in graphs:
        if not named or name_of(graph) in named:
            with contextlib.suppress(FluidModelError):  # one that cannot be pinned
                for component in open_graph(graph).components:
                    about = f"{component.role.value} of {name_of(graph)}"
                    found.append((component.name, about))
    return found


def _kubeconfig(part: str) -> Offer:
    def offer(ctx: click.Context) -> Iterable[Row]:
        from kubectl_fluidmodel.kube import completion_client

        return completion_client.entries(_connection(ctx), part)

    return offer


_SECRETS = Offered(_named(kinds.SECRETS, "Type"))

_ARGUMENTS: dict[str, click.ParamType[str]] = {
    "name": Offered(_named(DATASETS, "Phase", "Cached Percentage")),
    "graphs": Offered(_graphs),
}
_OPTIONS: dict[str, click.ParamType[str]] = {
    "components": Offered(_components),
    "nodes": Offered(_named(kinds.NODES, "Status")),
    "namespace": Offered(_named(kinds.NAMESPACES, "Status")),
    "context": Offered(_kubeconfig("contexts")),
    "cluster": Offered(_kubeconfig("clusters")),
    "user": Offered(_kubeconfig("users")),
    "s3_secret": _SECRETS,
    "hub_secret": _SECRETS,
    "gcs_secret": _SECRETS,
    "pull_secrets": _SECRETS,
    "kubeconfig": File(),
    "certificate_authority": File(),
    "client_certificate": File(),
    "client_key": File(),
    "filename": File(),
}
"""By the name under which the verb gets the value."""
