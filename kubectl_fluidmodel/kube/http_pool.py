"""HTTP/1.1 to one server on connections that stay open and that threads share.

http.client speaks the protocol. urllib3 would do the same, but importing it takes an eighth of the
time of `inspect` on a small cluster.
"""

from __future__ import annotations

import selectors
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

MAX_IDLE = 32
"""Connections that are kept open; more at once are made and closed."""
_CHUNK_BYTES = 65536

REQUEST_ERRORS = (OSError, HTTPException, zlib.error)
"""What a request may raise; ssl.SSLError and timeouts are OSErrors."""


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    target: str
    """Path and query; the whole URL for a proxy that makes the request itself."""
    headers: Sequence[tuple[str, str]]
    """All but that of the body's length."""
    body: bytes | None
    connect_timeout: float
    """Seconds in which a connection must be made."""
    read_timeout: float
    """Seconds that may pass without data."""


class Response:
    """One response. Its body was read, unless it is streamed."""

    def __init__(self, response: HTTPResponse, connection: HTTPConnection) -> None:
        self.status: int = response.status
        self.headers: HTTPMessage = response.headers
        self._response = response
        self._connection = connection
        self._body: bytes | None = None

    def read(self) -> bytes:
        """The whole body, decompressed.

        Raises:
            OSError, HTTPException, zlib.error: it broke off, is damaged, or nothing came in time.
        """
        if self._body is None:
            body = self._response.read()
            is_compressed = self.headers.get("Content-Encoding") == "gzip"
            self._body = zlib.decompress(body, zlib.MAX_WBITS | 16) if is_compressed else body
        return self._body

    def chunks(self) -> Iterator[bytes]:
        """The parts of a streamed body as they come; raises as `read`."""
        while data := self._response.read1(_CHUNK_BYTES):
            yield data

    def close(self) -> None:
        """End a stream. The connection of a body that was read stays open."""
        if self._body is None:
            self._connection.close()


class HttpPool:
    """Connections to one server; safe to share between threads."""

    def __init__(self, connect: Callable[[float], socket.socket]) -> None:
        self._connect = connect
        """Makes one in so many seconds."""
        self._idle: list[HTTPConnection] = []
        self._lock = threading.Lock()

    def send(self, request: Request, *, stream: bool = False) -> Response:
        """Send a request and return the response, whatever its status.

        Args:
            request: What to send.
            stream: Leave the body to `Response.chunks`; the caller closes the response.

        Raises:
            OSError, HTTPException, zlib.error: there is no connection, it broke, or what came is
                no response.
        """
        connection = self._take()
        try:
            if connection.sock is None:
                connection.sock = self._connect(request.connect_timeout)
            connection.sock.settimeout(request.read_timeout)
            _write(connection, request)
            response = Response(connection.getresponse(), connection)
            if not stream:
                response.read()
        except BaseException:
            connection.close()
            raise
        if not stream:
            self._give_back(connection)
        return response

    def _take(self) -> HTTPConnection:
        """An idle connection, or one that has no socket yet."""
        while True:
            with self._lock:
                if not self._idle:
                    return HTTPConnection("localhost")  # the socket decides where it leads
                connection = self._idle.pop()
            if connection.sock is not None and not _is_dropped(connection.sock):
                return connection
            connection.close()

    def _give_back(self, connection: HTTPConnection) -> None:
        """Keep a connection, unless the server ends it with this response."""
        with self._lock:
            if connection.sock is not None and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()


def _write(connection: HTTPConnection, request: Request) -> None:
    connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value.encode())  # http.client itself would encode as Latin-1
    if request.body is not None:
        connection.putheader("Content-Length", str(len(request.body)))
    connection.endheaders(request.body)


def _is_dropped(connection: socket.socket) -> bool:
    """Whether the server closed an idle connection: whatever it says then answers nothing."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0))
