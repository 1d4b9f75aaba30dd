"""Why there was no answer: real servers, certificates and proxies that fail."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.doctor.mount_probe.endpoint import EndpointError, check_endpoint
from kubectl_fluidmodel.errors import FluidModelError, PermanentlyUnreachableError, UnreachableError
from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.hub.http import HubCredentials
from kubectl_fluidmodel.net import certificate
from kubectl_fluidmodel.objectstore.http_index import list_directory
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials
from kubectl_fluidmodel.stage.bucket import Bucket
from tests.isolation import isolate
from tests.loopback import HttpRequest, HttpResponse, Server, free_port, serve
from tests.proxyserver import connect_proxy

COMMIT = "a" * 40
CA = "Example Corp Root CA"
Ask = Callable[[str], object]


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def ask_hub(url: str) -> object:
    return HubClient(
        HubCredentials(url, "hf_secret"), stall_timeout=1.0, retry_timeout=300.0
    ).resolve_commit("acme/model")


def ask_store(url: str) -> object:
    store = S3Store(url, "us-east-1", S3Credentials("AKIATEST", "hidden"))
    return Bucket(store, "models", retry_timeout=300.0, stall_timeout=1.0).read_object("key")


def ask_web(url: str) -> object:
    return list_directory(url)


EACH = pytest.mark.parametrize("ask", [ask_hub, ask_store, ask_web], ids=["hub", "store", "web"])


def answer(request: HttpRequest) -> HttpResponse:
    """What any of the three takes: a revision, an object, a directory of one file."""
    if request.path == "/":
        return HttpResponse(200, b"<a href='config.json'>x</a>", {"Content-Type": "text/html"})
    return HttpResponse(200, json.dumps({"sha": COMMIT}).encode())


class Authority:
    """An authority of a company, and a server's certificate by it."""

    def __init__(self, folder: Path, **wrong: object) -> None:
        now = datetime.now(timezone.utc)
        over = now - timedelta(days=1) if "expired" in wrong else now + timedelta(days=1)
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Corp"),
                x509.NameAttribute(NameOID.COMMON_NAME, CA),
            ]
        )
        key, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(days=9))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        where = "10.9.9.9" if "elsewhere" in wrong else "127.0.0.1"
        self.leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the server")]))
            .issuer_name(name)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(over)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(where))]),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        self.file = folder / "ca.pem"
        self.file.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        self.server = folder / "server.pem"
        private = own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.server.write_bytes(private + self.leaf.public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Iterator[Server]:
    with serve(answer, certificate=authority.server) as running:
        yield running


def error_line(
    ask: Ask, url: str, kind: type[FluidModelError] = PermanentlyUnreachableError
) -> str:
    """The line that is said, which has to come at once where it stays so."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        ask(url)
    if kind is PermanentlyUnreachableError:
        assert time.monotonic() - began < 20
    assert caught.value.exit_code == 3
    return str(caught.value)


@EACH
def test_an_authority_that_is_not_trusted_is_named_at_once(ask: Ask, server: Server) -> None:
    line = error_line(ask, server.url)
    assert f"TLS to 127.0.0.1:{server.server_port} failed" in line
    assert f"issuer CN={CA}, O=Example Corp is not trusted" in line
    assert "try: export SSL_CERT_FILE=ca.pem" in line
    # Who is not trusted is shown nothing.
    assert not any(request.headers.get("Authorization") for request in server.requests)


@EACH
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_one_setting_is_trusted_by_all(
    ask: Ask, server: Server, authority: Authority, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(authority.file))
    assert ask(server.url)


def test_a_store_is_trusted_by_certificates_in_a_directory(
    server: Server, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "corp.crt").write_bytes(authority.file.read_bytes())
    (folder / "notes.txt").write_text("nothing")
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}:{folder}")
    assert ask_store(server.url)
    check_endpoint(server.url)


def test_an_endpoint_that_is_not_trusted_is_explained_as_by_other_verbs(server: Server) -> None:
    with pytest.raises(EndpointError, match=f"issuer CN={CA}, O=Example Corp is not trusted"):
        check_endpoint(server.url)


def test_an_endpoint_behind_a_proxy_is_left_to_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    check_endpoint("https://store.invalid")


def test_authorities_that_cannot_be_read_are_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(EndpointError, match=r"none\.pem"):
        check_endpoint(server.url)


def test_the_settings_of_aws_go_first(
    server: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.file))
    assert ask_store(server.url)


@EACH
def test_the_setting_that_wins_is_the_one_to_change(
    ask: Ask,
    server: Server,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path / "other").file))
    assert "try: export REQUESTS_CA_BUNDLE=ca.pem" in error_line(ask, server.url)


@EACH
def test_a_file_of_certificates_that_is_not_there(
    ask: Ask, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    assert "none.pem, which is not a file" in error_line(ask, server.url)


def test_a_bundle_that_has_no_certificates(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "empty.pem"))
    assert "empty.pem" in error_line(ask_hub, server.url)
    assert "empty.pem" in error_line(ask_web, server.url)


@EACH
@pytest.mark.parametrize(
    ("wrong", "message"), [("expired", "has expired"), ("elsewhere", "for another name")]
)
def test_a_certificate_that_is_trusted_and_does_not_fit(
    ask: Ask, tmp_path: Path, wrong: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Authority(tmp_path, **{wrong: True})
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    with serve(answer, certificate=made.server) as running:
        line = error_line(ask, running.url)
    assert message in line and "SSL_CERT_FILE" not in line


@EACH
def test_https_to_an_http_port(ask: Ask) -> None:
    with serve(answer) as running:
        line = error_line(ask, running.url.replace("http://", "https://"))
    assert "does not speak TLS" in line and f"http://127.0.0.1:{running.server_port}" in line


def test_a_first_byte_that_is_late_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def late(_: HttpRequest) -> HttpResponse:
        over.wait(30)
        return HttpResponse(200)

    with serve(late) as running:
        try:
            hub = HubClient(HubCredentials(running.url), stall_timeout=0.3, retry_timeout=0.5)
            line = error_line(
                lambda _: hub.resolve_commit("acme/model"), running.url, UnreachableError
            )
        finally:
            over.set()
    assert "no data for 0.3 s" in line and "--stall 60s" in line


def test_no_server_and_no_such_name() -> None:
    quick = {"stall_timeout": 1.0, "retry_timeout": 0.3}
    nobody = HubClient(HubCredentials(f"http://127.0.0.1:{free_port()}"), **quick)
    assert "connection refused" in error_line(
        lambda _: nobody.resolve_commit("a/b"), "", UnreachableError
    )
    unknown = HubClient(HubCredentials("http://no-such-host.invalid"), **quick)
    line = error_line(lambda _: unknown.resolve_commit("a/b"), "", UnreachableError)
    assert "no-such-host.invalid does not resolve" in line and "HF_ENDPOINT" in line


# -- proxies -------------------------------------------------------------------------------------


@contextlib.contextmanager
def refusing_proxy(status: str) -> Iterator[int]:
    """A proxy that says no to whatever it is asked."""

    def talk(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536) or b"\r\n\r\n"
            client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


@EACH
@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
def test_a_proxy_that_refuses_is_named_and_not_the_host(
    ask: Ask, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_proxy(status) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@127.0.0.1:{port}")
        line = error_line(ask, "https://far.example")
    assert (
        f"the proxy http://127.0.0.1:{port} refuses the connection to far.example ({status})"
        in line
    )
    assert "hunter2" not in line
    assert ("password" if status.startswith("407") else "NO_PROXY") in line


def test_a_proxy_that_requires_a_password_for_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing_proxy("407 Proxy Authentication Required") as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        line = error_line(ask_hub, "http://far.example")
    assert f"the proxy http://127.0.0.1:{port} refuses" in line


@EACH
def test_an_unreachable_proxy_is_named(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("kubectl_fluidmodel.hub.client.NO_ANSWER_TIMEOUT", 0.3)
    store = S3Store("https://far.example", "us-east-1", S3Credentials("AKIATEST", "hidden"))

    def ask_store_once(_: str) -> object:
        return Bucket(store, "models", retry_timeout=0.3).read_object("key")

    line = error_line(
        ask_store_once if ask is ask_store else ask, "https://far.example", UnreachableError
    )
    assert f"no response from the proxy http://127.0.0.1:{port} (Connection refused)" in line


def test_a_closed_connection_is_reported_without_pythons_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=close, daemon=True).start()
        hub = HubClient(
            HubCredentials(f"http://127.0.0.1:{listener.getsockname()[1]}"),
            stall_timeout=1.0,
            retry_timeout=0.3,
        )
        line = error_line(lambda _: hub.resolve_commit("a/b"), "", UnreachableError)
    assert re.search(r"no response from 127\.0\.0\.1:\d+ \([\w ]+\); try", line), line


def test_a_store_is_reached_by_the_same_reading_of_no_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Networks in NO_PROXY, as Go has them, and loopback without being named."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with serve(answer) as running:
        assert ask_store(running.url)
        assert ask_hub(running.url)


# -- issuers -------------------------------------------------------------------------------------


def der(made: Authority) -> bytes:
    return made.leaf.public_bytes(serialization.Encoding.DER)


def test_the_issuer_of_a_certificate(authority: Authority) -> None:
    assert certificate.parse_issuer(der(authority)) == f"CN={CA}, O=Example Corp"


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd_for_an_issuer(data: bytes) -> None:
    assert isinstance(certificate.parse_issuer(data), str)


@functools.cache
def real() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return der(Authority(Path(folder)))


@given(st.integers(0, 700), st.integers(0, 255), st.integers(0, 700))
def test_no_damage_is_too_odd_for_an_issuer(at: int, value: int, length: int) -> None:
    data = bytearray(real())
    data[at % len(data)] = value
    assert certificate.parse_issuer(bytes(data)).isprintable()
    assert certificate.parse_issuer(bytes(data[:length])).isprintable()


def test_an_issuer_seen_through_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect_proxy(server.server_port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        line = error_line(ask_hub, "https://far.example")
    assert f"TLS to far.example failed: its certificate from issuer CN={CA}" in line
