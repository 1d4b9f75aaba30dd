"""A client of plain dicts: get, list, server-side apply, delete, review access.

Objects are JSON in both directions, so fields that this client does not know survive. The
`kubernetes` package is not used: importing it takes 300 ms (`kubernetes` 37; this client 30 ms),
it installs 126 MB, writes certificates to temporary files, and ignores impersonation and
`interactiveMode` of a kubeconfig.

Connections follow kubectl: `tests/kube/conformance` runs both with the same files, flags and
environment and compares the requests that arrive. Intended differences:

    where                                kubectl                         here
    -----------------------------------  ------------------------------  --------------------------
    no server is configured             http://localhost:8080           an error
    a context names a cluster or user    localhost:8080, or anonymous    an error that names it
      that does not exist
    a user without credentials           asks for name and password      anonymous: 401 or 403
    401, and a credential plugin         runs the plugin again for the   repeats the refused
                                         next request                    request once
    a redirect                           is followed, with credentials   an error that names it
    in a pod: --as, --tls-server-name,   localhost:8080, or no effect    as anywhere else
      --request-timeout and the like
    an expired ID token of `oidc`        is refreshed, and written to    an error: `kubectl get ns`
                                         the kubeconfig                  refreshes it
    a GET whose connection breaks        ten retries                     two
    client certificates in files         reloaded while it runs          read once
    compression of streams (watch, log)  requested                       not requested: it delays
                                                                         lines
    Retry-After of hours                 waits                           an error that says so
    a kuberc                             defaults, aliases, plugins      only the plugin policy
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
from kubectl_fluidmodel.kube import attempts, credentials, http_pool, list_decoder
from kubectl_fluidmodel.kube.attempts import Response
from kubectl_fluidmodel.kube.config import ConfigFlags, RestConfig, load_rest_config
from kubectl_fluidmodel.kube.credentials import AuthHeaders
from kubectl_fluidmodel.kube.errors import (
    ClusterUnreachableError,
    GoneError,
    NotFoundError,
    UnauthorizedError,
    WebhookUnavailableError,
    error_from_response,
)
from kubectl_fluidmodel.kube.transport import Transport
from kubectl_fluidmodel.net import proxies
from kubectl_fluidmodel.net.tunnel import TunnelError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind

if TYPE_CHECKING:
    from kubectl_fluidmodel.net.connection_errors import ConnectionFailure

T = TypeVar("T")


class ObjectList(list[Object]):
    """The objects of a list request."""

    resource_version: str = ""
    """The resourceVersion from which a watch continues."""


FIELD_MANAGER = "kubectl-fluidmodel"
USER_AGENT = f"kubectl-fluidmodel/{__version__}"
PAGE_SIZE = 500
"""Objects a list request asks for, kubectl's --chunk-size default."""
_RETRYABLE = (429, 500, 502, 503, 504)
"""Statuses of a server that is starting, stopping or overloaded."""
_JSON = "application/json"
_PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_RETRY_DELAY = 0.3
"""Seconds between attempts."""
_RESETS = 2
"""Retries of a GET whose connection broke; client-go makes ten."""
_PATH_CHARACTERS = "/%:@!$&'()*+,;=~"
"""What may stand in a path as it is (RFC 3986), with letters, digits and `-._`."""
_CONNECT_TIMEOUT = 10.0
"""Seconds in which a connection must be made."""
_PROXY_HINT = "kubectl config view; env | grep -i _proxy"
DEFAULT_TIMEOUT = 60.0
"""Seconds that one request may take, unless --request-timeout says otherwise."""


class Client:
    """One API server, one identity. Safe to share between threads."""

    def __init__(self, connection: ConfigFlags | None = None, *, access: RestConfig | None = None):
        self.access = access or load_rest_config(connection or ConfigFlags())
        self.namespace = self.access.namespace
        self.transport = Transport(self.access.server)
        self.retry_timeout = 0.0
        """Seconds to retry reads and applies while the server is down or overloaded.

        Off by default, so that a wrong address fails at once. Long work turns it on, so that it
        survives a restart of the API server."""

    # -- reading -----------------------------------------------------------------------------

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        """One object.

        Raises:
            NotFoundError: it does not exist, or the server does not serve its kind.
        """
        where = f" in namespace {namespace}" if namespace and kind.namespaced else ""
        action = f"cannot get {kind.plural} {name}{where}"
        return self._json("GET", kind.path(namespace, name), action=action)

    def get_or_none(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None if it does not exist."""
        try:
            return self.get(kind, name, namespace)
        except NotFoundError:
            return None

    def list_objects(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
        transform: Callable[[Object], Object | None] | None = None,
        prefilter: tuple[bytes, ...] = (),
    ) -> ObjectList:
        """List all objects of a kind, page by page.

        Args:
            kind: The kind to list.
            namespace: One namespace, or None for all.
            labels: A label selector.
            fields: A field selector.
            metadata_only: Ask the server for metadata alone (PartialObjectMetadata).
            transform: Called with each object as its page arrives. It returns what to keep, or
                None to drop the object, so that memory holds only what is needed.
            prefilter: Skip objects whose JSON contains none of these bytes, before parsing them.
                Skipping costs a tenth of parsing.
        """
        query: dict[str, str] = {"limit": str(PAGE_SIZE)}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        where = f" in namespace {namespace}" if namespace and kind.namespaced else ""
        items = ObjectList()
        while True:
            action = f"cannot list {kind.plural}{where}"
            try:
                data = self.request(
                    "GET",
                    kind.path(namespace),
                    query=query,
                    action=action,
                    accept=_PARTIAL_LIST if metadata_only else _JSON,
                )
                page = (
                    list_decoder.decode_matching(data, prefilter, action)
                    if prefilter
                    else list_decoder.decode(data, action)
                )
            except GoneError:
                if "continue" not in query:
                    raise
                # etcd compacted the snapshot between two pages: list again in one page, as kubectl.
                query = {key: value for key, value in query.items() if key.endswith("Selector")}
                items = ObjectList()
                continue
            for item in page.get("items") or []:
                item["apiVersion"], item["kind"] = kind.api_version, kind.name
                kept = transform(item) if transform else item
                if kept is not None:
                    items.append(kept)
            token = get_path(page, "metadata", "continue", default="")
            if not token:
                items.resource_version = str(
                    get_path(page, "metadata", "resourceVersion", default="")
                )
                return items
            query["continue"] = token

    def served_versions(self, group: str) -> list[str]:
        """The served versions of an API group, preferred first; empty if it is not served."""
        try:
            found = self._json("GET", f"/apis/{group}", action=f"cannot discover {group}")
        except NotFoundError:
            return []
        preferred = get_path(found, "preferredVersion", "version", default="")
        versions = [str(v.get("version")) for v in found.get("versions") or []]
        return sorted(versions, key=lambda version: version != preferred)

    def resources(self, group: str, version: str) -> list[Object]:
        """The resources of a group version: `name` (plural), `kind`, `namespaced`, `verbs`."""
        path = f"/apis/{group}/{version}"
        return get_list(self._json("GET", path, action=f"cannot discover {group}"), "resources")

    def server_version(self) -> str:
        """The API server's version, as `v1.36.3`."""
        found = self._json("GET", "/version", action="cannot read the API server's version")
        return str(found.get("gitVersion", ""))

    def pod_logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        tail: int = 50,
        previous: bool = False,
        timeout: float = 10.0,
    ) -> str:
        """The last `tail` lines of a container's log, within `timeout` seconds."""
        query = {"container": container, "tailLines": str(tail)}
        if previous:
            query["previous"] = "true"
        path = kinds.PODS.path(namespace, pod, "log")
        action = f"cannot read the log of pod {pod}"
        body = self.request("GET", path, query=query, action=action, timeout=timeout)
        return body.decode("utf-8", "replace")

    # -- writing -----------------------------------------------------------------------------

    def apply(
        self, kind: Kind, obj: Mapping[str, Any], *, dry_run: bool = False, force: bool = False
    ) -> Object:
        """Server-side apply with our field manager.

        Returns:
            The object as stored.

        Raises:
            ConflictError: another manager owns a field with another value, and `force` is off.
            InvalidError: the schema rejects a field or its value.
        """
        query = {
            "fieldManager": FIELD_MANAGER,
            "force": "true" if force else "false",
            "fieldValidation": "Strict",
        }
        if dry_run:
            query["dryRun"] = "All"
        action = f"cannot apply {kind.name} {name_of(obj)}"
        path = kind.path(namespace_of(obj) or None, name_of(obj))
        return self._json(
            "PATCH",
            path,
            query=query,
            body=obj,
            media="application/apply-patch+yaml",
            action=action,
        )

    def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        body: Any,
        *,
        media: str = "application/merge-patch+json",
        dry_run: bool = False,
    ) -> Object:
        """A merge patch, or a JSON patch with `media="application/json-patch+json"`."""
        query = {"fieldManager": FIELD_MANAGER}
        if dry_run:
            query["dryRun"] = "All"
        path = kind.path(namespace, name)
        return self._json(
            "PATCH",
            path,
            query=query,
            body=body,
            media=media,
            action=f"cannot patch {kind.name} {name}",
        )

    def create(
        self, kind: Kind, obj: Mapping[str, Any], *, dry_run: bool = False, action: str = ""
    ) -> Object:
        """Create an object (POST)."""
        query = {"fieldManager": FIELD_MANAGER}
        if dry_run:
            query["dryRun"] = "All"
        path = kind.path(namespace_of(obj) or None)
        action = action or f"cannot create {kind.name} {name_of(obj)}"
        return self._json("POST", path, query=query, body=obj, action=action)

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        uid: str = "",
    ) -> bool:
        """Delete with background propagation.

        Returns:
            Whether the object existed.
        """
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        if dry_run:
            body["dryRun"] = ["All"]
        try:
            self._json(
                "DELETE",
                kind.path(namespace, name),
                body=body,
                action=f"cannot delete {kind.name} {name}",
            )
        except NotFoundError:
            return False
        return True

    # -- the wire ----------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        media: str = "application/json",
        action: str,
        timeout: float | None = None,
        accept: str = _JSON,
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
        deadline = time.monotonic() + (self.retry_timeout if timeout is None else 0.0)
        # A POST may have taken effect before the connection broke; the others are idempotent.
        repeatable = method != "POST"
        while True:
            try:
                answer = self._send(
                    method,
                    path,
                    query=query,
                    body=body,
                    media=media,
                    action=action,
                    timeout=timeout,
                    accept=accept,
                )
                data = answer.content.read()
                if answer.status < 400:
                    return data
                error = self.error_from_response(answer.status, data, action, answer.retry_delay)
                if answer.status not in _RETRYABLE or isinstance(error, WebhookUnavailableError):
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
        answer = self._send("GET", path, query=query, action=action, stream=True, timeout=idle)
        response = answer.content
        try:
            if answer.status >= 400:
                raise self.error_from_response(
                    answer.status, response.read(), action, answer.retry_delay
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
        found = [("Authorization", authorization)] if authorization else []
        found += self.access.impersonation
        for name, value in found:
            if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value):
                raise ClusterUnreachableError(
                    "cannot use the kubeconfig",
                    f"{name} has a character that is invalid in a header, such as a line break",
                    "kubectl config view",
                )
        return found

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
            over = credentials.expiry_note(self.access.credentials.auth_headers())
            if over:
                return UnauthorizedError(
                    action,
                    f"the API server rejects these credentials: they expired on {over}",
                    "kubectl auth whoami",
                )
        elif wait:
            error.reason += f" (it asks to retry after {wait} s)"
        return error

    def _json(self, method: str, path: str, *, action: str, **options: Any) -> Object:
        return list_decoder.decode(self.request(method, path, action=action, **options), action)

    def _send(  # noqa: PLR0913 - the options of one HTTP request
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        media: str = "application/json",
        action: str,
        stream: bool = False,
        timeout: float | None = None,
        accept: str = _JSON,
    ) -> Response[http_pool.Response]:
        """The final response."""
        url = urlsplit(self.access.server.url + path)
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept, "User-Agent": USER_AGENT, "Host": url.netloc}
        if self.access.server.compressed and not stream:
            headers["Accept-Encoding"] = "gzip"
        if data is not None:
            headers["Content-Type"] = media
        seconds = timeout or self.access.request_timeout or DEFAULT_TIMEOUT
        target = quote(url.path, safe=_PATH_CHARACTERS) + (f"?{urlencode(query)}" if query else "")
        resets = 0

        def once(login: AuthHeaders) -> Response[http_pool.Response | ClusterUnreachableError]:
            nonlocal resets
            request = http_pool.Request(
                method,
                target,
                [*headers.items(), *self.headers(login)],
                data,
                connect_timeout=min(_CONNECT_TIMEOUT, seconds),
                read_timeout=seconds,
            )
            try:
                response = self.transport.send(request, login.certificate, stream=stream)
            except TunnelError as err:
                raise ClusterUnreachableError(action, str(err), _PROXY_HINT) from err
            except http_pool.REQUEST_ERRORS as err:
                again = _is_garbled(err) or (method == "GET" and _is_reset(err))
                if again and resets < _RESETS:
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
        place = str(response.headers.get("Location", "")).partition("?")[0][:200]
        response.close()
        return ClusterUnreachableError(
            action,
            f"{self.access.server.url} is not an API server: it redirects to "
            f"{place or 'another URL'}",
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
