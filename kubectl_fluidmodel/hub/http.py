"""Requests to the Hub: the token stays with its host, and refusals become our errors.

Facts about the protocol are those of huggingface_hub 2.4: `X-Error-Code` and `X-Error-Message`
tell what a 401, 403 or 404 means, and `Retry-After` how long to wait after a 429.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.errors import FluidModelError, PermanentlyUnreachableError, UnreachableError
from kubectl_fluidmodel.net import connection_errors, proxies, tls
from kubectl_fluidmodel.net.retry_budget import (
    MAX_REQUESTED_DELAY,
    CancelledError,
    TransientError,
    is_transient_status,
    requested_delay,
)

if TYPE_CHECKING:
    import ssl

DEFAULT_ENDPOINT = "https://huggingface.co"
"""The public one, which is asked where nothing names another."""
CONNECT_TIMEOUT = 10.0
"""Seconds to connect."""
_CANNOT_READ = "cannot read from the hub"


@dataclass(frozen=True)
class HubCredentials:
    """Where the Hub is, and who asks. The token never appears in a repr."""

    endpoint: str
    token: str = ""

    def __repr__(self) -> str:
        return f"Login({self.endpoint!r}, {'with' if self.token else 'without'} token)"


def load_credentials(endpoint: str | None = None) -> HubCredentials:
    """The endpoint of a flag or HF_ENDPOINT, with the token of HF_TOKEN or `hf auth login`.

    Raises:
        FluidModelError: the endpoint is no URL, or HF_HUB_OFFLINE forbids to ask.
    """
    from huggingface_hub import constants, get_token

    url = (endpoint or constants.ENDPOINT).rstrip("/")
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.hostname or "@" in split.netloc:
        raise FluidModelError(f"the hub's endpoint '{url}' is no URL", "", "--endpoint-hub URL")
    if constants.HF_HUB_OFFLINE:
        raise FluidModelError("the hub may not be asked", "HF_HUB_OFFLINE is set", "unset it")
    return HubCredentials(url, get_token() or "")


class HubHttpClient:
    """GET and HEAD without redirects. Safe to share between threads."""

    def __init__(
        self,
        credentials: HubCredentials,
        stall_timeout: float,
        connections: int = 16,
        stop: threading.Event | None = None,
    ) -> None:
        self.credentials = credentials
        self._stop = stop or threading.Event()
        self._origin = _origin(credentials.endpoint)
        self._pools: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.stall_timeout = stall_timeout
        self._connections = connections
        self._not_before: dict[str, float] = {}

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        preload: bool = True,
        stop: threading.Event | None = None,
    ) -> Any:
        """One request; with `whole` the body is read, without it is a stream to be closed.

        Raises:
            TransientError: no answer, or one that may be another the next time.
            PermanentlyUnreachableError: another attempt would meet the same.
            CancelledError: stopped while a host's limit on requests was waited for.
        """
        import urllib3

        wait = self._not_before.get(urlsplit(url).netloc, 0.0) - time.monotonic()
        if wait > 0 and (stop or self._stop).wait(wait):
            raise CancelledError
        sent = {
            "User-Agent": f"kubectl-fluidmodel/{__version__}",
            "Accept-Encoding": "identity",
            **(headers or {}),
        }
        if self.credentials.token and _origin(url) == self._origin:
            sent["Authorization"] = f"Bearer {self.credentials.token}"
        try:
            response = self._pool(url).request(
                method,
                url,
                headers=sent,
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
        refused = connection_errors.proxy_status_failure(response.status, url)
        if refused is not None:
            response.close()
            raise PermanentlyUnreachableError(_CANNOT_READ, refused.reason, refused.hint)
        return response

    def connection_error(
        self, url: str, err: BaseException
    ) -> TransientError | PermanentlyUnreachableError:
        """What is to be raised for a connection that failed."""
        setting = "HF_ENDPOINT" if _origin(url) == self._origin else "this machine's network"
        explanation = connection_errors.explain_connection_error(
            err, url, setting, self.stall_timeout
        )
        if explanation.permanent:
            return PermanentlyUnreachableError(_CANNOT_READ, explanation.reason, explanation.hint)
        return TransientError(
            explanation.reason, UnreachableError(_CANNOT_READ, explanation.reason, explanation.hint)
        )

    def _transient_error(self, url: str, response: Any) -> TransientError:
        host = urlsplit(url).netloc
        wait = requested_delay(response.headers)
        reason, hint = f"{host} answers {response.status}", "the same command again, later"
        if response.status == 429:
            reason = f"{host} limits the rate of requests (429)"
            hint = "wait, or log in: a token has higher limits (HF_TOKEN)"
        if wait:
            # For all who ask this host: each would only be told the same.
            until = time.monotonic() + min(wait, MAX_REQUESTED_DELAY)
            self._not_before[host] = max(self._not_before.get(host, 0.0), until)
            reason += f", asks to wait {wait:.0f} s"
        return TransientError(
            reason, UnreachableError(_CANNOT_READ, reason, hint), wait, answered=True
        )

    def _pool(self, url: str) -> Any:
        """A pool for the URL's host, through the proxy that the environment names for it."""
        proxy = proxies.proxy_for(url)
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = proxies.create_pool(
                    proxy, maxsize=self._connections, ssl_context=_ssl_context()
                )
            return self._pools[proxy]


def _ssl_context() -> ssl.SSLContext:
    """TLS by REQUESTS_CA_BUNDLE, as the Hub's own library has it, or what the machine trusts."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE", "")
    try:
        return tls.create_ssl_context(bundle)
    except OSError as err:  # ssl.SSLError too
        raise PermanentlyUnreachableError(
            _CANNOT_READ,
            f"REQUESTS_CA_BUNDLE is {bundle}, which has no certificates: {err}",
            "unset it",
        ) from err


def error_from_response(
    credentials: HubCredentials, repo: str, revision: str, url: str, response: Any
) -> FluidModelError:
    """What a 4xx of the Hub means.

    By its X-Error-Code and X-Error-Message, read as huggingface_hub 2.4 reads them
    (utils/_http.py, hf_raise_for_status). Not by that function: it takes the responses of another
    HTTP library in each major version, and an image brings whichever it has.
    """
    code = response.headers.get("X-Error-Code") or ""
    message = response.headers.get("X-Error-Message") or ""
    page = f"{credentials.endpoint}/{repo}"
    login_hint = "export HF_TOKEN=… (a token with read access), or hf auth login"
    if code == "GatedRepo":
        reason = (
            "the token's owner has not been let in" if credentials.token else "no token was given"
        )
        return FluidModelError(
            f"the model {repo} is gated",
            f"{reason}; its terms are accepted at {page}",
            "open that page and accept, then " + login_hint
            if not credentials.token
            else f"open {page} with the token's account and accept, or use another token",
        )
    if code == "RevisionNotFound":
        return FluidModelError(
            f"{repo} has no revision '{revision}'", "", f"look at {page}/tree/main"
        )
    if code == "EntryNotFound":
        return FluidModelError(f"a file of {repo} is gone at {revision}", message or url)
    if message == "Access to this resource is disabled.":
        return FluidModelError(f"the hub has disabled the model {repo}", message)
    if code == "RepoNotFound" and not (response.status == 401 and credentials.token):
        return _not_found_error(credentials, repo, page, login_hint)
    if response.status == 401 and credentials.token:
        return FluidModelError("the hub does not take the token", message, "hf auth login")
    if response.status in (401, 404):  # anonymous, missing and private look alike
        return _not_found_error(credentials, repo, page, login_hint)
    why = f"{urlsplit(url).netloc} answers {response.status}" + (f": {message}" if message else "")
    return FluidModelError(f"the hub refuses {repo}", why, f"look at {page}")


def _not_found_error(
    credentials: HubCredentials, repo: str, page: str, login_hint: str
) -> FluidModelError:
    if credentials.token:
        return FluidModelError(
            f"there is no model {repo}",
            "or it is private and the token may not see it",
            f"look at {page}, and check whose token HF_TOKEN is",
        )
    return FluidModelError(
        f"there is no public model {repo}",
        "it does not exist, or is private and no token was given",
        login_hint,
    )


def _origin(url: str) -> tuple[str, str, int]:
    split = urlsplit(url)
    port = split.port or (443 if split.scheme == "https" else 80)
    return split.scheme, split.hostname or "", port
