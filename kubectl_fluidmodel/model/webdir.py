"""Directories served over HTTP: what Alluxio's WebUFS would see in an index page."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from kubectl_fluidmodel import proxies, trust
from kubectl_fluidmodel.errors import FluidModelError, Unreachable
from kubectl_fluidmodel.model.listing import File, Listing

if TYPE_CHECKING:
    import urllib3

_MAX_PAGES = 200
_MAX_FILES = 20_000
_MAX_PAGE_BYTES = 4 << 20


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def links_below(page: str, url: str) -> tuple[list[str], list[str]]:
    """The directories and the files that an index page at `url` links to, below it.

    Sorting links, parents and other hosts are left out; both lists are absolute URLs.
    """
    parser = _Links()
    parser.feed(page)
    directories: dict[str, None] = {}
    files: dict[str, None] = {}
    for href in parser.found:
        try:
            target = urljoin(url, href)
            parts = urlsplit(target)
        except ValueError:  # no URL at all, so no file of ours
            continue
        if parts.query or parts.fragment or not target.startswith(url) or target == url:
            continue
        (directories if target.endswith("/") else files)[target] = None
    return list(directories), list(files)


def list_directory(url: str) -> Listing:
    """Every file below an HTTP directory, sized by Content-Length; bounded.

    Raises:
        FluidModelError: it is no directory listing, or a size is not told.
        Unreachable: the server does not answer.
    """
    import urllib3

    root = url if url.endswith("/") else url + "/"
    pool = proxies.pool(
        proxies.proxy_for(url),
        maxsize=16,
        retries=urllib3.Retry(2, backoff_factor=0.3, redirect=3),
        timeout=20.0,
        ssl_context=trust.context(),
    )
    targets: list[str] = []
    pages = deque([root])
    seen = 0
    while pages:
        seen += 1
        if seen > _MAX_PAGES or len(targets) > _MAX_FILES:
            raise FluidModelError(f"{url} is too large a tree", "name the model's own directory")
        here = pages.popleft()
        page = _get(pool, here)
        directories, files = links_below(page, here)
        pages += directories
        targets += files
    if not targets:
        raise FluidModelError(
            f"{url} lists no files", "WebUFS needs a server that shows an index of the directory"
        )
    with ThreadPoolExecutor(max_workers=16) as workers:
        sizes = list(workers.map(lambda target: _size(pool, target), targets))
    return Listing(
        tuple(
            sorted(
                File(unquote(target[len(root) :]), size)
                for target, size in zip(targets, sizes, strict=True)
            )
        )
    )


def _get(pool: urllib3.PoolManager, url: str) -> str:
    response = _request(pool, "GET", url)
    if "html" not in response.headers.get("Content-Type", ""):
        raise FluidModelError(f"{url} is not a directory listing", "the answer is no HTML page")
    return response.data[:_MAX_PAGE_BYTES].decode("utf-8", "replace")


def _size(pool: urllib3.PoolManager, url: str) -> int:
    length = _request(pool, "HEAD", url).headers.get("Content-Length", "")
    if not length.isdigit():
        raise FluidModelError(
            f"{url} does not tell its size", "the server sends no Content-Length", "--quota SIZE"
        )
    return int(length)


def _request(pool: urllib3.PoolManager, method: str, url: str) -> urllib3.BaseHTTPResponse:
    import urllib3

    try:
        response = pool.request(method, url)
    except urllib3.exceptions.HTTPError as err:
        reason = getattr(err, "reason", None) or err
        raise Unreachable(f"cannot read {url}", " ".join(str(reason).split())[:200]) from err
    if response.status >= 400:
        raise FluidModelError(f"cannot read {url}", f"HTTP {response.status}", "check SOURCE")
    return response
