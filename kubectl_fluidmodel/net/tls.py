"""The certificate authorities that this machine trusts, and those that a user names.

An OpenSSL that was built on another distribution looks for them where that one has them; the
frozen plugin carries such an OpenSSL. `truststore` looks where the machine at hand has them, and
asks the system itself on macOS and Windows. SSL_CERT_FILE and SSL_CERT_DIR go before it.

What is trusted is the end of a chain, whatever it is: an intermediate authority, or the server's
own certificate, as with Go (crypto/x509), curl and browsers. OpenSSL by itself asks for a root. As
with Go, a certificate without alternative names is for no host.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def context(bundle: str = "") -> ssl.SSLContext:
    """TLS that checks a server against a PEM file, or against what this machine trusts.

    Raises:
        OSError: the file is none, or has no certificate.
    """
    if not bundle and sys.platform != "linux":
        # There SSL_CERT_FILE is nobody's default, so where it is set, it was meant.
        bundle = os.environ.get("SSL_CERT_FILE", "")
    if bundle:
        return anchored(Path(bundle).read_bytes())
    import ssl

    import truststore

    found = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform == "linux":
        _as_go(found)
    return found


def bundle() -> str:
    """The PEM file of the same authorities, for those that take a file; empty for their own.

    Where the machine has them is where `truststore` looks on Linux.
    """
    import ssl

    named = os.environ.get("SSL_CERT_FILE", "")
    if Path(named).is_file() or sys.platform != "linux":
        return named
    usual = ssl.get_default_verify_paths()
    if usual.cafile:
        return usual.cafile
    return next((path for path in _BUNDLES if Path(path).is_file()), "")


_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/cert.pem",  # RHEL up to 9
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)
"""Where distributions keep all authorities in one file."""


def anchored(pem: bytes) -> ssl.SSLContext:
    """TLS that trusts these certificates and no others; what else is in the PEM is passed over.

    Raises:
        OSError: there is no certificate in it.
    """
    import ssl

    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _as_go(found)
    known = 0
    for block in _CERTIFICATE.findall(pem):
        try:
            found.load_verify_locations(cadata=block.decode("ascii"))
        except (ValueError, OSError):  # ssl.SSLError is an OSError
            continue  # one of several may be cut, or of a kind that OpenSSL does not know
        known += 1
    if not known:
        raise OSError("there is no certificate in the certificate authority's PEM")
    return found


def _as_go(context: ssl.SSLContext) -> None:
    import ssl

    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
