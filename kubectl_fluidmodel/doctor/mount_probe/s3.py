"""One mount tried against its store: listed, a file read, and every refusal told apart.

It runs wherever the store can be reached: on the user's machine, or in a probe's pod.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from kubectl_fluidmodel.doctor.mount_probe import endpoint as mount_probe_endpoint
from kubectl_fluidmodel.doctor.mount_probe import model_files, result
from kubectl_fluidmodel.doctor.mount_probe.model_files import Entry
from kubectl_fluidmodel.doctor.mount_probe.result import Answer
from kubectl_fluidmodel.doctor.mount_probe.suggestions import likely_buckets, models_near
from kubectl_fluidmodel.doctor.mount_probe.target import Question
from kubectl_fluidmodel.model.configs import is_mark
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.objectstore.error_codes import SPEAKS_TLS, NotAStore
from kubectl_fluidmodel.objectstore.s3 import Credentials, Store, lost_snapshot, reader

SECONDS = 6.0
"""For reading what the judge of models wants to see."""
OBJECTS = 20_000
"""Objects that are listed at most; a larger tree is not judged for what it lacks."""

_ACTIONS = {"ListObjectsV2": "ListBucket", "HeadObject": "GetObject"}


class Trial:
    """One attempt; `reach_url` is another way to the endpoint from here (a port-forward)."""

    def __init__(
        self,
        question: Question,
        credentials: Credentials | None,
        *,
        origin: str = result.HERE,
        reach_url: str = "",
        seconds: float = 10.0,
    ) -> None:
        self.question, self.origin, self.reach_url = question, origin, reach_url
        self.deadline = time.monotonic() + seconds
        self.store = Store(question.endpoint, question.region, credentials, reach_url)
        self._region = ""
        self._skew = 0.0
        self._read_key = ""

    def run(self) -> Answer:
        """How it went; nothing is raised for what a store can do."""
        from botocore import exceptions as boto

        started = time.monotonic()
        try:
            if self.question.endpoint:
                mount_probe_endpoint.check(self.question.endpoint, self.reach_url)
            found = self._try()
        except mount_probe_endpoint.Blocked as err:
            found = self._answer(err.state, code=err.code, message=err.message)
        except boto.ClientError as err:
            found = self._refused(err)
        except RecursionError:  # botocore follows a redirect to where it came from
            found = self._answer(result.REGION, message="it redirects in a circle")
        except NotAStore as err:
            found = self._answer(err.state, message=err.message)
        except boto.SSLError as err:
            found = self._answer(result.TLS, message=_words(err))
        except (boto.ConnectTimeoutError, boto.ReadTimeoutError) as err:
            found = self._answer(result.TIMEOUT, message=_words(err))
        except (boto.EndpointConnectionError, boto.HTTPClientError) as err:
            _, words = self._plain()
            state = result.TLS if words == SPEAKS_TLS else result.REFUSED
            found = self._answer(state, message=words if state == result.TLS else _words(err))
        except (boto.BotoCoreError, ValueError) as err:
            state = result.FOREIGN if "parse response" in str(err) else result.ERROR
            words = self._plain()[1] if state == result.FOREIGN else _words(err)
            found = self._answer(state, message=words)
        return replace(found, seconds=round(time.monotonic() - started, 2))

    # -- steps -------------------------------------------------------------------------------

    def _try(self) -> Answer:
        question = self.question
        client = self.store.client(
            connect_timeout=3,
            read_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 2},
        )
        # boto3 follows a bucket to its region by itself, and Alluxio does not.
        client.meta.events.register_first("needs-retry.s3", self._look)
        start = f"{question.path}/" if question.path else ""
        entries, whole = self._list(client, start)
        if self._region:
            return self._answer(result.REGION, message=f"the bucket is in {self._region}")
        if not entries:
            return self._empty(client)
        self._read_one(client, start, entries)
        manifest = self._manifest(client, entries) if question.place else ""
        fetch = reader(self.store, question.host, question.path)
        left = max(0.0, min(SECONDS, self.deadline - time.monotonic()))
        found = model_files.examine(entries, whole, fetch, question.path, left)
        nearest = () if found.models else tuple(self._near(client))
        return self._answer(result.OK, found=found, manifest=manifest, nearest=nearest)

    def _list(self, client: Any, start: str) -> tuple[list[Entry], bool]:
        entries: list[Entry] = []
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self.question.host, Prefix=start
        )
        for page in pages:
            self._clock(page)
            for entry in page.get("Contents") or []:
                key = str(entry["Key"])
                if not key.endswith("/"):  # consoles make empty objects for folders
                    written = _rfc3339(entry.get("LastModified"))
                    entries.append(Entry(key[len(start) :], int(entry["Size"]), written))
            over = len(entries) >= OBJECTS or time.monotonic() > self.deadline
            if over and page.get("IsTruncated"):
                return entries, False
        return entries, True

    def _empty(self, client: Any) -> Answer:
        question = self.question
        if question.path:
            same = client.list_objects_v2(Bucket=question.host, Prefix=question.path, MaxKeys=1)
            if any(entry["Key"] == question.path for entry in same.get("Contents") or []):
                return self._answer(result.EMPTY, message="it is one object, not a directory")
        lost, _ = lost_snapshot(client, question.host, question.path)
        if lost:
            return self._answer(result.EMPTY, message=lost)
        return self._answer(result.EMPTY, nearest=tuple(self._near(client)))

    def _near(self, client: Any) -> list[str]:
        return models_near(client, self.question.host, self.question.path, self.deadline)

    def _read_one(self, client: Any, start: str, entries: list[Entry]) -> None:
        """Read one byte: listing may be allowed where reading is not."""
        filled = [entry for entry in entries if entry.size]
        if filled:
            chosen = min(filled, key=lambda each: (not is_mark(each.path), each.size))
            self._read_key = start + chosen.path
            got = client.get_object(
                Bucket=self.question.host, Key=self._read_key, Range="bytes=0-0"
            )
            got["Body"].read()

    def _manifest(self, client: Any, entries: list[Entry]) -> str:
        """Whether the mark of a staged model is there, whole, and of these files."""
        from botocore import exceptions as boto

        from kubectl_fluidmodel.stage import manifest

        place = self.question.place
        if place is None:
            return ""
        try:
            got = client.get_object(Bucket=self.question.host, Key=place.manifest)
            made = manifest.load(got["Body"].read())
        except boto.ClientError as err:
            code = str(err.response.get("Error", {}).get("Code", ""))
            return "absent" if code == "NoSuchKey" else f"it cannot be read: {code}"
        except ValueError as err:
            return f"it is damaged: {err}"
        if (made.repo, made.commit) != (place.repo, place.commit):
            return f"it is of {made.repo}@{made.commit}"
        there = {entry.path: entry.size for entry in entries}
        wrong = [f.path for f in made.files if there.get(f.path) != f.size]
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            return f"it does not agree with {', '.join(wrong[:3])}{more}"
        return "valid"

    # -- what the store says -----------------------------------------------------------------

    def _look(self, response: Any = None, **_: Any) -> None:
        """See a redirect or a wrong region before boto3 makes up for it."""
        parsed = response[1] if isinstance(response, tuple) else None
        if isinstance(parsed, dict) and parsed.get("Error"):
            said = error_codes.read(parsed, "")
            if said.state == result.REGION:
                self._region = said.region

    def _clock(self, response: Any) -> None:
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self._skew = error_codes.skew_of(headers) or self._skew

    def _refused(self, err: Any) -> Answer:
        said = error_codes.read(err.response, err.operation_name)
        self._clock(err.response)
        self._region = self._region or said.region
        action = _ACTIONS.get(err.operation_name, err.operation_name)
        found = self._answer(said.state, code=said.code, message=said.message, action=action)
        if said.state == result.NO_BUCKET:
            return replace(found, buckets=tuple(likely_buckets(self.store, self.question.host)))
        return found

    def _plain(self) -> tuple[int, str]:
        """What a server that is no S3 store says to a plain GET: HTTP status, and words for it."""
        import urllib3

        try:
            got = urllib3.PoolManager(retries=False, timeout=3.0, cert_reqs="CERT_NONE").request(
                "GET", self.reach_url or self.question.endpoint, redirect=False
            )
        except urllib3.exceptions.HTTPError as err:
            return 0, _words(err)
        try:
            headers = {name.lower(): value for name, value in got.headers.items()}
            error_codes.check_answer("", got.status, headers, got.data[:2048])
        except NotAStore as err:
            if err.state == result.TLS:
                return got.status, err.message
        kind = got.headers.get("Content-Type", "no type").partition(";")[0]
        return got.status, f"it answers a GET with HTTP {got.status} and {kind}, not as S3 does"

    def _answer(self, state: str, **more: Any) -> Answer:
        question = self.question
        named = question.hidden if state == result.WRONG_SECRET else question.access
        return Answer(
            mount=question.mount,
            state=state,
            endpoint=question.endpoint,
            origin=self.origin,
            holder=named.secret if named else "",
            entry=named.key if named else "",
            region=self._region,
            skew=self._skew,
            **{**more, "message": self._without_keys(str(more.get("message", "")))},
        )

    def _without_keys(self, text: str) -> str:
        """A store's words never carry a key on, should it repeat one."""
        keys = self.store.credentials
        for value in (keys.access_key, keys.secret_key, keys.session_token) if keys else ():
            text = text.replace(value, "…") if len(value) > 7 else text  # shorter is a word
        return text


def _words(err: BaseException) -> str:
    """An exception on one line; messages of HTTP libraries may quote URLs, but never signed ones:
    all our requests are signed in their headers."""
    return " ".join(str(err).split())[:300]


def _rfc3339(when: Any) -> str:
    if not isinstance(when, datetime):
        return ""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
