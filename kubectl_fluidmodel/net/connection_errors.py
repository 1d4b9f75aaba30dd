"""Explains why a server does not respond, in the same terms for the Hub, stores and the API server.

Distinguishes an unknown host, a closed port, a timeout, untrusted or missing TLS, and a proxy, each
with a fix. `permanent` marks failures that a retry would only repeat.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from kubectl_fluidmodel.errors import PermanentlyUnreachableError, UnreachableError
from kubectl_fluidmodel.net import certificate, proxies
from kubectl_fluidmodel.records import dataclass

_CA_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""Variables that set trusted CAs; the first that is set wins. The first one applies only to stores.
"""
_UNTRUSTED_CODES = (2, 7, 18, 19, 20, 21)
"""OpenSSL's X509_V_ERR codes for a chain without a trusted end, including an authority with the
right name and another key (7)."""
_NAME_MISMATCH_CODES = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH."""
_NAME_MISMATCH_HINT = "the name or the address that the certificate is for"
_TLS_REJECTED_REASONS = (
    "PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "HANDSHAKE_FAILURE",
    "CERTIFICATE_REQUIRED",
)
_PLAINTEXT_REASONS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST",
    "RECORD_LAYER_FAILURE",
)


@dataclass(frozen=True)
class ConnectionFailure:
    """The reason, the fix, and whether the failure is permanent."""

    reason: str
    hint: str
    permanent: bool = False

    def to_error(self, message: str) -> UnreachableError:
        """Return the error to raise; `message` says what failed."""
        kind = PermanentlyUnreachableError if self.permanent else UnreachableError
        return kind(message, self.reason, self.hint)


def explain_tls_error(
    err: BaseException, url: str, setting: str, trust_hint: str
) -> ConnectionFailure | None:
    """Like `explain_connection_error`, for TLS errors only; None for other errors."""
    if not any(isinstance(cause, ssl.SSLError) for cause in _iter_error_chain(err)):
        return None
    return explain_connection_error(err, url, setting, trust_hint=trust_hint)


def explain_connection_error(
    err: BaseException, url: str, setting: str, stall_timeout: float = 0.0, *, trust_hint: str = ""
) -> ConnectionFailure:
    """Explain an exception of urllib3, botocore or ssl from a request to `url`.

    Args:
        err: The exception.
        url: The URL of the request.
        setting: What sets the address, such as HF_ENDPOINT.
        stall_timeout: Seconds without data after which the connection was closed, if the user can
            change them with --stall; else 0.
        trust_hint: How to trust another authority, if no environment variable sets it.
    """
    chain = list(_iter_error_chain(err))
    host = urlsplit(url).netloc.rpartition("@")[2]
    proxy = proxies.proxy_for(url)
    tls = next((cause for cause in chain if isinstance(cause, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return _explain_certificate_error(
            tls,
            url,
            host,
            _CA_VARIABLES if setting == "--endpoint" else _CA_VARIABLES[1:],
            trust_hint,
        )
    mismatch = next((cause for cause in chain if _is_instance_of(cause, "CertificateError")), None)
    if mismatch is not None:  # urllib3 compares names itself when botocore uses it
        detail = _truncate(str(mismatch))
        reason = f"TLS to {host} failed: its certificate is for another name ({detail})"
        return ConnectionFailure(reason, _NAME_MISMATCH_HINT, True)
    if proxy and _has_instance_of(chain, "ProxyError", "ProxyConnectionError"):
        return _explain_proxy_error(chain, proxy, host)
    if tls is not None:
        tls_reason = f"{tls.reason or tls}".upper()
        if any(reason in tls_reason for reason in _PLAINTEXT_REASONS):
            plain = f"http://{host}{urlsplit(url).path}".rstrip("/")
            return ConnectionFailure(
                f"{host} does not speak TLS", f"{setting} with http:// ({_truncate(plain)})", True
            )
        if any(reason in tls_reason for reason in _TLS_REJECTED_REASONS):
            return ConnectionFailure(
                f"TLS to {host} failed: {_innermost_message(chain)}", f"check {setting}", True
            )
    if any(isinstance(cause, socket.gaierror) for cause in chain):
        return ConnectionFailure(f"the host name {host} does not resolve", f"check {setting}")
    if any(isinstance(cause, ConnectionRefusedError) for cause in chain):
        return ConnectionFailure(
            f"no response from {host} (connection refused)", f"check {setting}"
        )
    if _has_instance_of(chain, "ConnectTimeoutError"):
        return ConnectionFailure(
            f"no response from {host} (timed out while connecting)", f"check {setting}"
        )
    if _has_instance_of(chain, "TimeoutError", "ReadTimeoutError"):
        if stall_timeout:
            reason = f"no response from {host} (timed out: no data for {stall_timeout:g} s)"
            return ConnectionFailure(
                reason, f"--stall {max(60, round(stall_timeout * 4))}s, if the connection is slow"
            )
        return ConnectionFailure(f"no response from {host} (timed out)", f"check {setting}")
    return ConnectionFailure(
        f"no response from {host} ({_innermost_message(chain)})", f"check {setting}"
    )


def proxy_status_failure(status: int, url: str) -> ConnectionFailure | None:
    """Explain an HTTP status that only a proxy returns; None for any other status."""
    proxy = proxies.proxy_for(url)
    if status != 407 or not proxy:
        return None
    host = urlsplit(url).netloc.rpartition("@")[2]
    return _proxy_refusal(proxy, host, "407 Proxy Authentication Required")


def _explain_certificate_error(
    err: ssl.SSLCertVerificationError,
    url: str,
    host: str,
    variables: Sequence[str],
    trust_hint: str,
) -> ConnectionFailure:
    message = (err.verify_message or str(err)).rstrip(".")
    code = err.verify_code
    if code in _UNTRUSTED_CODES:
        issuer = certificate.fetch_issuer(url)
        description = f"from issuer {issuer} is not trusted" if issuer else "is not trusted"
        reason = f"TLS to {host} failed: its certificate {description} ({message})"
        if trust_hint:
            return ConnectionFailure(reason, trust_hint, True)
        variable = next((name for name in variables if os.environ.get(name)), variables[-1])
        file = os.environ.get(variable, "")
        if file and not Path(file).is_file():
            reason += f", and {variable} is {_truncate(file)}, which is not a file"
        hint = f"export {variable}=ca.pem, a PEM file with that CA's certificate"
        return ConnectionFailure(reason, hint, True)
    if code in (9, 10):  # not yet valid, has expired
        issuer = certificate.fetch_issuer(url)
        description = f" from issuer {issuer}" if issuer else ""
        hint = f"check this machine's clock, or renew the certificate of {host}"
        return ConnectionFailure(
            f"TLS to {host} failed: its certificate{description}: {message}", hint, True
        )
    reason = f"TLS to {host} failed: its certificate is for another name ({message})"
    return ConnectionFailure(
        reason if code in _NAME_MISMATCH_CODES else f"TLS to {host} failed: {message}",
        _NAME_MISMATCH_HINT,
        True,
    )


def _explain_proxy_error(chain: list[BaseException], proxy: str, host: str) -> ConnectionFailure:
    for cause in chain:
        tunnel_failure = re.search(r"Tunnel connection failed: (\d{3}.*)", str(cause))
        if tunnel_failure:
            failure = _proxy_refusal(proxy, host, _truncate(tunnel_failure[1].strip(" '\")")))
            return (
                failure
                if tunnel_failure[1][0] == "4"
                else ConnectionFailure(failure.reason, failure.hint)
            )
    return ConnectionFailure(
        f"no response from the proxy {proxies.without_credentials(proxy)} "
        f"({_innermost_message(chain)})",
        _PROXY_HINT,
    )


_PROXY_HINT = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"


def _proxy_refusal(proxy: str, host: str, message: str) -> ConnectionFailure:
    hint = "a user and password in the proxy's URL" if message.startswith("407") else _PROXY_HINT
    return ConnectionFailure(
        f"the proxy {proxies.without_credentials(proxy)} refuses the connection to {host} "
        f"({message})",
        hint,
        True,
    )


def _iter_error_chain(err: BaseException) -> Iterator[BaseException]:
    """Return an exception and all its causes, outermost first."""
    pending, visited = [err], set()
    while pending:
        cause = pending.pop(0)
        if id(cause) in visited:
            continue
        visited.add(id(cause))
        yield cause
        inner_errors = [
            getattr(cause, "reason", None),
            _wrapped_error(cause),
            cause.__cause__,
            cause.__context__,
        ]
        inner_errors += cause.args
        pending += [inner for inner in inner_errors if isinstance(inner, BaseException)]


def _is_instance_of(err: BaseException, *names: str) -> bool:
    """Compare by class name, because urllib3 and botocore use the same names."""
    return any(kind.__name__ in names for kind in type(err).__mro__)


def _has_instance_of(chain: list[BaseException], *names: str) -> bool:
    return any(_is_instance_of(cause, *names) for cause in chain)


def _innermost_message(chain: list[BaseException]) -> str:
    """Return the innermost cause, without the object addresses that urllib3 prints."""
    inner = chain[0]
    for cause in chain[1:]:
        if cause in (getattr(inner, "reason", None), _wrapped_error(inner), *inner.args):
            inner = cause
    text = re.sub(r" ?\(_ssl\.c:\d+\)|\[Errno -?\d+\] ", "", " ".join(str(inner).split()))
    return _truncate(text.rpartition(": ")[2]) or type(inner).__name__


def _wrapped_error(err: BaseException) -> object:
    """Return the exception from which a botocore exception was created."""
    kwargs = getattr(err, "kwargs", None)
    return kwargs.get("error") if isinstance(kwargs, dict) else None


def _truncate(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:120]
