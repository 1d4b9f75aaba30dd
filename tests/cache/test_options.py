"""The flags of `cache`, checked against each other."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.cache.options import (
    CacheFlags,
    CacheOptions,
    StagingFlags,
    parse_options,
)
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objectstore.options import StoreOptions

MIB, GIB = 1 << 20, 1 << 30


def make_options(source: str = "s3://models/org/Llama-3.3-70B", **flags: Any) -> CacheOptions:
    """The options of a command line; a model of the Hub is staged from here to s3://models."""
    store = {key: flags.pop(key) for key in ("endpoint", "region", "s3_secret") if key in flags}
    staging = StagingFlags(stage_on="client", to=None if "://" in source else "s3://models")
    return parse_options(source, CacheFlags(**flags), StoreOptions(**store), staging)


def test_the_defaults() -> None:
    options = make_options()
    assert (options.name, options.replicas, options.quota, options.medium) == (
        "llama-3-3-70b",
        1,
        None,
        "auto",
    )
    assert not options.replicas_given
    assert not options.placement_given
    assert not options.is_web_source


@pytest.mark.parametrize(
    ("flags", "replicas", "given_"),
    [
        ({}, 1, False),
        ({"replicas": 3}, 3, True),
        ({"nodes": ("a", "b")}, 2, True),
        ({"nodes": ("a", "b"), "replicas": 2}, 2, True),
        ({"nodes": ("a", "a", "b")}, 2, True),
        ({"node_selector": "pool=x"}, 1, False),
    ],
)
def test_replicas(flags: dict[str, Any], replicas: int, given_: bool) -> None:
    options = make_options(**flags)
    assert (options.replicas, options.replicas_given) == (replicas, given_)
    assert len(options.nodes) == len(set(options.nodes))


@pytest.mark.parametrize(
    ("source", "flags", "message"),
    [
        ("s3://models/x", {"name": "Not Legal"}, "is invalid"),
        ("s3://models/x/.", {}, "'.'"),
        ("s3://models/x", {"runtime": "juicefs"}, "only Alluxio"),
        ("s3://models/x", {"runtime": "jindo"}, "only Alluxio"),
        ("s3://models/x", {"nodes": ("a",), "node_selector": "k=v"}, "use one of them"),
        ("s3://models/x", {"path": "relative"}, "absolute"),
        ("s3://models/x", {"path": "/a,/b"}, "absolute"),
        ("s3://models/x", {"path": "/a b"}, "absolute"),
        ("s3://models/x", {"path": "/a\nb"}, "absolute"),
        ("s3://models/x", {"replicas": 2, "nodes": ("a",)}, "each node holds a complete copy"),
        ("gs://models/x", {"s3_secret": "s"}, "does not use it"),
        ("s3://models/x", {"gcs_secret": "s"}, "does not use it"),
        ("local:///data/m", {}, "its node is required"),
        ("s3://models/x", {"quota": "lots"}, "is not a size"),
        ("s3://models/x", {"node_selector": "pool"}, "KEY=VALUE"),
        ("s3://models/x", {"node_selector": "=x"}, "KEY=VALUE"),
        ("s3://models/x", {"node_selector": "a==b"}, "KEY=VALUE"),
        ("s3://models/x", {"node_selector": "a!=b"}, "KEY=VALUE"),
        ("s3://models/x", {"node_selector": "a=b,"}, "KEY=VALUE"),
        ("s3://models/x", {"node_selector": "a in (b)"}, "KEY=VALUE"),
        ("s3://models/x", {"node_selector": "a=b c"}, "KEY=VALUE"),
    ],
)
def test_what_does_not_fit_together(source: str, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_options(source, **flags)
    assert message in str(caught.value)


def test_a_name_that_cannot_be_derived_requires_the_flag() -> None:
    with pytest.raises(UsageError) as caught:
        make_options("s3://models/___")
    assert caught.value.hint == "--name NAME"
    assert make_options("s3://models/___", name="mine").name == "mine"


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (None, ()),
        ("", ()),
        ("pool=gpu", (("pool", "gpu"),)),
        ("a/b.c=x, empty=", (("a/b.c", "x"), ("empty", ""))),
    ],
)
def test_selectors(text: str | None, pairs: tuple[tuple[str, str], ...]) -> None:
    assert make_options(node_selector=text).node_selector == pairs
