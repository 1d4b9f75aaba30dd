"""Whatever stands in a kubeconfig, it is used or refused in one line that has no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube import kubeconfig
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.kubeconfig_fields import FIELDS

SECRET = "s3cr3t-of-mine"
LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.just(SECRET),
)
VALUE = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def entries(part: str) -> st.SearchStrategy[Any]:
    """One entry `x`, whose fields are those that count."""
    content, fields = FIELDS[part]
    inside = st.dictionaries(st.sampled_from(sorted(fields)), VALUE, max_size=4) | VALUE
    return (
        st.lists(st.fixed_dictionaries({"name": st.just("x"), content: inside}), max_size=2) | VALUE
    )


def refused(err: FluidModelError) -> None:
    assert "\n" not in str(err)
    assert SECRET not in str(err)


@given(clusters=entries("clusters"), users=entries("users"), contexts=entries("contexts"))
def test_any_content(tmp_path_factory: Any, clusters: Any, users: Any, contexts: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "any-kubeconfig"
    document = {"clusters": clusters, "users": users, "contexts": contexts, "current-context": "x"}
    file.write_text(json.dumps(document))
    for flags in ({}, {"server": "http://127.0.0.1:1"}, {"as_user": "a"}):
        try:
            # Without TLS nothing that a kubeconfig names is run or read.
            Client.connect(ConfigFlags(str(file), context="x", **flags))
        except FluidModelError as err:
            refused(err)


_BUILT = st.builds(
    "{}://{}@{}{}".format,
    st.sampled_from(["http", "https", "HTTPS", "ftp"]),
    st.just(f"me:{SECRET}"),
    st.sampled_from(["h", "[::1]", "[::", "h:1", "h:x", "a b", ""]),
    st.text(max_size=9),
)


@given(address=st.text(max_size=30) | _BUILT)
def test_any_address(address: str) -> None:
    try:
        server_info = kubeconfig.server_from_entry({"server": address})
    except FluidModelError as err:
        refused(err)
        return
    assert server_info.url.startswith(("http://", "https://"))
    assert SECRET not in server_info.url
    assert not server_info.url.endswith("/")


@given(proxy=st.builds("{}://{}@{}{}".format, st.sampled_from(["http", "https", "socks5", "x"]),
       st.just(f"me:{SECRET}"), st.sampled_from(["h", "[::1]", "[::", "h:1", "h:x", ""]),
       st.text(max_size=9)))  # fmt: skip
def test_any_proxy(tmp_path_factory: Any, proxy: str) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "proxy-kubeconfig"
    file.write_text("")
    try:
        Client.connect(ConfigFlags(str(file), server="http://127.0.0.1:1", proxy_url=proxy))
    except FluidModelError as err:
        refused(err)
