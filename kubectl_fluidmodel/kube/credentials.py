"""Authenticates to the API server as a user of a kubeconfig or as a pod's service account.

Precedence is client-go's: token file, token, basic authentication, auth provider, exec credential
plugin. A client certificate is sent in addition; it replaces the plugin. Credentials are renewed
before they expire, and once after the server rejects them.
"""

from __future__ import annotations

import base64
import calendar
import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel.kube.errors import ClusterUnreachableError, kubeconfig_error
from kubectl_fluidmodel.kube.kubeconfig import ServerInfo, read_inline_or_file
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube import exec_plugin

_REFRESH_MARGIN = 10.0
"""Seconds before expiry at which a credential is renewed."""
_MIN_RENEWAL_AGE = 5.0
"""Seconds to use a credential that arrived expired, so that not every request renews it."""
_TOKEN_FILE_LIFETIME = 60.0
"""Seconds to use a token read from a file; kubelets renew the file in place."""


@dataclass(frozen=True)
class AuthHeaders:
    """What authenticates a request. It never appears in a repr."""

    authorization: str = field(default="", repr=False)
    """The value of the Authorization header."""
    certificate: bytes = field(default=b"", repr=False)
    """Client certificate and its key, as PEM."""
    refresh_at: float = math.inf
    """When to renew it, in seconds since the epoch."""
    expires_at: float = math.inf
    """When it expires, in seconds since the epoch, if known from other than the token."""


class Credentials:
    """Credentials that are renewed before they expire. Safe to share between threads."""

    def __init__(self, source: Callable[[], AuthHeaders], *, renewable: bool = False) -> None:
        self._source = source
        self._renewable = renewable
        self._lock = threading.Lock()
        self._login: AuthHeaders | None = None
        self._got_at = 0.0

    def auth_headers(self) -> AuthHeaders:
        """The current headers.

        Raises:
            ClusterUnreachableError: they cannot be obtained.
        """
        with self._lock:  # a credential plugin runs once, however many threads ask
            now = time.time()
            # A credential that arrived expired may still work: clocks differ.
            login = self._login
            if login is None or now > max(
                login.refresh_at - _REFRESH_MARGIN, self._got_at + _MIN_RENEWAL_AGE
            ):
                login = self._get(now)
            return login

    def renew(self, refused: AuthHeaders) -> bool:
        """Renew after a 401; whether there are other headers now than the refused ones.

        Raises:
            ClusterUnreachableError: they cannot be obtained.
        """
        with self._lock:
            if self._login is refused and self._renewable:
                self._get(time.time())
            return self._login is not refused

    def _get(self, now: float) -> AuthHeaders:
        self._login = login = self._source()
        self._got_at = now
        return login


def expiry_note(login: AuthHeaders) -> str:
    """When credentials expired, as `2026-01-02 15:04 UTC`; empty if they did not or if unknown."""
    token = login.authorization.removeprefix("Bearer ")
    until = min(login.expires_at, _token_expiry(token), _certificate_expiry(login.certificate))
    if until > time.time():
        return ""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(until))


def anonymous() -> Credentials:
    return Credentials(AuthHeaders)


def from_kubeconfig_user(
    user: Mapping[str, Any], server: ServerInfo, *, interactive: bool = True
) -> Credentials:
    """Credentials of a kubeconfig user. `interactive` lets an exec plugin ask questions."""
    certificate = _certificate(user)
    if user.get("auth-provider"):
        _require_provider(user["auth-provider"])
    plugin = user.get("exec")
    if plugin and not certificate and not any(user.get(key) for key in _BEFORE_PLUGINS):
        from kubectl_fluidmodel.kube import exec_plugin

        parsed = exec_plugin.parse_exec_plugin(plugin, server)
        return Credentials(lambda: _from_plugin(parsed, interactive), renewable=True)
    source = _source(user)
    return Credentials(lambda: replace(source(), certificate=certificate))


_BEFORE_PLUGINS = ("token", "tokenFile", "username", "auth-provider")


def _source(user: Mapping[str, Any]) -> Callable[[], AuthHeaders]:
    token, file, name = user.get("token"), user.get("tokenFile"), user.get("username")
    if file and name:
        raise kubeconfig_error("the user has both a tokenFile and a username")
    if file:
        return _TokenFileReader(Path(str(file)), AuthHeaders(f"Bearer {token}") if token else None)
    if token:
        login = AuthHeaders(f"Bearer {token}")
        return lambda: login
    if name:
        pair = f"{name}:{user.get('password') or ''}"
        login = AuthHeaders("Basic " + base64.b64encode(pair.encode()).decode())
        return lambda: login
    if user.get("auth-provider"):
        return lambda: _from_provider(user["auth-provider"])
    return AuthHeaders


class _TokenFileReader:
    """Reads a token from a file; if that fails, returns the previous one."""

    def __init__(self, path: Path, before: AuthHeaders | None) -> None:
        self._path = path
        self._last = before

    def __call__(self) -> AuthHeaders:
        try:
            self._last = _from_file(self._path)
        except ClusterUnreachableError:
            if self._last is None:
                raise
        return replace(self._last, refresh_at=time.time() + _TOKEN_FILE_LIFETIME)


def _certificate(user: Mapping[str, Any]) -> bytes:
    """A client certificate and its key; a key alone is ignored, as in kubectl."""
    certificate = read_inline_or_file(user, "client-certificate")
    return certificate + b"\n" + read_inline_or_file(user, "client-key") if certificate else b""


def _from_file(path: Path) -> AuthHeaders:
    try:
        token = path.read_text().strip()
    except (OSError, ValueError) as err:
        raise ClusterUnreachableError(
            "cannot read the token", f"{path}: {getattr(err, 'strerror', None) or 'it is not text'}"
        ) from err
    if not token:
        raise ClusterUnreachableError("cannot read the token", f"{path} is empty")
    return AuthHeaders(f"Bearer {token}")


def _from_plugin(plugin: exec_plugin.ExecPlugin, interactive: bool) -> AuthHeaders:
    credential = plugin.run(interactive)
    pair = f"{credential.certificate}\n{credential.key}".encode() if credential.certificate else b""
    authorization = f"Bearer {credential.token}" if credential.token else ""
    return AuthHeaders(authorization, pair, credential.expires_at, credential.expires_at)


def _require_provider(provider: Any) -> None:
    """Require an auth provider that kubectl still supports, with a complete configuration.

    Raises:
        ClusterUnreachableError: it is not supported or not complete.
    """
    name = str(get_path(provider, "name", default=""))
    if name != "oidc":
        raise kubeconfig_error(
            f"the auth provider '{name}' is supported neither by kubectl nor here; "
            "use an exec credential plugin"
        )
    for key in ("idp-issuer-url", "client-id"):
        if not get_path(provider, "config", key):
            raise kubeconfig_error(f"the user's auth provider has no {key}")


def _from_provider(provider: Any) -> AuthHeaders:
    """The ID token in the kubeconfig. Only kubectl refreshes it, because that rewrites the file."""
    token = str(get_path(provider, "config", "id-token", default="") or "")
    until = _token_expiry(token)
    if not token or time.time() > until - _REFRESH_MARGIN:
        raise ClusterUnreachableError(
            "the login has expired", "the ID token has expired", "kubectl get ns"
        )
    return AuthHeaders(f"Bearer {token}", refresh_at=until)


_VALIDITY = re.compile(
    rb"\x30.(?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z)", re.DOTALL
)
"""A certificate's `Validity` in DER (RFC 5280, 4.1.2.5): two times, each in one of two forms."""


def _certificate_expiry(pem: bytes) -> float:
    """When a client certificate expires, in seconds since the epoch; infinite without one."""
    block = re.search(rb"-BEGIN CERTIFICATE-----(.+?)-----END", pem, re.DOTALL)
    try:
        match = _VALIDITY.search(base64.b64decode(block[1])) if block else None
    except ValueError:
        match = None
    if match is None:
        return math.inf
    short, full = match[1], match[2]
    # A two-digit year is between 1950 and 2049.
    text = full or (b"19" if short >= b"5" else b"20") + short
    return calendar.timegm(time.strptime(text.decode(), "%Y%m%d%H%M%S"))


def _token_expiry(token: str) -> float:
    """A JWT's `exp`, in seconds since the epoch; infinite if there is none."""
    try:
        claims = token.split(".")[1]
        payload = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return float(payload["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return math.inf
