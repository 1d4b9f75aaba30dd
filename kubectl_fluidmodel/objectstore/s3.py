"""Object stores that speak S3: credentials from boto3's own chain, and what lies in a bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from kubectl_fluidmodel.errors import (
    FluidModelError,
    PermanentlyUnreachableError,
    UnreachableError,
    UsageError,
)
from kubectl_fluidmodel.model import hub_cache
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.model.sample import RangeReader, RangeReadError
from kubectl_fluidmodel.net import connection_errors, proxies, tls
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.objectstore.error_codes import NotS3StoreError
from kubectl_fluidmodel.output.shell import Operand, command

ACCESS_KEY = "AWS_ACCESS_KEY_ID"
SECRET_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key, not a key
SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105

GCS_ENDPOINT = "https://storage.googleapis.com"
"""Google's S3-compatible XML API; takes HMAC keys, or nothing for public buckets."""

# Spellings under which Secrets in the wild keep the two keys: ours, Alluxio's, MinIO's.
KEY_NAME_PAIRS = (
    (ACCESS_KEY, SECRET_KEY),
    ("aws.accessKeyId", "aws.secretKey"),
    ("accesskey", "secretkey"),
    ("accessKey", "secretKey"),
    ("access-key", "secret-key"),
    ("root-user", "root-password"),
    ("rootUser", "rootPassword"),
)

_AWS_ENDPOINT = "https://s3.amazonaws.com"
TOKEN_NAMES = (SESSION_TOKEN, "aws.sessionToken", "sessionToken", "session-token", "session_token")
"""Spellings under which Secrets keep the session token of temporary keys."""

_MAX_OBJECTS = 200_000
"""A model of more objects than this is a wrong prefix, not a model."""


@dataclass(frozen=True)
class S3Credentials:
    """S3 keys. They never appear in a repr."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    session: Any = field(default=None, repr=False, compare=False)
    """boto3's session whose they are, which finds newer ones; None where nothing does: keys of
    a Secret, or of environment variables."""
    auto_renews: bool = field(default=False, compare=False)
    """Whether that session renews them by itself before they end."""
    expires_at: datetime | None = field(default=None, compare=False)
    """When they end, where that is known and they do not renew themselves."""

    @property
    def will_expire(self) -> bool:
        """Whether they end while somebody may still work with them."""
        return bool(self.session_token or self.expires_at) and not self.auto_renews

    @property
    def short_lived(self) -> bool:
        """Whether a copy of them ends by itself: it has a session token, or needs one.

        AWS gives IDs of temporary keys a prefix (IAM User Guide, "Unique identifiers").
        """
        return bool(self.session_token) or self.access_key.startswith(
            error_codes.TEMPORARY_KEY_PREFIX
        )


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
            base["proxies"] = _proxy_config(url)
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

    expires = _expiration_from_environment()
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


def expiry_warning(store: S3Store, now: datetime | None = None) -> str:
    """What to say of credentials that end while somebody still works with them; else nothing."""
    keys = store.credentials
    if keys is None or not keys.will_expire:
        return ""
    after = "after that, log in and run the same command again: it goes on"
    if keys.expires_at is None:
        return f"the S3 credentials are temporary, and nothing renews them; {after}"
    left = (keys.expires_at - (now or datetime.now(timezone.utc))).total_seconds()
    at = keys.expires_at.astimezone(timezone.utc)
    return (
        f"the S3 credentials end in {max(0, int(left // 60))} min ({at:%H:%M} UTC), and nothing "
        f"renews them; {after}"
    )


def _expiration_from_environment() -> datetime | None:
    """When the keys of environment variables end, by what `aws configure export-credentials`
    and others set with them.

    Raises:
        UsageError: it is no time.
    """
    text = os.environ.get("AWS_CREDENTIAL_EXPIRATION", "")
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as err:
        what = f"AWS_CREDENTIAL_EXPIRATION is no time: '{text}'"
        raise UsageError(what, "it is written as 2026-01-31T12:00:00Z", "unset it") from err
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


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
    found = proxies.proxy_for(url or _AWS_ENDPOINT)
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


def find_key_names(keys: Mapping[str, Any], secret: str) -> tuple[str, str]:
    """The names under which a Secret's data keeps the access key and the secret key.

    Raises:
        FluidModelError: none of the known pairs is there.
    """
    for access, hidden in KEY_NAME_PAIRS:
        if access in keys and hidden in keys:
            return access, hidden
    have = ", ".join(sorted(keys)) or "nothing"
    raise FluidModelError(
        f"Secret {secret} has no S3 keys",
        f"expected {ACCESS_KEY} and {SECRET_KEY}, found {have}",
        f"kubectl create secret generic {secret} --from-literal={ACCESS_KEY}=… "
        f"--from-literal={SECRET_KEY}=…",
    )


def list_prefix(store: S3Store, bucket: str, prefix: str) -> FileListing:
    """Every object below a prefix of a bucket, with paths relative to it.

    Raises:
        FluidModelError: the bucket is missing, forbidden or has nothing there.
        UnreachableError: the endpoint does not answer.
    """
    where = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
    require_endpoint_without_bucket(store, bucket)
    client = store.client()
    start = f"{prefix}/" if prefix else ""
    files: list[SourceFile] = []
    with translate_errors(store, f"cannot list {where}", bucket):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start)
        for page in pages:
            for entry in page.get("Contents") or []:
                key = str(entry["Key"])
                if not key.endswith("/"):  # consoles make empty objects for folders
                    files.append(SourceFile(key[len(start) :], int(entry["Size"])))
            if len(files) > _MAX_OBJECTS:
                raise FluidModelError(
                    f"{where} holds more than {_MAX_OBJECTS} objects",
                    "that is no single model",
                    "name the model's own prefix",
                )
    if not files:
        with translate_errors(store, f"cannot list {where}", bucket):
            lost, model = find_lost_snapshot(client, bucket, prefix)
        if lost:
            to = ["--to", f"s3://{bucket}"]
            to += ["--endpoint", store.endpoint] if store.endpoint else []
            again = command("kubectl", "fluidmodel", "cache", Operand(model), *to)
            raise FluidModelError(f"{where} is empty", lost, again if model else "")
        raise FluidModelError(f"{where} is empty", _nearest_content(store, client, bucket, prefix))
    return FileListing(tuple(sorted(files)))


def range_reader(store: S3Store, bucket: str, prefix: str) -> RangeReader:
    """How files below a prefix are read in part, for `model/sample.py`."""
    from botocore import exceptions as boto
    from urllib3.exceptions import HTTPError

    start = f"{prefix}/" if prefix else ""
    client = store.client(
        connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
    )

    def fetch(path: str, first: int, count: int) -> bytes:
        try:
            answer = client.get_object(
                Bucket=bucket, Key=start + path, Range=f"bytes={first}-{first + count - 1}"
            )
            with answer["Body"] as body:
                if first and not answer.get("ContentRange"):
                    raise RangeReadError("the store knows no ranges")
                return bytes(body.read(count))
        except boto.ClientError as err:
            error = err.response.get("Error", {})
            raise RangeReadError(str(error.get("Code") or "refused")) from err
        except (boto.BotoCoreError, NotS3StoreError, OSError, HTTPError) as err:
            raise RangeReadError(" ".join(str(err).split())[:120]) from err

    return fetch


def find_lost_snapshot(client: Any, bucket: str, prefix: str) -> tuple[str, str]:
    """Of an empty prefix: that it is a snapshot of a Hub cache whose links were lost, and the model
    that it was; empty texts where it is none."""
    snapshot = hub_cache.parse_snapshot_path(prefix)
    if snapshot is None:
        return "", ""
    top, repo, commit = snapshot
    blobs = f"{top}/blobs/".lstrip("/")
    if not client.list_objects_v2(Bucket=bucket, Prefix=blobs, MaxKeys=1).get("Contents"):
        return "", ""
    why = f"it is a snapshot of the Hub client's cache, and its links into {blobs} were lost"
    return why, f"{repo}@{commit}" if repo else ""


def _nearest_content(store: S3Store, client: Any, bucket: str, prefix: str) -> str:
    """What to say of an empty prefix: the nearest parent that has something, and what."""
    with translate_errors(store, f"cannot list s3://{bucket}", bucket):
        if prefix:
            same = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
            if any(entry["Key"] == prefix for entry in same.get("Contents") or []):
                return "it is one object, not a directory of files"
        parent = prefix
        while True:
            parent = parent.rpartition("/")[0]
            start = f"{parent}/" if parent else ""
            page = client.list_objects_v2(Bucket=bucket, Prefix=start, Delimiter="/", MaxKeys=50)
            below = [str(entry["Prefix"])[:-1] for entry in page.get("CommonPrefixes") or []]
            if below or page.get("Contents"):
                shown = ", ".join(f"s3://{bucket}/{name}" for name in below[:5])
                return f"s3://{bucket}/{parent} has {shown}" if shown else "no object lies below it"
            if not parent:
                return "the bucket has no objects at all"


@contextmanager
def translate_errors(store: S3Store, message: str, bucket: str = "") -> Iterator[None]:
    """Turn what botocore raises into our errors, each with its cause and a way out."""
    from botocore import exceptions as boto

    at, url = store.endpoint or "AWS", store.reach_url or store.endpoint or _AWS_ENDPOINT
    try:
        yield
    except boto.ClientError as err:
        details = error_codes.parse_error(err.response, err.operation_name)
        has_credentials = store.credentials is not None
        raise FluidModelError(
            message,
            *error_codes.explain_error(details, at, bucket, has_credentials=has_credentials),
        ) from err
    except NotS3StoreError as err:
        right = error_codes.endpoint_without_bucket(at, bucket)
        reason, hint = error_codes.explain_not_s3(at, err.message)
        raise FluidModelError(message, reason, f"--endpoint {right}" if right else hint) from err
    except (boto.SSLError, boto.ProxyConnectionError) as err:
        failure = connection_errors.explain_connection_error(err, url, "--endpoint")
        kind = PermanentlyUnreachableError if failure.permanent else UnreachableError
        raise kind(message, failure.reason, failure.hint) from err
    except (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ReadTimeoutError) as err:
        failure = connection_errors.explain_connection_error(err, url, "--endpoint")
        reason = failure.reason.partition(" (")[2].rpartition(")")[0]
        reason = (
            f"the endpoint {at} does not answer ({reason})"
            if "no answer" in failure.reason
            else failure.reason
        )
        right = error_codes.endpoint_without_bucket(at, bucket)
        raise UnreachableError(
            message, reason, f"--endpoint {right}" if right else failure.hint
        ) from err
    except boto.ProfileNotFound as err:
        raise UsageError(message, str(err), "check AWS_PROFILE") from err
    except (boto.HTTPClientError, boto.BotoCoreError) as err:
        if url.startswith("http://") and any(mark in str(err) for mark in _TLS_ALERT):
            raise FluidModelError(
                message, *error_codes.explain_not_s3(at, error_codes.SPEAKS_TLS)
            ) from err
        raise UnreachableError(message, f"{at}: {' '.join(str(err).split())[:300]}", "") from err
    except RecursionError as err:  # botocore follows a redirect to where it came from
        details = error_codes.S3ErrorDetails(
            error_codes.REGION, "PermanentRedirect", "it redirects in a circle", ""
        )
        raise FluidModelError(
            message, *error_codes.explain_error(details, at, bucket, has_credentials=True)
        ) from err
    except ValueError as err:  # botocore's word for an endpoint that it cannot parse
        raise UsageError(message, str(err), "check --endpoint and --region") from err


_TLS_ALERT = ("\\x15\\x03", "\x15\x03")
"""How an alert of TLS begins, in the words of whoever takes it for HTTP."""


def require_session_token(
    keys: S3Credentials | None, owner: str = "", *, with_token: bool = False
) -> None:
    """See, before any request, that temporary keys have their token; `with_token` where one may
    be used, and not only a permanent key.

    Raises:
        FluidModelError: they have none, and no store would take them.
    """
    if keys is None or not error_codes.lacks_token(keys.access_key, keys.session_token):
        return
    raise FluidModelError(
        f"the S3 access key{owner} is temporary",
        f"it begins with {error_codes.TEMPORARY_KEY_PREFIX}, and its session token is missing: no "
        "store takes "
        "it without",
        f"export {SESSION_TOKEN}=… too, or a permanent key"
        if with_token
        else f"export {ACCESS_KEY}=AKIA… {SECRET_KEY}=… of a permanent key, or --s3-secret NAME",
    )
