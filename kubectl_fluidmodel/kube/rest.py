"""Requests to one API server: authentication, retries, and what a failed request means.

`client.py` has the verbs of Kubernetes on top of them.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException, RemoteDisconnected
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube import attempts, credentials, http_pool
from kubectl_fluidmodel.kube.attempts import Response
from kubectl_fluidmodel.kube.config import RestConfig
from kubectl_fluidmodel.kube.credentials import AuthHeaders
from kubectl_fluidmodel.kube.errors import (
    ClusterUnreachableError,
    UnauthorizedError,
    WebhookUnavailableError,
    error_from_response,
    kubeconfig_error,
)
from kubectl_fluidmodel.kube.transport import Transport
from kubectl_fluidmodel.net import proxies
from kubectl_fluidmodel.net.tunnel import TunnelError
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.net.connection_errors import ConnectionFailure

T = TypeVar("T")

JSON = "application/json"
USER_AGENT = f"kubectl-fluidmodel/{__version__}"
DEFAULT_TIMEOUT = 60.0
"""Seconds that one request may take, unless --request-timeout says otherwise."""
_RETRYABLE = (429, 500, 502, 503, 504)
"""Statuses of a server that is starting, stopping or overloaded."""
_RETRY_DELAY = 0.3
"""Seconds between attempts."""
_RESETS = 2
"""Retries of a GET whose connection broke; client-go makes ten."""
_PATH_CHARACTERS = "/%:@!$&'()*+,;=~"
"""What may stand in a path as it is (RFC 3986), with letters, digits and `-._`."""
_CONNECT_TIMEOUT = 10.0
"""Seconds in which a connection must be made."""
_PROXY_HINT = "kubectl config view; env | grep -i _proxy"


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    action: str
    """What fails if it fails, such as `cannot list pods`."""
    query: Mapping[str, str] | None = None
    body: Any = None
    media: str = JSON
    accept: str = JSON
    timeout: float | None = None
    """Seconds; None for the connection's timeout."""


class RestClient:
    """One API server, one identity. Safe to share between threads."""

    def __init__(self, access: RestConfig) -> None:
        self.access = access
        self.transport = Transport(access.server)
        self.retry_timeout = 0.0
        """Seconds to retry reads and applies while the server is down or overloaded.

        Off by default, so that a wrong address fails at once. Long work turns it on, so that it
        survives a restart of the API server."""

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        media: str = JSON,
        action: str,
        timeout: float | None = None,
        accept: str = JSON,
    ) -> bytes:
        """Send one request.

        A request with a `timeout` (seconds) of its own is not retried, unless the server asks
        for it.

        Returns:
            The body of the 2xx response.

        Raises:
            KubeError: the server refused. Its message begins with `action`.
            ClusterUnreachableError: no response.
        """
        request = _Request(method, path, action, query, body, media, accept, timeout)
        deadline = time.monotonic() + (self.retry_timeout if timeout is None else 0.0)
        # A POST may have taken effect before the connection broke; the others are idempotent.
        repeatable = method != "POST"
        while True:
            try:
                response = self._send(request)
                data = response.content.read()
                if response.status < 400:
                    return data
                error = self.error_from_response(
                    response.status, data, action, response.retry_delay
                )
                if response.status not in _RETRYABLE or isinstance(error, WebhookUnavailableError):
                    raise error
            except ClusterUnreachableError as err:
                if isinstance(err, UnauthorizedError):
                    raise
                error = err
            if not repeatable or time.monotonic() >= deadline:
                raise error
            time.sleep(_RETRY_DELAY)

    def stream(
        self, path: str, *, query: Mapping[str, str], action: str, idle: float
    ) -> Iterator[bytes]:
        """Yield the lines of a streaming GET (watch, log -f) until the server ends it.

        `idle` is the number of seconds that may pass without data.
        """
        first_response = self._send(_Request("GET", path, action, query, timeout=idle), stream=True)
        response = first_response.content
        try:
            if first_response.status >= 400:
                raise self.error_from_response(
                    first_response.status, response.read(), action, first_response.retry_delay
                )
            pending = b""
            for chunk in response.chunks():
                pending += chunk
                *lines, pending = pending.split(b"\n")
                yield from (line for line in lines if line)
            if pending:
                yield pending
        except http_pool.REQUEST_ERRORS as err:
            raise ClusterUnreachableError(action, _reason(err)) from err
        finally:
            response.close()

    def headers(self, login: AuthHeaders) -> list[tuple[str, str]]:
        """Return the headers for authentication and impersonation.

        Raises:
            ClusterUnreachableError: a value is invalid in a header.
        """
        authorization = login.authorization
        if self.access.server.userinfo:  # https://NAME:PASSWORD@host wins in kubectl
            pair = base64.b64encode(self.access.server.userinfo.encode()).decode()
            authorization = f"Basic {pair}"
        headers = [("Authorization", authorization)] if authorization else []
        headers += self.access.impersonation
        for name, value in headers:
            if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for char in value):
                raise kubeconfig_error(
                    f"{name} has a character that is invalid in a header, such as a line break"
                )
        return headers

    def send_with_retries(
        self, once: Callable[[AuthHeaders], Response[T]], seconds: float
    ) -> Response[T]:
        """Send the caller's own request until its response is final; see `attempts`."""
        return attempts.send_with_retries(self.access.credentials, once, seconds)

    def error_from_response(
        self, status: int, body: bytes, action: str, wait: int | None = None
    ) -> FluidModelError:
        """The error for a response of 400 or more; `wait` is its Retry-After in seconds."""
        if status == 407 and self.transport.proxy:
            name = proxies.without_credentials(self.transport.proxy)
            return ClusterUnreachableError(
                action, f"the proxy {name} requires authentication (407)", _PROXY_HINT
            )
        error = error_from_response(status, body, action)
        if isinstance(error, UnauthorizedError):
            expired_on = credentials.expiry_note(self.access.credentials.auth_headers())
            if expired_on:
                return UnauthorizedError(
                    action,
                    f"the API server rejects these credentials: they expired on {expired_on}",
                    "kubectl auth whoami",
                )
        elif wait:
            error.reason += f" (it asks to retry after {wait} s)"
        return error

    def _send(self, request: _Request, *, stream: bool = False) -> Response[http_pool.Response]:
        """The final response."""
        url = urlsplit(self.access.server.url + request.path)
        data = None if request.body is None else json.dumps(request.body).encode()
        headers = {"Accept": request.accept, "User-Agent": USER_AGENT, "Host": url.netloc}
        if self.access.server.compressed and not stream:
            headers["Accept-Encoding"] = "gzip"
        if data is not None:
            headers["Content-Type"] = request.media
        seconds = request.timeout or self.access.request_timeout or DEFAULT_TIMEOUT
        target = quote(url.path, safe=_PATH_CHARACTERS)
        if request.query:
            target += f"?{urlencode(request.query)}"
        action, resets = request.action, 0

        def once(login: AuthHeaders) -> Response[http_pool.Response | ClusterUnreachableError]:
            nonlocal resets
            sent = http_pool.Request(
                request.method,
                target,
                [*headers.items(), *self.headers(login)],
                data,
                connect_timeout=min(_CONNECT_TIMEOUT, seconds),
                read_timeout=seconds,
            )
            try:
                response = self.transport.send(sent, login.certificate, stream=stream)
            except TunnelError as err:
                raise ClusterUnreachableError(action, str(err), _PROXY_HINT) from err
            except http_pool.REQUEST_ERRORS as err:
                is_retryable = _is_garbled(err) or (request.method == "GET" and _is_reset(err))
                if is_retryable and resets < _RESETS:
                    resets += 1
                    return Response(503, "1", self._unreachable(action, err))
                raise self._unreachable(action, err, self.transport.tls_failure(err)) from err
            if 300 <= response.status < 400:
                raise self._redirect_error(response, action)
            return Response(response.status, response.headers.get("Retry-After", ""), response)

        answer = attempts.send_with_retries(
            self.access.credentials, once, min(seconds, DEFAULT_TIMEOUT), _discard
        )
        if isinstance(answer.content, ClusterUnreachableError):
            raise answer.content
        return Response(answer.status, answer.retry_after, answer.content)

    def _unreachable(
        self, action: str, err: BaseException, failure: ConnectionFailure | None = None
    ) -> ClusterUnreachableError:
        if failure is not None:
            return ClusterUnreachableError(action, failure.reason, failure.hint)
        reason = f"no response from {self.access.server.url} ({_reason(err)})"
        return ClusterUnreachableError(action, reason, "kubectl cluster-info")

    def _redirect_error(self, response: http_pool.Response, action: str) -> ClusterUnreachableError:
        """A redirect is not followed: that would send the credentials elsewhere."""
        location = str(response.headers.get("Location", "")).partition("?")[0][:200]
        response.close()
        return ClusterUnreachableError(
            action,
            f"{self.access.server.url} is not an API server: it redirects to "
            f"{location or 'another URL'}",
            "kubectl config view",
        )


def _discard(content: http_pool.Response | ClusterUnreachableError) -> None:
    if isinstance(content, http_pool.Response):
        content.close()


def _is_reset(err: BaseException) -> bool:
    """Whether the connection broke before a response, as when a load balancer closes it."""
    return isinstance(err, ConnectionError) and not isinstance(err, ConnectionRefusedError)


def _is_garbled(err: BaseException) -> bool:
    """Whether the server failed to decode our TLS handshake, so that no request was sent.

    Go's TLS server does so about once in thousands of connections, and accepts the next one.
    """
    alerts = ("TLSV1_ALERT_DECODE_ERROR", "TLSV1_ALERT_DECRYPT_ERROR")
    return isinstance(err, ssl.SSLError) and err.reason in alerts


def _reason(err: BaseException) -> str:
    """Why a request failed, in a few words."""
    if isinstance(err, RemoteDisconnected):
        return "it closed the connection"
    if isinstance(err, TimeoutError):
        return "timed out"
    if isinstance(err, HTTPException):
        return f"its response is not HTTP, or broke off: {type(err).__name__}"
    text = " ".join(str(getattr(err, "strerror", "") or err).split())
    return text[:200] or type(err).__name__
