"""Requests to a store: signed as S3 wants it, and sent."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
import time

from .ufs import UfsError

EMPTY = hashlib.sha256(b"").hexdigest()


def sign(
    request: str, headers: dict[str, str], region: str, keys: tuple[str, str]
) -> dict[str, str]:
    """Return the headers of a request without a body, signed (AWS Signature Version 4).

    Args:
        request: Method, path and query, one a line.
        headers: Those to send.
        region: Of the bucket.
        keys: The access key and the secret key.
    """
    access, secret = keys
    now = time.gmtime()
    stamp, day = time.strftime("%Y%m%dT%H%M%SZ", now), time.strftime("%Y%m%d", now)
    signed = {"x-amz-content-sha256": EMPTY, "x-amz-date": stamp, **headers}
    names = ";".join(sorted(signed))
    lines = "".join(f"{key}:{signed[key]}\n" for key in sorted(signed))
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(f"{request}\n{lines}\n{names}\n{EMPTY}".encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**signed, "authorization": f"AWS4-HMAC-SHA256 {credential}"}


def send(
    secure: bool,
    host: str,
    port: int,
    target: str,
    headers: dict[str, str],
    method: str = "GET",
    answer_headers: dict[str, str] | None = None,
) -> tuple[int, bytes, str]:
    """Send one request; returns the status, the body and the reason.

    Raises:
        UfsError: there is no connection.
    """
    if secure:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=10, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for key, value in headers.items():
            connection.putheader(key, value)
        connection.endheaders()
        answer = connection.getresponse()
        if answer_headers is not None:
            answer_headers.update({key.lower(): value for key, value in answer.getheaders()})
        return answer.status, answer.read(), answer.reason
    except OSError as error:
        where = f"{host}:{port}"
        unknown = "Name or service" in str(error) or "name resolution" in str(error)
        said = (
            f"java.net.UnknownHostException: {host}"
            if unknown
            else f"Connect to {where} [/{host}] failed: Connection refused"
        )
        raise UfsError(f"ClientException:Unable to execute HTTP request: {said}") from error
    finally:
        connection.close()
