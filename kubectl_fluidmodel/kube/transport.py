"""Connections to an API server: TLS, client certificates and proxies, as kubectl has them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.kube.kubeconfig import ServerInfo
from kubectl_fluidmodel.net import proxies, tls, tunnel

if TYPE_CHECKING:
    import socket
    import ssl

    import urllib3

    from kubectl_fluidmodel.net.connection_errors import ConnectionFailure

_TRUST_HINT = "--certificate-authority ca.pem, or certificate-authority-data in the kubeconfig"
MAX_CONNECTIONS = 32
"""Kept open at most; more at once are made and closed."""


class Transport:
    """One server. Safe to share between threads.

    Raises:
        UnreachableError: the proxy to it is of a kind that nobody here speaks.
    """

    def __init__(self, server: ServerInfo) -> None:
        self.server = server
        self.proxy = server.proxy or proxies.proxy_for(server.url)
        if self.proxy:
            proxies.require_supported(self.proxy)
        self._lock = threading.Lock()
        self._tls: tuple[bytes, ssl.SSLContext] | None = None
        self._pool: tuple[bytes, urllib3.PoolManager] | None = None

    def pool(self, certificate: bytes) -> urllib3.PoolManager:
        """Connections with this client certificate; a plugin may give another later."""
        with self._lock:
            if self._pool is None or self._pool[0] != certificate:
                self._pool = (certificate, self._make_pool(certificate))
            return self._pool[1]

    def connect(self, certificate: bytes, timeout: float) -> socket.socket:
        """A connection of the caller's own, for what urllib3 does not speak.

        Raises:
            OSError: it could not be made.
        """
        import socket

        split = urlsplit(self.server.url)
        host = str(split.hostname)
        port = split.port or (443 if self.server.secure else 80)
        if self.proxy:
            with self._lock:
                context = self._context(certificate) if self._secure_proxy else None
            made = tunnel.open_tunnel(self.proxy, host, port, timeout, context)
        else:
            made = socket.create_connection((host, port), timeout)
        if not self.server.secure:
            return made
        with self._lock:
            context = self._context(certificate)
        try:
            return context.wrap_socket(made, server_hostname=self.server.name or host)
        except BaseException:
            made.close()
            raise

    def tls_failure(self, err: BaseException) -> ConnectionFailure | None:
        """What a TLS error of a request means; None where the error is another one."""
        from kubectl_fluidmodel.net.connection_errors import explain_tls_error

        if self.proxy != proxies.proxy_for(self.server.url):
            return None  # the explanation would look for the server on another way
        return explain_tls_error(err, self.server.url, "--server", _TRUST_HINT)

    def proxy_failure(self, err: BaseException) -> str:
        """What a failed request says of the proxy; empty where it is not the proxy's fault."""
        return proxies.explain_proxy_error(err, self.proxy, urlsplit(self.server.url).netloc)

    @property
    def _secure_proxy(self) -> bool:
        return self.proxy.lower().startswith("https://")

    def _context(self, certificate: bytes) -> ssl.SSLContext:
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

    def _make_pool(self, certificate: bytes) -> urllib3.PoolManager:
        options: dict[str, Any] = {"maxsize": MAX_CONNECTIONS}
        if self.server.secure:
            options["ssl_context"] = self._context(certificate)
            if self.server.insecure:  # the user said so; no warning per request
                import urllib3

                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
            if self.server.name:
                # `assert_hostname` would switch off the check in the context, which is shared.
                options["server_hostname"] = self.server.name
        # A proxy that speaks TLS is trusted as the cluster is: so Go's transport does it.
        trusted = self._context(certificate) if self._secure_proxy else None
        return proxies.create_pool(self.proxy, trusted, **options)


def create_ssl_context(server: ServerInfo, certificate: bytes) -> ssl.SSLContext:
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
        made = tls.create_ssl_context_from_pem(server.authority)
    else:
        made = tls.create_ssl_context()
    if certificate:
        import tempfile

        # OpenSSL reads them from a file only: one that nobody else can read, for that moment.
        with tempfile.TemporaryDirectory(prefix="kubectl-fluidmodel-") as folder:
            file = Path(folder) / "client.pem"
            file.touch(mode=0o600)
            file.write_bytes(certificate)
            made.load_cert_chain(file, password="")  # an encrypted key is an error, not a question
    return made
