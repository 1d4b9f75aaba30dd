"""S3 stores: an endpoint, its credentials from boto3's chain, and the client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.net import proxies, tls
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.objectstore.error_codes import NotS3StoreError
from kubectl_fluidmodel.objectstore.s3_credentials import (
    S3Credentials,
    expiration_from_environment,
)
from kubectl_fluidmodel.objectstore.s3_errors import translate_errors
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.records import dataclass

_AWS_ENDPOINT = "https://s3.amazonaws.com"


@dataclass(frozen=True)
class S3Store:
    """An S3 endpoint with its credentials.

    `endpoint` is the URL that the cluster's pods use, empty for AWS itself. `reach` is the URL for
    this machine if it differs (a port-forward).
    """

    endpoint: str = ""
    region: str = ""
    credentials: S3Credentials | None = None
    reach_url: str = ""

    @property
    def request_url(self) -> str:
        """The URL for requests from this machine."""
        return self.reach_url or self.endpoint or _AWS_ENDPOINT

    def client(self, **settings: Any) -> Any:
        """Return a boto3 S3 client; without credentials, its requests are unsigned.

        `settings` are passed to botocore's Config.
        """
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        base: dict[str, Any] = {
            "connect_timeout": 5,
            "read_timeout": 30,
            "retries": {"max_attempts": 3, "mode": "standard"},
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        if self.endpoint:
            base["s3"] = {"addressing_style": "path"}
        # Only `endpoint` counts: a Dataset without an endpoint is read from AWS, whatever this
        # machine's configuration has.
        base["ignore_configured_endpoint_urls"] = True
        if self.credentials is None:
            base["signature_version"] = UNSIGNED
        keys: dict[str, Any] = {}
        session = self.credentials.session if self.credentials is not None else None
        if self.credentials is not None and session is None:
            keys = {
                "aws_access_key_id": self.credentials.access_key,
                "aws_secret_access_key": self.credentials.secret_key,
                "aws_session_token": self.credentials.session_token or None,
            }
        with translate_errors(self, "cannot set up the S3 client"):
            session = session or boto3.session.Session()
            url = self.reach_url or self.endpoint
            base["proxies"] = _proxy_config(self.request_url)
            s3_client = session.client(
                "s3",
                endpoint_url=url or None,
                region_name=self.region or "us-east-1",
                config=Config(**{**base, **settings}),
                verify=_ca_bundle(session),
                **keys,
            )
        s3_client.meta.events.register("before-parse.s3", _check_response)
        s3_client.meta.events.register_first("needs-retry.s3", _check_parsed)
        return s3_client

    def with_renewed_credentials(self) -> S3Store | None:
        """Return the store with newer credentials of boto3's chain; None if there are none.

        This includes credentials that were since written to a file (`aws sso login`, a
        sidecar).
        """
        old = self.credentials
        if old is None or old.session is None:
            return None
        now = store_from_environment(self.endpoint, self.region).credentials
        if now is None or now == old:
            return None
        return replace(self, credentials=now)

    def with_reach_url(self, url: str) -> S3Store:
        """Return the same store at another URL for this machine."""
        return replace(self, reach_url=url)


def store_from_environment(endpoint: str | None, region: str | None) -> S3Store:
    """Return the store from AWS_* variables, the shared config files or the instance's role.

    Flags take precedence. Credentials are None if boto3's chain finds none.

    Raises:
        UsageError: the endpoint is not an http(s) URL, or the profile does not exist.
    """
    import boto3
    import botocore.session
    from botocore.credentials import RefreshableCredentials

    expires = expiration_from_environment()
    with translate_errors(S3Store(endpoint or ""), "cannot read the AWS configuration"):
        core = botocore.session.get_session()
        session = boto3.session.Session(botocore_session=core)
        url = endpoint or _configured_endpoint(core.full_config, core.get_scoped_config())
        aws_credentials = session.get_credentials()
        try:
            frozen = aws_credentials.get_frozen_credentials() if aws_credentials else None
        except (
            RuntimeError
        ) as err:  # botocore's error for expired credentials that could not be renewed
            reason, hint = "they have expired", "log in again"
            raise FluidModelError("cannot use the S3 credentials", reason, hint) from err
        configured = session.region_name or ""
    credentials = None
    if frozen and frozen.access_key and frozen.secret_key:
        fixed = aws_credentials.method == "env"
        credentials = S3Credentials(
            frozen.access_key,
            frozen.secret_key,
            frozen.token or "",
            session=None if fixed else session,
            auto_renews=not fixed and isinstance(aws_credentials, RefreshableCredentials),
            expires_at=expires if fixed else None,
        )
    return S3Store(validate_endpoint(url), region or configured, credentials)


def _configured_endpoint(config: Mapping[str, Any], profile: Mapping[str, Any]) -> str:
    """Return the S3 endpoint of the environment, else of the profile; empty for none.

    `config` and `profile` are botocore's full and scoped configuration. The order is that of the
    AWS SDKs and Tools Reference Guide, "Service-specific endpoints": the service's variable, the
    global variable, the profile's `services` section, the profile itself.

    Raises:
        UsageError: the profile refers to a `services` section that does not exist.
    """
    ignored = os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or profile.get(
        "ignore_configured_endpoint_urls", ""
    )
    if str(ignored).lower() == "true":
        return ""
    services: Any = {}
    if named := profile.get("services"):
        services = (config.get("services") or {}).get(named)
        if services is None:
            raise UsageError(
                "cannot read the AWS configuration",
                f"its profile refers to the services section '{named}', which does not exist",
                "check AWS_CONFIG_FILE",
            )
    of_service = services.get("s3") or {}
    endpoint = (
        os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or (of_service.get("endpoint_url") if isinstance(of_service, Mapping) else "")
        or profile.get("endpoint_url")
    )
    return str(endpoint or "")


def _check_response(operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
    """Handle botocore's event between receiving and parsing a response.

    Raises:
        NotS3StoreError: the server is not a store.
    """
    headers = {str(key).lower(): str(value) for key, value in response_dict["headers"].items()}
    status, body = int(response_dict["status_code"]), response_dict.get("body")
    error_codes.require_s3_response(
        operation_model.name, status, headers, body if isinstance(body, bytes) else b""
    )


def _check_parsed(response: Any = None, **_: Any) -> None:
    """Handle botocore's event before a retry: botocore treats a 200 without XML as an error 500.

    Raises:
        NotS3StoreError: the server is not a store.
    """
    if not isinstance(response, tuple):
        return
    http, parsed = response
    status = int(getattr(http.raw, "status", None) or http.status_code)  # unchanged
    if status >= 300 or str((parsed.get("Error") or {}).get("Code", "")) != "500":
        return
    if not http.content[:64].lstrip().startswith(b"<?xml"):  # a store's response that was cut off
        headers = {str(key).lower(): str(value) for key, value in http.headers.items()}
        raise NotS3StoreError(error_codes.NOT_S3, error_codes.describe_response(status, headers))


def _proxy_config(url: str) -> dict[str, str]:
    """Return the proxy for an endpoint, by the same rules as for the Hub and the API server."""
    proxy = proxies.proxy_for(url)
    return dict.fromkeys(("http", "https"), proxy) if proxy else {}


def _ca_bundle(session: Any) -> str | None:
    """Return the PEM file with the store's CAs; None for botocore's own.

    boto3's own settings take precedence (AWS_CA_BUNDLE, a profile's `ca_bundle`).
    """
    return None if session._session.get_config_variable("ca_bundle") else _ca_file() or None


def ca_file() -> str:
    """Return the PEM file with the store's CAs; empty for the library's own."""
    return os.environ.get("AWS_CA_BUNDLE") or _ca_file()


def _ca_file() -> str:
    return os.environ.get("REQUESTS_CA_BUNDLE") or tls.ca_bundle_path()


def validate_endpoint(url: str) -> str:
    """Return the URL without a trailing slash; an empty one stays empty.

    Raises:
        UsageError: it is not an http(s) URL.
    """
    scheme, separator, host = url.partition("://")
    if url and (scheme not in ("http", "https") or not host):
        meant = command("--endpoint", f"http://{url}") if not separator else "--endpoint URL"
        reason = "it must start with http:// or https://"
        raise UsageError(f"the endpoint '{url}' is not a URL", reason, meant)
    if any(char.isspace() for char in url) or "@" in url:
        raise UsageError("the endpoint is invalid", "it contains spaces or credentials")
    return url.rstrip("/")


def require_endpoint_without_bucket(store: S3Store, bucket: str) -> None:
    """Check before any request that the endpoint is the store's and not the bucket's.

    Raises:
        UsageError: it contains the bucket's name.
    """
    right = error_codes.find_bucket_in_endpoint(store.endpoint, bucket)
    if right:
        raise UsageError(
            f"the endpoint {store.endpoint} contains the bucket's name",
            "requests would append the bucket's name a second time",
            command("--endpoint", right),
        )
