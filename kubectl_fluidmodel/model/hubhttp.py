"""Requests to the Hub: the token stays with its host, and refusals become our errors.

Facts about the protocol are those of huggingface_hub 2.4: `X-Error-Code` and `X-Error-Message`
tell what a 401, 403 or 404 means, and `Retry-After` how long to wait after a 429.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kubectl_fluidmodel import __version__, proxies, trust
from kubectl_fluidmodel.errors import FluidModelError, Unreachable

CONNECT = 10.0
"""Seconds to connect."""
_LONGEST_WAIT = 900.0
"""Seconds of Retry-After that we are ready to wait; the Hub counts in windows of five minutes."""
PASSING = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524)
"""Answers worth another attempt."""


class Cancelled(Exception):
    """The work was stopped from outside; never shown."""


class Passing(Exception):
    """Something that may go away: tried again by Patience, and `final` when it does not."""

    def __init__(self, why: str, final: FluidModelError, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.final = final
        self.retry_after = retry_after


class Patience:
    """Attempts with growing pauses, bounded by the seconds without progress."""

    LIMIT_ON_WAITS = 30
    """Attempts without progress, whatever the clock says: Retry-After pauses do not count."""

    def __init__(self, limit: float, stop: threading.Event | None = None) -> None:
        self.limit = limit
        self._stop = stop or threading.Event()
        self.progress()

    def progress(self) -> None:
        """Something moved: start to count anew."""
        self._failures = 0
        self._since = time.monotonic()

    def pause(self, err: Passing) -> float:
        """Wait before the next attempt; returns the seconds waited.

        Raises:
            FluidModelError: `err.final`, when there was no progress for too long.
            Cancelled: stopped while waiting.
        """
        self._failures += 1
        asked = err.retry_after
        wait = min(20.0, 0.2 * 2 ** (self._failures - 1)) if asked is None else asked
        waited = time.monotonic() - self._since
        too_long = waited + (0.0 if asked is not None else wait) > self.limit
        if too_long or wait > _LONGEST_WAIT or self._failures > self.LIMIT_ON_WAITS:
            raise err.final from err
        if self._stop.wait(wait):
            raise Cancelled
        if asked is not None:
            self._since += wait
        return wait


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
    if constants.is_offline_mode():
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
        self._stall = stall
        self._connections = connections
        self._not_before = 0.0

    def send(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, whole: bool = True
    ) -> Any:
        """One request; with `whole` the body is read, without it is a stream to be closed.

        Raises:
            Passing: no answer, or one that may be another the next time.
        """
        import urllib3

        wait = self._not_before - time.monotonic()
        if wait > 0 and self._stop.wait(wait):
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
                timeout=urllib3.Timeout(connect=CONNECT, read=self._stall),
            )
        except (urllib3.exceptions.HTTPError, OSError) as err:
            raise self.no_answer(url, err) from err
        if response.status in PASSING:
            response.close()
            raise self._passing(url, response)
        return response

    def no_answer(self, url: str, err: BaseException) -> Passing:
        host = urlsplit(url).netloc
        why = f"no answer from {host} ({_reason(err)})"
        return Passing(why, Unreachable("cannot read from the hub", why, "check HF_ENDPOINT"))

    def _passing(self, url: str, response: Any) -> Passing:
        host = urlsplit(url).netloc
        wait = _retry_after(response.headers)
        if response.status == 429:
            why = f"{host} limits the rate of requests (429)"
            if wait:
                self._not_before = max(self._not_before, time.monotonic() + min(wait, 60.0))
                why += f", asks to wait {wait:.0f} s"
            hint = "wait, or log in: a token has higher limits (HF_TOKEN)"
            return Passing(why, Unreachable("cannot read from the hub", why, hint), wait)
        why = f"{host} answers {response.status}"
        hint = "the same command again, later"
        return Passing(why, Unreachable("cannot read from the hub", why, hint), wait)

    def _pool(self, url: str) -> Any:
        """A pool for the URL's host, through the proxy that the environment names for it."""
        proxy = proxies.proxy_for(url)
        with self._lock:
            if proxy not in self._pools:
                trusted = trust.context(os.environ.get("REQUESTS_CA_BUNDLE", ""))
                self._pools[proxy] = proxies.pool(
                    proxy, maxsize=self._connections, ssl_context=trusted
                )
            return self._pools[proxy]


def refusal(who: Login, repo: str, revision: str, url: str, response: Any) -> FluidModelError:
    """What a 4xx of the Hub means, by huggingface_hub's own reading of it."""
    import httpx2
    from huggingface_hub import errors
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    again = httpx2.Response(
        response.status,
        headers={
            key: value
            for key, value in response.headers.items()
            if key.lower().startswith("x-") or key.lower() == "content-type"
        },
        request=httpx2.Request("GET", url),
    )
    said = response.headers.get("X-Error-Message") or ""
    page = f"{who.endpoint}/{repo}"
    log_in = "export HF_TOKEN=… (a token with read access), or hf auth login"
    try:
        hf_raise_for_status(again)
    except errors.GatedRepoError:
        whose = "the token's owner has not been let in" if who.token else "no token was given"
        return FluidModelError(
            f"the model {repo} is gated",
            f"{whose}; its terms are accepted at {page}",
            "open that page and accept, then " + log_in
            if not who.token
            else f"open {page} with the token's account and accept, or use another token",
        )
    except errors.RevisionNotFoundError:
        return FluidModelError(
            f"{repo} has no revision '{revision}'", "", f"look at {page}/tree/main"
        )
    except errors.EntryNotFoundError:
        return FluidModelError(f"a file of {repo} is gone at {revision}", said or url)
    except errors.DisabledRepoError:
        return FluidModelError(f"the hub has disabled the model {repo}", said)
    except errors.RepositoryNotFoundError:
        if not (response.status == 401 and who.token):
            return _missing(who, repo, page, log_in)
    except errors.HfHubHTTPError:
        pass
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


def _retry_after(headers: Any) -> float | None:
    """Seconds from `Retry-After` (a number or a date), or from the `RateLimit` header's `t=`."""
    import re
    from email.utils import parsedate_to_datetime

    text = headers.get("Retry-After", "")
    if text:
        try:
            return max(0.0, float(text))
        except ValueError:
            pass
        try:
            # Against the server's own clock: ours may be off.
            told = parsedate_to_datetime(text).timestamp()
            now = headers.get("Date")
            base = parsedate_to_datetime(now).timestamp() if now else time.time()
            return max(0.0, told - base)
        except (TypeError, ValueError):
            return None
    found = re.search(r"(?:^|;)\s*t=(\d+)", headers.get("RateLimit", ""))
    return float(found[1]) if found else None


def _origin(url: str) -> tuple[str, str, int]:
    split = urlsplit(url)
    port = split.port or (443 if split.scheme == "https" else 80)
    return split.scheme, split.hostname or "", port


def _reason(err: BaseException) -> str:
    """The innermost cause in a few words, without the objects' addresses that urllib3 prints."""
    inner: BaseException = err
    while isinstance(getattr(inner, "reason", None), BaseException):
        inner = inner.reason  # type: ignore[attr-defined]
    text = " ".join(str(inner).split())
    return text.rpartition(": ")[2][:120] or type(inner).__name__
