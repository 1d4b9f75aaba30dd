"""The Hugging Face Hub: a revision's commit, its tree, and whether its files may be read."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from kubectl_fluidmodel.errors import FluidModelError, Unreachable
from kubectl_fluidmodel.hub.http import Http, Login, login, refusal
from kubectl_fluidmodel.model.plan import GIT, SHA256, Plan, PlanFile, make
from kubectl_fluidmodel.net.retry_budget import Passing, Patience

_MAX_PAGES = 1000
"""Pages of a tree, 1,000 entries each: a bound, not a limit that a model reaches."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
SILENT = 20.0
"""Seconds to try to reach the Hub at all: a wrong address should not take minutes to tell."""


class Hub:
    """One Hub, as one user. Safe to share between threads."""

    def __init__(
        self,
        who: Login | None = None,
        *,
        stall: float = 30.0,
        patience: float = SILENT,
        connections: int = 16,
        stop: threading.Event | None = None,
        on_retry: Callable[[str], None] | None = None,
    ) -> None:
        """`stall` and `patience` as in Options; `on_retry` takes why a question is asked again."""
        self.who = who or login()
        self.http = Http(self.who, stall, connections, stop)
        self._patience = patience
        self._stop = stop
        self._on_retry = on_retry or (lambda _: None)

    def commit(self, repo: str, revision: str = "", patience: float | None = None) -> str:
        """The commit that a branch, a tag or a commit id stands for now.

        `patience` is for this question, where it is less than usual.

        Raises:
            FluidModelError: no such repository or revision, or it may not be seen.
            Unreachable: the Hub does not answer.
        """
        wanted = revision or "main"
        url = f"{self.who.endpoint}/api/models/{quote(repo)}/revision/{quote(wanted, safe='')}"
        document, _ = self._json(url, repo, wanted, patience)
        sha = str(document.get("sha", "")) if isinstance(document, dict) else ""
        if not _COMMIT.fullmatch(sha):
            raise Unreachable(
                f"cannot resolve {repo}", f"{self.who.endpoint} does not answer as a Hub does"
            )
        return sha

    def tree(self, repo: str, commit: str) -> Iterator[PlanFile]:
        """Every file at the commit, page by page.

        Raises:
            FluidModelError: the commit is gone, or a page comes from another host.
        """
        url = (
            f"{self.who.endpoint}/api/models/{quote(repo)}/tree/{commit}"
            f"?recursive=true&expand=false"
        )
        seen: set[str] = set()
        for _ in range(_MAX_PAGES):
            page, following = self._json(url, repo, commit)
            if not isinstance(page, list):
                raise Unreachable(f"cannot list {repo}", "the hub's answer is no list of files")
            for entry in page:
                if isinstance(entry, dict) and entry.get("type") == "file":
                    file = _file(repo, entry)
                    if file.path not in seen:  # a cursor may overlap
                        seen.add(file.path)
                        yield file
            if not following:
                return
            url = urljoin(url, following)
            if urlsplit(url).netloc != urlsplit(self.who.endpoint).netloc:
                raise FluidModelError(f"cannot list {repo}", f"its next page is at {url}")
        raise FluidModelError(f"{repo} has too many files", f"more than {_MAX_PAGES} pages")

    def plan(
        self,
        repo: str,
        revision: str = "",
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> Plan:
        """Resolve, list and choose; then ask for one file, so that a gate is known now.

        Raises:
            FluidModelError: with what is in the way; gated, private and missing tell apart.
        """
        commit = self.commit(repo, revision)
        made = make(
            repo,
            revision or "main",
            commit,
            self.tree(repo, commit),
            include=include,
            exclude=exclude,
            endpoint=self.who.endpoint,
        )
        self.may_read(repo, commit, max(made.files, key=lambda file: file.size).path)
        return made

    def may_read(self, repo: str, commit: str, path: str) -> None:
        """Ask for the head of one file.

        Raises:
            FluidModelError: it may not be read.
        """
        url = self.file_url(repo, commit, path)
        response = self._ask("HEAD", url)
        if response.status >= 400:
            raise refusal(self.who, repo, commit, url, response)

    def file_url(self, repo: str, commit: str, path: str) -> str:
        """Where a file is asked for; large ones are redirected from there."""
        return f"{self.who.endpoint}/{quote(repo)}/resolve/{commit}/{quote(path)}"

    # -- the wire ----------------------------------------------------------------------------

    def _json(
        self, url: str, repo: str, revision: str, patience: float | None = None
    ) -> tuple[Any, str]:
        """The document, and the address of the next page or nothing."""
        response = self._ask("GET", url, patience)
        for _ in range(5):  # a renamed repository redirects within the Hub
            if response.status not in (301, 302, 303, 307, 308):
                break
            target = urljoin(url, response.headers.get("Location", ""))
            if urlsplit(target).netloc != urlsplit(url).netloc:
                break
            url = target
            response = self._ask("GET", url, patience)
        if response.status != 200:
            raise refusal(self.who, repo, revision, url, response)
        try:
            return json.loads(response.data), _next(response.headers.get("Link", ""))
        except ValueError as err:
            raise Unreachable(
                f"cannot read {repo}",
                f"{urlsplit(url).netloc} does not answer as a Hub does",
                "check HF_ENDPOINT",
            ) from err

    def _ask(self, method: str, url: str, patience: float | None = None) -> Any:
        limit = self._patience if patience is None else patience
        waits = Patience(limit, self._stop, min(limit, SILENT))
        while True:
            try:
                return self.http.send(method, url)
            except Passing as err:
                if patience is not None and (err.retry_after or 0.0) > patience:
                    raise err.final from err
                self._on_retry(err.why)
                waits.pause(err)


def _next(link: str) -> str:
    """The `rel="next"` target of a Link header (RFC 8288), or nothing."""
    for target, parameters in re.findall(r"<([^>]*)>([^<]*)", link):
        if re.search(r'rel="?next"?', parameters):
            return str(target)
    return ""


def _file(repo: str, entry: dict[str, Any]) -> PlanFile:
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
        raise Unreachable(f"cannot list {repo}", f"the hub tells of a file without {err}") from err
    if not re.fullmatch(r"[0-9a-f]{64}" if made.kind == SHA256 else r"[0-9a-f]{40}", made.digest):
        raise Unreachable(f"cannot list {repo}", f"the hub tells no usable hash of {made.path}")
    return made
