"""Which host names mean a Service, and which pod answers for it."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.errors import NotFoundError
from kubectl_fluidmodel.kube.port_forward import forwarded_port, resolve_pod_port
from kubectl_fluidmodel.objects.service_host import parse_service_host
from tests.kube.server import client, listed, pod, status
from tests.loopback import HttpRequest, HttpResponse, json_response, serve


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("minio", ("here", "minio")),
        ("minio.store", ("store", "minio")),
        ("minio.store.svc", ("store", "minio")),
        ("minio.store.svc.cluster.local", ("store", "minio")),
        ("minio.store.svc.cluster.local.", ("store", "minio")),
        ("s3.eu-central-1.amazonaws.com", None),
        ("storage.googleapis.com", None),
        ("10.0.0.1", None),
        ("127.1", None),
        ("::1", None),
        ("fe80::1", None),
        ("", None),
    ],
)
def test_the_service_of_a_host_name(host: str, service: tuple[str, str] | None) -> None:
    assert parse_service_host(host, "here") == service


READY = [{"type": "Ready", "status": "True"}]


def store(*pods: dict[str, Any], port: dict[str, Any] | None = None, selector: Any = None) -> Any:
    """A Service `minio` on port 9000 and the pods behind it."""
    spec = {
        "ports": [port or {"port": 9000}],
        "selector": {"b": "2", "a": "1"} if selector is None else selector,
    }

    def respond(asked: HttpRequest) -> HttpResponse:
        if asked.path.endswith("/services/minio"):
            return json_response({"kind": "Service", "spec": spec})
        if asked.path.endswith("/pods"):
            assert asked.query["labelSelector"] == "a=1,b=2"
            return listed(*pods)
        return status(404, "no such Service")

    return respond


def with_port(name: str) -> dict[str, Any]:
    obj = pod("ready", conditions=READY)
    obj["spec"] = {"containers": [{}, {"ports": [{"name": name, "containerPort": 9999}]}]}
    return obj


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ({"port": 9000}, 9000),
        ({"port": 9000, "targetPort": 9001}, 9001),
        ({"port": 9000, "targetPort": "s3"}, 9999),
        ({"port": 9000, "targetPort": "unknown"}, 9000),
    ],
)
def test_the_first_ready_pod_and_its_port(port: dict[str, Any], expected: int) -> None:
    with serve(store(pod("starting"), with_port("s3"), port=port)) as server:
        assert resolve_pod_port(client(server), "ns", "minio", 9000) == ("ready", expected)


@pytest.mark.parametrize(
    ("respond", "message"),
    [
        (store(pod("starting")), "has no ready pod"),
        (store(), "has no ready pod"),
        (store(port={"port": 80}), "has no port 9000: it has 80"),
        (store(selector={}), "has no selector"),
    ],
)
def test_a_service_that_leads_nowhere(respond: Any, message: str) -> None:
    with serve(respond) as server, pytest.raises(FluidModelError, match=message):
        resolve_pod_port(client(server), "ns", "minio", 9000)


def test_no_such_service() -> None:
    with serve(store()) as server, pytest.raises(NotFoundError):
        resolve_pod_port(client(server), "ns", "other", 9000)


def test_a_pod_that_its_node_does_not_know_is_not_a_missing_service() -> None:
    answer = store(with_port("s3"))

    def respond(asked: HttpRequest) -> HttpResponse:
        if asked.path.endswith("/portforward"):
            return status(404, 'pods "ready" not found')
        return answer(asked)

    with (
        serve(respond) as server,
        pytest.raises(FluidModelError, match="cannot forward a port to pod ns/ready") as raised,
        forwarded_port(client(server), "ns", "minio", 9000),
    ):
        pass
    assert not isinstance(raised.value, NotFoundError)
