"""Does anything answer at an endpoint? Name, port and TLS, each told apart."""

from __future__ import annotations

import os
import socket
import ssl

from kubectl_fluidmodel.doctor.mount_probe.target import split_host_port
from kubectl_fluidmodel.snapshot.probe_result import CONNECT_TIMEOUT_CODE, ProbeState

_CONNECT_TIMEOUT = 3.0
"""Seconds for a connection, and again for the TLS handshake."""


class EndpointError(Exception):
    """The endpoint cannot be used: a state of `doctor/answer.py`, and the words for it."""

    def __init__(self, state: ProbeState, message: str, code: str = "") -> None:
        super().__init__(message)
        self.state, self.message, self.code = state, message, code


def resolves_host(host: str) -> bool:
    """Whether this machine knows an address of a host."""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return True


def check_endpoint(url: str, via_url: str = "") -> None:
    """Connect once, with TLS for https; `reach` is another way to the same server.

    Raises:
        EndpointError: what is in the way.
    """
    host, port = split_host_port(via_url or url)
    if not host:
        raise EndpointError(ProbeState.DNS, f"'{url}' is no URL of a server")
    if not resolves_host(host):
        raise EndpointError(ProbeState.DNS, f"the name {host} has no address")
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT) as plain:
            if url.startswith("https://"):
                _handshake(plain, host)
    except ssl.SSLError as err:
        raise EndpointError(ProbeState.TLS, _tls_message(err), err.reason or "") from err
    except TimeoutError as err:
        message = f"{host}:{port} does not answer in {_CONNECT_TIMEOUT:.0f} s"
        raise EndpointError(ProbeState.TIMEOUT, message, CONNECT_TIMEOUT_CODE) from err
    except ConnectionRefusedError as err:
        raise EndpointError(ProbeState.REFUSED, f"{host}:{port} refuses the connection") from err
    except OSError as err:
        message = err.strerror or str(err)
        raise EndpointError(ProbeState.REFUSED, f"{host}:{port}: {message}") from err


def _handshake(plain: socket.socket, host: str) -> None:
    bundle = os.environ.get("AWS_CA_BUNDLE") or None
    context = ssl.create_default_context(cafile=bundle)
    with context.wrap_socket(plain, server_hostname=host):
        return


def _tls_message(err: ssl.SSLError) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {err.verify_message}"
    if err.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "it speaks plain HTTP on this port, and the endpoint says https"
    return f"the TLS handshake failed: {err.reason or err}"
