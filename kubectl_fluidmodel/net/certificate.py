"""Who issued a server's certificate: what a failed verification does not tell.

OpenSSL's error has no certificate with it, so the server is asked once more, without a check and
without anything secret. Of the certificate's DER (RFC 5280, 4.1) only the issuer's name is read.
"""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

_LOOK = 5.0
"""Seconds to look at a certificate: it is for the words of an error only."""
_NAMES = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O", b"\x55\x04\x0b": "OU", b"\x55\x04\x06": "C"}
"""Attributes of a name by their object identifiers (RFC 5280, A.1)."""
_SEQUENCE, _SET, _OBJECT, _VERSION = 0x30, 0x31, 0x06, 0xA0
_BMP = 0x1E


def issuer_of(url: str) -> str:
    """The issuer of the certificate at an https URL, as `CN=…`; empty where it cannot be had."""
    from kubectl_fluidmodel.net import proxies

    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    split, proxy = urlsplit(url), proxies.proxy_for(url)
    host, port = split.hostname or "", split.port or 443
    if urlsplit(proxy).scheme not in ("", "http"):
        return ""  # no way there that is worth its code
    try:
        if proxy:
            by = urlsplit(proxy)
            way = http.client.HTTPConnection(by.hostname or "", by.port or 80, timeout=_LOOK)
            way.set_tunnel(host, port, proxies.authorization(proxy))
        else:
            way = http.client.HTTPConnection(host, port, timeout=_LOOK)
        way.connect()
        try:
            with unchecked.wrap_socket(way.sock, server_hostname=host) as shown:
                return issuer(shown.getpeercert(True) or b"")
        finally:
            way.close()
    except (OSError, http.client.HTTPException, ValueError):
        return ""  # nothing to add to the error that is being told


def issuer(der: bytes) -> str:
    """The issuer's name in a certificate: its CN and O, else what there is; empty if unreadable."""
    try:
        at = _inside(der, 0, _SEQUENCE)  # Certificate
        at = _inside(der, at, _SEQUENCE)  # TBSCertificate
        if der[at] == _VERSION:
            at = _end(der, at)
        at = _end(der, _end(der, at))  # serialNumber, signature
        name, over = _inside(der, at, _SEQUENCE), _end(der, at)
        found: dict[str, str] = {}
        while name < over:
            kind, text = _attribute(der, name)
            if kind:
                found.setdefault(kind, text)
            name = _end(der, name)
    except (IndexError, ValueError):
        return ""
    told = {kind: found[kind] for kind in ("CN", "O") if kind in found} or found
    return ", ".join(f"{kind}={text}" for kind, text in told.items())


def _attribute(der: bytes, at: int) -> tuple[str, str]:
    """Kind and text of the first attribute of a RelativeDistinguishedName."""
    at = _inside(der, _inside(der, at, _SET), _SEQUENCE)
    start, end = _content(der, at)
    if der[at] != _OBJECT:
        raise ValueError(at)
    kind = _NAMES.get(der[start:end], "")
    tag = der[end]
    start, end = _content(der, end)
    text = der[start:end].decode("utf-16-be" if tag == _BMP else "utf-8", "replace")
    return kind, "".join(char if char.isprintable() else "?" for char in text)[:80]


def _inside(der: bytes, at: int, tag: int) -> int:
    """Where the content of a constructed element begins."""
    if der[at] != tag:
        raise ValueError(at)
    return _content(der, at)[0]


def _end(der: bytes, at: int) -> int:
    return _content(der, at)[1]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Start and end of an element's content (X.690, 8.1.3)."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ValueError(at)
        length, start = int.from_bytes(der[start : start + count], "big"), start + count
    if start + length > len(der):
        raise ValueError(at)
    return start, start + length
