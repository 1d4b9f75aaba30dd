"""TLS, client certificates and proxies, on real connections."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from kubectl_fluidmodel.kube import transport
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.objects.kinds import PODS
from tests.kube import certificates, kubeconfig
from tests.loopback import Server, json_response, serve
from tests.proxyserver import Proxy, connect_proxy, socks_proxy

HOST = "kubernetes.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.self_signed(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
def server(authority: Path) -> Iterator[Server]:
    with serve(lambda _: json_response({}), certificate=authority) as tls_server:
        yield tls_server


def config(tmp_path: Path, url: str, authority: Path, **cluster: Any) -> Path:
    """A kubeconfig whose cluster carries its authority in itself."""
    file = kubeconfig.write(tmp_path / "config", clusters={"c1": url})
    content = yaml.safe_load(file.read_text())
    data = base64.b64encode(authority.read_bytes()).decode()
    content["clusters"][0]["cluster"] |= {"certificate-authority-data": data, **cluster}
    file.write_text(yaml.safe_dump(content))
    return file


def ask(file: Path) -> None:
    assert Client.connect(ConfigFlags(str(file))).get(PODS, "a", "ns") == {}


DECODE_ERROR = bytes((21, 3, 3, 0, 2, 2, 50))
"""A fatal TLS alert (RFC 8446, 6.2)."""


@contextmanager
def garbling(behind: int, times: int) -> Iterator[int]:
    """A port that answers so many connections with an alert, and hands the others on."""

    def copy(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def run() -> None:
        for number in itertools.count():
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            if number < times:
                taken.recv(1 << 16)
                taken.sendall(DECODE_ERROR)
                taken.close()
                continue
            beyond = socket.create_connection(("127.0.0.1", behind))
            threading.Thread(target=copy, args=(taken, beyond), daemon=True).start()
            threading.Thread(target=copy, args=(beyond, taken), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=run, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


class TestTrust:
    def test_the_authority_in_the_kubeconfig(
        self, server: Server, authority: Path, tmp_path: Path
    ) -> None:
        ask(config(tmp_path, server.url, authority))

    def test_without_one_the_machine_is_asked(
        self, server: Server, authority: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = ConfigFlags(server=server.url)
        with pytest.raises(ClusterUnreachableError, match="is not trusted"):
            Client.connect(connection).get(PODS, "a", "ns")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert Client.connect(connection).get(PODS, "a", "ns") == {}

    def test_an_authority_in_the_kubeconfig_is_the_only_one(
        self, server: Server, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        other = tmp_path / "other"
        other.mkdir()
        file = config(tmp_path, server.url, certificates.self_signed(other, HOST))
        with pytest.raises(ClusterUnreachableError, match="is not trusted"):
            ask(file)

    @pytest.mark.parametrize(("times", "works"), [(1, True), (5, False)])
    def test_a_handshake_that_the_server_cannot_read_is_made_again(
        self, server: Server, authority: Path, tmp_path: Path, times: int, works: bool
    ) -> None:
        """A TLS alert of decode_error, and then the server behind it."""
        with garbling(urlsplit(server.url).port or 0, times) as port:
            client = Client.connect(
                ConfigFlags(str(config(tmp_path, f"https://127.0.0.1:{port}", authority)))
            )
            if works:
                client.create(PODS, {"metadata": {"name": "a", "namespace": "ns"}})
            else:
                with pytest.raises(ClusterUnreachableError, match="alert decode error"):
                    client.create(PODS, {"metadata": {"name": "a", "namespace": "ns"}})

    def test_data_that_is_no_certificate(self, server: Server, tmp_path: Path) -> None:
        junk = tmp_path / "junk"
        junk.write_text("no certificate")
        with pytest.raises(ClusterUnreachableError, match="cannot set up TLS"):
            ask(config(tmp_path, server.url, junk))


class TestClientCertificate:
    @pytest.fixture
    def strict(self, authority: Path) -> Iterator[Server]:
        """A server that wants a certificate of its own authority."""
        with serve(
            lambda _: json_response({}), certificate=authority, clients=authority
        ) as tls_server:
            yield tls_server

    def user(self, authority: Path) -> dict[str, Any]:
        pem = authority.read_text()
        cut = pem.index("-----BEGIN CERTIFICATE")
        encoded = [base64.b64encode(part.encode()).decode() for part in (pem[cut:], pem[:cut])]
        return {"client-certificate-data": encoded[0], "client-key-data": encoded[1]}

    def write(self, tmp_path: Path, url: str, authority: Path, user: dict[str, Any]) -> Path:
        file = config(tmp_path, url, authority)
        content = yaml.safe_load(file.read_text())
        content["users"][0]["user"] = user
        file.write_text(yaml.safe_dump(content))
        return file

    def test_it_is_shown(self, strict: Server, authority: Path, tmp_path: Path) -> None:
        ask(self.write(tmp_path, strict.url, authority, self.user(authority)))

    def test_without(self, strict: Server, authority: Path, tmp_path: Path) -> None:
        with pytest.raises(ClusterUnreachableError):
            ask(self.write(tmp_path, strict.url, authority, {}))

    def test_half_of_one(self, strict: Server, authority: Path, tmp_path: Path) -> None:
        user = self.user(authority)
        del user["client-key-data"]
        with pytest.raises(ClusterUnreachableError, match="no client-key"):
            ask(self.write(tmp_path, strict.url, authority, user))

    def test_a_plugin_gives_it_and_a_new_one_when_it_ends(
        self,
        strict: Server,
        authority: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pem = authority.read_text()
        cut = pem.index("-----BEGIN CERTIFICATE")
        status = {
            "clientCertificateData": pem[cut:],
            "clientKeyData": pem[:cut],
            "expirationTimestamp": "2001-01-01T00:00:00.5Z",
        }
        answer = tmp_path / "answer"
        kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
        answer.write_text(json.dumps({**kind, "status": status}))
        plugin = kubeconfig.script(tmp_path / "p", f"echo run >> {tmp_path}/runs; cat {answer}")
        file = self.write(tmp_path, strict.url, authority, kubeconfig.plugin(plugin))
        client = Client.connect(ConfigFlags(str(file)))
        assert client.get(PODS, "a", "ns") == {}
        before = len((tmp_path / "runs").read_text().splitlines())
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 6)
        assert client.get(PODS, "a", "ns") == {}
        assert len((tmp_path / "runs").read_text().splitlines()) > before

    def test_the_key_is_on_disk_for_its_owner_and_for_a_moment(
        self, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[int, int]] = []
        load = ssl.SSLContext.load_cert_chain

        def spy(self: ssl.SSLContext, file: Path, **options: Any) -> None:
            modes = [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)]
            seen.append((modes[0], modes[1]))
            load(self, file, **options)

        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)
        monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
        server_info = transport.ServerInfo("https://k8s", authority.read_bytes())
        transport.create_ssl_context(server_info, authority.read_bytes())
        assert seen == [(0o600, 0o700)]
        assert list(tmp_path.iterdir()) == []


class TestProxy:
    @pytest.fixture
    def proxy(self, server: Server) -> Iterator[Proxy]:
        with connect_proxy(server.server_port) as connect_server:
            yield connect_server

    def test_of_the_environment(
        self, proxy: Proxy, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
        ask(config(tmp_path, f"https://{HOST}:6443", authority))
        assert proxy.requests == [f"{HOST}:6443"]
        assert proxy.logins == [base64.b64encode(b"me:secret").decode()]

    def test_loopback_is_reached_without(
        self,
        proxy: Proxy,
        server: Server,
        authority: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """kind and minikube behind a company's proxy."""
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        ask(config(tmp_path, server.url, authority))
        assert proxy.requests == []

    def test_the_kubeconfigs_proxy_takes_precedence_over_the_environment(
        self, proxy: Proxy, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "*")
        url = f"http://127.0.0.1:{proxy.port}"
        ask(config(tmp_path, f"https://{HOST}", authority, **{"proxy-url": url}))
        assert proxy.requests == [f"{HOST}:443"]

    def test_socks_looks_names_up_itself(
        self, server: Server, authority: Path, tmp_path: Path
    ) -> None:
        with socks_proxy(server.server_port) as proxy:
            url = f"socks5://127.0.0.1:{proxy.port}"
            ask(config(tmp_path, f"https://{HOST}", authority, **{"proxy-url": url}))
            assert proxy.requests == [f"{HOST}:443"]

    def test_connections_of_our_own_go_through_it_too(
        self, proxy: Proxy, authority: Path, tmp_path: Path
    ) -> None:
        """Those of exec and port-forward."""
        url = f"http://127.0.0.1:{proxy.port}"
        file = config(tmp_path, f"https://{HOST}", authority, **{"proxy-url": url})
        with Client.connect(ConfigFlags(str(file))).transport.connect(b"", 5.0) as socket:
            assert socket.version().startswith("TLS")  # type: ignore[attr-defined]
            socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert socket.recv(99).startswith(b"HTTP/1.1 200")
        assert proxy.requests == [f"{HOST}:443"]
