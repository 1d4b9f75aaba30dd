"""A loopback API server with the kinds of a Snapshot: some lacking, refused or failing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot import queries
from tests.inventory import samples
from tests.kube.server import listed, status
from tests.loopback import HttpRequest, HttpResponse, json_response

_SERVED = {
    "data.fluid.io": (names.DATASETS, names.ALLUXIO_RUNTIMES, names.DATA_LOADS),
    "nvidia.com": (queries.GRAPHS,),
}


@dataclass
class Cluster:
    """What the server serves, refuses and fails."""

    objects: list[Object] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    """Paths that are refused."""
    failing: Counter[str] = field(default_factory=Counter)
    """Paths to how often they still answer 503."""
    versions: dict[str, list[str]] = field(default_factory=dict)
    """Group to its versions; a kind is served in all of them."""
    page: int = 500
    asked: list[HttpRequest] = field(default_factory=list)

    def __call__(self, asked: HttpRequest) -> HttpResponse:
        self.asked.append(asked)
        if asked.path == "/version":
            return json_response({"gitVersion": "v1.36.3"})
        if asked.path in self.forbidden:
            return status(403, f"{asked.path} is forbidden", "Forbidden")
        if self.failing[asked.path] > 0:
            self.failing[asked.path] -= 1
            return status(503, "apiserver is shutting down")
        for group, kinds in _SERVED.items():
            versions = self.versions.get(group, ["v1alpha1"])
            if asked.path == f"/apis/{group}":
                return json_response({"versions": [{"version": version} for version in versions]})
            for version in versions:
                if asked.path == f"/apis/{group}/{version}":
                    return json_response({"resources": [_entry(kind) for kind in kinds]})
        return self._list(asked)

    def _list(self, asked: HttpRequest) -> HttpResponse:
        parts = asked.path.strip("/").split("/")
        group = parts[1] if parts[0] == "apis" else ""
        namespace = parts[-2] if "namespaces" in parts else ""
        for kind in samples.KINDS.values():
            custom = "." in kind.group and kind not in _SERVED.get(kind.group, ())
            if (kind.group, kind.plural) != (group, parts[-1]) or custom:
                continue
            objects = [
                obj
                for obj in self.objects
                if obj["kind"] == kind.name and namespace in ("", namespace_of(obj))
            ]
            first = int(asked.query.get("continue", "0"))
            last = min(first + self.page, len(objects))
            token = str(last) if last < len(objects) else ""
            return listed(*objects[first:last], token=token)
        return status(404, "404 page not found")


def _entry(kind: Kind) -> Object:
    return {"name": kind.plural, "kind": kind.name, "namespaced": kind.namespaced}
