"""The Hugging Face Hub's metadata: the commit of a revision, its files, and access to them.

This does not use `huggingface_hub.HfApi`, for these reasons (measured with 2.4.0 against the tests'
simulated Hub):

- The token leaves the Hub's host: `list_repo_tree` follows a page's `Link` header to any host, with
  the Authorization header. Here, a next page on another host is an error.
- Its time is unbounded: the client has no timeout, so `model_info` waits forever for a server that
  accepts the connection and does not respond. `model_info` is not retried at all; pages of a tree
  are retried five times with their own delays. 520 to 530 are not retried. Here, all requests share
  one retry budget, stall timeout and stop event.
- It costs 100 ms and 8 MiB at each start and in each pod, in addition to urllib3, which range
  requests need anyway, and it has its own rules for proxies and certificates.

Changing this from outside would require replacing its HTTP client for the whole process.
huggingface_hub still reads the endpoint and the token.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.hub.http import (
    MAX_REDIRECTS,
    REDIRECT_STATUSES,
    HubCredentials,
    HubHttpClient,
    error_from_response,
)
from kubectl_fluidmodel.model.plan import GIT, SHA256, PlanFile, StagingPlan, build_plan
from kubectl_fluidmodel.net.retry_budget import RetryBudget, TransientError

_MAX_PAGES = 1000
"""Maximum pages of a tree, with 1,000 entries each; no model reaches it."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
NO_ANSWER_TIMEOUT = 20.0
"""Seconds to try to reach the Hub at all, so a wrong address is reported soon."""


class HubClient:
    """One Hub with one user's credentials. Safe to share between threads."""

    def __init__(
        self,
        credentials: HubCredentials,
        *,
        stall_timeout: float = 30.0,
        retry_timeout: float = NO_ANSWER_TIMEOUT,
        connections: int = 16,
        stop: threading.Event | None = None,
        on_retry: Callable[[str], None] | None = None,
    ) -> None:
        """Create the client; nothing is sent.

        Args:
            credentials: the endpoint and the token.
            stall_timeout: seconds without a byte after which a connection is closed.
            retry_timeout: seconds to retry a request.
            connections: connections that are kept open.
            stop: ends waits when it is set.
            on_retry: receives the reason of each retry.
        """
        self.credentials = credentials
        self.http = HubHttpClient(credentials, stall_timeout, connections, stop)
        self._retry_timeout = retry_timeout
        self._stop = stop
        self._on_retry = on_retry or (lambda _: None)

    def resolve_commit(
        self, repo: str, revision: str = "", retry_timeout: float | None = None
    ) -> str:
        """Resolve a branch, a tag or a commit ID to a commit.

        Args:
            repo: the repository, `org/model`.
            revision: the branch, tag or commit ID; `main` if empty.
            retry_timeout: seconds to retry this request, if not as usual.

        Returns:
            The commit's 40 hexadecimal digits.

        Raises:
            FluidModelError: there is no such repository or revision, or the token may not read it.
            UnreachableError: the Hub does not respond.
        """
        ref = revision or "main"
        endpoint = self.credentials.endpoint
        url = f"{endpoint}/api/models/{quote(repo)}/revision/{quote(ref, safe='')}"
        document, _ = self._get_json(url, repo, ref, retry_timeout)
        sha = str(document.get("sha", "")) if isinstance(document, dict) else ""
        if not _COMMIT.fullmatch(sha):
            raise UnreachableError(
                f"cannot resolve {repo}", f"{endpoint} does not respond like the Hub"
            )
        return sha

    def list_tree(self, repo: str, commit: str) -> Iterator[PlanFile]:
        """List every file at a commit, page by page.

        Raises:
            FluidModelError: the commit is gone, or a next page is on another host.
            UnreachableError: the Hub does not respond, or not like the Hub.
        """
        endpoint = self.credentials.endpoint
        url = f"{endpoint}/api/models/{quote(repo)}/tree/{commit}?recursive=true&expand=false"
        listed_paths: set[str] = set()
        for _ in range(_MAX_PAGES):
            page, next_url = self._get_json(url, repo, commit)
            if not isinstance(page, list):
                raise UnreachableError(f"cannot list {repo}", "the response is not a list of files")
            for entry in page:
                if isinstance(entry, dict) and entry.get("type") == "file":
                    file = _parse_tree_entry(repo, entry)
                    if file.path not in listed_paths:  # pages may overlap
                        listed_paths.add(file.path)
                        yield file
            if not next_url:
                return
            url = urljoin(url, next_url)
            if urlsplit(url).netloc != urlsplit(endpoint).netloc:
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
        """Resolve the revision, list the files, select them, and check access to one of them.

        Raises:
            FluidModelError: the model is missing, private or gated, or no file is selected.
            UnreachableError: the Hub does not respond.
        """
        commit = self.resolve_commit(repo, revision)
        plan = build_plan(
            repo,
            revision or "main",
            commit,
            self.list_tree(repo, commit),
            include=include,
            exclude=exclude,
            endpoint=self.credentials.endpoint,
        )
        self.check_access(repo, commit, max(plan.files, key=lambda file: file.size).path)
        return plan

    def check_access(self, repo: str, commit: str, path: str) -> None:
        """Request the headers of a file: the tree of a gated model can be listed without access.

        Raises:
            FluidModelError: the token may not read the file.
        """
        url = self.file_url(repo, commit, path)
        response = self._send_with_retries("HEAD", url)
        if response.status >= 400:
            raise error_from_response(self.credentials, repo, commit, url, response)

    def file_url(self, repo: str, commit: str, path: str) -> str:
        """The URL of a file; the Hub redirects from there to a large file's storage."""
        return f"{self.credentials.endpoint}/{quote(repo)}/resolve/{commit}/{quote(path)}"

    # -- requests ----------------------------------------------------------------------------

    def _get_json(
        self, url: str, repo: str, revision: str, retry_timeout: float | None = None
    ) -> tuple[Any, str]:
        """Request a document.

        Returns:
            The document, and the URL of the next page or an empty string.
        """
        response = self._send_with_retries("GET", url, retry_timeout)
        for _ in range(MAX_REDIRECTS):  # a renamed repository redirects within the Hub
            if response.status not in REDIRECT_STATUSES:
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
                f"{urlsplit(url).netloc} does not respond like the Hub",
                "check HF_ENDPOINT",
            ) from err

    def _send_with_retries(self, method: str, url: str, retry_timeout: float | None = None) -> Any:
        timeout = self._retry_timeout if retry_timeout is None else retry_timeout
        budget = RetryBudget(timeout, self._stop, min(timeout, NO_ANSWER_TIMEOUT))
        while True:
            try:
                return self.http.send(method, url)
            except TransientError as err:
                if retry_timeout is not None and (err.retry_after or 0.0) > retry_timeout:
                    raise err.final_error from err
                self._on_retry(err.reason)
                budget.wait(err)


def _next_page_url(link: str) -> str:
    """The `rel="next"` target of a Link header (RFC 8288), or an empty string."""
    for target, parameters in re.findall(r"<([^>]*)>([^<]*)", link):
        if re.search(r'rel="?next"?', parameters):
            return str(target)
    return ""


def _parse_tree_entry(repo: str, entry: dict[str, Any]) -> PlanFile:
    """Parse an entry: large files (LFS) have a SHA-256 of their bytes, small ones git's blob ID."""
    try:
        lfs = entry.get("lfs")
        if isinstance(lfs, dict):
            digest = str(lfs["oid"]).rpartition(":")[2]
            file = PlanFile(str(entry["path"]), int(lfs["size"]), SHA256, digest)
        else:
            file = PlanFile(str(entry["path"]), int(entry["size"]), GIT, str(entry["oid"]))
    except (KeyError, TypeError, ValueError) as err:
        reason = f"the Hub lists a file with a missing or invalid field: {err}"
        raise UnreachableError(f"cannot list {repo}", reason) from err
    if not re.fullmatch(r"[0-9a-f]{64}" if file.kind == SHA256 else r"[0-9a-f]{40}", file.digest):
        raise UnreachableError(
            f"cannot list {repo}", f"the Hub lists no usable hash of {file.path}"
        )
    return file
