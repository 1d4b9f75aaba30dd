"""Why there was no answer, in words: the same for the Hub, for stores and for who else asks.

A name that nobody knows, a port where nobody listens, silence, TLS that is not trusted or not
spoken, and a proxy that stands in between are told apart, each with what mends it. What another
attempt would only meet again is `lasting`.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kubectl_fluidmodel.net import certificate, proxies

_TRUST = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""Variables that name what is trusted; the first that is set wins, for a store the first of all."""
_UNTRUSTED = (2, 7, 18, 19, 20, 21)
"""OpenSSL's X509_V_ERR codes that mean: the chain ends at nobody who is trusted, be it that an
authority of that name has another key (7)."""
_NAMES = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH."""
_NAMED = "the name or the address that the certificate is for"
_OTHER_TLS = (
    "PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "HANDSHAKE_FAILURE",
    "CERTIFICATE_REQUIRED",
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE")


@dataclass(frozen=True)
class NoAnswer:
    """Why, the way out, and whether it stays so."""

    why: str
    try_: str
    lasting: bool = False


def explain(err: BaseException, url: str, setting: str, stall: float = 0.0) -> NoAnswer:
    """What an exception of urllib3 or botocore about a request to `url` means.

    `setting` is what names the address, such as HF_ENDPOINT; `stall` the seconds of silence
    after which a connection was given up, where the user can change them with --stall.
    """
    import urllib3

    chain = list(_chain(err))
    host = urlsplit(url).netloc.rpartition("@")[2]
    proxy = proxies.proxy_for(url)
    tls = next((each for each in chain if isinstance(each, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return _certificate(tls, url, host, _TRUST if setting == "--endpoint" else _TRUST[1:])
    other = next((each for each in chain if _is(each, "CertificateError")), None)
    if other is not None:  # urllib3 compares names itself where botocore uses it
        why = f"TLS to {host} failed: its certificate is of another name ({_short(str(other))})"
        return NoAnswer(why, _NAMED, True)
    if proxy and any(_is(each, "ProxyError", "ProxyConnectionError") for each in chain):
        return _proxy(chain, proxy, host)
    if tls is not None:
        said = f"{tls.reason or tls}".upper()
        if any(each in said for each in _NO_TLS):
            plain = f"http://{host}{urlsplit(url).path}".rstrip("/")
            return NoAnswer(
                f"{host} does not speak TLS", f"{setting} with http:// ({_short(plain)})", True
            )
        if any(each in said for each in _OTHER_TLS):
            return NoAnswer(f"TLS to {host} failed: {_last(chain)}", f"check {setting}", True)
    if any(isinstance(each, socket.gaierror) for each in chain):
        return NoAnswer(f"the name of {host} is not known here (DNS)", f"check {setting}")
    if any(isinstance(each, ConnectionRefusedError) for each in chain):
        return NoAnswer(f"no answer from {host} (connection refused)", f"check {setting}")
    if any(_is(each, "ConnectTimeoutError") for each in chain):
        return NoAnswer(f"no answer from {host} (timed out while connecting)", f"check {setting}")
    silent = (urllib3.exceptions.ReadTimeoutError, TimeoutError)
    if any(isinstance(each, silent) or _is(each, "ReadTimeoutError") for each in chain):
        if stall:
            why = f"no answer from {host} (timed out: nothing came for {stall:g} s)"
            return NoAnswer(why, f"--stall {max(60, round(stall * 4))}s, if it is only slow")
        return NoAnswer(f"no answer from {host} (timed out)", f"check {setting}")
    return NoAnswer(f"no answer from {host} ({_last(chain)})", f"check {setting}")


def by_proxy(status: int, url: str) -> NoAnswer | None:
    """What an HTTP status means that no server but a proxy gives; None for all others."""
    proxy = proxies.proxy_for(url)
    if status != 407 or not proxy:
        return None
    host = urlsplit(url).netloc.rpartition("@")[2]
    return _refusing(proxy, host, "407 Proxy Authentication Required")


def _certificate(
    err: ssl.SSLCertVerificationError, url: str, host: str, names: Sequence[str]
) -> NoAnswer:
    said = (err.verify_message or str(err)).rstrip(".")
    code = err.verify_code
    if code in _UNTRUSTED:
        who = certificate.issuer_of(url)
        by = f"of issuer {who} is not trusted" if who else "is not trusted"
        why = f"TLS to {host} failed: its certificate {by} ({said})"
        name = next((each for each in names if os.environ.get(each)), names[-1])
        file = os.environ.get(name, "")
        if file and not Path(file).is_file():
            why += f", and {name} is {_short(file)}, which is no file"
        way = f"export {name}=ca.pem, a PEM file with the certificate of that authority"
        return NoAnswer(why, way, True)
    if code in (9, 10):  # not yet valid, has expired
        who = certificate.issuer_of(url)
        by = f" of issuer {who}" if who else ""
        way = f"check this machine's clock, or have the certificate of {host} renewed"
        return NoAnswer(f"TLS to {host} failed: its certificate{by}: {said}", way, True)
    why = f"TLS to {host} failed: its certificate is of another name ({said})"
    return NoAnswer(why if code in _NAMES else f"TLS to {host} failed: {said}", _NAMED, True)


def _proxy(chain: list[BaseException], proxy: str, host: str) -> NoAnswer:
    for each in chain:
        said = re.search(r"Tunnel connection failed: (\d{3}.*)", str(each))
        if said:
            told = _refusing(proxy, host, _short(said[1].strip(" '\")")))
            return told if said[1][0] == "4" else NoAnswer(told.why, told.try_)
    return NoAnswer(f"no answer from the proxy {_bare(proxy)} ({_last(chain)})", _PROXY)


_PROXY = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"


def _refusing(proxy: str, host: str, said: str) -> NoAnswer:
    way = "a user and password in the proxy's URL" if said.startswith("407") else _PROXY
    return NoAnswer(f"the proxy {_bare(proxy)} refuses the way to {host} ({said})", way, True)


def _bare(proxy: str) -> str:
    """The proxy without who logs in there."""
    split = urlsplit(proxy)
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}"


def _chain(err: BaseException) -> Iterator[BaseException]:
    """An exception with all that lie in it, outermost first."""
    waiting, seen = [err], set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        within = [getattr(each, "reason", None), _kept(each), each.__cause__, each.__context__]
        within += each.args
        waiting += [inner for inner in within if isinstance(inner, BaseException)]


def _is(err: BaseException, *names: str) -> bool:
    """By the class's name: urllib3's and botocore's are namesakes."""
    return any(kind.__name__ in names for kind in type(err).__mro__)


def _last(chain: list[BaseException]) -> str:
    """The innermost cause, without the addresses of objects that urllib3 prints."""
    inner = chain[0]
    for each in chain[1:]:
        if each in (getattr(inner, "reason", None), _kept(inner), *inner.args):
            inner = each
    text = re.sub(r" ?\(_ssl\.c:\d+\)|\[Errno -?\d+\] ", "", " ".join(str(inner).split()))
    return _short(text.rpartition(": ")[2]) or type(inner).__name__


def _kept(err: BaseException) -> object:
    """The exception that one of botocore's was made of."""
    kwargs = getattr(err, "kwargs", None)
    return kwargs.get("error") if isinstance(kwargs, dict) else None


def _short(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:120]
