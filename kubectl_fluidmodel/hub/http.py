"""HTTP requests to the Hub: keeps the token on its host, and translates its errors.

The protocol is that of huggingface_hub 2.4: `X-Error-Code` and `X-Error-Message` explain a 401, 403
or 404, and `Retry-After` says how long to wait after a 429.
"""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlsplit

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.net import connection_errors, proxies, tls
from kubectl_fluidmodel.net.retry_budget import (
    MAX_REQUESTED_DELAY,
    CancelledError,
    TransientError,
    is_transient_status,
    requested_delay,
)
from kubectl_fluidmodel.records import dataclass

DEFAULT_ENDPOINT = "https://huggingface.co"
"""The public Hub, used by default."""
REDIRECT_STATUSES = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
CONNECT_TIMEOUT = 10.0
"""Seconds to connect."""
_CANNOT_READ = "cannot read from the Hub"
_LOGIN_HINT = "export HF_TOKEN=… (a token with read access), or hf auth login"


@dataclass(frozen=True)
class HubCredentials:
    """The Hub's endpoint and a user's token. The token is never part of the repr."""

    endpoint: str
    token: str = ""

    def __repr__(self) -> str:
        token = "with" if self.token else "without"
        return f"HubCredentials({self.endpoint!r}, {token} token)"


def load_credentials(endpoint: str | None = None) -> HubCredentials:
    """Read the token of HF_TOKEN or of `hf auth login`.

    Args:
        endpoint: the endpoint's URL; by default HF_ENDPOINT, else the public Hub.

    Raises:
        FluidModelError: the endpoint is not a URL, or HF_HUB_OFFLINE forbids requests.
    """
    from huggingface_hub import constants, get_token

    url = (endpoint or constants.ENDPOINT).rstrip("/")
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.hostname or "@" in split.netloc:
        raise FluidModelError(f"the Hub endpoint '{url}' is not a URL", "", "--endpoint-hub URL")
    if constants.HF_HUB_OFFLINE:
        raise FluidModelError(
            "requests to the Hub are disabled", "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"
        )
    return HubCredentials(url, get_token() or "")


class HubHttpClient:
    """GET and HEAD requests without redirects. Safe to share between threads."""

    def __init__(
        self,
        credentials: HubCredentials,
        stall_timeout: float,
        connections: int = 16,
        stop: threading.Event | None = None,
    ) -> None:
        self.credentials = credentials
        self.stall_timeout = stall_timeout
        self._stop = stop or threading.Event()
        self._origin = _origin(credentials.endpoint)
        self._pools: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._connections = connections
        self._not_before: dict[str, float] = {}
        """Time of the next allowed request per host, by its rate limit."""

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        preload: bool = True,
        stop: threading.Event | None = None,
    ) -> Any:
        """Send one request.

        Args:
            method: GET or HEAD.
            url: the URL; only the Hub's own origin receives the token.
            headers: further headers.
            preload: read the body; else the caller reads and closes it.
            stop: ends a wait when it is set, instead of the client's own event.

        Returns:
            urllib3's response, whatever its status unless that is transient.

        Raises:
            TransientError: there was no response, or a retry may succeed.
            PermanentlyUnreachableError: a retry would fail in the same way.
            CancelledError: stopped while waiting for a host's rate limit.
        """
        import urllib3

        wait = self._not_before.get(urlsplit(url).netloc, 0.0) - time.monotonic()
        if wait > 0 and (stop or self._stop).wait(wait):
            raise CancelledError
        all_headers = {
            "User-Agent": f"kubectl-fluidmodel/{__version__}",
            "Accept-Encoding": "identity",
            **(headers or {}),
        }
        if self.credentials.token and _origin(url) == self._origin:
            all_headers["Authorization"] = f"Bearer {self.credentials.token}"
        try:
            response = self._pool(url).request(
                method,
                url,
                headers=all_headers,
                redirect=False,
                retries=False,
                preload_content=preload,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=self.stall_timeout),
            )
        except (urllib3.exceptions.HTTPError, OSError) as err:
            raise self.connection_error(url, err) from err
        if is_transient_status(response.status):
            response.close()
            raise self._transient_error(url, response)
        failure = connection_errors.proxy_status_failure(response.status, url)
        if failure is not None:
            response.close()
            raise failure.to_error(_CANNOT_READ)
        return response

    def connection_error(self, url: str, err: BaseException) -> TransientError | UnreachableError:
        """Return the error to raise for a failed connection."""
        setting = "HF_ENDPOINT" if _origin(url) == self._origin else "this machine's network"
        failure = connection_errors.explain_connection_error(err, url, setting, self.stall_timeout)
        error = failure.to_error(_CANNOT_READ)
        return error if failure.permanent else TransientError(failure.reason, error)

    def _transient_error(self, url: str, response: Any) -> TransientError:
        host = urlsplit(url).netloc
        delay = requested_delay(response.headers)
        reason, hint = f"{host} responds with {response.status}", "the same command again, later"
        if response.status == 429:
            reason = f"{host} limits the rate of requests (429)"
            hint = "wait, or log in: requests with a token have a higher limit (HF_TOKEN)"
        if delay:
            # applies to all threads that send to this host, because they would be rejected, too
            until = time.monotonic() + min(delay, MAX_REQUESTED_DELAY)
            self._not_before[host] = max(self._not_before.get(host, 0.0), until)
            reason += f", asks to wait {delay:.0f} s"
        final_error = UnreachableError(_CANNOT_READ, reason, hint)
        return TransientError(reason, final_error, delay, answered=True)

    def _pool(self, url: str) -> Any:
        """Return the connection pool for a URL's host, through the environment's proxy."""
        proxy = proxies.proxy_for(url)
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = proxies.create_pool(
                    proxy,
                    maxsize=self._connections,
                    ssl_context=tls.ssl_context_from_environment(_CANNOT_READ),
                )
            return self._pools[proxy]


def error_from_response(
    credentials: HubCredentials, repo: str, revision: str, url: str, response: Any
) -> FluidModelError:
    """Translate a 4xx of the Hub.

    Uses X-Error-Code and X-Error-Message as huggingface_hub 2.4 does (utils/_http.py,
    hf_raise_for_status). That function itself expects responses of another HTTP library in each
    major version.
    """
    code = response.headers.get("X-Error-Code") or ""
    message = response.headers.get("X-Error-Message") or ""
    page = f"{credentials.endpoint}/{repo}"
    has_token = bool(credentials.token)
    if code == "GatedRepo":
        return _gated_error(repo, page, has_token)
    if code == "RevisionNotFound":
        return FluidModelError(
            f"{repo} has no revision '{revision}'", "", f"check the revisions at {page}/tree/main"
        )
    if code == "EntryNotFound":
        return FluidModelError(f"a file of {repo} does not exist at {revision}", message or url)
    if message == "Access to this resource is disabled.":
        return FluidModelError(f"the Hub has disabled the model {repo}", message)
    if response.status == 401 and has_token:
        return FluidModelError("the Hub does not accept the token", message, "hf auth login")
    # Without a token, missing and private repositories look alike.
    if code == "RepoNotFound" or response.status in (401, 404):
        return _not_found_error(repo, page, has_token)
    reason = f"{urlsplit(url).netloc} responds with {response.status}"
    if message:
        reason += f": {message}"
    return FluidModelError(f"the Hub refuses {repo}", reason, f"open {page}")


def _gated_error(repo: str, page: str, has_token: bool) -> FluidModelError:
    message = f"the model {repo} is gated"
    if has_token:
        return FluidModelError(
            message,
            f"the token's owner has no access; accept the terms at {page}",
            f"accept the terms at {page} with the token's account, or use another token",
        )
    return FluidModelError(
        message,
        f"there is no token; accept the terms at {page}",
        f"accept the terms, then {_LOGIN_HINT}",
    )


def _not_found_error(repo: str, page: str, has_token: bool) -> FluidModelError:
    if has_token:
        return FluidModelError(
            f"there is no model {repo}",
            "or it is private and the token may not read it",
            f"open {page}, and check whose token HF_TOKEN is",
        )
    return FluidModelError(
        f"there is no public model {repo}",
        "it does not exist, or it is private and there is no token",
        _LOGIN_HINT,
    )


def _origin(url: str) -> tuple[str, str, int]:
    split = urlsplit(url)
    port = split.port or (443 if split.scheme == "https" else 80)
    return split.scheme, split.hostname or "", port
