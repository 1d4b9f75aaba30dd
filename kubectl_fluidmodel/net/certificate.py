"""Finds the issuer of a server's certificate, which a failed verification does not report.

OpenSSL's error does not include the certificate, so this connects once more, without verification
and without sending anything secret. Only the issuer's name is read from the certificate's DER (RFC
5280, 4.1).
"""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

_TIMEOUT = 5.0
"""Timeout in seconds. It is short, because the issuer is only for an error message."""
_ATTRIBUTE_NAMES = {
    b"\x55\x04\x03": "CN",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
    b"\x55\x04\x06": "C",
}
"""Attributes of a name by their object identifiers (RFC 5280, A.1)."""
_SEQUENCE, _SET, _OBJECT_IDENTIFIER, _VERSION_TAG = 0x30, 0x31, 0x06, 0xA0
_BMP_STRING = 0x1E


def fetch_issuer(url: str) -> str:
    """Return the issuer of the certificate at an https URL as `CN=…`; empty if unavailable."""
    from kubectl_fluidmodel.net import proxies

    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    split, proxy = urlsplit(url), proxies.proxy_for(url)
    host, port = split.hostname or "", split.port or 443
    if urlsplit(proxy).scheme not in ("", "http"):
        return ""  # not supported: proxies that are too rare for the code they need
    try:
        if proxy:
            proxy_split = urlsplit(proxy)
            connection = http.client.HTTPConnection(
                proxy_split.hostname or "", proxy_split.port or 80, timeout=_TIMEOUT
            )
            connection.set_tunnel(host, port, proxies.proxy_auth_header(proxy))
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
        connection.connect()
        try:
            with unchecked.wrap_socket(connection.sock, server_hostname=host) as tls_socket:
                return parse_issuer(tls_socket.getpeercert(True) or b"")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError):
        return ""  # the error message works without the issuer


def parse_issuer(der: bytes) -> str:
    """Return the issuer in a certificate: its CN and O, else all attributes; empty if invalid."""
    try:
        offset = _content_start(der, 0, _SEQUENCE)  # Certificate
        offset = _content_start(der, offset, _SEQUENCE)  # TBSCertificate
        if der[offset] == _VERSION_TAG:
            offset = _element_end(der, offset)
        offset = _element_end(der, _element_end(der, offset))  # serialNumber, signature
        name, end = _content_start(der, offset, _SEQUENCE), _element_end(der, offset)
        values: dict[str, str] = {}
        while name < end:
            attribute, text = _parse_attribute(der, name)
            if attribute:
                values.setdefault(attribute, text)
            name = _element_end(der, name)
    except (IndexError, ValueError):
        return ""
    parts = {kind: values[kind] for kind in ("CN", "O") if kind in values} or values
    return ", ".join(f"{kind}={text}" for kind, text in parts.items())


def _parse_attribute(der: bytes, offset: int) -> tuple[str, str]:
    """Return the type and text of the first attribute of a RelativeDistinguishedName."""
    offset = _content_start(der, _content_start(der, offset, _SET), _SEQUENCE)
    start, end = _content_range(der, offset)
    if der[offset] != _OBJECT_IDENTIFIER:
        raise ValueError(offset)
    name = _ATTRIBUTE_NAMES.get(der[start:end], "")
    tag = der[end]
    start, end = _content_range(der, end)
    text = der[start:end].decode("utf-16-be" if tag == _BMP_STRING else "utf-8", "replace")
    return name, "".join(char if char.isprintable() else "?" for char in text)[:80]


def _content_start(der: bytes, offset: int, tag: int) -> int:
    """Return the offset of a constructed element's content."""
    if der[offset] != tag:
        raise ValueError(offset)
    return _content_range(der, offset)[0]


def _element_end(der: bytes, offset: int) -> int:
    return _content_range(der, offset)[1]


def _content_range(der: bytes, offset: int) -> tuple[int, int]:
    """Return the start and end of an element's content (X.690, 8.1.3)."""
    length, start = der[offset + 1], offset + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ValueError(offset)
        length, start = int.from_bytes(der[start : start + count], "big"), start + count
    if start + length > len(der):
        raise ValueError(offset)
    return start, start + length
