"""Check whether a server answers at an endpoint: its name, its port and its TLS, one by one."""

from __future__ import annotations

import socket
import ssl

from kubectl_fluidmodel.inventory.mount_target import split_host_port
from kubectl_fluidmodel.net import proxies, tls
from kubectl_fluidmodel.net.connection_errors import explain_tls_error
from kubectl_fluidmodel.objectstore.error_codes import PORT_USES_PLAIN_HTTP
from kubectl_fluidmodel.objectstore.s3 import ca_file
from kubectl_fluidmodel.snapshot.probe_result import CONNECT_TIMEOUT_CODE, ProbeState

_PLAIN_HTTP_REASONS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
"""OpenSSL's reasons for a handshake with a server that does not speak TLS."""
_CONNECT_TIMEOUT = 3.0
"""Seconds for a connection, and again for the TLS handshake."""


class EndpointError(Exception):
    """The endpoint cannot be used; `state` says what fails."""

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
    """Connect once, with TLS for https.

    An endpoint behind a proxy is not checked: only the proxy may be able to resolve its name.

    Args:
        url: The endpoint.
        via_url: Another way to the same server, such as a port-forward.

    Raises:
        EndpointError: the server cannot be reached.
    """
    if not via_url and proxies.proxy_for(url):
        return
    host, port = split_host_port(via_url or url)
    if not host:
        raise EndpointError(ProbeState.DNS, f"'{url}' is not the URL of a server")
    if not resolves_host(host):
        raise EndpointError(ProbeState.DNS, f"the name {host} does not resolve")
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT) as plain:
            if url.startswith("https://"):
                _handshake(plain, host)
    except ssl.SSLError as err:
        raise EndpointError(ProbeState.TLS, _tls_message(err, url), err.reason or "") from err
    except TimeoutError as err:
        message = f"{host}:{port} does not respond in {_CONNECT_TIMEOUT:.0f} s"
        raise EndpointError(ProbeState.TIMEOUT, message, CONNECT_TIMEOUT_CODE) from err
    except ConnectionRefusedError as err:
        raise EndpointError(ProbeState.REFUSED, f"{host}:{port} refuses the connection") from err
    except OSError as err:
        message = err.strerror or str(err)
        raise EndpointError(ProbeState.REFUSED, f"{host}:{port}: {message}") from err


def _handshake(plain: socket.socket, host: str) -> None:
    file = ca_file()
    try:
        context = tls.create_ssl_context(file)
    except OSError as err:
        message = f"cannot read the certificate authorities in {file}: {err.strerror or err}"
        raise EndpointError(ProbeState.TLS, message) from err
    with context.wrap_socket(plain, server_hostname=host):
        return


def _tls_message(err: ssl.SSLError, url: str) -> str:
    if err.reason in _PLAIN_HTTP_REASONS:
        return PORT_USES_PLAIN_HTTP
    failure = explain_tls_error(err, url, "--endpoint", "")
    return failure.reason if failure else str(err)
