"""Index pages, as the common web servers write them, over real HTTP."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.model.files import SourceFile
from kubectl_fluidmodel.model.sample import RangeReadError
from kubectl_fluidmodel.objectstore import http_index
from kubectl_fluidmodel.objectstore.http_index import links_below, list_directory, range_reader
from tests.loopback import HttpRequest, HttpResponse, RequestHandler, free_port, serve

NGINX = """<html><head><title>Index of /m/</title></head><body><h1>Index of /m/</h1><hr><pre>
<a href="../">../</a>
<a href="original/">original/</a>           01-Jan-2026 00:00       -
<a href="config.json">config.json</a>       01-Jan-2026 00:00     826
<a href="model-1%20of%202.safetensors">model-1 of 2.safetensors</a> 01-Jan-2026 00:00 4G
</pre><hr></body></html>"""

APACHE = """<table><tr><th><a href="?C=N;O=D">Name</a></th><th><a href="?C=S;O=A">Size</a></th>
<tr><td><a href="/">Parent Directory</a></td></tr>
<tr><td><a href="config.json">config.json</a></td><td>826</td></tr>
<tr><td><A HREF="config.json">again</A></td></tr>
<tr><td><a href="/m/original/">original/</a></td></tr>
<tr><td><a href="https://example.org/x">elsewhere</a></td></tr>
<tr><td><a name="anchor">no link</a><a href="#top">top</a></td></tr></table>"""


@pytest.mark.parametrize(
    ("page", "directories", "files"),
    [
        (NGINX, ["original/"], ["config.json", "model-1%20of%202.safetensors"]),
        (APACHE, ["original/"], ["config.json"]),
        ("", [], []),
        ("<a href='.'>here</a><a href='./'>here</a>", [], []),
        ("<a href='http://[broken'>x</a><a href='ok.bin'>ok</a>", [], ["ok.bin"]),
    ],
    ids=["nginx", "apache", "empty", "itself", "unparsable"],
)
def test_links_below(page: str, directories: list[str], files: list[str]) -> None:
    base = "http://host/m/"
    links = links_below(page, base)
    assert links == ([base + name for name in directories], [base + name for name in files])


def tree(files: dict[str, bytes], *, lengths: bool = True) -> RequestHandler:
    """A server that shows an index of every directory."""

    def respond(request: HttpRequest) -> HttpResponse:
        path = request.path
        if path.endswith("/"):
            rests = [name[len(path) :] for name in files if name.startswith(path)]
            below = {rest[: rest.find("/") + 1] or rest for rest in rests}
            if not below:
                return HttpResponse(404, b"no")
            links = "".join(f'<a href="{name.replace(" ", "%20")}">x</a>' for name in sorted(below))
            return HttpResponse(200, links.encode(), {"Content-Type": "text/html; charset=utf-8"})
        if path not in files:
            return HttpResponse(404, b"no")
        if not lengths:
            return HttpResponse(200, iter(()), {"Content-Type": "application/octet-stream"})
        size = str(len(files[path]))
        return HttpResponse(200, files[path], {"Content-Length": size})

    return respond


MODEL = {
    "/m/config.json": b"{}",
    "/m/part 1.safetensors": b"x" * 9,
    "/m/original/params.json": b"{ }",
    "/other/secret.bin": b"zzzz",
}


@pytest.mark.parametrize("tail", ["", "/"])
def test_a_tree_is_listed_with_sizes(tail: str) -> None:
    with serve(tree(MODEL)) as server:
        listing = list_directory(f"{server.url}/m{tail}")
        methods = {(request.method, request.path) for request in server.requests}
    assert listing.files == (
        SourceFile("config.json", 2),
        SourceFile("original/params.json", 3),
        SourceFile("part 1.safetensors", 9),
    )
    assert ("GET", "/m/config.json") not in methods  # sizes without reading a byte


def test_a_missing_directory() -> None:
    with serve(tree(MODEL)) as server, pytest.raises(FluidModelError) as caught:
        list_directory(f"{server.url}/nothing/")
    assert (caught.value.reason, caught.value.exit_code) == ("HTTP 404", 1)


def test_an_index_without_files() -> None:
    page = HttpResponse(200, b"<a href='../'>up</a>", {"Content-Type": "text/html"})
    with serve(lambda _: page) as server, pytest.raises(FluidModelError, match="lists no files"):
        list_directory(f"{server.url}/m/")


def test_what_is_no_html_is_no_directory() -> None:
    page = HttpResponse(200, b"[]", {"Content-Type": "application/json"})
    with serve(lambda _: page) as server, pytest.raises(FluidModelError, match="not a directory"):
        list_directory(f"{server.url}/m/")


def test_a_file_without_a_size() -> None:
    with serve(tree(MODEL, lengths=False)) as server, pytest.raises(FluidModelError) as caught:
        list_directory(f"{server.url}/m/")
    assert "the size of" in caught.value.message
    assert caught.value.hint == "--quota SIZE"


def test_directories_that_link_in_a_circle_end() -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, b"<a href='again/'>x</a>", {"Content-Type": "text/html"})

    with serve(respond) as server, pytest.raises(FluidModelError, match="is too large"):
        list_directory(f"{server.url}/m/")


def test_an_index_that_never_ends_is_not_read_to_its_end() -> None:
    sent = []

    def endless() -> Iterator[bytes]:
        for _ in range(500):
            sent.append(1)
            yield b"<a href='x'>" * 8000

    page = {"Content-Type": "text/html"}
    with serve(lambda _: HttpResponse(200, endless(), page)) as server:
        with pytest.raises(FluidModelError, match="not a directory listing") as caught:
            list_directory(f"{server.url}/m/")
    assert "more than 4 MiB" in caught.value.reason
    assert len(sent) < 400


def test_a_page_that_drips_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_index, "_SECONDS", 0.5)

    def drips() -> Iterator[bytes]:
        for _ in range(200):
            time.sleep(0.05)
            yield b"<a href='x'>"

    began = time.monotonic()
    with serve(lambda _: HttpResponse(200, drips(), {"Content-Type": "text/html"})) as server:
        with pytest.raises(UnreachableError, match="cannot read"):
            list_directory(f"{server.url}/m/")
    assert time.monotonic() - began < 5


def test_a_page_that_is_packed_is_not_unpacked() -> None:
    packed = gzip.compress(b"<a href='x'>y</a>" * 1_000_000)
    answer = HttpResponse(200, packed, {"Content-Type": "text/html", "Content-Encoding": "gzip"})
    with serve(lambda _: answer) as server, pytest.raises(FluidModelError, match="lists no files"):
        list_directory(f"{server.url}/m/")
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("worst", ["<a ", "<a href=", "<", "<!--", "&#", "<a href='", "</a", "<?"])
def test_a_page_is_parsed_in_time(worst: str) -> None:
    began = time.thread_time()
    links_below(worst * ((1 << 20) // len(worst)), "http://host/m/")
    assert time.thread_time() - began < 10


@pytest.mark.parametrize("ranges", [True, False])
def test_parts_of_files_are_read(ranges: bool) -> None:
    content = bytes(range(256)) * 100

    def respond(request: HttpRequest) -> HttpResponse:
        if not ranges:
            return HttpResponse(200, content)
        first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
        return HttpResponse(206, content[int(first) : int(last) + 1])

    with serve(respond) as server:
        fetch = range_reader(f"{server.url}/m")
        assert fetch("part 1.bin", 0, 10) == content[:10]
        assert server.requests[0].path == "/m/part 1.bin"
        if ranges:
            assert fetch("a", 300, 5) == content[300:305]
        else:
            with pytest.raises(RangeReadError, match="not support range"):
                fetch("a", 300, 5)


def test_files_that_cannot_be_read() -> None:
    with (
        serve(lambda _: HttpResponse(403)) as server,
        pytest.raises(RangeReadError, match="HTTP 403"),
    ):
        range_reader(server.url)("a", 0, 1)
    with pytest.raises(RangeReadError):
        range_reader(f"http://127.0.0.1:{free_port()}")("a", 0, 1)


def test_no_server_listens() -> None:
    with pytest.raises(UnreachableError) as caught:
        list_directory(f"http://127.0.0.1:{free_port()}/m/")
    assert caught.value.exit_code == 3
    assert "refused" in str(caught.value)
