"""The certificate authorities that this machine trusts, and those that a user sets.

An OpenSSL that was built on another distribution looks for CAs in that distribution's directories,
and the frozen plugin contains such an OpenSSL. `truststore` finds the CAs of the current machine,
and uses the system's own verification on macOS and Windows. SSL_CERT_FILE and SSL_CERT_DIR take
precedence.

Any certificate can be a trust anchor: an intermediate CA or the server's own certificate, as in Go
(crypto/x509), curl and browsers. By default, OpenSSL requires a root. As in Go, a certificate
without alternative names matches no host.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_fluidmodel.errors import PermanentlyUnreachableError

if TYPE_CHECKING:
    import ssl

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def create_ssl_context(ca_file: str = "") -> ssl.SSLContext:
    """Create a TLS context that trusts a PEM file, or what this machine trusts.

    Raises:
        OSError: the file does not exist or has no certificate.
    """
    if not ca_file and sys.platform != "linux":
        # SSL_CERT_FILE has no default on these systems, so if it is set, the user set it
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
    """Create a TLS context that trusts REQUESTS_CA_BUNDLE, or else this machine's CAs.

    huggingface_hub does the same.

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
    """Return a PEM file of the same CAs, for libraries that take a file; empty for their default.

    On Linux, this is SSL_CERT_FILE or the file that `truststore` finds, combined with the
    certificates in the directories of SSL_CERT_DIR.
    """
    import ssl

    file = os.environ.get("SSL_CERT_FILE", "")
    if sys.platform == "linux" and not Path(file).is_file():
        files = (path for path in _CA_BUNDLE_PATHS if Path(path).is_file())
        file = ssl.get_default_verify_paths().cafile or next(files, "")
    directories = os.environ.get("SSL_CERT_DIR", "")
    return _merged_bundle(file, directories) if directories else file


@functools.cache
def _merged_bundle(file: str, directories: str) -> str:
    """Return a temporary file with the certificates of a file and of `:`-separated directories."""
    pem = Path(file).read_bytes() if Path(file).is_file() else b""
    for directory in directories.split(os.pathsep):
        for path in sorted(Path(directory).glob("*")) if directory else ():
            with contextlib.suppress(OSError):  # like OpenSSL, which skips unreadable files
                pem += b"\n" + b"\n".join(_CERTIFICATE.findall(path.read_bytes()))
    import tempfile  # most commands need none

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
"""Files in which distributions keep all CAs."""


def create_ssl_context_from_pem(pem: bytes) -> ssl.SSLContext:
    """Create a TLS context that trusts only these certificates; ignores other content of the PEM.

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
            continue  # a certificate may be truncated or of a type that OpenSSL does not know
        loaded += 1
    if not loaded:
        raise OSError("the PEM of the certificate authority has no certificate")
    return context


def _apply_go_rules(context: ssl.SSLContext) -> None:
    import ssl

    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
