"""The Hugging Face Hub: a revision's commit, its tree, and whether its files may be read."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.hub.http import (
    HubCredentials,
    HubHttpClient,
    error_from_response,
    load_credentials,
)
from kubectl_fluidmodel.model.plan import GIT, SHA256, PlanFile, StagingPlan, build_plan
from kubectl_fluidmodel.net.retry_budget import RetryBudget, TransientError

_MAX_PAGES = 1000
"""Pages of a tree, 1,000 entries each: a bound, not a limit that a model reaches."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
SILENT = 20.0
"""Seconds to try to reach the Hub at all: a wrong address should not take minutes to tell."""


class HubClient:
    """One Hub, as one user. Safe to share between threads."""

    def __init__(
        self,
        credentials: HubCredentials | None = None,
        *,
        stall_timeout: float = 30.0,
        retry_timeout: float = SILENT,
        connections: int = 16,
        stop: threading.Event | None = None,
        on_retry: Callable[[str], None] | None = None,
    ) -> None:
        """`stall` and `patience` as in Options; `on_retry` takes why a question is asked again."""
        self.credentials = credentials or load_credentials()
        self.http = HubHttpClient(self.credentials, stall_timeout, connections, stop)
        self._retry_timeout = retry_timeout
        self._stop = stop
        self._on_retry = on_retry or (lambda _: None)

    def resolve_commit(
        self, repo: str, revision: str = "", retry_timeout: float | None = None
    ) -> str:
        """The commit that a branch, a tag or a commit id stands for now.

        `patience` is for this question, where it is less than usual.

        Raises:
            FluidModelError: no such repository or revision, or it may not be seen.
            UnreachableError: the Hub does not answer.
        """
        wanted = revision or "main"
        revision = quote(wanted, safe="")
        url = f"{self.credentials.endpoint}/api/models/{quote(repo)}/revision/{revision}"
        document, _ = self._get_json(url, repo, wanted, retry_timeout)
        sha = str(document.get("sha", "")) if isinstance(document, dict) else ""
        if not _COMMIT.fullmatch(sha):
            raise UnreachableError(
                f"cannot resolve {repo}",
                f"{self.credentials.endpoint} does not answer as a Hub does",
            )
        return sha

    def list_tree(self, repo: str, commit: str) -> Iterator[PlanFile]:
        """Every file at the commit, page by page.

        Raises:
            FluidModelError: the commit is gone, or a page comes from another host.
        """
        url = (
            f"{self.credentials.endpoint}/api/models/{quote(repo)}/tree/{commit}"
            f"?recursive=true&expand=false"
        )
        seen: set[str] = set()
        for _ in range(_MAX_PAGES):
            page, next_url = self._get_json(url, repo, commit)
            if not isinstance(page, list):
                raise UnreachableError(
                    f"cannot list {repo}", "the hub's answer is no list of files"
                )
            for entry in page:
                if isinstance(entry, dict) and entry.get("type") == "file":
                    file = _parse_tree_entry(repo, entry)
                    if file.path not in seen:  # a cursor may overlap
                        seen.add(file.path)
                        yield file
            if not next_url:
                return
            url = urljoin(url, next_url)
            if urlsplit(url).netloc != urlsplit(self.credentials.endpoint).netloc:
                raise FluidModelError(f"cannot list {repo}", f"its next page is at {url}")
        raise FluidModelError(f"{repo} has too many files", f"more than {_MAX_PAGES} pages")

    def plan(
        self,
        repo: str,
        revision: str = "",
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> StagingPlan:
        """Resolve, list and choose; then ask for one file, so that a gate is known now.

        Raises:
            FluidModelError: with what is in the way; gated, private and missing tell apart.
        """
        commit = self.resolve_commit(repo, revision)
        made = build_plan(
            repo,
            revision or "main",
            commit,
            self.list_tree(repo, commit),
            include=include,
            exclude=exclude,
            endpoint=self.credentials.endpoint,
        )
        self.check_access(repo, commit, max(made.files, key=lambda file: file.size).path)
        return made

    def check_access(self, repo: str, commit: str, path: str) -> None:
        """Ask for the head of one file.

        Raises:
            FluidModelError: it may not be read.
        """
        url = self.file_url(repo, commit, path)
        response = self._send_with_retries("HEAD", url)
        if response.status >= 400:
            raise error_from_response(self.credentials, repo, commit, url, response)

    def file_url(self, repo: str, commit: str, path: str) -> str:
        """Where a file is asked for; large ones are redirected from there."""
        return f"{self.credentials.endpoint}/{quote(repo)}/resolve/{commit}/{quote(path)}"

    # -- the wire ----------------------------------------------------------------------------

    def _get_json(
        self, url: str, repo: str, revision: str, retry_timeout: float | None = None
    ) -> tuple[Any, str]:
        """The document, and the address of the next page or nothing."""
        response = self._send_with_retries("GET", url, retry_timeout)
        for _ in range(5):  # a renamed repository redirects within the Hub
            if response.status not in (301, 302, 303, 307, 308):
                break
            target = urljoin(url, response.headers.get("Location", ""))
            if urlsplit(target).netloc != urlsplit(url).netloc:
                break
            url = target
            response = self._send_with_retries("GET", url, retry_timeout)
        if response.status != 200:
            raise error_from_response(self.credentials, repo, revision, url, response)
        try:
            return json.loads(response.data), _next_page_url(response.headers.get("Link", ""))
        except ValueError as err:
            raise UnreachableError(
                f"cannot read {repo}",
                f"{urlsplit(url).netloc} does not answer as a Hub does",
                "check HF_ENDPOINT",
            ) from err

    def _send_with_retries(self, method: str, url: str, retry_timeout: float | None = None) -> Any:
        limit = self._retry_timeout if retry_timeout is None else retry_timeout
        budget = RetryBudget(limit, self._stop, min(limit, SILENT))
        while True:
            try:
                return self.http.send(method, url)
            except TransientError as err:
                if retry_timeout is not None and (err.retry_after or 0.0) > retry_timeout:
                    raise err.final_error from err
                self._on_retry(err.reason)
                budget.wait(err)


def _next_page_url(link: str) -> str:
    """The `rel="next"` target of a Link header (RFC 8288), or nothing."""
    for target, parameters in re.findall(r"<([^>]*)>([^<]*)", link):
        if re.search(r'rel="?next"?', parameters):
            return str(target)
    return ""


def _parse_tree_entry(repo: str, entry: dict[str, Any]) -> PlanFile:
    """A tree entry: large files carry the sha256 of their bytes, small ones git's blob id."""
    try:
        lfs = entry.get("lfs")
        if isinstance(lfs, dict):
            made = PlanFile(
                str(entry["path"]), int(lfs["size"]), SHA256, str(lfs["oid"]).rpartition(":")[2]
            )
        else:
            made = PlanFile(str(entry["path"]), int(entry["size"]), GIT, str(entry["oid"]))
    except (KeyError, TypeError, ValueError) as err:
        raise UnreachableError(
            f"cannot list {repo}", f"the hub tells of a file without {err}"
        ) from err
    if not re.fullmatch(r"[0-9a-f]{64}" if made.kind == SHA256 else r"[0-9a-f]{40}", made.digest):
        raise UnreachableError(
            f"cannot list {repo}", f"the hub tells no usable hash of {made.path}"
        )
    return made
