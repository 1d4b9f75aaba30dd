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
from kubectl_fluidmodel.errors import Barred, FluidModelError, Unreachable
from kubectl_fluidmodel.net import connection_errors, proxies, tls
from kubectl_fluidmodel.net.retry_budget import LONGEST_WAIT, Cancelled, Passing, asked_wait, passes

if TYPE_CHECKING:
    import ssl

HUB = "https://huggingface.co"
"""The public one, which is asked where nothing names another."""
CONNECT = 10.0
"""Seconds to connect."""
_CANNOT = "cannot read from the hub"


@dataclass(frozen=True)
class Login:
    """Where the Hub is, and who asks. The token never appears in a repr."""

    endpoint: str
    token: str = ""

    def __repr__(self) -> str:
        return f"Login({self.endpoint!r}, {'with' if self.token else 'without'} token)"


def login(endpoint: str | None = None) -> Login:
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
    return Login(url, get_token() or "")


class Http:
    """GET and HEAD without redirects. Safe to share between threads."""

    def __init__(
        self,
        who: Login,
        stall: float,
        connections: int = 16,
        stop: threading.Event | None = None,
    ) -> None:
        self.who = who
        self._stop = stop or threading.Event()
        self._origin = _origin(who.endpoint)
        self._pools: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.stall = stall
        self._connections = connections
        self._not_before: dict[str, float] = {}

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        whole: bool = True,
        stop: threading.Event | None = None,
    ) -> Any:
        """One request; with `whole` the body is read, without it is a stream to be closed.

        Raises:
            Passing: no answer, or one that may be another the next time.
            Barred: another attempt would meet the same.
            Cancelled: stopped while a host's limit on requests was waited for.
        """
        import urllib3

        wait = self._not_before.get(urlsplit(url).netloc, 0.0) - time.monotonic()
        if wait > 0 and (stop or self._stop).wait(wait):
            raise Cancelled
        sent = {
            "User-Agent": f"kubectl-fluidmodel/{__version__}",
            "Accept-Encoding": "identity",
            **(headers or {}),
        }
        if self.who.token and _origin(url) == self._origin:
            sent["Authorization"] = f"Bearer {self.who.token}"
        try:
            response = self._pool(url).request(
                method,
                url,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=whole,
                timeout=urllib3.Timeout(connect=CONNECT, read=self.stall),
            )
        except (urllib3.exceptions.HTTPError, OSError) as err:
            raise self.no_answer(url, err) from err
        if passes(response.status):
            response.close()
            raise self._passing(url, response)
        refused = connection_errors.by_proxy(response.status, url)
        if refused is not None:
            response.close()
            raise Barred(_CANNOT, refused.why, refused.try_)
        return response

    def no_answer(self, url: str, err: BaseException) -> Passing | Barred:
        """What is to be raised for a connection that failed."""
        setting = "HF_ENDPOINT" if _origin(url) == self._origin else "this machine's network"
        told = connection_errors.explain(err, url, setting, self.stall)
        if told.lasting:
            return Barred(_CANNOT, told.why, told.try_)
        return Passing(told.why, Unreachable(_CANNOT, told.why, told.try_))

    def _passing(self, url: str, response: Any) -> Passing:
        host = urlsplit(url).netloc
        wait = asked_wait(response.headers)
        why, hint = f"{host} answers {response.status}", "the same command again, later"
        if response.status == 429:
            why = f"{host} limits the rate of requests (429)"
            hint = "wait, or log in: a token has higher limits (HF_TOKEN)"
        if wait:
            # For all who ask this host: each would only be told the same.
            until = time.monotonic() + min(wait, LONGEST_WAIT)
            self._not_before[host] = max(self._not_before.get(host, 0.0), until)
            why += f", asks to wait {wait:.0f} s"
        return Passing(why, Unreachable(_CANNOT, why, hint), wait, answered=True)

    def _pool(self, url: str) -> Any:
        """A pool for the URL's host, through the proxy that the environment names for it."""
        proxy = proxies.proxy_for(url)
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = proxies.pool(
                    proxy, maxsize=self._connections, ssl_context=_trusted()
                )
            return self._pools[proxy]


def _trusted() -> ssl.SSLContext:
    """TLS by REQUESTS_CA_BUNDLE, as the Hub's own library has it, or what the machine trusts."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE", "")
    try:
        return tls.context(bundle)
    except OSError as err:  # ssl.SSLError too
        raise Barred(
            _CANNOT, f"REQUESTS_CA_BUNDLE is {bundle}, which has no certificates: {err}", "unset it"
        ) from err


def refusal(who: Login, repo: str, revision: str, url: str, response: Any) -> FluidModelError:
    """What a 4xx of the Hub means.

    By its X-Error-Code and X-Error-Message, read as huggingface_hub 2.4 reads them
    (utils/_http.py, hf_raise_for_status). Not by that function: it takes the responses of another
    HTTP library in each major version, and an image brings whichever it has.
    """
    code = response.headers.get("X-Error-Code") or ""
    said = response.headers.get("X-Error-Message") or ""
    page = f"{who.endpoint}/{repo}"
    log_in = "export HF_TOKEN=… (a token with read access), or hf auth login"
    if code == "GatedRepo":
        whose = "the token's owner has not been let in" if who.token else "no token was given"
        return FluidModelError(
            f"the model {repo} is gated",
            f"{whose}; its terms are accepted at {page}",
            "open that page and accept, then " + log_in
            if not who.token
            else f"open {page} with the token's account and accept, or use another token",
        )
    if code == "RevisionNotFound":
        return FluidModelError(
            f"{repo} has no revision '{revision}'", "", f"look at {page}/tree/main"
        )
    if code == "EntryNotFound":
        return FluidModelError(f"a file of {repo} is gone at {revision}", said or url)
    if said == "Access to this resource is disabled.":
        return FluidModelError(f"the hub has disabled the model {repo}", said)
    if code == "RepoNotFound" and not (response.status == 401 and who.token):
        return _missing(who, repo, page, log_in)
    if response.status == 401 and who.token:
        return FluidModelError("the hub does not take the token", said, "hf auth login")
    if response.status in (401, 404):  # anonymous, missing and private look alike
        return _missing(who, repo, page, log_in)
    why = f"{urlsplit(url).netloc} answers {response.status}" + (f": {said}" if said else "")
    return FluidModelError(f"the hub refuses {repo}", why, f"look at {page}")


def _missing(who: Login, repo: str, page: str, log_in: str) -> FluidModelError:
    if who.token:
        return FluidModelError(
            f"there is no model {repo}",
            "or it is private and the token may not see it",
            f"look at {page}, and check whose token HF_TOKEN is",
        )
    return FluidModelError(
        f"there is no public model {repo}",
        "it does not exist, or is private and no token was given",
        log_in,
    )


def _origin(url: str) -> tuple[str, str, int]:
    split = urlsplit(url)
    port = split.port or (443 if split.scheme == "https" else 80)
    return split.scheme, split.hostname or "", port
