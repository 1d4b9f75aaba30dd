"""Who we are, for the API server: a user's entry of a kubeconfig, or a pod's account.

What goes first is client-go's: a token, then name and password, then an auth provider, then an
exec credential plugin; a client certificate goes with any of them. What ends is got anew in time.
"""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel.kube.errors import ClusterUnreachable
from kubectl_fluidmodel.kube.kind import at
from kubectl_fluidmodel.kube.kubeconfig import Server, content

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube import execplugin

_EARLY = 10.0
"""Seconds before its end that a credential is got anew."""
_TOKEN_FILE = 60.0
"""Seconds that a token read from a file is used; kubelets renew them in place."""


@dataclass(frozen=True)
class Login:
    """What requests log in with. It never appears in a repr."""

    authorization: str = field(default="", repr=False)
    """The header's value."""
    certificate: bytes = field(default=b"", repr=False)
    """Client certificate and its key, as PEM."""
    until: float = math.inf
    """When it ends, in seconds since the epoch."""


class Credentials:
    """A login that is renewed when it ends. Safe to share between threads."""

    def __init__(self, source: Callable[[], Login]) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._login: Login | None = None

    def login(self) -> Login:
        """The login of now.

        Raises:
            ClusterUnreachable: it could not be got.
        """
        with self._lock:  # a credential plugin runs once, however many threads ask
            if self._login is None or time.time() > self._login.until - _EARLY:
                self._login = self._source()
            return self._login


def nobody() -> Credentials:
    return Credentials(Login)


def bearer(token: str) -> Credentials:
    login = Login(f"Bearer {token}")
    return Credentials(lambda: login)


def token_file(path: Path) -> Credentials:
    """The token in a file, read again every minute."""
    return Credentials(lambda: _from_file(path))


def of_user(user: Mapping[str, Any], server: Server, *, ask: bool = True) -> Credentials:
    """The credentials of a user's entry, for a server; `ask`: a plugin may put questions."""
    certificate = _certificate(user)
    source = _source(user, server, ask)

    def login() -> Login:
        found = source()
        return found if found.certificate else replace(found, certificate=certificate)

    return Credentials(login)


def _source(user: Mapping[str, Any], server: Server, ask: bool) -> Callable[[], Login]:
    if user.get("token"):
        login = Login(f"Bearer {user['token']}")
        return lambda: login
    if user.get("tokenFile"):
        path = Path(str(user["tokenFile"]))
        return lambda: _from_file(path)
    if user.get("username") or user.get("password"):
        pair = f"{user.get('username') or ''}:{user.get('password') or ''}"
        login = Login("Basic " + base64.b64encode(pair.encode()).decode())
        return lambda: login
    if user.get("auth-provider"):
        return lambda: _from_provider(user["auth-provider"])
    if user.get("exec"):
        from kubectl_fluidmodel.kube import execplugin

        plugin = execplugin.parse(user["exec"], server)
        return lambda: _from_plugin(plugin, ask)
    return Login


def _certificate(user: Mapping[str, Any]) -> bytes:
    certificate, key = content(user, "client-certificate"), content(user, "client-key")
    if bool(certificate) != bool(key):
        missing = "client-key" if certificate else "client-certificate"
        raise ClusterUnreachable(
            "cannot use the kubeconfig", f"the user has no {missing}", "kubectl config view"
        )
    return certificate + b"\n" + key if certificate else b""


def _from_file(path: Path) -> Login:
    try:
        token = path.read_text().strip()
    except (OSError, ValueError) as err:
        raise ClusterUnreachable(
            "cannot read the token", f"{path}: {getattr(err, 'strerror', None) or 'it is no text'}"
        ) from err
    if not token:
        raise ClusterUnreachable("cannot read the token", f"{path} is empty")
    return Login(f"Bearer {token}", until=time.time() + _TOKEN_FILE)


def _from_plugin(plugin: execplugin.Plugin, ask: bool) -> Login:
    found = plugin.run(ask)
    pair = f"{found.certificate}\n{found.key}".encode() if found.certificate else b""
    return Login(f"Bearer {found.token}" if found.token else "", pair, found.until)


def _from_provider(provider: Any) -> Login:
    """The ID token that kubectl keeps; kubectl renews it, as that replaces it in the file."""
    name = str(at(provider, "name", default=""))
    if name != "oidc":
        raise ClusterUnreachable(
            "cannot use the kubeconfig",
            f"kubectl no longer has the auth provider '{name}', nor has this plugin",
            "an exec credential plugin",
        )
    token = str(at(provider, "config", "id-token", default=""))
    until = _end_of(token)
    if not token or time.time() > until - _EARLY:
        raise ClusterUnreachable("the login has ended", "the ID token is over", "kubectl get ns")
    return Login(f"Bearer {token}", until=until)


def _end_of(token: str) -> float:
    """The time in a JWT's `exp`; for ever where there is none."""
    try:
        claims = token.split(".")[1]
        payload = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return float(payload["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return math.inf
