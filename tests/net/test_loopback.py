"""Which URLs mean the machine that asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.net.loopback import is_loopback_url


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9000",
        "https://LOCALHOST./x",
        "http://minio.localhost:9000",
        "http://127.0.0.1:8080",
        "http://127.1.2.3",
        "http://[::1]:9000",
        "http://[::ffff:127.0.0.1]",
        "http://0.0.0.0:9000",
        "localhost:9000",
        "http://user:password@localhost/",
    ],
)
def test_a_loopback_host_is_this_machine(url: str) -> None:
    assert is_loopback_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://huggingface.co",
        "http://10.0.0.1:9000",
        "http://localhost.example.com",
        "http://minio.store.svc:9000",
        "http://notlocalhost",
        "http://[broken",
    ],
)
def test_any_other_host_is_not(url: str) -> None:
    assert not is_loopback_url(url)


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert is_loopback_url(text) in (True, False)
