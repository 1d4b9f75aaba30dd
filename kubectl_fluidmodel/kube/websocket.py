"""WebSocket upgrades on the API server: what exec and port-forward ride on.

websocket-client speaks the protocol; the connection is ours, so that TLS, proxies and identity
are those of every other request.
"""

from __future__ import annotations

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

    parts = urlsplit(client.access.server.url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{path}?{urlencode(query)}"
    try:
        return websocket.create_connection(
            url,
            header=[f"{name}: {value}" for name, value in client.headers()],
            subprotocols=list(protocols),
            suppress_origin=True,
            socket=client.transport.connect(timeout),
            timeout=timeout,
            enable_multithread=True,
        )
    except websocket.WebSocketBadStatusException as err:
        raise from_response(err.status_code, err.resp_body or b"", what) from err
    except (websocket.WebSocketException, OSError) as err:
        raise ClusterUnreachable(what, " ".join(str(err).split())[:200]) from err
