"""Directories served over HTTP: reads index pages as Alluxio's WebUFS does."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urljoin, urlsplit

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.model.sample import RangeReader, RangeReadError
from kubectl_fluidmodel.net import proxies, tls
from kubectl_fluidmodel.net.connection_errors import explain_connection_error, proxy_status_failure

if TYPE_CHECKING:
    import urllib3

_SETTING = "SOURCE"
"""What sets the address, for hints."""
_MAX_PAGES = 200
_MAX_FILES = 20_000
_MAX_PAGE_BYTES = 4 << 20
_CHUNK_BYTES = 64 << 10
_SECONDS = 120.0
"""Timeout of the whole listing; a model's has few pages."""
_IDENTITY_ENCODING = {"Accept-Encoding": "identity"}
"""Requests uncompressed responses: sizes and ranges then refer to the file, and a page cannot
expand."""


class _LinkParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.hrefs += [value for name, value in attrs if name == "href" and value]


def links_below(page: str, url: str) -> tuple[list[str], list[str]]:
    """Return the directories and files that an index page at `url` links to, below it.

    Sort links, parents and other hosts are ignored; both lists are absolute URLs.
    """
    parser = _LinkParser()
    parser.feed(page)
    directories: dict[str, None] = {}
    files: dict[str, None] = {}
    for href in parser.hrefs:
        try:
            target = urljoin(url, href)
            parts = urlsplit(target)
        except ValueError:  # not a URL
            continue
        if parts.query or parts.fragment or not target.startswith(url) or target == url:
            continue
        (directories if target.endswith("/") else files)[target] = None
    return list(directories), list(files)


def list_directory(url: str) -> FileListing:
    """List every file below an HTTP directory, with sizes from Content-Length.

    Raises:
        FluidModelError: the URL has no directory listing, or a size is missing.
        UnreachableError: the server does not respond, or not in time.
    """
    root = url if url.endswith("/") else url + "/"
    pool = _create_pool(url, maxsize=16)
    deadline = time.monotonic() + _SECONDS
    targets: dict[str, None] = {}
    pages = deque([root])
    visited = {root}
    count = 0
    while pages:
        count += 1
        if count > _MAX_PAGES or len(targets) > _MAX_FILES:
            raise FluidModelError(
                f"the directory tree at {url} is too large",
                f"it has more than {_MAX_PAGES} pages or {_MAX_FILES} files",
                "name the model's own directory",
            )
        directory = pages.popleft()
        directories, files = links_below(_read_page(pool, directory, deadline), directory)
        pages += [link for link in directories if link not in visited]
        visited.update(directories)
        targets.update(dict.fromkeys(files))
    if not targets:
        raise FluidModelError(
            f"{url} lists no files", "WebUFS needs a directory index from the server"
        )
    with ThreadPoolExecutor(max_workers=16) as workers:
        sizes = list(workers.map(lambda target: _read_size(pool, target, deadline), targets))
    return FileListing(
        tuple(
            sorted(
                SourceFile(unquote(target[len(root) :]), size)
                for target, size in zip(targets, sizes, strict=True)
            )
        )
    )


def range_reader(url: str) -> RangeReader:
    """A function that reads a range of a file below an HTTP directory."""
    import urllib3

    root = url if url.endswith("/") else url + "/"
    pool = _create_pool(url, maxsize=8, seconds=5.0)

    def fetch(path: str, first: int, count: int) -> bytes:
        span = {"Range": f"bytes={first}-{first + count - 1}", **_IDENTITY_ENCODING}
        try:
            response = pool.request("GET", root + quote(path), headers=span, preload_content=False)
            try:
                if response.status not in (200, 206):
                    raise RangeReadError(f"HTTP {response.status}")
                if first and response.status == 200:
                    raise RangeReadError("the server does not support range requests")
                return bytes(response.read(count, decode_content=False))
            finally:
                response.close()  # without reading data beyond the range
        except (urllib3.exceptions.HTTPError, OSError) as err:
            failure = explain_connection_error(err, url, _SETTING)
            raise RangeReadError(failure.reason) from err

    return fetch


def _create_pool(url: str, maxsize: int, seconds: float = 20.0) -> urllib3.PoolManager:
    import urllib3

    return proxies.create_pool(
        proxies.proxy_for(url),
        maxsize=maxsize,
        retries=urllib3.Retry(2, backoff_factor=0.3, redirect=3),
        timeout=seconds,
        ssl_context=tls.ssl_context_from_environment(f"cannot read {url}"),
    )


def _read_page(pool: urllib3.PoolManager, url: str, deadline: float) -> str:
    """Read an index page, up to the size limit."""
    import urllib3

    response = _send_request(pool, "GET", url, deadline)
    try:
        if "html" not in response.headers.get("Content-Type", ""):
            kind = response.headers.get("Content-Type", "") or "no Content-Type"
            raise FluidModelError(
                f"{url} is not a directory listing",
                f"the server responds with {kind[:60]}, not with an HTML page",
            )
        content = bytearray()
        while chunk := response.read1(_CHUNK_BYTES, decode_content=False):
            content += chunk
            if len(content) > _MAX_PAGE_BYTES:
                raise FluidModelError(
                    f"{url} is not a directory listing",
                    f"the page has more than {_MAX_PAGE_BYTES >> 20} MiB",
                    "name the model's own directory",
                )
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"cannot read {url}", f"the page was incomplete after {_SECONDS:.0f} s"
                )
    except (urllib3.exceptions.HTTPError, OSError) as err:
        raise _unreachable(url, err) from err
    finally:
        response.close()
    return content.decode("utf-8", "replace")


def _read_size(pool: urllib3.PoolManager, url: str, deadline: float) -> int:
    response = _send_request(pool, "HEAD", url, deadline)
    response.close()
    length = response.headers.get("Content-Length", "")
    if not length.isascii() or not length.isdigit() or len(length) > 18:
        raise FluidModelError(
            f"the size of {url} is unknown", "the server sends no Content-Length", "--quota SIZE"
        )
    return int(length)


def _send_request(
    pool: urllib3.PoolManager, method: str, url: str, deadline: float
) -> urllib3.BaseHTTPResponse:
    """Send a request; the body of the response is not read yet."""
    import urllib3

    if time.monotonic() > deadline:
        raise UnreachableError(f"cannot read {url}", f"the listing took more than {_SECONDS:.0f} s")
    try:
        response = pool.request(method, url, preload_content=False, headers=_IDENTITY_ENCODING)
    except urllib3.exceptions.HTTPError as err:
        raise _unreachable(url, err) from err
    if response.status >= 400:
        response.close()
        refusal = proxy_status_failure(response.status, url)
        if refusal is not None:
            raise refusal.to_error(f"cannot read {url}")
        raise FluidModelError(f"cannot read {url}", f"HTTP {response.status}", "check SOURCE")
    return response


def _unreachable(url: str, err: BaseException) -> UnreachableError:
    return explain_connection_error(err, url, _SETTING).to_error(f"cannot read {url}")
