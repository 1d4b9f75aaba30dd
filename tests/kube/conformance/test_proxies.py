"""Which way a request takes: proxies of the kubeconfig, of flags and of the environment."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kube.conformance.comparison import Comparison
from tests.kube.conformance.pki import HOST
from tests.loopback import free_port
from tests.proxyserver import Proxy, connect_proxy, socks_proxy


@pytest.fixture
def proxy(comparison: Comparison) -> Iterator[Proxy]:
    """To the TLS server."""
    with connect_proxy(comparison.https.server_port) as server:
        comparison.proxies.append(server)
        yield server


@pytest.fixture
def plain(comparison: Comparison) -> Iterator[Proxy]:
    """To the server without TLS."""
    with connect_proxy(comparison.http.server_port) as server:
        comparison.proxies.append(server)
        yield server


@pytest.fixture
def socks(comparison: Comparison) -> Iterator[Proxy]:
    with socks_proxy(comparison.https.server_port) as server:
        comparison.proxies.append(server)
        yield server


def http(proxy: Proxy, login: str = "") -> str:
    return f"http://{login}127.0.0.1:{proxy.port}"


class TestKubeconfig:
    def test_it_is_asked_for_the_name(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config(server=f"https://{HOST}:6443", proxy_url=http(proxy))
        assert comparison.assert_same_request().sni == HOST
        assert proxy.requests == [f"{HOST}:6443"]

    def test_even_for_loopback(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config(proxy_url=http(proxy))
        comparison.assert_same_request()
        assert proxy.requests == [f"127.0.0.1:{comparison.https.server_port}"]

    def test_it_ignores_the_environment(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config(server=f"https://{HOST}", proxy_url=http(proxy))
        comparison.assert_same_request(HTTPS_PROXY="http://127.0.0.1:1", NO_PROXY="*")

    def test_name_and_password(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config(server=f"https://{HOST}", proxy_url=http(proxy, "me:p%40ss@"))
        comparison.assert_same_request()
        assert proxy.logins

    def test_the_flag_takes_precedence(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config(server=f"https://{HOST}", proxy_url="http://127.0.0.1:1")
        comparison.assert_same_request(f"--proxy-url={http(proxy)}")

    def test_without_tls(self, comparison: Comparison, plain: Proxy) -> None:
        comparison.plain(server=f"http://{HOST}:8080/prefix", proxy_url=http(plain, "me:word@"))
        assert comparison.assert_same_request().host == f"{HOST}:8080"
        assert plain.requests == [f"{HOST}:8080"]

    def test_an_address_of_ipv6(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config(server="https://[::1]:6443", proxy_url=http(proxy))
        comparison.assert_same_request()
        assert proxy.requests == ["[::1]:6443"]

    @pytest.mark.parametrize(
        "url", ["ftp://h:1", "socks4://h:1", "socks5h://h:1", "h:1", "://x", "http://h:x"]
    )
    def test_of_another_kind(self, comparison: Comparison, url: str) -> None:
        comparison.config(proxy_url=url)
        comparison.assert_refused("invalid 'proxy-url'", "proxy-url that is not one of")


class TestSocks:
    def test_it_looks_names_up(self, comparison: Comparison, socks: Proxy) -> None:
        comparison.config(
            server=f"https://{HOST}:6443", proxy_url=f"socks5://127.0.0.1:{socks.port}"
        )
        comparison.assert_same_request()
        assert socks.requests == [f"{HOST}:6443"]

    def test_name_and_password(self, comparison: Comparison, socks: Proxy) -> None:
        socks.password = "me:word"
        url = f"socks5://me:word@127.0.0.1:{socks.port}"
        comparison.config(server=f"https://{HOST}", proxy_url=url)
        comparison.assert_same_request()

    @pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
    def test_of_the_environment(self, comparison: Comparison, socks: Proxy, scheme: str) -> None:
        comparison.config(server=f"https://{HOST}")
        comparison.assert_same_request(HTTPS_PROXY=f"{scheme}://127.0.0.1:{socks.port}")


class TestEnvironment:
    @pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
    def test_by_either_name(self, comparison: Comparison, proxy: Proxy, name: str) -> None:
        comparison.config(server=f"https://{HOST}")
        comparison.assert_same_request(**{name: http(proxy)})
        assert proxy.requests == [f"{HOST}:443"]

    def test_capitals_go_first(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config(server=f"https://{HOST}")
        comparison.assert_same_request(HTTPS_PROXY=http(proxy), https_proxy="http://127.0.0.1:1")

    def test_without_a_scheme(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config(server=f"https://{HOST}")
        comparison.assert_same_request(HTTPS_PROXY=f"127.0.0.1:{proxy.port}")

    def test_without_tls(self, comparison: Comparison, plain: Proxy) -> None:
        comparison.plain(server=f"http://{HOST}")
        comparison.assert_same_request(HTTP_PROXY=http(plain), HTTPS_PROXY="http://127.0.0.1:1")

    def test_all_proxy_is_not_read(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config()
        comparison.assert_same_request(ALL_PROXY=http(proxy))
        assert proxy.requests == []

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_not_for_loopback(self, comparison: Comparison, proxy: Proxy, host: str) -> None:
        comparison.config(server=comparison.https.url.replace("127.0.0.1", host))
        comparison.assert_same_request(HTTPS_PROXY=http(proxy))
        assert proxy.requests == []


class TestNoProxy:
    """What is reached directly cannot be reached here, as nobody knows it: so both are refused."""

    DIRECT = (
        ("api.example:6443", "*"),
        ("api.example:6443", "example"),
        ("api.example:6443", ".example"),
        ("api.example:6443", "*.example"),
        ("api.example:6443", "api.example"),
        ("api.example:6443", "API.Example"),
        ("api.example:6443", "other, api.example:6443"),
        ("192.0.2.1:1", "192.0.2.0/24"),
        ("192.0.2.1:1", "192.0.2.1"),
        ("192.0.2.1:1", "192.0.2.1:1"),
        ("[2001:db8::1]:1", "2001:db8::/32"),
        ("[2001:db8::1]:1", "[2001:db8::1]:1"),
    )
    PROXIED = (
        ("api.example:6443", ""),
        ("api.example:6443", "ample"),
        ("api.example:6443", ".api.example"),
        ("api.example:6443", "api.example:443"),
        ("api.example:6443", "127.0.0.0/8,10.0.0.0/8"),
        ("api.example:6443", "api"),
        ("192.0.2.1:1", "192.0.3.0/24"),
        ("192.0.2.1:1", "192.0.2.1:2"),
        ("192.0.2.1:1", "192.0.2"),
        ("192.0.2.1:1", "192.0.2.*"),
        ("192.0.2.1:1", "192.0.2.0/33"),
        ("[2001:db8::1]:1", "2001:db9::/32"),
    )

    @pytest.mark.parametrize(("host", "exempt"), PROXIED)
    def test_proxied(self, comparison: Comparison, proxy: Proxy, host: str, exempt: str) -> None:
        comparison.config(
            server=f"https://{host}", certificate_authority=None, insecure_skip_tls_verify=True
        )
        comparison.assert_same_request(HTTPS_PROXY=http(proxy), NO_PROXY=exempt)
        assert proxy.requests == [host]

    @pytest.mark.parametrize(("host", "exempt"), DIRECT)
    def test_direct(self, comparison: Comparison, proxy: Proxy, host: str, exempt: str) -> None:
        comparison.config(server=f"https://{host}")
        flags = ("--request-timeout=300ms",)
        for outcome in comparison.both(flags, {"HTTPS_PROXY": http(proxy), "NO_PROXY": exempt}):
            assert not outcome.worked
            assert outcome.proxied == ()

    def test_the_other_spelling(self, comparison: Comparison, proxy: Proxy) -> None:
        comparison.config(server=f"https://{HOST}")
        environment = {"HTTPS_PROXY": http(proxy), "no_proxy": HOST}
        for outcome in comparison.both(("--request-timeout=300ms",), environment):
            assert outcome.proxied == ()


class TestRefusals:
    """The proxy is named, without the name and password of its URL, and not the API server."""

    def test_no_server_listens(self, comparison: Comparison) -> None:
        url = f"127.0.0.1:{free_port()}"
        comparison.config(proxy_url=f"http://me:secret@{url}")
        refusal = comparison.assert_refused(
            "was refused", f"the proxy http://{url} refuses the connection"
        )
        assert "secret" not in refusal.message
        assert "no response from" not in refusal.message

    def test_no_socks_proxy_listens(self, comparison: Comparison) -> None:
        url = f"127.0.0.1:{free_port()}"
        comparison.config(proxy_url=f"socks5://{url}")
        comparison.assert_refused("was refused", f"the proxy socks5://{url} refuses the connection")

    def test_a_login_is_wanted(self, comparison: Comparison, proxy: Proxy) -> None:
        proxy.refusal = "407 Proxy Authentication Required"
        comparison.config(proxy_url=http(proxy))
        comparison.assert_refused(
            "Proxy Authentication Required", "the proxy http.* requires authentication"
        )

    def test_a_login_is_wanted_without_tls(self, comparison: Comparison, plain: Proxy) -> None:
        plain.refusal = "407 Proxy Authentication Required"
        comparison.plain(server=f"http://{HOST}", proxy_url=http(plain))
        comparison.assert_refused("", "the proxy http.* requires authentication")

    def test_the_way_is_closed(self, comparison: Comparison, proxy: Proxy) -> None:
        proxy.refusal = "403 Forbidden"
        comparison.config(server=f"https://{HOST}:6443", proxy_url=http(proxy))
        comparison.assert_refused("Forbidden", f"denies access to {HOST}:6443 .403 Forbidden")

    def test_socks_does_not_lead_there(self, comparison: Comparison, socks: Proxy) -> None:
        socks.refusal = "4"
        comparison.config(server=f"https://{HOST}", proxy_url=f"socks5://127.0.0.1:{socks.port}")
        comparison.assert_refused("host unreachable", f"the proxy socks5.* cannot reach {HOST}")

    def test_a_wrong_password_of_socks(self, comparison: Comparison, socks: Proxy) -> None:
        socks.password = "me:word"
        comparison.config(proxy_url=f"socks5://me:other@127.0.0.1:{socks.port}")
        comparison.assert_refused(
            "authentication failed", "the proxy socks5.* does not accept the user name"
        )

    @pytest.mark.parametrize("url", ["http://me:secret@h:x", "ftp://me:secret@h:1"])
    def test_an_environment_that_names_none(self, comparison: Comparison, url: str) -> None:
        comparison.config(server=f"https://{HOST}")
        refusal = comparison.assert_refused("", "cannot use the proxy", HTTPS_PROXY=url)
        assert "secret" not in refusal.message

    @pytest.mark.parametrize("kind", ["http", "socks5"])
    def test_a_silent_server_behind_it_is_not_the_proxy(
        self, comparison: Comparison, kind: str
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with (connect_proxy if kind == "http" else socks_proxy)(port) as proxy:
                comparison.config(
                    server=f"https://{HOST}", proxy_url=f"{kind}://127.0.0.1:{proxy.port}"
                )
                message = comparison.ours("--request-timeout=300ms").message
        assert f"no response from https://{HOST}" in message

    def test_the_server_behind_it_is_not_the_proxy(
        self, comparison: Comparison, proxy: Proxy
    ) -> None:
        comparison.config(proxy_url=http(proxy), certificate_authority=str(comparison.pki.other))
        refusal = comparison.assert_refused(
            "unknown authority", "no response from https.*certificate verify failed"
        )
        assert "the proxy" not in refusal.message
