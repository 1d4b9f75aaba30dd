"""WebSocket upgrades on the API server: what exec and port-forward ride on.

The `kubernetes` package has such a client too, but it drops the impersonation headers, so that
`--as` would silently not hold for exec; hence this door on websocket-client itself.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ClusterUnreachable, from_response


def connect(
    client: Client,
    path: str,
    query: Sequence[tuple[str, str]],
    *,
    protocols: Sequence[str],
    what: str,
    timeout: float = 30.0,
) -> Any:
    """An open websocket.WebSocket.

    Raises:
        KubeError: the API server refused the upgrade.
        ClusterUnreachable: it could not be reached.
    """
    import websocket

    configuration = client.access.configuration
    parts = urlsplit(configuration.host)
    scheme = "wss" if parts.scheme == "https" else "ws"
    url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{path}?{urlencode(query)}"
    options: dict[str, Any] = {"timeout": timeout, "enable_multithread": True}
    if configuration.proxy:
        proxy = urlsplit(configuration.proxy)
        options |= {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port}
        options["proxy_type"] = proxy.scheme if proxy.scheme.startswith("socks") else "http"
        if proxy.username:
            options["http_proxy_auth"] = (proxy.username, proxy.password or "")
    try:
        return websocket.create_connection(
            url,
            header=[f"{name}: {value}" for name, value in client.headers()],
            subprotocols=list(protocols),
            sslopt=_tls(configuration) if scheme == "wss" else None,
            suppress_origin=True,
            **options,
        )
    except websocket.WebSocketBadStatusException as err:
        raise from_response(err.status_code, err.resp_body or b"", what) from err
    except (websocket.WebSocketException, OSError) as err:
        raise ClusterUnreachable(what, " ".join(str(err).split())[:200]) from err


def _tls(configuration: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE,
        "check_hostname": bool(configuration.verify_ssl),
    }
    if configuration.ssl_ca_cert:
        found["ca_certs"] = configuration.ssl_ca_cert
    if configuration.cert_file:
        found["certfile"] = configuration.cert_file
        found["keyfile"] = configuration.key_file
    if configuration.tls_server_name:
        found["server_hostname"] = configuration.tls_server_name
    return found
