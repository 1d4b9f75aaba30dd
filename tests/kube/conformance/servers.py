"""Loopback servers that answer `/version` as an API server does, and note who asked, and how."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_IDENTITY = ("authorization", "impersonate-", "accept-encoding", "x-remote-")
_VERSION = json.dumps({"major": "1", "minor": "36", "gitVersion": "v1.36.3"}).encode()


@dataclass(frozen=True)
class ReceivedRequest:
    """One request: all of it that says who asks whom."""

    scheme: str
    """`https` or `http`."""
    sni: str
    certificate: str
    """Common name of the client's certificate."""
    host: str
    path: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]


@dataclass(frozen=True)
class Refusal:
    """An answer other than 200."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class Recorder(ThreadingHTTPServer):
    """Notes each request in `requests`; `script` has the answers to the next ones."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, certificate: Path | None = None, clients: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[ReceivedRequest] = []
        self.script: list[Refusal] = []
        self.wants: str = ""
        """Without this Authorization the answer is 401."""
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            context.sni_callback = _note_name
            if clients:
                context.load_verify_locations(clients)
                context.verify_mode = ssl.CERT_OPTIONAL
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def forget(self) -> None:
        self.requests.clear()
        self.script.clear()
        self.wants = ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust us is no news."""


def _note_name(socket: Any, name: str | None, _: ssl.SSLContext) -> None:
    socket.asked_for = name or ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    server: Recorder

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = tuple(
            sorted(
                (name.lower(), value)
                for name, value in self.headers.items()
                if name.lower().startswith(_IDENTITY) and value != "identity"
            )
        )
        request = ReceivedRequest(
            scheme=self.server.scheme,
            sni=getattr(self.connection, "asked_for", ""),
            certificate=self._common_name(),
            host=self.headers.get("Host", ""),
            path=self.path.partition("?")[0],
            headers=headers,
        )
        self.server.requests.append(request)
        if self.server.script:
            refusal = self.server.script.pop(0)
            return self._send(refusal.status, b"{}", refusal.headers)
        if self.server.wants and request.header("authorization") != [self.server.wants]:
            return self._send(401, b"{}", {})
        return self._send(200, _VERSION, {})

    def _common_name(self) -> str:
        shown = getattr(self.connection, "getpeercert", dict)() or {}
        pairs = [pair for attributes in shown.get("subject", ()) for pair in attributes]
        return dict(pairs).get("commonName", "")

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def record(certificate: Path | None = None, clients: Path | None = None) -> Iterator[Recorder]:
    """A recorder while the context is open; by TLS with a PEM of key and certificate."""
    server = Recorder(certificate, clients)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
