"""HTTP/1.1 to one server on persistent connections that threads share.

http.client implements the protocol. urllib3 would do the same, but importing it takes an eighth of
the time of `inspect` on a small cluster.
"""

from __future__ import annotations

import selectors
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse
from typing import TYPE_CHECKING

from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    import socket

MAX_IDLE = 32
"""Maximum number of idle connections; additional ones are closed after use."""
_CHUNK_BYTES = 65536

REQUEST_ERRORS = (OSError, HTTPException, zlib.error)
"""Exceptions of a request; ssl.SSLError and timeouts are OSErrors."""


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    target: str
    """Path and query; the whole URL for a proxy that sends the request itself."""
    headers: Sequence[tuple[str, str]]
    """All headers except the body's length."""
    body: bytes | None
    connect_timeout: float
    """Timeout of connecting, in seconds."""
    read_timeout: float
    """Maximum seconds without data."""


class Response:
    """One response. Its body has been read, unless it is streamed."""

    def __init__(self, response: HTTPResponse, connection: HTTPConnection | None) -> None:
        """Create it; `connection` ends with it, None for one that the pool keeps."""
        self.status: int = response.status
        self.headers: HTTPMessage = response.headers
        self._response = response
        self._connection = connection
        self._body: bytes | None = None

    def read(self) -> bytes:
        """Read the whole body, decompressed.

        Raises:
            OSError, HTTPException, zlib.error: it was cut off, is damaged, or timed out.
        """
        if self._body is None:
            body = self._response.read()
            is_compressed = self.headers.get("Content-Encoding") == "gzip"
            self._body = zlib.decompress(body, zlib.MAX_WBITS | 16) if is_compressed else body
        return self._body

    def chunks(self) -> Iterator[bytes]:
        """Yield the parts of a streamed body as they arrive; raises like `read`."""
        while data := self._response.read1(_CHUNK_BYTES):
            yield data

    def close(self) -> None:
        """End a stream and its connection."""
        if self._connection is not None:
            self._connection.close()


class HttpPool:
    """Connections to one server; safe to share between threads."""

    def __init__(self, connect: Callable[[float], socket.socket]) -> None:
        self._connect = connect
        """Opens a connection within a timeout in seconds."""
        self._idle: list[HTTPConnection] = []
        self._lock = threading.Lock()
        # A pool is dropped when its client is, or when the client's certificate changes.
        weakref.finalize(self, _close_all, self._idle)

    def send(self, request: Request, *, stream: bool = False) -> Response:
        """Send a request and return the response, whatever its status.

        Args:
            request: What to send.
            stream: Leave the body to `Response.chunks`; the caller closes the response.

        Raises:
            OSError, HTTPException, zlib.error: the connection failed or broke, or the data is not a
            response.
        """
        connection = self._take()
        try:
            if connection.sock is None:
                connection.sock = self._connect(request.connect_timeout)
            connection.sock.settimeout(request.read_timeout)
            _write(connection, request)
            response = Response(connection.getresponse(), connection if stream else None)
            if not stream:
                response.read()
        except BaseException:
            connection.close()
            raise
        if not stream:
            self._give_back(connection)
        return response

    def _take(self) -> HTTPConnection:
        """Return an idle connection, or a new one without a socket."""
        while True:
            with self._lock:
                if not self._idle:
                    return HTTPConnection("localhost")  # the socket determines the destination
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


def _close_all(connections: list[HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def _write(connection: HTTPConnection, request: Request) -> None:
    connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value.encode())  # http.client would encode as Latin-1
    if request.body is not None:
        connection.putheader("Content-Length", str(len(request.body)))
    connection.endheaders(request.body)


def _is_dropped(connection: socket.socket) -> bool:
    """Return whether the server closed an idle connection: any data on it is not a response."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0))
