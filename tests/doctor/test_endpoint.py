"""What is said of an endpoint that cannot be used."""

from __future__ import annotations

import socket

import pytest

from kubectl_fluidmodel.doctor.mount_probe.endpoint import EndpointError, check_endpoint
from kubectl_fluidmodel.snapshot.probe_result import ProbeState
from tests.loopback import HttpResponse, serve


def test_https_on_a_port_of_plain_http_is_named() -> None:
    """FM512 reads these words, and offers the endpoint with http."""
    with serve(lambda _: HttpResponse(200, b"")) as server, pytest.raises(EndpointError) as caught:
        check_endpoint(server.url.replace("http://", "https://"))
    assert caught.value.state is ProbeState.TLS
    assert caught.value.message == "this port uses plain HTTP, but the endpoint says https"


def test_a_closed_port_is_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(EndpointError) as caught:
        check_endpoint(f"http://127.0.0.1:{port}")
    assert caught.value.state is ProbeState.REFUSED
