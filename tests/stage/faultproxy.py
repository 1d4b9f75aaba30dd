"""A proxy in front of the S3 server that makes chosen requests go wrong."""

from __future__ import annotations

import http.client
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fault_rule import FaultRule

_SKIP = {"connection", "keep-alive", "transfer-encoding", "expect"}


@dataclass
class StoreFault(FaultRule):
    """One fault.

    kinds:
        refuse    answer with `status` and S3's error `code` instead of asking the server
        reset     drop the connection before the request is forwarded
        lose      forward it, and drop the connection instead of answering
        delay     wait `seconds` before it is forwarded
        hide      answer 403 where the server's answer is 404, as S3 does to who may not list
        etags     a list's ETags differ from those of HEAD
        stall     forward it, and send nothing for `seconds` instead of the answer
        spoil     flip a byte of the request's body
        call      run `action`, then forward
    """

    status: int = 500
    code: str = "InternalError"
    login: str = ""
    """Access key whose requests alone are struck; all where empty."""
    html: bool = False
    """Whether to refuse it in a gateway's words instead of S3's."""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    action: Callable[[], None] | None = None


class FaultProxy:
    """The proxy; `faults` may be changed while it runs."""

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.faults: list[StoreFault] = []
        self.requests: list[tuple[str, str]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def add_fault(
        self, kind: str, method: str = "", match: str = "", **settings: Any
    ) -> StoreFault:
        fault = StoreFault(kind, match, method, **settings)
        self.faults.append(fault)
        return fault

    def count(self, method: str, match: str = "") -> int:
        return sum(1 for m, path in self.requests if m == method and re.search(match, path))

    def stop(self) -> None:
        self._server.over.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: FaultProxy

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.over = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _do(self) -> None:
        proxy = self.server.proxy
        proxy.requests.append((self.command, self.path))
        body = bytearray(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        login = self.headers.get("Authorization", "")
        faults = [
            fault
            for fault in proxy.faults
            if fault.login in login and fault.applies_to(self.command, self.path)
        ]
        if not all(self._passes(fault, body) for fault in faults):
            return
        kinds = {fault.kind for fault in faults}
        answer = self._forward(bytes(body), send_headers_first="call" in kinds)
        if answer is None or "lose" in kinds:
            return self._drop()
        response, data = answer
        for fault in faults:
            if fault.kind == "stall":
                self.server.over.wait(fault.seconds)
        if "hide" in kinds and response.status == 404:
            return self._refuse(StoreFault("refuse", status=403, code="AccessDenied"))
        if "etags" in kinds:
            data = re.sub(rb"(</ETag>)", rb"-listed\1", data)
        self._send(response, data)
        return None

    def _passes(self, fault: StoreFault, body: bytearray) -> bool:
        """Apply what happens before a request is forwarded; False if it is not."""
        if fault.kind == "delay":
            time.sleep(fault.seconds)
        elif fault.kind == "call" and fault.action:
            fault.action()
        elif fault.kind == "spoil" and body:
            body[len(body) // 2] ^= 0xFF
        elif fault.kind == "reset":
            self._drop()
        elif fault.kind == "refuse":
            self._refuse(fault)
        return fault.kind not in ("reset", "refuse")

    def _forward(
        self, body: bytes, *, send_headers_first: bool
    ) -> tuple[http.client.HTTPResponse, bytes] | None:
        """The server's response with its body; None if the connection broke."""
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _SKIP}
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.proxy.upstream, timeout=60)
        try:
            if send_headers_first:
                _send_headers_first(upstream, self.command, self.path, body, headers)
            else:
                upstream.request(self.command, self.path, body, headers)
            response = upstream.getresponse()
            return response, response.read()
        except OSError:
            return None
        finally:
            upstream.close()

    def _send(self, response: http.client.HTTPResponse, data: bytes) -> None:
        self.send_response(response.status)
        for key, value in response.getheaders():
            if key.lower() not in _SKIP and key.lower() != "content-length":
                self.send_header(key, value)
        is_head = self.command == "HEAD"
        length = response.getheader("Content-Length") if is_head else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if not is_head:
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _do

    def _drop(self) -> None:
        self.close_connection = True
        linger = b"\x01\0\0\0\0\0\0\0"
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def _refuse(self, fault: StoreFault) -> None:
        if fault.html:  # as a gateway in front of the store speaks
            text = f"<html><body>error code: {fault.status}</body></html>".encode()
        else:
            text = self._document(fault)
        self.send_response(fault.status)
        self.send_header("Content-Type", "text/html" if fault.html else "application/xml")
        for key, value in fault.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _document(self, fault: StoreFault) -> bytes:
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{fault.code}</Code>'
            f"<Message>{fault.code} by the fault proxy</Message></Error>"
        ).encode()


def _send_headers_first(
    upstream: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
) -> None:
    """Send the headers, and the body only if there is no answer to them."""
    upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for key, value in headers.items():
        upstream.putheader(key, value)
    upstream.endheaders()
    if not select.select([upstream.sock], [], [], 0.5)[0]:
        upstream.send(body)
