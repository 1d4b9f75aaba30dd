"""The certificate authorities that this machine trusts, and those that a user names.

An OpenSSL that was built on another distribution looks for them where that one has them; the
frozen plugin carries such an OpenSSL. `truststore` looks where the machine at hand has them, and
asks the system itself on macOS and Windows. SSL_CERT_FILE and SSL_CERT_DIR go before it.

What is trusted is the end of a chain, whatever it is: an intermediate authority, or the server's
own certificate, as with Go (crypto/x509), curl and browsers. OpenSSL by itself asks for a root. As
with Go, a certificate without alternative names is for no host.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_fluidmodel.errors import PermanentlyUnreachableError

if TYPE_CHECKING:
    import ssl

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def create_ssl_context(ca_file: str = "") -> ssl.SSLContext:
    """TLS that checks a server against a PEM file, or against what this machine trusts.

    Raises:
        OSError: the file is none, or has no certificate.
    """
    if not ca_file and sys.platform != "linux":
        # There SSL_CERT_FILE is nobody's default, so where it is set, it was meant.
        ca_file = os.environ.get("SSL_CERT_FILE", "")
    if ca_file:
        return create_ssl_context_from_pem(Path(ca_file).read_bytes())
    import ssl

    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform == "linux":
        _apply_go_rules(context)
    return context


def ssl_context_from_environment(message: str) -> ssl.SSLContext:
    """TLS that trusts REQUESTS_CA_BUNDLE, as huggingface_hub does, or else this machine's CAs.

    Raises:
        PermanentlyUnreachableError: REQUESTS_CA_BUNDLE has no certificates; `message` says what
            failed.
    """
    ca_file = os.environ.get("REQUESTS_CA_BUNDLE", "")
    try:
        return create_ssl_context(ca_file)
    except OSError as err:  # ssl.SSLError is an OSError
        reason = f"REQUESTS_CA_BUNDLE is {ca_file}, which has no certificates: {err}"
        raise PermanentlyUnreachableError(message, reason, "unset REQUESTS_CA_BUNDLE") from err


def ca_bundle_path() -> str:
    """The PEM file of the same authorities, for libraries that take a file; empty for their own.

    On Linux that is SSL_CERT_FILE, or the file in which `truststore` finds the machine's
    authorities, together with the certificates in the directories of SSL_CERT_DIR.
    """
    import ssl

    file = os.environ.get("SSL_CERT_FILE", "")
    if sys.platform == "linux" and not Path(file).is_file():
        found = (path for path in _CA_BUNDLE_PATHS if Path(path).is_file())
        file = ssl.get_default_verify_paths().cafile or next(found, "")
    directories = os.environ.get("SSL_CERT_DIR", "")
    return _merged_bundle(file, directories) if directories else file


@functools.cache
def _merged_bundle(file: str, directories: str) -> str:
    """A temporary file with the certificates of a file and of directories, separated by `:`."""
    pem = Path(file).read_bytes() if Path(file).is_file() else b""
    for directory in directories.split(os.pathsep):
        for path in sorted(Path(directory).glob("*")) if directory else ():
            with contextlib.suppress(OSError):  # as OpenSSL, which passes unreadable files over
                pem += b"\n" + b"\n".join(_CERTIFICATE.findall(path.read_bytes()))
    descriptor, merged = tempfile.mkstemp(prefix="kubectl-fluidmodel-", suffix=".pem")
    with os.fdopen(descriptor, "wb") as target:
        target.write(pem)
    atexit.register(Path(merged).unlink, missing_ok=True)
    return merged


_CA_BUNDLE_PATHS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/cert.pem",  # RHEL up to 9
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)
"""Where distributions keep all authorities in one file."""


def create_ssl_context_from_pem(pem: bytes) -> ssl.SSLContext:
    """TLS that trusts these certificates and no others; what else is in the PEM is passed over.

    Raises:
        OSError: there is no certificate in it.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _apply_go_rules(context)
    loaded = 0
    for block in _CERTIFICATE.findall(pem):
        try:
            context.load_verify_locations(cadata=block.decode("ascii"))
        except (ValueError, OSError):  # ssl.SSLError is an OSError
            continue  # one of several may be cut, or of a kind that OpenSSL does not know
        loaded += 1
    if not loaded:
        raise OSError("there is no certificate in the certificate authority's PEM")
    return context


def _apply_go_rules(context: ssl.SSLContext) -> None:
    import ssl

    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
