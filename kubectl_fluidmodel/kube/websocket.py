"""WebSocket upgrades on the API server, for exec and port-forward.

websocket-client implements the protocol; the connection is our own, so TLS, proxies and identity
are those of every other request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from kubectl_fluidmodel.kube.attempts import Response
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.credentials import AuthHeaders
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError


def connect(
    client: Client,
    path: str,
    query: Sequence[tuple[str, str]],
    *,
    protocols: Sequence[str],
    action: str,
    timeout: float = 30.0,
) -> Any:
    """Return an open websocket.WebSocket.

    Raises:
        KubeError: the API server refused the upgrade.
        ClusterUnreachableError: it could not be reached.
    """
    import websocket

    parts = urlsplit(client.access.server.url)
    scheme = "wss" if client.access.server.secure else "ws"
    url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{path}?{urlencode(query)}"

    def once(login: AuthHeaders) -> Response[Any]:
        try:
            connection = websocket.create_connection(
                url,
                header=[f"{name}: {value}" for name, value in client.headers(login)],
                subprotocols=list(protocols),
                suppress_origin=True,
                socket=client.transport.connect(login.certificate, timeout),
                timeout=timeout,
                enable_multithread=True,
            )
        except websocket.WebSocketBadStatusException as err:
            headers = {key.lower(): value for key, value in (err.resp_headers or {}).items()}
            return Response(err.status_code, headers.get("retry-after", ""), err)
        except (websocket.WebSocketException, OSError) as err:
            failure = client.transport.tls_failure(err)
            if failure is not None:
                raise ClusterUnreachableError(action, failure.reason, failure.hint) from err
            raise ClusterUnreachableError(action, " ".join(str(err).split())[:300]) from err
        return Response(101, "", connection)

    response = client.send_with_retries(once, timeout)
    if isinstance(response.content, websocket.WebSocketBadStatusException):
        refused = response.content
        raise client.error_from_response(refused.status_code, refused.resp_body or b"", action)
    return response.content
