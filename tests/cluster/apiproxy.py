"""A proxy before the API server that fails when a test wants it to, as an administrator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

from tests.loopback import HttpRequest, HttpResponse, json_response, serve

from .cluster import Cluster

Interfere = Callable[[HttpRequest], "HttpResponse | None"]


def failure(code: int = 500) -> HttpResponse:
    """What an API server says that cannot reach its etcd."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return json_response({**status, "message": "etcdserver: request timed out"}, code)


@contextmanager
def interfering(cluster: Cluster, interfere: Interfere, folder: Path) -> Iterator[Path]:
    """A kubeconfig for the proxy; where `interfere` gives an answer, the server is not asked."""
    api = cluster.api

    def respond(asked: HttpRequest) -> HttpResponse:
        answer = interfere(asked)
        if answer is not None:
            return answer
        url = api.server + quote(asked.path) + (f"?{urlencode(asked.query)}" if asked.query else "")
        headers = {
            name: asked.headers[name] for name in ("Accept", "Content-Type") if asked.headers[name]
        }
        found = api.pool.request(asked.method, url, body=asked.body or None, headers=headers)
        kind = {"Content-Type": found.headers.get("Content-Type", "application/json")}
        return HttpResponse(found.status, found.data, kind)

    with serve(respond) as server:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": server.url}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
        }
        path = folder / "proxy.kubeconfig"
        path.write_text(json.dumps(config))
        yield path
