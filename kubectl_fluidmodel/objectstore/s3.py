"""S3 stores: an endpoint, its credentials from boto3's own chain, and the client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
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

_AWS_ENDPOINT = "https://s3.amazonaws.com"


@dataclass(frozen=True)
class S3Store:
    """An S3 endpoint with the way to log in.

    `endpoint` is the URL that the cluster's pods use, empty for AWS itself; `reach` is the URL
    to use from this machine where that differs (a port-forward).
    """

    endpoint: str = ""
    region: str = ""
    credentials: S3Credentials | None = None
    reach_url: str = ""

    @property
    def request_url(self) -> str:
        """The URL that requests from this machine go to."""
        return self.reach_url or self.endpoint or _AWS_ENDPOINT

    def client(self, **settings: Any) -> Any:
        """A boto3 S3 client; without credentials it sends unsigned requests.

        `settings` go to botocore's Config.
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
        # `endpoint` is the whole truth: a Dataset that names none is read from AWS, whatever the
        # configuration of this machine says.
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
            made = session.client(
                "s3",
                endpoint_url=url or None,
                region_name=self.region or "us-east-1",
                config=Config(**{**base, **settings}),
                verify=_ca_bundle(session),
                **keys,
            )
        made.meta.events.register("before-parse.s3", _check_response)
        made.meta.events.register_first("needs-retry.s3", _check_parsed)
        return made

    def with_renewed_credentials(self) -> S3Store | None:
        """The same with newer credentials of boto3's chain; None where there are none.

        Whoever writes them to a file meanwhile (`aws sso login`, a sidecar) is seen, too.
        """
        old = self.credentials
        if old is None or old.session is None:
            return None
        now = store_from_environment(self.endpoint, self.region).credentials
        if now is None or now == old:
            return None
        return replace(self, credentials=now)

    def with_reach_url(self, url: str) -> S3Store:
        """The same store by way of another URL from this machine."""
        return replace(self, reach_url=url)


def store_from_environment(endpoint: str | None, region: str | None) -> S3Store:
    """The store that AWS_* variables, the shared config files or the instance's role give.

    Flags go first. Credentials are None where boto3's chain finds none.

    Raises:
        UsageError: the endpoint is no http(s) URL, or the profile does not exist.
    """
    import boto3
    import botocore.session
    from botocore.credentials import RefreshableCredentials

    expires = expiration_from_environment()
    with translate_errors(S3Store(endpoint or ""), "cannot read the AWS configuration"):
        core = botocore.session.get_session()
        session = boto3.session.Session(botocore_session=core)
        url = endpoint or _configured_endpoint(core.full_config, core.get_scoped_config())
        found = session.get_credentials()
        try:
            frozen = found.get_frozen_credentials() if found else None
        except RuntimeError as err:  # botocore's word for what expired and was not renewed
            why, how = "they have expired", "log in again"
            raise FluidModelError("cannot use the S3 credentials", why, how) from err
        configured = session.region_name or ""
    credentials = None
    if frozen and frozen.access_key and frozen.secret_key:
        fixed = found.method == "env"
        credentials = S3Credentials(
            frozen.access_key,
            frozen.secret_key,
            frozen.token or "",
            session=None if fixed else session,
            auto_renews=not fixed and isinstance(found, RefreshableCredentials),
            expires_at=expires if fixed else None,
        )
    return S3Store(validate_endpoint(url), region or configured, credentials)


def _configured_endpoint(config: Mapping[str, Any], profile: Mapping[str, Any]) -> str:
    """The S3 endpoint of the environment, else of the profile; empty for none.

    `config` and `profile` are botocore's full and scoped configuration. The order is that of the
    AWS SDKs and Tools Reference Guide, "Service-specific endpoints": variable of the service,
    variable of all, `services` section of the profile, the profile itself.

    Raises:
        UsageError: the profile names a `services` section that is not there.
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
                f"its profile names the services section '{named}', which is not there",
                "check AWS_CONFIG_FILE",
            )
    of_service = services.get("s3") or {}
    found = (
        os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or (of_service.get("endpoint_url") if isinstance(of_service, Mapping) else "")
        or profile.get("endpoint_url")
    )
    return str(found or "")


def _check_response(operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
    """botocore's event between an answer and its reading.

    Raises:
        NotS3StoreError: whoever answers is no store.
    """
    headers = {str(key).lower(): str(value) for key, value in response_dict["headers"].items()}
    status, body = int(response_dict["status_code"]), response_dict.get("body")
    error_codes.require_s3_response(
        operation_model.name, status, headers, body if isinstance(body, bytes) else b""
    )


def _check_parsed(response: Any = None, **_: Any) -> None:
    """botocore's event before it tries again: it takes a 200 that is no XML for an error 500.

    Raises:
        NotS3StoreError: whoever answers is no store.
    """
    if not isinstance(response, tuple):
        return
    http, parsed = response
    status = int(getattr(http.raw, "status", None) or http.status_code)  # as it came
    if status >= 300 or str((parsed.get("Error") or {}).get("Code", "")) != "500":
        return
    if not http.content[:64].lstrip().startswith(b"<?xml"):  # a store's that broke off
        headers = {str(key).lower(): str(value) for key, value in http.headers.items()}
        raise NotS3StoreError(error_codes.NOT_S3, error_codes.describe_response(status, headers))


def _proxy_config(url: str) -> dict[str, str]:
    """The proxy on the way to an endpoint, as the Hub and the API server have it."""
    found = proxies.proxy_for(url)
    return dict.fromkeys(("http", "https"), found) if found else {}


def _ca_bundle(session: Any) -> str | None:
    """The PEM file that a store's certificate is checked against; None for botocore's own.

    What boto3 itself is told goes first (AWS_CA_BUNDLE, a profile's `ca_bundle`).
    """
    return None if session._session.get_config_variable("ca_bundle") else _ca_file() or None


def ca_file() -> str:
    """The PEM file that a store's certificate is checked against; empty for the library's own."""
    return os.environ.get("AWS_CA_BUNDLE") or _ca_file()


def _ca_file() -> str:
    return os.environ.get("REQUESTS_CA_BUNDLE") or tls.ca_bundle_path()


def validate_endpoint(url: str) -> str:
    """The URL without a trailing slash; empty stays empty.

    Raises:
        UsageError: it is no http(s) URL.
    """
    if url and (not url.startswith(("http://", "https://")) or len(url.split("://", 1)[1]) == 0):
        raise UsageError(
            f"the endpoint '{url}' is not a URL", "it begins with http:// or https://", "--endpoint"
        )
    if any(char.isspace() for char in url) or "@" in url:
        raise UsageError("the endpoint is not usable", "it has spaces or credentials in it")
    return url.rstrip("/")


def require_endpoint_without_bucket(store: S3Store, bucket: str) -> None:
    """See, before any request, that the endpoint is the store's and not the bucket's.

    Raises:
        UsageError: it has the bucket's name in it.
    """
    right = error_codes.find_bucket_in_endpoint(store.endpoint, bucket)
    if right:
        raise UsageError(
            f"the endpoint {store.endpoint} has the bucket's name in it",
            "it is put behind the endpoint once more, and nothing is found there",
            f"--endpoint {right}",
        )
