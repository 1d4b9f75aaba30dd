"""Probe one mount of an S3 store: list it, read a file, and classify what the store refuses.

It runs on the user's machine or in a probe's pod.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from kubectl_fluidmodel.doctor.mount_probe import model_files
from kubectl_fluidmodel.doctor.mount_probe.endpoint import EndpointError, check_endpoint
from kubectl_fluidmodel.doctor.mount_probe.model_files import ListedFile
from kubectl_fluidmodel.doctor.mount_probe.suggestions import find_models_nearby, similar_buckets
from kubectl_fluidmodel.errors import UnreachableError
from kubectl_fluidmodel.inventory.mount_target import MountTarget
from kubectl_fluidmodel.model.config_files import identifies_model
from kubectl_fluidmodel.net import proxies
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.objectstore.error_codes import PORT_USES_TLS, NotS3StoreError
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials
from kubectl_fluidmodel.objectstore.s3_objects import find_lost_snapshot, range_reader
from kubectl_fluidmodel.output.units import summarize
from kubectl_fluidmodel.snapshot.probe_result import ProbeOrigin, ProbeResult, ProbeState

SAMPLE_TIMEOUT = 6.0
"""Seconds for reading the parts of files that the model check needs."""
MAX_OBJECTS = 20_000
"""Objects that are listed, at most; a larger tree is not checked for missing files."""

_ACTIONS = {"ListObjectsV2": "ListBucket", "HeadObject": "GetObject"}


class S3Probe:
    """One probe; `reach_url` is another way to the endpoint from here (a port-forward)."""

    def __init__(
        self,
        target: MountTarget,
        credentials: S3Credentials | None,
        *,
        origin: ProbeOrigin = ProbeOrigin.CLIENT,
        reach_url: str = "",
        timeout: float = 10.0,
    ) -> None:
        self.target, self.origin, self.reach_url = target, origin, reach_url
        self.deadline = time.monotonic() + timeout
        self.store = S3Store(target.endpoint, target.region, credentials, reach_url)
        self._actual_region = ""
        self._clock_skew = 0.0
        self._read_key = ""

    def run(self) -> ProbeResult:
        """Probe the mount; whatever the store does becomes a result, not an exception."""
        from botocore import exceptions as boto

        started = time.monotonic()
        try:
            if self.target.endpoint:
                check_endpoint(self.target.endpoint, self.reach_url)
            result = self._probe()
        except EndpointError as err:
            result = self._result(err.state, code=err.code, message=err.message)
        except boto.ClientError as err:
            result = self._result_from_refusal(err)
        except RecursionError:  # botocore follows a redirect to where it came from
            result = self._result(ProbeState.REGION, message="it redirects in a loop")
        except NotS3StoreError as err:
            result = self._result(ProbeState(err.state), message=err.message)
        except boto.SSLError as err:
            result = self._result(ProbeState.TLS, message=_one_line(err))
        except (boto.ConnectTimeoutError, boto.ReadTimeoutError) as err:
            result = self._result(ProbeState.TIMEOUT, message=_one_line(err))
        except (boto.EndpointConnectionError, boto.HTTPClientError) as err:
            message = self._describe_plain_get()
            state = ProbeState.TLS if message == PORT_USES_TLS else ProbeState.REFUSED
            result = self._result(
                state, message=message if state == ProbeState.TLS else _one_line(err)
            )
        except (boto.BotoCoreError, ValueError) as err:
            state = ProbeState.NOT_S3 if "parse response" in str(err) else ProbeState.ERROR
            message = self._describe_plain_get() if state == ProbeState.NOT_S3 else _one_line(err)
            result = self._result(state, message=message)
        return replace(result, seconds=round(time.monotonic() - started, 2))

    # -- steps -------------------------------------------------------------------------------

    def _probe(self) -> ProbeResult:
        target = self.target
        client = self.store.client(
            connect_timeout=3,
            read_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 2},
        )
        # boto3 follows a bucket to its region; Alluxio does not.
        client.meta.events.register_first("needs-retry.s3", self._detect_redirect)
        start = f"{target.path}/" if target.path else ""
        entries, complete = self._list_objects(client, start)
        if self._actual_region:
            return self._result(
                ProbeState.REGION, message=f"the bucket is in {self._actual_region}"
            )
        if not entries:
            return self._explain_empty(client)
        self._read_one_byte(client, start, entries)
        manifest = self._check_manifest(client, entries) if target.staging_layout else ""
        fetch = range_reader(self.store, target.host, target.path)
        remaining = max(0.0, min(SAMPLE_TIMEOUT, self.deadline - time.monotonic()))
        contents = model_files.examine_files(entries, complete, fetch, target.path, remaining)
        nearest = () if contents.models else tuple(self._find_models_nearby(client))
        return replace(
            self._result(ProbeState.OK), contents=contents, manifest=manifest, nearest=nearest
        )

    def _list_objects(self, client: Any, start: str) -> tuple[list[ListedFile], bool]:
        entries: list[ListedFile] = []
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self.target.host, Prefix=start
        )
        for page in pages:
            self._measure_skew(page)
            for entry in page.get("Contents") or []:
                key = str(entry["Key"])
                if not key.endswith("/"):  # consoles create empty objects for folders
                    written = _rfc3339(entry.get("LastModified"))
                    entries.append(ListedFile(key[len(start) :], int(entry["Size"]), written))
            done = len(entries) >= MAX_OBJECTS or time.monotonic() > self.deadline
            if done and page.get("IsTruncated"):
                return entries, False
        return entries, True

    def _explain_empty(self, client: Any) -> ProbeResult:
        target = self.target
        if target.path:
            page = client.list_objects_v2(Bucket=target.host, Prefix=target.path, MaxKeys=1)
            if any(entry["Key"] == target.path for entry in page.get("Contents") or []):
                return self._result(
                    ProbeState.EMPTY, message="it is a single object, not a directory"
                )
        lost, _ = find_lost_snapshot(client, target.host, target.path)
        if lost:
            return self._result(ProbeState.EMPTY, message=lost)
        nearest = tuple(self._find_models_nearby(client))
        return replace(self._result(ProbeState.EMPTY), nearest=nearest)

    def _find_models_nearby(self, client: Any) -> list[str]:
        return find_models_nearby(client, self.target.host, self.target.path, self.deadline)

    def _read_one_byte(self, client: Any, start: str, entries: list[ListedFile]) -> None:
        """Read one byte: the credentials may be allowed to list and not to read."""
        filled = [entry for entry in entries if entry.size]
        if filled:
            smallest = min(filled, key=lambda entry: (not identifies_model(entry.path), entry.size))
            self._read_key = start + smallest.path
            response = client.get_object(
                Bucket=self.target.host, Key=self._read_key, Range="bytes=0-0"
            )
            response["Body"].read()

    def _check_manifest(self, client: Any, entries: list[ListedFile]) -> str:
        """Compare a staged model's manifest with the listing.

        Returns:
            `valid`, `absent`, or what is wrong with the manifest.
        """
        from botocore import exceptions as boto

        from kubectl_fluidmodel.stage import manifest

        layout = self.target.staging_layout
        if layout is None:
            return ""
        try:
            response = client.get_object(Bucket=self.target.host, Key=layout.manifest_key)
            staged = manifest.parse_manifest(response["Body"].read())
        except boto.ClientError as err:
            code = str(err.response.get("Error", {}).get("Code", ""))
            return "absent" if code == "NoSuchKey" else f"it cannot be read: {code}"
        except ValueError as err:
            return f"it is damaged: {err}"
        if (staged.repo, staged.commit) != (layout.repo, layout.commit):
            return f"it is for {staged.repo}@{staged.commit}"
        sizes = {entry.path: entry.size for entry in entries}
        wrong = [f.path for f in staged.files if sizes.get(f.path) != f.size]
        if wrong:
            return f"it does not agree with {summarize(wrong)}"
        return "valid"

    # -- what the store says -----------------------------------------------------------------

    def _detect_redirect(self, response: Any = None, **_: Any) -> None:
        """Note a redirect or a wrong region before boto3 follows it."""
        parsed = response[1] if isinstance(response, tuple) else None
        if isinstance(parsed, dict) and parsed.get("Error"):
            details = error_codes.parse_error(parsed, "")
            if details.state == ProbeState.REGION:
                self._actual_region = details.region

    def _measure_skew(self, response: Any) -> None:
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self._clock_skew = error_codes.parse_clock_skew(headers) or self._clock_skew

    def _result_from_refusal(self, err: Any) -> ProbeResult:
        details = error_codes.parse_error(err.response, err.operation_name)
        self._measure_skew(err.response)
        self._actual_region = self._actual_region or details.region
        action = _ACTIONS.get(err.operation_name, err.operation_name)
        state = ProbeState(details.state)
        result = self._result(state, code=details.code, message=details.message)
        result = replace(result, action=action)
        if state is ProbeState.NO_BUCKET:
            return replace(result, buckets=tuple(similar_buckets(self.store, self.target.host)))
        return result

    def _describe_plain_get(self) -> str:
        """How a server that is not S3 responds to a plain GET."""
        import urllib3

        url = self.reach_url or self.target.endpoint
        try:
            pool = proxies.create_pool(
                proxies.proxy_for(url), retries=False, timeout=3.0, cert_reqs="CERT_NONE"
            )
            response = pool.request("GET", url, redirect=False)
        except (UnreachableError, urllib3.exceptions.HTTPError) as err:
            return _one_line(err)
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            error_codes.require_s3_response("", response.status, headers, response.data[:2048])
        except NotS3StoreError as err:
            if err.state == ProbeState.TLS:
                return err.message
        kind = response.headers.get("Content-Type", "no type").partition(";")[0]
        return f"it responds to a GET with HTTP {response.status} and {kind}, unlike S3"

    def _result(self, state: ProbeState, *, message: str = "", code: str = "") -> ProbeResult:
        target = self.target
        ref = target.hidden if state == ProbeState.WRONG_SECRET else target.access
        return ProbeResult(
            mount=target.mount,
            state=state,
            endpoint=target.endpoint,
            origin=self.origin,
            code=code,
            message=self._strip_keys(message),
            secret_name=ref.secret if ref else "",
            secret_key=ref.key if ref else "",
            region=self._actual_region,
            clock_skew=self._clock_skew,
        )

    def _strip_keys(self, text: str) -> str:
        """Redact the keys in a message, in case the store repeats them."""
        keys = self.store.credentials
        for value in (keys.access_key, keys.secret_key, keys.session_token) if keys else ():
            if len(value) > 7:  # shorter values are ordinary words
                text = text.replace(value, "…")
        return text


def _one_line(err: BaseException) -> str:
    """An exception on one line.

    Messages of HTTP libraries may quote URLs; these have no signature, because requests are signed
    in their headers.
    """
    return " ".join(str(err).split())[:300]


def _rfc3339(when: Any) -> str:
    if not isinstance(when, datetime):
        return ""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
