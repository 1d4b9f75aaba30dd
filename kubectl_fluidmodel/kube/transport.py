"""Connections to an API server: TLS, client certificates and proxies, as kubectl has them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubectl_fluidmodel import proxies, trust
from kubectl_fluidmodel.kube.credentials import Credentials
from kubectl_fluidmodel.kube.errors import ClusterUnreachable
from kubectl_fluidmodel.kube.kubeconfig import Server

if TYPE_CHECKING:
    import socket
    import ssl

    import urllib3

CONNECTIONS = 32
"""Kept open at most; more at once are made and closed."""


class Transport:
    """One server, one identity. Safe to share between threads."""

    def __init__(self, server: Server, credentials: Credentials) -> None:
        self.server = server
        self.proxy = server.proxy or proxies.proxy_for(server.url)
        self._credentials = credentials
        self._lock = threading.Lock()
        self._tls: tuple[bytes, ssl.SSLContext] | None = None
        self._pool: tuple[bytes, urllib3.PoolManager] | None = None

    def pool(self) -> urllib3.PoolManager:
        """Connections with the client certificate of now; a plugin may give another later."""
        certificate = self._credentials.login().certificate
        with self._lock:
            if self._pool is None or self._pool[0] != certificate:
                self._pool = (certificate, self._make_pool(certificate))
            return self._pool[1]

    def connect(self, timeout: float) -> socket.socket:
        """A connection of the caller's own, for what urllib3 does not speak.

        Raises:
            OSError: it could not be made.
        """
        import http.client

        split = urlsplit(self.server.url)
        host, secure = str(split.hostname), split.scheme == "https"
        port = split.port or (443 if secure else 80)
        made = self._through_proxy(host, port, timeout) if self.proxy else None
        if made is None:
            plain = http.client.HTTPConnection(host, port, timeout=timeout)
            plain.connect()
            made = plain.sock
        if not secure:
            return made
        certificate = self._credentials.login().certificate
        with self._lock:
            context = self._context(certificate)
        return context.wrap_socket(made, server_hostname=self.server.name or host)

    def _through_proxy(self, host: str, port: int, timeout: float) -> socket.socket:
        import http.client

        proxy = urlsplit(self.proxy)
        if proxy.scheme != "http":
            raise OSError(f"exec and port-forward do not go through a proxy of {proxy.scheme}")
        tunnel = http.client.HTTPConnection(str(proxy.hostname), proxy.port or 80, timeout=timeout)
        tunnel.set_tunnel(host, port, proxies.authorization(self.proxy))
        try:
            tunnel.connect()
        except http.client.HTTPException as err:
            raise OSError(f"the proxy does not speak HTTP ({type(err).__name__})") from err
        return tunnel.sock

    def _context(self, certificate: bytes) -> ssl.SSLContext:
        if self._tls is None or self._tls[0] != certificate:
            try:
                self._tls = (certificate, context(self.server, certificate))
            except (OSError, ValueError) as err:
                raise ClusterUnreachable(
                    "cannot set up TLS for the API server",
                    " ".join(str(err).split()),
                    "kubectl config view",
                ) from err
        return self._tls[1]

    def _make_pool(self, certificate: bytes) -> urllib3.PoolManager:
        options: dict[str, Any] = {"maxsize": CONNECTIONS}
        if self.server.url.startswith("https://"):
            options["ssl_context"] = self._context(certificate)
            if self.server.insecure:  # the user said so; no warning per request
                import urllib3

                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
            if self.server.name:
                options["server_hostname"] = options["assert_hostname"] = self.server.name
        return proxies.pool(self.proxy, **options)


def context(server: Server, certificate: bytes) -> ssl.SSLContext:
    """TLS for a server, with a client certificate and its key where there is one.

    Raises:
        OSError: the authority, the certificate or the key is none.
    """
    import ssl

    if server.insecure:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif server.authority:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(cadata=server.authority.decode("ascii", "replace"))
    else:
        made = trust.context()
    if certificate:
        import tempfile

        # OpenSSL reads them from a file only: one that nobody else can read, for that moment.
        with tempfile.TemporaryDirectory(prefix="kubectl-fluidmodel-") as folder:
            file = Path(folder) / "client.pem"
            file.touch(mode=0o600)
            file.write_bytes(certificate)
            made.load_cert_chain(file, password="")  # an encrypted key is an error, not a question
    return made
