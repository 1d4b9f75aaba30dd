"""Which requests go through a proxy: kubectl's reading of the environment."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.errors import UnreachableError
from kubectl_fluidmodel.net import proxies

P = "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://k8s.example:6443", {}, ""),
        ("https://k8s.example:6443", {"HTTPS_PROXY": P}, P),
        ("https://k8s.example:6443", {"https_proxy": P}, P),
        ("https://k8s.example:6443", {"HTTPS_PROXY": P, "https_proxy": "http://other:1"}, P),
        ("https://k8s.example:6443", {"HTTP_PROXY": P}, ""),
        ("http://k8s.example", {"HTTP_PROXY": P}, P),
        ("http://k8s.example", {"HTTPS_PROXY": P}, ""),
        ("https://k8s.example", {"HTTPS_PROXY": "proxy:3128"}, P),
        ("https://k8s.example", {"HTTPS_PROXY": "socks5://proxy:1080"}, "socks5://proxy:1080"),
        ("https://k8s.example", {"ALL_PROXY": P}, ""),
        ("https://k8s.example", {"HTTPS_PROXY": P, "NO_PROXY": "k8s.example"}, ""),
        ("https://k8s.example", {"HTTPS_PROXY": P, "no_proxy": "k8s.example"}, ""),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": P}, ""),
        ("https://[::1]:6443", {"HTTPS_PROXY": P}, ""),
        ("https://localhost:6443", {"HTTPS_PROXY": P}, ""),
        ("https://10.0.0.1:6443", {"HTTPS_PROXY": P}, P),
        ("ftp://k8s.example", {"HTTPS_PROXY": P}, ""),
    ],
)
def test_the_proxy_of_a_url(url: str, environ: dict[str, str], proxy: str) -> None:
    assert proxies.proxy_for(url, environ) == proxy


@pytest.mark.parametrize(
    ("host", "exempt", "direct"),
    [
        ("k8s.example", "", False),
        ("k8s.example", "*", True),
        ("k8s.example", "example", True),
        ("k8s.example", ".example", True),
        ("k8s.example", "*.example", True),
        ("example", ".example", False),
        ("example", "*.example", False),
        ("k8sexample", "example", False),
        ("K8S.Example", "k8s.EXAMPLE", True),
        ("k8s.example", "other, k8s.example ,third", True),
        ("k8s.example", "k8s.example:443", True),
        ("k8s.example", "k8s.example:444", False),
        ("k8s.example", ",,:443,", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:80", False),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("k8s.example", "10.0.0.0/8", False),
        ("10.1.2.3", "10.0.0.0/99", False),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "fd00::1", True),
        ("fd00::1", "[fd00::1]:443", True),
        ("fd00::1", "[fd00::1]:80", False),
    ],
)
def test_no_proxy(host: str, exempt: str, direct: bool) -> None:
    assert proxies.bypasses_proxy(host, 443, exempt) is direct


def test_a_proxy_requires_authentication() -> None:
    headers = proxies.proxy_auth_header("http://me:p%40ss@proxy:3128")
    assert headers == {"Proxy-Authorization": "Basic bWU6cEBzcw=="}
    assert proxies.proxy_auth_header(P) == {}


def test_a_proxy_of_another_kind() -> None:
    with pytest.raises(UnreachableError, match="gopher"):
        proxies.create_pool("gopher://proxy:70")
