"""exec over a real WebSocket: its channels, its end, and as whom it is asked for."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube import exec as execs
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.errors import (
    ClusterUnreachableError,
    ForbiddenError,
    KubeError,
    NotFoundError,
    UnauthorizedError,
)
from tests.kube import kubeconfig
from tests.kube.certificates import self_signed
from tests.kube.server import client, status
from tests.loopback import HttpResponse, free_port, serve
from tests.proxyserver import Proxy, connect_proxy, socks_proxy

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OUT, ERR, STATUS = 1, 2, 3


def frame(channel: int, data: bytes) -> bytes:
    """A binary frame of the protocol v4.channel.k8s.io."""
    payload = bytes([channel]) + data
    head = struct.pack("!BBH", 0x82, 126, len(payload))
    return head + payload


def ended(**fields: Any) -> bytes:
    return frame(STATUS, json.dumps({"kind": "Status", **fields}).encode())


def exit_code(code: int) -> bytes:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return ended(status="Failure", reason="NonZeroExitCode", details={"causes": causes})


@dataclass
class Upgraded:
    """A server that takes one WebSocket, sends what it is told and hangs up."""

    frames: tuple[bytes, ...]
    port: int = 0
    request: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    def answer(self, listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            data = b""
            while b"\r\n\r\n" not in data:
                data += peer.recv(65536)
            self.request = data.decode()
            key = self.header("Sec-WebSocket-Key")[0].encode()
            digest = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
            peer.sendall(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {digest}\r\n"
                "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n".encode()
            )
            for frame in self.frames:
                peer.sendall(frame)
            self.done.wait(0.6 if not self.frames else 0)

    def header(self, name: str) -> list[str]:
        prefix = f"{name.lower()}: "
        lines = self.request.split("\r\n")
        return [line[len(prefix) :] for line in lines if line.lower().startswith(prefix)]


@contextmanager
def upgraded(*frames: bytes, certificate: Path | None = None) -> Iterator[Upgraded]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Upgraded(frames, listener.getsockname()[1])
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            listener = context.wrap_socket(listener, server_side=True)
        thread = threading.Thread(target=server.answer, args=(listener,), daemon=True)
        thread.start()
        yield server
        server.done.set()
        thread.join(5)


def run(server: Upgraded, timeout: float = 5.0, **flags: Any) -> execs.ExecResult:
    kube = Client.connect(ConfigFlags(server=f"http://127.0.0.1:{server.port}", **flags))
    return execs.exec_command(
        kube, "ns", "p", "c", ["alluxio", "fs", "ls", "/a b"], timeout=timeout
    )


@pytest.mark.parametrize(
    ("frames", "result"),
    [
        ([frame(OUT, b"one "), frame(OUT, b"two"), ended(status="Success")], (0, "one two", "")),
        ([frame(ERR, b"no\n"), exit_code(3)], (3, "", "no\n")),
        ([frame(OUT, b"x" * 60000)] * 3 + [ended(status="Success")], (0, "x" * 180000, "")),
        ([frame(OUT, "ü".encode()[:1]), frame(OUT, "ü".encode()[1:]), ended(status="Success")],
         (0, "ü", "")),
    ],
    ids=["success", "exit code", "large", "split character"],
)  # fmt: skip
def test_output_and_exit_code(frames: list[bytes], result: tuple[int, str, str]) -> None:
    with upgraded(*frames) as server:
        assert run(server) == execs.ExecResult(*result)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"), "kubernetes.example")


def test_the_command_is_passed_word_by_word_with_the_same_identity(certificate: Path) -> None:
    """The client of the `kubernetes` package would drop the impersonation."""
    with upgraded(ended(status="Success"), certificate=certificate) as server:
        kube = Client.connect(
            ConfigFlags(
                server=f"https://127.0.0.1:{server.port}",
                certificate_authority=str(certificate),
                token="t-1",
                as_user="jane",
                as_groups=("dev", "ops"),
            )
        )
        execs.exec_command(kube, "ns", "p", "c", ["alluxio", "fs", "ls", "/a b"])
        assert server.request.startswith(
            "GET /api/v1/namespaces/ns/pods/p/exec?command=alluxio&command=fs&command=ls"
            "&command=%2Fa+b&container=c&stdout=true&stderr=true HTTP/1.1"
        )
        assert server.header("Authorization") == ["Bearer t-1"]
        assert server.header("Impersonate-User") == ["jane"]
        assert server.header("Impersonate-Group") == ["dev", "ops"]


class TestProxies:
    """exec and port-forward take the way of all other requests."""

    @pytest.fixture(params=["http", "https", "socks5"])
    def way(self, request: pytest.FixtureRequest, certificate: Path) -> Iterator[tuple[str, Proxy]]:
        made = {
            "http": lambda: connect_proxy(0),
            "https": lambda: connect_proxy(0, certificate),
            "socks5": lambda: socks_proxy(0),
        }[request.param]
        with made() as proxy:
            yield request.param, proxy

    def client(self, scheme: str, proxy: Proxy, certificate: Path, **flags: Any) -> Client:
        # The certificate is for its name and for 127.0.0.1.
        all_flags = {"certificate_authority": str(certificate), **flags}
        if proxy.password:
            scheme += "://" + proxy.password + "@"
        else:
            scheme += "://"
        return Client.connect(
            ConfigFlags(
                server="https://kubernetes.example:6443",
                proxy_url=f"{scheme}127.0.0.1:{proxy.port}",
                **all_flags,
            )
        )

    def test_they_go_through(self, way: tuple[str, Proxy], certificate: Path) -> None:
        scheme, proxy = way
        large = [frame(OUT, b"x" * 60000)] * 20
        with upgraded(*large, ended(status="Success"), certificate=certificate) as server:
            proxy.target = server.port
            result = execs.exec_command(
                self.client(scheme, proxy, certificate), "ns", "p", "c", ["true"]
            )
        assert result.stdout == "x" * 60000 * 20
        assert proxy.requests == ["kubernetes.example:6443"]

    def test_with_a_login(self, way: tuple[str, Proxy], certificate: Path) -> None:
        scheme, proxy = way
        proxy.password = "me:word"
        with upgraded(ended(status="Success"), certificate=certificate) as server:
            proxy.target = server.port
            execs.exec_command(self.client(scheme, proxy, certificate), "ns", "p", "c", ["true"])
        assert proxy.logins == [base64.b64encode(b"me:word").decode()]

    def test_one_that_refuses_is_named(self, way: tuple[str, Proxy], certificate: Path) -> None:
        scheme, proxy = way
        proxy.refusal = "2" if scheme == "socks5" else "403 Forbidden"
        kube = self.client(scheme, proxy, certificate)
        with pytest.raises(ClusterUnreachableError) as caught:
            execs.exec_command(kube, "ns", "p", "c", ["true"])
        refusal = "cannot reach" if scheme == "socks5" else "denies access to"
        name = f"the proxy {scheme}://127.0.0.1:{proxy.port} {refusal} "
        assert caught.value.reason.startswith(name)
        assert "kubernetes.example:6443" in caught.value.reason

    def test_no_server_listens(self, way: tuple[str, Proxy], certificate: Path) -> None:
        scheme, proxy = way
        proxy.port = free_port()
        kube = self.client(scheme, proxy, certificate)
        with pytest.raises(ClusterUnreachableError, match=f"the proxy {scheme}.* refuses the conn"):
            execs.exec_command(kube, "ns", "p", "c", ["true"])

    def test_the_name_in_the_certificate_is_checked(
        self, way: tuple[str, Proxy], certificate: Path
    ) -> None:
        """Also after other requests, which use the same settings of TLS."""
        scheme, proxy = way
        flags = {"tls_server_name": "other.example"}
        kube = self.client(scheme, proxy, certificate, **flags)
        with serve(lambda _: status(404, "none"), certificate=certificate) as server:
            proxy.target = server.server_port
            with pytest.raises(ClusterUnreachableError, match=r"other\.example"):
                kube.server_version()
            with pytest.raises(ClusterUnreachableError, match=r"other\.example"):
                execs.exec_command(kube, "ns", "p", "c", ["true"])


def test_without_pysocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package may have left it out: one line, and no traceback."""
    monkeypatch.setitem(sys.modules, "socks", None)
    connection = ConfigFlags(server="https://h", proxy_url="socks5://me:secret@127.0.0.1:1")
    with pytest.raises(FluidModelError) as caught:
        Client.connect(connection)
    assert str(caught.value) == (
        "cannot use the proxy socks5://127.0.0.1:1: PySocks is not installed; "
        "try: pip install PySocks"
    )


class TestComingAgain:
    def test_a_refused_login_is_renewed_once(self, tmp_path: Path, certificate: Path) -> None:
        runs = tmp_path / "runs"
        body = (
            f"echo run >> {runs}\nn=$(wc -l < {runs} | tr -d ' ')\n"
            'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",\'\n'
            'echo \'"status": {"token": "\'"tok$n"\'"}}\''
        )
        users = {"u1": kubeconfig.plugin(kubeconfig.script(tmp_path / "p", body))}
        with serve(lambda _: status(401, "Unauthorized"), certificate=certificate) as server:
            file = kubeconfig.write(tmp_path / "c", clusters={"c1": server.url}, users=users)
            kube = Client.connect(ConfigFlags(str(file), certificate_authority=str(certificate)))
            with pytest.raises(UnauthorizedError):
                execs.exec_command(kube, "ns", "p", "c", ["true"])
            sent = [asked.headers["Authorization"] for asked in server.requests]
        assert sent == ["Bearer tok1", "Bearer tok2"]

    def test_a_server_that_asks_to_come_later_is_asked_later(self) -> None:
        answers = [
            HttpResponse(429, b"{}", {"Retry-After": "0"}),
            status(403, "words of the server"),
        ]
        with serve(lambda _: answers.pop(0)) as server:
            with pytest.raises(ForbiddenError, match="words of the server"):
                execs.exec_command(client(server), "ns", "p", "c", ["true"])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([frame(OUT, b"half")], "lost"),
        ([ended(status="Failure", message="container not found")], "container not found"),
        ([frame(STATUS, b"no json")], "the stream ended early"),
    ],
)
def test_an_end_without_an_exit_code_is_no_success(frames: list[bytes], message: str) -> None:
    with upgraded(*frames) as server, pytest.raises(FluidModelError, match=message) as caught:
        run(server)
    assert caught.value.message == "cannot run alluxio in pod p"


def test_silence_ends() -> None:
    with upgraded() as server, pytest.raises(ClusterUnreachableError, match="no response within"):
        run(server, timeout=0.3)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(403, ForbiddenError), (404, NotFoundError), (500, KubeError), (503, KubeError)],
)
def test_a_refused_upgrade(code: int, kind: type[KubeError]) -> None:
    with serve(lambda _: status(code, "words of the server")) as server:
        with pytest.raises(kind, match="words of the server"):
            execs.exec_command(client(server), "ns", "p", "c", ["true"])


def test_no_server_listens() -> None:
    kube = Client.connect(ConfigFlags(server=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(ClusterUnreachableError, match="refused"):
        execs.exec_command(kube, "ns", "p", "c", ["true"])
