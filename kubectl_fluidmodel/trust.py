"""The certificate authorities that this machine trusts.

An OpenSSL that was built on another distribution looks for them where that one has them; the
frozen plugin carries such an OpenSSL. `truststore` looks where the machine at hand has them, and
asks the system itself on macOS and Windows. SSL_CERT_FILE and SSL_CERT_DIR go before it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def context(bundle: str = "") -> ssl.SSLContext:
    """TLS that checks a server against a PEM file, or against what this machine trusts.

    Raises:
        OSError: the file is none, or has no certificate.
    """
    import ssl

    if not bundle and sys.platform != "linux":
        # There SSL_CERT_FILE is nobody's default, so where it is set, it was meant.
        bundle = os.environ.get("SSL_CERT_FILE", "")
    if bundle:
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        own.load_verify_locations(cafile=bundle)
        return own
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


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
