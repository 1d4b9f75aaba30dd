"""A real HTTP server on a loopback port, whose answers a test writes as a function."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class HttpRequest:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class HttpResponse:
    """What to send back. A body that is an iterator goes out in chunks, as it comes."""

    status: int = 200
    body: bytes | Iterator[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = True
    """For an iterator: end it as HTTP/1.1 says; else the connection just breaks."""


def json_response(value: Any, status: int = 200) -> HttpResponse:
    """JSON, as an API server sends it."""
    return HttpResponse(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


RequestHandler = Callable[[HttpRequest], HttpResponse]


class Server(ThreadingHTTPServer):
    """Counts connections and keeps what was asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self,
        respond: RequestHandler,
        port: int = 0,
        certificate: Path | None = None,
        clients: Path | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            if clients:
                context.load_verify_locations(clients)
                context.verify_mode = ssl.CERT_REQUIRED
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self.respond = respond
        self.requests: list[HttpRequest] = []

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one packet for head and body: a second one would wait for an ACK
    server: Server

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        asked = HttpRequest(
            self.command,
            unquote(parts.path),
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            self.headers,
            self.rfile.read(length),
        )
        self.server.requests.append(asked)
        answer = self.server.respond(asked)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if isinstance(answer.body, bytes):
            if "Content-Length" not in answer.headers:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for chunk in answer.body:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        if answer.chunked:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def serve(
    respond: RequestHandler,
    port: int = 0,
    certificate: Path | None = None,
    clients: Path | None = None,
) -> Iterator[Server]:
    """Serve while the context is open; with a PEM of key and certificate by TLS.

    `clients` is the authority of those who may come.
    """
    server = Server(respond, port, certificate, clients)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """A loopback port on which nobody listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
