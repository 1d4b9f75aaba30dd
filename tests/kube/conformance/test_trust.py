"""How the API server has to show who it is."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube.conformance.comparison import Comparison
from tests.kube.conformance.pki import HOST
from tests.kube.conformance.servers import Recorder, record
from tests.proxyserver import Proxy, connect_proxy


def data(*parts: Path | bytes) -> str:
    pem = b"".join(part if isinstance(part, bytes) else part.read_bytes() for part in parts)
    return base64.b64encode(pem).decode()


class TestAnchors:
    """The end of a chain is trusted, whatever it is."""

    @pytest.mark.parametrize("anchor", ["root", "intermediate", "leaf"])
    def test_as_a_file(self, comparison: Comparison, anchor: str) -> None:
        comparison.config(certificate_authority=str(getattr(comparison.pki, anchor)))
        comparison.assert_same_request()

    @pytest.mark.parametrize("anchor", ["root", "intermediate", "leaf"])
    def test_as_data(self, comparison: Comparison, anchor: str) -> None:
        pem = data(getattr(comparison.pki, anchor))
        comparison.config(certificate_authority=None, certificate_authority_data=pem)
        comparison.assert_same_request()

    def test_as_a_flag(self, comparison: Comparison) -> None:
        comparison.config(certificate_authority=None, insecure_skip_tls_verify=True)
        comparison.assert_same_request(f"--certificate-authority={comparison.pki.intermediate}")

    @pytest.mark.parametrize("name", ["SSL_CERT_FILE"])
    @pytest.mark.parametrize("anchor", ["root", "intermediate"])
    def test_of_this_machine(self, comparison: Comparison, name: str, anchor: str) -> None:
        comparison.config(certificate_authority=None)
        comparison.assert_same_request(**{name: str(getattr(comparison.pki, anchor))})

    def test_another_authority(self, comparison: Comparison) -> None:
        comparison.config(certificate_authority=str(comparison.pki.other))
        comparison.assert_refused("unknown authority", "is not trusted")

    def test_none(self, comparison: Comparison) -> None:
        comparison.config(certificate_authority=None)
        comparison.assert_refused("unknown authority", "is not trusted")


class TestPem:
    """What else stands in a file does not matter, as long as a certificate does."""

    def test_text_around_a_certificate_is_ignored(self, comparison: Comparison) -> None:
        message = "# Zürich, \u2713\nsubject=/CN=x\n".encode()
        file = comparison.write("ca.pem", message + comparison.pki.root.read_bytes() + message)
        comparison.config(certificate_authority=str(file))
        comparison.assert_same_request()

    def test_one_that_is_cut_besides(self, comparison: Comparison) -> None:
        cut = comparison.pki.other.read_bytes()
        cut = cut[:120] + cut[-40:]
        file = comparison.write("ca.pem", cut + b"\n" + comparison.pki.root.read_bytes() + cut)
        comparison.config(certificate_authority=str(file))
        comparison.assert_same_request()

    def test_a_key_besides(self, comparison: Comparison) -> None:
        file = comparison.write("ca.pem", comparison.pki.server.read_bytes())
        comparison.config(certificate_authority=str(file))
        comparison.assert_same_request()

    def test_the_same_twice(self, comparison: Comparison) -> None:
        file = comparison.write("ca.pem", comparison.pki.root.read_bytes() * 2)
        comparison.config(certificate_authority=str(file))
        comparison.assert_same_request()

    def test_an_empty_file(self, comparison: Comparison) -> None:
        comparison.config(certificate_authority=str(comparison.write("ca.pem", b"")))
        comparison.assert_refused(
            "unknown authority", "ca.pem is empty", SSL_CERT_FILE=str(comparison.pki.root)
        )

    @pytest.mark.parametrize("content", [b"no certificate", b"\xff\x00"])
    def test_nothing_of_the_kind(self, comparison: Comparison, content: bytes) -> None:
        comparison.config(certificate_authority=None, certificate_authority_data=data(content))
        comparison.assert_refused("unable to (parse|load)", "no certificate")


class TestContradictions:
    def test_checked_and_not_checked(self, comparison: Comparison) -> None:
        comparison.config(insecure_skip_tls_verify=True)
        comparison.assert_refused("root certificates file with the insecure flag", "contradict")

    def test_both_flags(self, comparison: Comparison) -> None:
        comparison.config()
        flags = (f"--certificate-authority={comparison.pki.root}", "--insecure-skip-tls-verify")
        comparison.assert_refused(
            "root certificates file with the insecure flag", "the second does not", *flags
        )

    def test_a_file_and_data(self, comparison: Comparison) -> None:
        comparison.config(certificate_authority_data=data(comparison.pki.root))
        comparison.assert_refused("are both specified", "both certificate-authority and")

    def test_the_flag_replaces_them(self, comparison: Comparison) -> None:
        comparison.config(certificate_authority_data=data(comparison.pki.other))
        comparison.assert_same_request("--insecure-skip-tls-verify")

    def test_a_file_that_is_not_there(self, comparison: Comparison) -> None:
        comparison.config(certificate_authority="/nope/ca.pem")
        comparison.assert_refused("unable to read certificate-authority", "No such file")

    def test_a_flag_that_names_none(self, comparison: Comparison) -> None:
        comparison.config()
        comparison.assert_refused(
            "unable to read", "not a readable file", "--certificate-authority=/nope"
        )


class TestNames:
    def test_a_name_is_asked_for(self, comparison: Comparison) -> None:
        comparison.config(server=comparison.https.url.replace("127.0.0.1", "localhost"))
        assert comparison.assert_same_request().sni == "localhost"

    def test_an_address_is_not(self, comparison: Comparison) -> None:
        comparison.config()
        assert comparison.assert_same_request().sni == ""

    def test_another_name(self, comparison: Comparison) -> None:
        comparison.config(tls_server_name=HOST)
        assert comparison.assert_same_request().sni == HOST

    def test_another_name_by_a_flag(self, comparison: Comparison) -> None:
        comparison.config(tls_server_name="wrong.example")
        assert comparison.assert_same_request(f"--tls-server-name={HOST}").sni == HOST

    def test_an_address_for_a_name(self, comparison: Comparison) -> None:
        comparison.config(tls_server_name="127.0.0.1")
        comparison.assert_same_request()

    def test_another_server_drops_it(self, comparison: Comparison) -> None:
        comparison.config(tls_server_name="wrong.example")
        comparison.assert_same_request(f"--server={comparison.https.url}")

    def test_a_wrong_one(self, comparison: Comparison) -> None:
        comparison.config(tls_server_name="wrong.example")
        comparison.assert_refused("certificate is valid for", "not valid for 'wrong.example'")

    def test_a_wrong_server_name_without_verification(self, comparison: Comparison) -> None:
        comparison.config(
            tls_server_name="wrong.example",
            certificate_authority=None,
            insecure_skip_tls_verify=True,
        )
        assert comparison.assert_same_request().sni == "wrong.example"


class TestCommonName:
    """A certificate without alternative names is for nobody."""

    @pytest.fixture
    def unnamed(self, comparison: Comparison) -> Iterator[Recorder]:
        with record(comparison.pki.unnamed) as server:
            yield server

    def test_it_is_refused(self, comparison: Comparison, unnamed: Recorder) -> None:
        comparison.config(server=unnamed.url, tls_server_name=HOST)
        comparison.assert_refused("Common Name", "its certificate is for another name")


class TestProxyWithTls:
    """A proxy that has a certificate is trusted as the cluster is."""

    @pytest.fixture
    def proxy(self, comparison: Comparison) -> Iterator[Proxy]:
        with connect_proxy(comparison.https.server_port, comparison.pki.server) as server:
            comparison.proxies.append(server)
            yield server

    def config(self, comparison: Comparison, proxy: Proxy, **cluster: Any) -> None:
        url = f"https://me:word@localhost:{proxy.port}"
        comparison.config(server=f"https://{HOST}:6443", **{"proxy_url": url, **cluster})

    @pytest.mark.parametrize("anchor", ["root", "intermediate"])
    def test_by_its_authority(self, comparison: Comparison, proxy: Proxy, anchor: str) -> None:
        self.config(comparison, proxy, certificate_authority=str(getattr(comparison.pki, anchor)))
        assert comparison.assert_same_request().sni == HOST

    def test_unchecked(self, comparison: Comparison, proxy: Proxy) -> None:
        self.config(comparison, proxy, certificate_authority=None, insecure_skip_tls_verify=True)
        comparison.assert_same_request()

    def test_by_nobody(self, comparison: Comparison, proxy: Proxy) -> None:
        self.config(comparison, proxy, certificate_authority=str(comparison.pki.other))
        comparison.assert_refused(
            "unknown authority", "the proxy https://localhost.*certificate verify failed"
        )

    def test_of_the_environment(self, comparison: Comparison, proxy: Proxy) -> None:
        self.config(comparison, proxy, proxy_url=None)
        comparison.assert_same_request(HTTPS_PROXY=f"https://localhost:{proxy.port}")
