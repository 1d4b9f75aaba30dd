"""Connections are kept, shared and renewed; a body comes whole or as it arrives."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException

import pytest

from kubectl_fluidmodel.kube.http_pool import MAX_IDLE, HttpPool, Request
from tests.loopback import HttpRequest, HttpResponse, Server, serve


@dataclass
class Dialer:
    """Connects to a server, and counts how often."""

    server: Server
    made: list[socket.socket] = field(default_factory=list)

    def __call__(self, timeout: float) -> socket.socket:
        self.made.append(socket.create_connection(("127.0.0.1", self.server.server_port), timeout))
        return self.made[-1]


def request(method: str = "GET", body: bytes | None = None, *headers: tuple[str, str]) -> Request:
    return Request(method, "/path?q=1", [("Host", "h"), *headers], body, 5.0, 5.0)


Respond = Callable[[HttpRequest], HttpResponse]


@pytest.fixture
def answers() -> list[HttpResponse]:
    """What the server answers next; an empty 200 when nothing is left."""
    return []


@pytest.fixture
def dialer(answers: list[HttpResponse]) -> Iterator[Dialer]:
    with serve(lambda _: answers.pop(0) if answers else HttpResponse()) as server:
        yield Dialer(server)


@pytest.fixture
def pool(dialer: Dialer) -> HttpPool:
    return HttpPool(dialer)


def test_the_request_arrives_as_it_is(pool: HttpPool, dialer: Dialer) -> None:
    pool.send(request("PATCH", b"body", ("X-Name", "Zoë"), ("X-Group", "a"), ("X-Group", "b")))
    (seen,) = dialer.server.requests
    assert (seen.method, seen.path, seen.query, seen.body) == (
        "PATCH",
        "/path",
        {"q": "1"},
        b"body",
    )
    assert seen.headers["X-Name"].encode("latin-1").decode() == "Zoë"
    assert seen.headers.get_all("X-Group") == ["a", "b"]
    assert seen.headers.get_all("Host") == ["h"]


def test_a_connection_is_used_again(pool: HttpPool, dialer: Dialer) -> None:
    for _ in range(3):
        assert pool.send(request()).status == 200
    assert len(dialer.made) == 1


def test_a_refusal_leaves_the_connection_usable(
    pool: HttpPool, dialer: Dialer, answers: list[HttpResponse]
) -> None:
    answers.append(HttpResponse(503, b"later", {"Retry-After": "1"}))
    refused = pool.send(request())
    assert (refused.status, refused.read(), refused.headers["retry-after"]) == (503, b"later", "1")
    assert pool.send(request()).status == 200
    assert len(dialer.made) == 1


def test_a_connection_that_the_server_ends_is_not_used_again(
    pool: HttpPool, dialer: Dialer, answers: list[HttpResponse]
) -> None:
    answers.append(HttpResponse(200, b"", {"Connection": "close"}))
    pool.send(request())
    pool.send(request())
    assert len(dialer.made) == 2


def test_a_pool_that_is_dropped_closes_its_connections(dialer: Dialer) -> None:
    pool = HttpPool(dialer)
    pool.send(request())
    assert dialer.made[0].fileno() >= 0
    del pool
    assert dialer.made[0].fileno() < 0


def test_a_refused_stream_closes_its_connection(
    pool: HttpPool, dialer: Dialer, answers: list[HttpResponse]
) -> None:
    answers.append(HttpResponse(410, b"expired"))
    refused = pool.send(request(), stream=True)
    assert refused.read() == b"expired"
    refused.close()
    assert dialer.made[0].fileno() < 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_broke_while_idle_is_replaced_before_anything_is_sent(
    pool: HttpPool, dialer: Dialer, method: str
) -> None:
    pool.send(request())
    near, far = socket.socketpair()
    far.close()
    pool._idle[0].sock = near  # what a load balancer leaves of a connection
    assert pool.send(request(method, b"{}")).status == 200
    assert len(dialer.server.requests) == 2


def test_threads_share_the_connections(dialer: Dialer, answers: list[HttpResponse]) -> None:
    """Each request has a connection of its own, and no more are kept than allowed."""
    pool, several = HttpPool(dialer), MAX_IDLE + 4
    together = threading.Barrier(several)

    def wait(_: HttpRequest) -> HttpResponse:
        together.wait(10)
        return HttpResponse()

    dialer.server.respond = wait
    with ThreadPoolExecutor(several) as threads:
        statuses = list(threads.map(lambda _: pool.send(request()).status, range(several)))
    assert statuses == [200] * several
    assert len(dialer.made) == several
    assert len(pool._idle) == MAX_IDLE


def test_a_compressed_body_is_decompressed(pool: HttpPool, answers: list[HttpResponse]) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    body = packer.compress(b"words" * 99) + packer.flush()
    answers.append(HttpResponse(200, body, {"Content-Encoding": "gzip"}))
    assert pool.send(request()).read() == b"words" * 99


@dataclass(frozen=True)
class Broken:
    """A response that is none, or not whole."""

    name: str
    response: HttpResponse

    def __str__(self) -> str:
        return self.name


@pytest.mark.parametrize(
    "broken",
    [
        Broken("damaged", HttpResponse(200, b"no gzip", {"Content-Encoding": "gzip"})),
        Broken("cut", HttpResponse(200, b"half", {"Content-Length": "8", "Connection": "close"})),
        Broken("cut in a chunk", HttpResponse(200, iter([b"half"]), chunked=False)),
    ],
    ids=str,
)
def test_half_a_body_is_an_error_and_ends_the_connection(
    pool: HttpPool, dialer: Dialer, answers: list[HttpResponse], broken: Broken
) -> None:
    answers.append(broken.response)
    with pytest.raises((HTTPException, zlib.error)):
        pool.send(request())
    assert dialer.made[0].fileno() == -1
    assert pool.send(request()).status == 200


def test_a_stream_comes_in_parts_and_its_connection_is_not_used_again(
    pool: HttpPool, dialer: Dialer, answers: list[HttpResponse]
) -> None:
    gate = threading.Event()

    def parts() -> Iterator[bytes]:
        yield b"one"
        gate.wait(10)
        yield b"two"

    answers.append(HttpResponse(200, parts()))
    response = pool.send(request(), stream=True)
    chunks = response.chunks()
    assert next(chunks) == b"one", "before the second is there"
    gate.set()
    assert list(chunks) == [b"two"]
    response.close()
    pool.send(request())
    assert len(dialer.made) == 2
