"""Who we are, for the API server: a user's entry of a kubeconfig, or a pod's account.

What goes first is client-go's: a token's file, a token, name and password, an auth provider, an
exec credential plugin. A client certificate goes with any of them but the plugin, which is not
asked where there is one. What ends is got anew in time, and what the server refuses once more.
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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.kube.kubeconfig import ServerInfo, read_inline_or_file
from kubectl_fluidmodel.objects.access import get_path

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube import exec_plugin

_REFRESH_MARGIN = 10.0
"""Seconds before its end that a credential is got anew."""
_MIN_RENEWAL_AGE = 5.0
"""Seconds that a credential is used which was over when it came: not each request asks anew."""
_TOKEN_FILE_LIFETIME = 60.0
"""Seconds that a token read from a file is used; kubelets renew them in place."""


@dataclass(frozen=True)
class AuthHeaders:
    """What requests log in with. It never appears in a repr."""

    authorization: str = field(default="", repr=False)
    """The header's value."""
    certificate: bytes = field(default=b"", repr=False)
    """Client certificate and its key, as PEM."""
    refresh_at: float = math.inf
    """When to get it anew, in seconds since the epoch."""
    expires_at: float = math.inf
    """When it ends, where that is known from other than the token itself."""


class Credentials:
    """A login that is renewed when it ends. Safe to share between threads."""

    def __init__(self, source: Callable[[], AuthHeaders], *, renewable: bool = False) -> None:
        self._source = source
        self._renewable = renewable
        self._lock = threading.Lock()
        self._login: AuthHeaders | None = None
        self._got = 0.0

    def auth_headers(self) -> AuthHeaders:
        """The login of now.

        Raises:
            ClusterUnreachableError: it could not be got.
        """
        with self._lock:  # a credential plugin runs once, however many threads ask
            now = time.time()
            # One that was over when it came is as good as it gets: clocks differ.
            login = self._login
            if login is None or now > max(
                login.refresh_at - _REFRESH_MARGIN, self._got + _MIN_RENEWAL_AGE
            ):
                login = self._get(now)
            return login

    def renew(self, refused: AuthHeaders) -> bool:
        """After a 401: whether there is another login now than the one that was refused.

        Raises:
            ClusterUnreachableError: it could not be got.
        """
        with self._lock:
            if self._login is refused and self._renewable:
                self._get(time.time())
            return self._login is not refused

    def _get(self, now: float) -> AuthHeaders:
        self._login = found = self._source()
        self._got = now
        return found


def expiry_note(login: AuthHeaders) -> str:
    """When a login ended, as `2026-01-02 15:04 UTC`; empty where it did not, or nobody knows."""
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
    """The credentials of a user's entry, for a server; `ask`: a plugin may put questions."""
    certificate = _certificate(user)
    if user.get("auth-provider"):
        _require_provider(user["auth-provider"])
    plugin = user.get("exec")
    if plugin and not certificate and not any(user.get(key) for key in _BEFORE_PLUGINS):
        from kubectl_fluidmodel.kube import exec_plugin

        known = exec_plugin.parse_exec_plugin(plugin, server)
        return Credentials(lambda: _from_plugin(known, interactive), renewable=True)
    source = _source(user)
    return Credentials(lambda: replace(source(), certificate=certificate))


_BEFORE_PLUGINS = ("token", "tokenFile", "username", "auth-provider")


def _source(user: Mapping[str, Any]) -> Callable[[], AuthHeaders]:
    token, file, name = user.get("token"), user.get("tokenFile"), user.get("username")
    if file and name:
        raise ClusterUnreachableError(
            "cannot use the kubeconfig",
            "the user has both a token's file and a name with a password",
            "kubectl config view",
        )
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
    """The token in a file; where it cannot be read, the one that was there before."""

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
    """A client certificate and its key; a key alone is passed over, as kubectl does."""
    certificate = read_inline_or_file(user, "client-certificate")
    return certificate + b"\n" + read_inline_or_file(user, "client-key") if certificate else b""


def _from_file(path: Path) -> AuthHeaders:
    try:
        token = path.read_text().strip()
    except (OSError, ValueError) as err:
        raise ClusterUnreachableError(
            "cannot read the token", f"{path}: {getattr(err, 'strerror', None) or 'it is no text'}"
        ) from err
    if not token:
        raise ClusterUnreachableError("cannot read the token", f"{path} is empty")
    return AuthHeaders(f"Bearer {token}")


def _from_plugin(plugin: exec_plugin.ExecPlugin, ask: bool) -> AuthHeaders:
    found = plugin.run(ask)
    pair = f"{found.certificate}\n{found.key}".encode() if found.certificate else b""
    authorization = f"Bearer {found.token}" if found.token else ""
    return AuthHeaders(authorization, pair, found.expires_at, found.expires_at)


def _require_provider(provider: Any) -> None:
    """Whether kubectl still has this auth provider, and it has what it needs.

    Raises:
        ClusterUnreachableError: it has not.
    """
    name = str(get_path(provider, "name", default=""))
    if name != "oidc":
        raise ClusterUnreachableError(
            "cannot use the kubeconfig",
            f"kubectl no longer has the auth provider '{name}', nor has this plugin",
            "an exec credential plugin",
        )
    for key in ("idp-issuer-url", "client-id"):
        if not get_path(provider, "config", key):
            raise ClusterUnreachableError(
                "cannot use the kubeconfig",
                f"the user's auth provider has no {key}",
                "kubectl config view",
            )


def _from_provider(provider: Any) -> AuthHeaders:
    """The ID token that kubectl keeps; kubectl renews it, as that replaces it in the file."""
    token = str(get_path(provider, "config", "id-token", default="") or "")
    until = _token_expiry(token)
    if not token or time.time() > until - _REFRESH_MARGIN:
        raise ClusterUnreachableError(
            "the login has ended", "the ID token is over", "kubectl get ns"
        )
    return AuthHeaders(f"Bearer {token}", refresh_at=until)


_VALIDITY = re.compile(
    rb"\x30.(?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z)", re.DOTALL
)
"""A certificate's `Validity` in DER (RFC 5280, 4.1.2.5): two times, each in one of two forms."""


def _certificate_expiry(pem: bytes) -> float:
    """The time after which a client certificate is worth nothing; for ever where there is none."""
    block = re.search(rb"-BEGIN CERTIFICATE-----(.+?)-----END", pem, re.DOTALL)
    try:
        found = _VALIDITY.search(base64.b64decode(block[1])) if block else None
    except ValueError:
        found = None
    if found is None:
        return math.inf
    short, full = found[1], found[2]
    # Two digits of a year are of 1950 to 2049.
    text = full or (b"19" if short >= b"5" else b"20") + short
    return calendar.timegm(time.strptime(text.decode(), "%Y%m%d%H%M%S"))


def _token_expiry(token: str) -> float:
    """The time in a JWT's `exp`; for ever where there is none."""
    try:
        claims = token.split(".")[1]
        payload = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return float(payload["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return math.inf
