"""Does anything answer at an endpoint? Name, port and TLS, each told apart."""

from __future__ import annotations

import os
import socket
import ssl

from kubectl_fluidmodel.doctor.mount_probe import result
from kubectl_fluidmodel.doctor.mount_probe.target import host_of

_CONNECT = 3.0
"""Seconds for a connection, and again for the TLS handshake."""


class Blocked(Exception):
    """The endpoint cannot be used: a state of `doctor/answer.py`, and the words for it."""

    def __init__(self, state: str, message: str, code: str = "") -> None:
        super().__init__(message)
        self.state, self.message, self.code = state, message, code


def resolves(host: str) -> bool:
    """Whether this machine knows an address of a host."""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return True


def check(url: str, reach: str = "") -> None:
    """Connect once, with TLS for https; `reach` is another way to the same server.

    Raises:
        Blocked: what is in the way.
    """
    host, port = host_of(reach or url)
    if not host:
        raise Blocked(result.DNS, f"'{url}' is no URL of a server")
    if not resolves(host):
        raise Blocked(result.DNS, f"the name {host} has no address")
    try:
        with socket.create_connection((host, port), timeout=_CONNECT) as plain:
            if url.startswith("https://"):
                _handshake(plain, host)
    except ssl.SSLError as err:
        raise Blocked(result.TLS, _tls_words(err), err.reason or "") from err
    except TimeoutError as err:
        words = f"{host}:{port} does not answer in {_CONNECT:.0f} s"
        raise Blocked(result.TIMEOUT, words, result.NO_CONNECTION) from err
    except ConnectionRefusedError as err:
        raise Blocked(result.REFUSED, f"{host}:{port} refuses the connection") from err
    except OSError as err:
        words = err.strerror or str(err)
        raise Blocked(result.REFUSED, f"{host}:{port}: {words}") from err


def _handshake(plain: socket.socket, host: str) -> None:
    bundle = os.environ.get("AWS_CA_BUNDLE") or None
    context = ssl.create_default_context(cafile=bundle)
    with context.wrap_socket(plain, server_hostname=host):
        return


def _tls_words(err: ssl.SSLError) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {err.verify_message}"
    if err.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "it speaks plain HTTP on this port, and the endpoint says https"
    return f"the TLS handshake failed: {err.reason or err}"
