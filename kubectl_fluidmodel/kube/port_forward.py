"""Connects to a Service through the API server, like `kubectl port-forward`."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError, KubeError, NotFoundError
from kubectl_fluidmodel.kube.websocket import connect
from kubectl_fluidmodel.objects.access import get_path, name_of
from kubectl_fluidmodel.objects.kinds import PODS, SERVICES
from kubectl_fluidmodel.objects.pods import has_ready_condition

_DATA, _ERROR = 0, 1
"""Channels of port-forward over v4.channel.k8s.io for the first port of a request."""
_CHUNK = 65536


def resolve_pod_port(client: Client, namespace: str, service: str, port: int) -> tuple[str, int]:
    """Return a ready pod behind a Service, and the container port of the Service's port.

    Raises:
        NotFoundError: the Service does not exist.
        FluidModelError: it has no such port, no selector or no ready pod.
    """
    service_object = client.get(SERVICES, service, namespace)
    ports = get_path(service_object, "spec", "ports", default=[])
    service_port = next((entry for entry in ports if entry.get("port") == port), None)
    if service_port is None:
        numbers = ", ".join(str(entry.get("port")) for entry in ports)
        raise FluidModelError(
            f"Service {namespace}/{service} has no port {port}", f"it has {numbers}"
        )
    selector = get_path(service_object, "spec", "selector", default={})
    if not selector:
        raise FluidModelError(f"Service {namespace}/{service} has no selector")
    labels = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    for pod in client.list_objects(PODS, namespace, labels=labels):
        if has_ready_condition(pod):
            target = service_port.get("targetPort", port)
            return name_of(pod), target if isinstance(target, int) else _named(pod, target, port)
    raise FluidModelError(f"Service {namespace}/{service} has no ready pod")


def _named(pod: dict[str, Any], name: str, default: int) -> int:
    for container in get_path(pod, "spec", "containers", default=[]):
        for entry in container.get("ports") or []:
            if entry.get("name") == name:
                return int(entry["containerPort"])
    return default


@contextlib.contextmanager
def forwarded_port(client: Client, namespace: str, service: str, port: int) -> Iterator[int]:
    """Forward a loopback port to a Service's port while the context is open.

    Raises:
        NotFoundError: the Service does not exist.
        FluidModelError: it has no ready pod, or its node does not know the pod.
        ForbiddenError: pods/portforward is not allowed.
    """
    pod, container_port = resolve_pod_port(client, namespace, service, port)
    # Upgrade once now, so a refusal is an error here and not a broken pipe later.
    try:
        _open(client, namespace, pod, container_port).close()
    except NotFoundError as err:
        raise FluidModelError(err.message, err.reason, err.hint) from err
    listener = socket.create_server(("127.0.0.1", 0))
    closing = threading.Event()

    def serve() -> None:
        while not closing.is_set():
            try:
                local, _ = listener.accept()
            except OSError:
                return
            threading.Thread(
                target=_pump, args=(client, namespace, pod, container_port, local), daemon=True
            ).start()

    threading.Thread(target=serve, name=f"forward-{service}", daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        closing.set()
        listener.close()


def _open(client: Client, namespace: str, pod: str, port: int) -> Any:
    return connect(
        client,
        PODS.path(namespace, pod, "portforward"),
        [("ports", str(port))],
        protocols=["v4.channel.k8s.io"],
        action=f"cannot forward a port to pod {namespace}/{pod}",
    )


def _pump(client: Client, namespace: str, pod: str, port: int, local: socket.socket) -> None:
    """Relay one connection in both directions until either side ends it."""
    import websocket

    try:
        remote = _open(client, namespace, pod, port)
    except (KubeError, ClusterUnreachableError, NotFoundError):
        local.close()  # the caller sees a connection reset, and retries
        return
    remote.settimeout(None)

    def upward() -> None:
        with contextlib.suppress(OSError, websocket.WebSocketException):
            while data := local.recv(_CHUNK):
                remote.send_binary(bytes([_DATA]) + data)
            remote.close()

    threading.Thread(target=upward, daemon=True).start()
    greeted: set[int] = set()
    with contextlib.suppress(OSError, websocket.WebSocketException, struct.error):
        while True:
            opcode, frame = remote.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE or not frame:
                break
            channel, payload = frame[0], frame[1:]
            if channel not in greeted:  # each channel begins with two bytes for its port
                greeted.add(channel)
                payload = payload[2:]
            if channel == _DATA and payload:
                local.sendall(payload)
            elif channel == _ERROR and payload:
                break
    with contextlib.suppress(OSError):
        local.close()
    with contextlib.suppress(OSError, websocket.WebSocketException):
        remote.close()
