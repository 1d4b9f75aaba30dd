"""Reads graphs from the API server, in the newest version that it serves."""

from __future__ import annotations

import json

from kubectl_fluidmodel.dynamo import resources
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import KubeError, NotFoundError
from kubectl_fluidmodel.objects.access import Object, get_path
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.shell import kubectl
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class ServedGraph:
    """A graph as it was read."""

    kind: Kind
    object: Object
    schema: str | None
    """Shape in the server's schema; None if the object's version determines it."""


def read_graph(client: Client, reference: str, namespace: str) -> ServedGraph:
    """Read `NAME`, `dgd/NAME` or `dcd/NAME`.

    A bare name may be that of a request; then the request is returned.

    Raises:
        NotFoundError: no object of any possible kind has the name.
        UsageError: the reference has another kind.
    """
    kind, name = resources.parse_reference(reference)
    candidates = [kind] if kind else [resources.GRAPH, resources.COMPONENT, resources.REQUEST]
    for candidate in candidates:
        served = _get_newest(client, candidate, name, namespace)
        if served is not None:
            return served
    missing = candidates[0]
    raise NotFoundError(
        f"there is no {missing} {name} in namespace {namespace}",
        "",
        kubectl("get", f"{resources.PLURALS[missing]}.{resources.GROUP}", namespace=namespace),
        status=404,
    )


def _get_newest(client: Client, kind: str, name: str, namespace: str) -> ServedGraph | None:
    """Read an object in the newest served version; a 404 that names the object is final."""
    versions = [resources.V1BETA1, resources.V1ALPHA1]
    if kind == resources.REQUEST:
        versions.insert(0, resources.V1BETA2)
    for version in versions:
        served = resources.kind_for(kind, version)
        try:
            obj = client.get(served, name, namespace)
        except NotFoundError as err:
            # For a version that is not served, the response is "404 page not found", without a
            # reason.
            if err.api_reason == "NotFound":
                return None
        else:
            schema = _served_shape(client, served) if version == resources.V1ALPHA1 else None
            return ServedGraph(served, obj, schema)
    return None


def _served_shape(client: Client, served: Kind) -> str | None:
    """Return the shape of v1alpha1 in this server's schema; None if it cannot be read.

    Operators up to 0.5 have a `pvc` in each service.
    """
    path = f"/openapi/v3/apis/{served.group}/{served.version}"
    try:
        document = json.loads(client.request("GET", path, action=f"cannot read {path}"))
    except (KubeError, ValueError):
        return None
    for schema in get_path(document, "components", "schemas", default={}).values():
        if get_path(schema, "x-kubernetes-group-version-kind", 0, "kind") != served.name:
            continue
        spec = get_path(schema, "properties", "spec", "properties", default={})
        service = get_path(spec, "services", "additionalProperties", "properties", default=spec)
        return "v1alpha1-pvc" if "pvc" in service else "v1alpha1"
    return None
