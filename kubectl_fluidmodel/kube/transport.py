"""Connections to an API server: TLS, client certificates and proxies, as in kubectl."""

from __future__ import annotations

import errno
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.kube.http_pool import HttpPool, Request, Response
from kubectl_fluidmodel.kube.kubeconfig import ServerInfo
from kubectl_fluidmodel.net import proxies, tls, tunnel

if TYPE_CHECKING:
    import ssl

    from kubectl_fluidmodel.net.connection_errors import ConnectionFailure

_TRUST_HINT = "--certificate-authority ca.pem, or certificate-authority-data in the kubeconfig"
_CONNECT_DELAYS = (0.0, 0.4)
"""Seconds before the next attempt if a connection fails."""
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH)


class Transport:
    """Connections to one server. Safe to share between threads.

    Raises:
        UnreachableError: the type of its proxy is not supported.
    """

    def __init__(self, server: ServerInfo) -> None:
        self.server = server
        self.proxy = server.proxy or proxies.proxy_for(server.url)
        if self.proxy:
            proxies.require_supported(self.proxy)
        self._lock = threading.Lock()
        self._tls: tuple[bytes, ssl.SSLContext] | None = None
        self._pool: tuple[bytes, HttpPool] | None = None

    def send(self, request: Request, certificate: bytes, *, stream: bool = False) -> Response:
        """Send a request on a connection with this client certificate; see `HttpPool.send`.

        Raises:
            TunnelError: the proxy cannot reach the server.
            OSError, HTTPException, zlib.error: the connection failed or broke.
        """
        if self._proxy_forwards:
            split = urlsplit(self.server.url)
            login = proxies.proxy_auth_header(self.proxy)
            request = replace(
                request,
                target=f"{split.scheme}://{split.netloc}{request.target}",
                headers=[*request.headers, *login.items()],
            )
        return self._pool_with(certificate).send(request, stream=stream)

    def _pool_with(self, certificate: bytes) -> HttpPool:
        """Return connections with this client certificate; a plugin may later return another."""

        def connect(timeout: float) -> socket.socket:
            return self._connect_patiently(certificate, timeout)

        with self._lock:
            if self._pool is None or self._pool[0] != certificate:
                self._pool = (certificate, HttpPool(connect))
            return self._pool[1]

    def _connect_patiently(self, certificate: bytes, timeout: float) -> socket.socket:
        """Like `connect`, with retries if the connection fails: nothing was sent yet."""
        for delay in _CONNECT_DELAYS:
            try:
                return self._connect_for_requests(certificate, timeout)
            except OSError as err:
                if not _nobody_answers(err):
                    raise
                time.sleep(delay)
        return self._connect_for_requests(certificate, timeout)

    def _connect_for_requests(self, certificate: bytes, timeout: float) -> socket.socket:
        if not self._proxy_forwards:
            return self.connect(certificate, timeout)
        target = urlsplit(self.server.url).netloc
        return tunnel.connect_to_proxy(
            self.proxy, target, timeout, self._proxy_context(certificate)
        )

    def connect(self, certificate: bytes, timeout: float) -> socket.socket:
        """Open a connection to the server, through the proxy if there is one.

        Raises:
            TunnelError: the proxy cannot reach it.
            OSError: it could not be made.
        """
        split = urlsplit(self.server.url)
        host = str(split.hostname)
        port = split.port or (443 if self.server.secure else 80)
        if self.proxy:
            proxy_context = self._proxy_context(certificate)
            tunnel_socket = tunnel.open_tunnel(self.proxy, host, port, timeout, proxy_context)
        else:
            tunnel_socket = socket.create_connection((host, port), timeout)
        if not self.server.secure:
            return tunnel_socket
        context = self._context(certificate)
        try:
            return context.wrap_socket(tunnel_socket, server_hostname=self.server.name or host)
        except BaseException:
            tunnel_socket.close()
            raise

    def tls_failure(self, err: BaseException) -> ConnectionFailure | None:
        """Explain a TLS error of a request; None for other errors."""
        from kubectl_fluidmodel.net.connection_errors import explain_tls_error

        if self.proxy != proxies.proxy_for(self.server.url):
            return None  # the explanation would connect to the server without the proxy
        return explain_tls_error(err, self.server.url, "--server", _TRUST_HINT)

    @property
    def _proxy_forwards(self) -> bool:
        """Whether the proxy makes the requests itself: one of HTTP does, where there is no TLS."""
        is_http = urlsplit(self.proxy).scheme not in proxies.SOCKS_SCHEMES
        return bool(self.proxy) and is_http and not self.server.secure

    def _proxy_context(self, certificate: bytes) -> ssl.SSLContext | None:
        """A proxy that speaks TLS is trusted as the cluster is: so Go's transport does it."""
        is_secure = self.proxy.lower().startswith("https://")
        return self._context(certificate) if is_secure else None

    def _context(self, certificate: bytes) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None or self._tls[0] != certificate:
                try:
                    self._tls = (certificate, create_ssl_context(self.server, certificate))
                except (OSError, ValueError) as err:
                    raise ClusterUnreachableError(
                        "cannot set up TLS for the API server",
                        " ".join(str(err).split()),
                        "kubectl config view",
                    ) from err
            return self._tls[1]


def _nobody_answers(err: OSError) -> bool:
    """Return whether the connection failed, to the server or to the proxy."""
    cause = err.__cause__ or err
    if isinstance(cause, (ConnectionRefusedError, TimeoutError, socket.gaierror)):
        return True
    return isinstance(cause, OSError) and cause.errno in _UNREACHABLE


def create_ssl_context(server: ServerInfo, certificate: bytes) -> ssl.SSLContext:
    """Create a TLS context for a server, with a client certificate and its key if there is one.

    Raises:
        OSError: the authority, the certificate or the key is invalid.
    """
    import ssl

    if server.insecure:
        ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ssl_context.check_hostname = False
        ssl_context.verify_mode = ssl.CERT_NONE
    elif server.authority:
        ssl_context = tls.create_ssl_context_from_pem(server.authority)
    else:
        ssl_context = tls.create_ssl_context()
    if certificate:
        import tempfile

        # OpenSSL reads them only from a file: write one that nobody else can read, and delete it.
        with tempfile.TemporaryDirectory(prefix="kubectl-fluidmodel-") as folder:
            file = Path(folder) / "client.pem"
            file.touch(mode=0o600)
            file.write_bytes(certificate)
            # With a password, an encrypted key is an error and not a prompt.
            ssl_context.load_cert_chain(file, password="")
    return ssl_context
