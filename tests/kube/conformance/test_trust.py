"""How the API server has to show who it is."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube.conformance.judge import Court
from tests.kube.conformance.pki import HOST
from tests.kube.conformance.servers import Recorder, record
from tests.proxyserver import Proxy, connect_proxy


def data(*parts: Path | bytes) -> str:
    found = b"".join(part if isinstance(part, bytes) else part.read_bytes() for part in parts)
    return base64.b64encode(found).decode()


class TestAnchors:
    """The end of a chain is trusted, whatever it is."""

    @pytest.mark.parametrize("anchor", ["root", "intermediate", "leaf"])
    def test_as_a_file(self, court: Court, anchor: str) -> None:
        court.config(certificate_authority=str(getattr(court.pki, anchor)))
        court.agree()

    @pytest.mark.parametrize("anchor", ["root", "intermediate", "leaf"])
    def test_as_data(self, court: Court, anchor: str) -> None:
        known = data(getattr(court.pki, anchor))
        court.config(certificate_authority=None, certificate_authority_data=known)
        court.agree()

    def test_as_a_flag(self, court: Court) -> None:
        court.config(certificate_authority=None, insecure_skip_tls_verify=True)
        court.agree(f"--certificate-authority={court.pki.intermediate}")

    @pytest.mark.parametrize("name", ["SSL_CERT_FILE"])
    @pytest.mark.parametrize("anchor", ["root", "intermediate"])
    def test_of_this_machine(self, court: Court, name: str, anchor: str) -> None:
        court.config(certificate_authority=None)
        court.agree(**{name: str(getattr(court.pki, anchor))})

    def test_another_authority(self, court: Court) -> None:
        court.config(certificate_authority=str(court.pki.other))
        court.refuse("unknown authority", "is not trusted")

    def test_none(self, court: Court) -> None:
        court.config(certificate_authority=None)
        court.refuse("unknown authority", "is not trusted")


class TestPem:
    """What else stands in a file does not matter, as long as a certificate does."""

    def test_text_around_a_certificate_is_ignored(self, court: Court) -> None:
        words = "# Zürich, \u2713\nsubject=/CN=x\n".encode()
        file = court.write("ca.pem", words + court.pki.root.read_bytes() + words)
        court.config(certificate_authority=str(file))
        court.agree()

    def test_one_that_is_cut_besides(self, court: Court) -> None:
        cut = court.pki.other.read_bytes()
        cut = cut[:120] + cut[-40:]
        file = court.write("ca.pem", cut + b"\n" + court.pki.root.read_bytes() + cut)
        court.config(certificate_authority=str(file))
        court.agree()

    def test_a_key_besides(self, court: Court) -> None:
        file = court.write("ca.pem", court.pki.server.read_bytes())
        court.config(certificate_authority=str(file))
        court.agree()

    def test_the_same_twice(self, court: Court) -> None:
        file = court.write("ca.pem", court.pki.root.read_bytes() * 2)
        court.config(certificate_authority=str(file))
        court.agree()

    def test_an_empty_file(self, court: Court) -> None:
        court.config(certificate_authority=str(court.write("ca.pem", b"")))
        court.refuse("unknown authority", "ca.pem is empty", SSL_CERT_FILE=str(court.pki.root))

    @pytest.mark.parametrize("content", [b"no certificate", b"\xff\x00"])
    def test_nothing_of_the_kind(self, court: Court, content: bytes) -> None:
        court.config(certificate_authority=None, certificate_authority_data=data(content))
        court.refuse("unable to (parse|load)", "no certificate")


class TestContradictions:
    def test_checked_and_not_checked(self, court: Court) -> None:
        court.config(insecure_skip_tls_verify=True)
        court.refuse("root certificates file with the insecure flag", "contradict")

    def test_both_flags(self, court: Court) -> None:
        court.config()
        flags = (f"--certificate-authority={court.pki.root}", "--insecure-skip-tls-verify")
        court.refuse("root certificates file with the insecure flag", "the second does not", *flags)

    def test_a_file_and_data(self, court: Court) -> None:
        court.config(certificate_authority_data=data(court.pki.root))
        court.refuse("are both specified", "both certificate-authority and")

    def test_the_flag_replaces_them(self, court: Court) -> None:
        court.config(certificate_authority_data=data(court.pki.other))
        court.agree("--insecure-skip-tls-verify")

    def test_a_file_that_is_not_there(self, court: Court) -> None:
        court.config(certificate_authority="/nope/ca.pem")
        court.refuse("unable to read certificate-authority", "No such file")

    def test_a_flag_that_names_none(self, court: Court) -> None:
        court.config()
        court.refuse("unable to read", "not a readable file", "--certificate-authority=/nope")


class TestNames:
    def test_a_name_is_asked_for(self, court: Court) -> None:
        court.config(server=court.https.url.replace("127.0.0.1", "localhost"))
        assert court.agree().sni == "localhost"

    def test_an_address_is_not(self, court: Court) -> None:
        court.config()
        assert court.agree().sni == ""

    def test_another_name(self, court: Court) -> None:
        court.config(tls_server_name=HOST)
        assert court.agree().sni == HOST

    def test_another_name_by_a_flag(self, court: Court) -> None:
        court.config(tls_server_name="wrong.example")
        assert court.agree(f"--tls-server-name={HOST}").sni == HOST

    def test_an_address_for_a_name(self, court: Court) -> None:
        court.config(tls_server_name="127.0.0.1")
        court.agree()

    def test_another_server_drops_it(self, court: Court) -> None:
        court.config(tls_server_name="wrong.example")
        court.agree(f"--server={court.https.url}")

    def test_a_wrong_one(self, court: Court) -> None:
        court.config(tls_server_name="wrong.example")
        court.refuse("certificate is valid for", "not valid for 'wrong.example'")

    def test_a_wrong_server_name_without_verification(self, court: Court) -> None:
        court.config(
            tls_server_name="wrong.example",
            certificate_authority=None,
            insecure_skip_tls_verify=True,
        )
        assert court.agree().sni == "wrong.example"


class TestCommonName:
    """A certificate without alternative names is for nobody."""

    @pytest.fixture
    def unnamed(self, court: Court) -> Iterator[Recorder]:
        with record(court.pki.unnamed) as found:
            yield found

    def test_it_is_refused(self, court: Court, unnamed: Recorder) -> None:
        court.config(server=unnamed.url, tls_server_name=HOST)
        court.refuse("Common Name", "its certificate is for another name")


class TestProxyWithTls:
    """A proxy that has a certificate is trusted as the cluster is."""

    @pytest.fixture
    def proxy(self, court: Court) -> Iterator[Proxy]:
        with connect_proxy(court.https.server_port, court.pki.server) as found:
            court.proxies.append(found)
            yield found

    def config(self, court: Court, proxy: Proxy, **cluster: Any) -> None:
        url = f"https://me:word@localhost:{proxy.port}"
        court.config(server=f"https://{HOST}:6443", **{"proxy_url": url, **cluster})

    @pytest.mark.parametrize("anchor", ["root", "intermediate"])
    def test_by_its_authority(self, court: Court, proxy: Proxy, anchor: str) -> None:
        self.config(court, proxy, certificate_authority=str(getattr(court.pki, anchor)))
        assert court.agree().sni == HOST

    def test_unchecked(self, court: Court, proxy: Proxy) -> None:
        self.config(court, proxy, certificate_authority=None, insecure_skip_tls_verify=True)
        court.agree()

    def test_by_nobody(self, court: Court, proxy: Proxy) -> None:
        self.config(court, proxy, certificate_authority=str(court.pki.other))
        court.refuse("unknown authority", "the proxy https://localhost.*certificate verify failed")

    def test_of_the_environment(self, court: Court, proxy: Proxy) -> None:
        self.config(court, proxy, proxy_url=None)
        court.agree(HTTPS_PROXY=f"https://localhost:{proxy.port}")
