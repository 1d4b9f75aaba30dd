"""The stand-in's two servers: the hub itself, and the host that its redirects point to."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub.faults import Fault, TokenBucket
from tests.hub.repo import Blob, Repo

LOOPBACK = "127.0.0.1"
_CHUNK = 256 << 10


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    on: str
    method: str
    path: str
    headers: dict[str, str]
    at: float = field(default_factory=time.monotonic)

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class FakeHub:
    """The servers with their repositories, faults and a record of every request."""

    def __init__(self, *repos: Repo, page_size: int = 1000) -> None:
        self.repos = {repo.name: repo for repo in repos}
        self.page_size = page_size
        self.faults: list[Fault] = []
        self.gated: dict[str, set[str]] = {}
        """Repository → tokens whose owners accepted its terms."""
        self.private: dict[str, set[str]] = {}
        """Repository → tokens that may see it."""
        self.bad_tokens: set[str] = set()
        self.connection_rate = 0.0
        """Bytes per second of one connection; 0 is no limit."""
        self.total = TokenBucket(0.0)
        self.latency = 0.0
        self.link_uses: int | None = None
        """Requests that a redirect's target answers before it has expired; None for no end."""
        self.requests: list[Request] = []
        self.body_bytes = 0
        self.pause_after: int | None = None
        """Bytes of bodies in all after which every body stops, until this is None."""
        self._links: dict[str, int] = {}
        self.lock = threading.Lock()
        self._servers: list[ThreadingHTTPServer] = []
        self.before: Callable[[Request], None] | None = None

    # -- life --------------------------------------------------------------------------------

    def start(self, port: int = 0, address: str = LOOPBACK) -> FakeHub:
        """Listen at an address; any port if none is given."""
        for on, requested_port in (("hub", port), ("cdn", 0)):
            server = _Server((address, requested_port), _Handler)
            server.hub, server.on = self, on
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.endpoint = f"http://{address}:{self._servers[0].server_address[1]}"
        # Another name, so that it is another host even to who compares names without ports.
        other = "localhost" if address == LOOPBACK else address
        self.cdn = f"http://{other}:{self._servers[1].server_address[1]}"
        return self

    def stop(self) -> None:
        self.pause_after = None
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()

    def __enter__(self) -> FakeHub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- what tests ask ----------------------------------------------------------------------

    def add_fault(self, kind: str, match: str = "", **settings: Any) -> Fault:
        """Switch a fault on."""
        fault = Fault(kind, match, **settings)
        self.faults.append(fault)
        return fault

    def requests_matching(self, match: str = "", on: str = "any") -> list[Request]:
        return [
            request
            for request in self.requests
            if on in ("any", request.on) and re.search(match, request.path)
        ]

    def clear_requests(self) -> None:
        """Start the record anew."""
        with self.lock:
            self.requests.clear()
            self.body_bytes = 0

    # -- what the handlers ask ---------------------------------------------------------------

    def link(self, repo: str, commit: str, path: str) -> str:
        with self.lock:
            name = f"{len(self._links)}-{os.urandom(4).hex()}"
            self._links[name] = 0
        return f"{self.cdn}/blobs/{repo}/{commit}/{quote(path)}?signature={name}"

    def use_link(self, name: str) -> bool:
        with self.lock:
            if name not in self._links:
                return False
            self._links[name] += 1
            return self.link_uses is None or self._links[name] <= self.link_uses

    def record_request(self, request: Request) -> None:
        with self.lock:
            self.requests.append(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    hub: FakeHub
    on: str

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rate = TokenBucket(self.server.hub.connection_rate)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, on = self.server.hub, self.server.on
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(on, self.command, self.path, headers)
        hub.record_request(request)
        if hub.before is not None:
            hub.before(request)
        if hub.latency:
            time.sleep(hub.latency)
        self.active = [f for f in hub.faults if f.applies_on(on, self.command, self.path)]
        for fault in self.active:
            if fault.kind == "move" and callable(fault.action):
                fault.action()
            if fault.kind == "status":
                return self._plain(fault.status, b"it did not work", dict(fault.headers))
        url = urlsplit(self.path)
        path = unquote(url.path)
        if on == "cdn":
            return self._cdn(path, parse_qs(url.query))
        if path.startswith("/api/models/"):
            # As it came: a revision such as refs%2Fpr%2F1 has its slashes quoted.
            api = url.path.removeprefix("/api/models/")
            return self._api(api, parse_qs(url.query), request)
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if match:
            return self._resolve(*match.groups(), request)
        self._plain(404, b"")

    # -- endpoints ---------------------------------------------------------------------------

    def _api(self, path: str, query: dict[str, list[str]], request: Request) -> None:
        match = re.fullmatch(r"([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/.*)?)?", path)
        if not match:
            return self._plain(404, b"")
        name, what, revision = (unquote(part) if part else "" for part in match.groups())
        repo = self._may_see(name, request)
        if repo is None:
            return None
        sha = repo.resolve(revision or "main")
        if sha is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if what == "tree":
            return self._tree(repo, sha, query)
        siblings = [{"rfilename": path} for path in repo.commits[sha]]
        return self._json(
            {
                "id": name,
                "modelId": name,
                "sha": sha,
                "private": name in self.server.hub.private,
                "gated": "auto" if name in self.server.hub.gated else False,
                "siblings": siblings,
                "tags": [],
            }
        )

    def _tree(self, repo: Repo, sha: str, query: dict[str, list[str]]) -> None:
        hub = self.server.hub
        entries = [blob.entry(name) for name, blob in repo.commits[sha].items()]
        folders = sorted({e["path"].rpartition("/")[0] for e in entries} - {""})  # type: ignore[attr-defined]
        entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": f} for f in folders]
        start = int(query.get("cursor", ["0"])[0])
        page = entries[start : start + hub.page_size]
        headers = {}
        if start + hub.page_size < len(entries):
            link = f"{hub.endpoint}{urlsplit(self.path).path}?recursive=true&expand=false"
            headers["Link"] = f'<{link}&cursor={start + hub.page_size}>; rel="next"'
        self._json(page, headers)

    def _resolve(self, name: str, revision: str, path: str, request: Request) -> None:
        hub = self.server.hub
        repo = self._may_see(name, request)
        if repo is None:
            return None
        if name in hub.gated and request.token not in hub.gated[name]:
            text = f"Access to model {name} is restricted. You must have access to it."
            return self._refuse(403 if request.token else 401, "GatedRepo", text)
        sha = repo.resolve(revision)
        if sha is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        blob = repo.commits[sha].get(path)
        if blob is None:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if blob.lfs:
            headers |= {
                "X-Linked-Etag": f'"{blob.sha256}"',
                "X-Linked-Size": str(blob.size),
                "ETag": f'"{blob.git_oid}-moved"',
                "Location": hub.link(name, sha, path),
            }
            return self._plain(302, b"", headers)
        headers["ETag"] = f'"{blob.git_oid}"'
        self._body(blob, headers)
        return None

    def _cdn(self, path: str, query: dict[str, list[str]]) -> None:
        hub = self.server.hub
        match = re.fullmatch(r"/blobs/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)", path)
        if not match or not hub.use_link(query.get("signature", [""])[0]):
            return self._plain(403, b"<Error><Code>AccessDenied</Code></Error>")
        name, sha, file = match.groups()
        blob = hub.repos[name].commits[sha][file]
        self._body(blob, {"ETag": '"cdn"', "Accept-Ranges": "bytes"})
        return None

    def _may_see(self, name: str, request: Request) -> Repo | None:
        """The repository, or None when it was refused as the real Hub refuses it."""
        hub = self.server.hub
        if request.token and request.token in hub.bad_tokens:
            self._refuse(401, "", "Invalid credentials in Authorization header")
            return None
        repo = hub.repos.get(name)
        hidden = name in hub.private and request.token not in hub.private[name]
        if repo is None or hidden:
            # Anonymous, missing and private look alike, and 401; with a token it is 404.
            self._refuse(
                404 if request.token else 401, "RepoNotFound", "Repository not found"
            ) if request.token else self._refuse(401, "", "Invalid username or password.")
            return None
        return repo

    # -- answers -----------------------------------------------------------------------------

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message}
        if code:
            headers["X-Error-Code"] = code
        self._plain(status, json.dumps({"error": message}).encode(), headers)

    def _json(self, value: object, headers: dict[str, str] | None = None) -> None:
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        self._plain(200, json.dumps(value).encode(), all_headers)

    def _plain(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self, blob: Blob, headers: dict[str, str]) -> None:
        """The bytes of a file, whole or in part, with the faults that struck."""
        faults = {fault.kind: fault for fault in self.active}
        size = blob.size
        if "short" in faults:
            size = max(0, size - faults["short"].count)
        if "long" in faults:
            size += faults["long"].count
        start, end = 0, size
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        ranged = match is not None and "norange" not in faults
        if match and ranged:
            start = int(match[1])
            if match[2]:
                end = min(size, int(match[2]) + 1)
            if start >= size:
                return self._plain(416, b"", {"Content-Range": f"bytes */{size}"})
        if "norange" in faults:
            headers = {key: value for key, value in headers.items() if key != "Accept-Ranges"}
        self.send_response(206 if ranged else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        if "nolength" in faults:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command != "HEAD":
            self._send(blob, start, end, faults)

    def _send(self, blob: Blob, start: int, end: int, faults: dict[str, Fault]) -> None:
        hub = self.server.hub
        self.wfile.flush()
        source = blob.path.open("rb") if blob.path else None
        try:
            at, sent = start, 0
            # A slow connection brings a little all the time, not much now and then.
            chunk = min(_CHUNK, int(self.rate.rate / 20) or _CHUNK)
            while at < end:
                count = min(chunk, end - at)
                for kind in ("drop", "stall"):
                    if kind in faults and sent < faults[kind].after:
                        count = min(count, faults[kind].after - sent)
                if "drop" in faults and sent >= faults["drop"].after:
                    # RST instead of FIN, as a broken path looks.
                    linger = b"\x01\0\0\0\0\0\0\0"
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.close_connection = True
                    self.connection.close()
                    return
                if "stall" in faults and sent >= faults["stall"].after:
                    time.sleep(faults.pop("stall").seconds)
                while hub.pause_after is not None and hub.body_bytes >= hub.pause_after:
                    time.sleep(0.01)
                self.rate.take(count)
                hub.total.take(count)
                at = self._piece(blob, source, at, count, faults.get("wrong"))
                sent += count
                with hub.lock:
                    hub.body_bytes += count
        except OSError:
            self.close_connection = True
        finally:
            if source:
                source.close()

    def _piece(self, blob: Blob, source: Any, at: int, count: int, wrong: Fault | None) -> int:
        if source and wrong is None and at + count <= blob.size:
            done = 0
            while done < count:
                done += os.sendfile(
                    self.connection.fileno(), source.fileno(), at + done, count - done
                )
            return at + count
        if source:
            source.seek(at)
            piece = bytearray(source.read(count))
        else:
            piece = bytearray(blob.data[at : at + count])
        piece += b"x" * (count - len(piece))
        if wrong is not None and at <= wrong.after < at + count:
            piece[wrong.after - at] ^= 0xFF
        self.connection.sendall(piece)
        return at + count
