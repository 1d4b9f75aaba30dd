"""The flags of `cache --adopt`: a name or a source, and nothing that would change the cache."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kubectl_fluidmodel.cache.adoption.options import AdoptOptions, parse_adopt_options
from kubectl_fluidmodel.cache.options import CacheFlags, StagingFlags
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.objectstore.options import StoreOptions


def parse(
    target: str,
    flags: CacheFlags | None = None,
    store: StoreOptions | None = None,
    staging: StagingFlags | None = None,
    hub: HubOptions | None = None,
) -> AdoptOptions:
    return parse_adopt_options(
        target,
        flags or CacheFlags(),
        store or StoreOptions(),
        staging or StagingFlags(),
        hub or HubOptions(),
        (True, 60.0),
    )


def test_a_valid_dataset_name_is_a_name() -> None:
    assert parse("llama-3-3-70b").name == "llama-3-3-70b"
    assert parse("llama-3-3-70b").source is None


def test_a_uri_is_the_source_that_a_dataset_has() -> None:
    options = parse("s3://models/acme/llama/")
    assert options.source is not None and options.source.uri == "s3://models/acme/llama"
    assert options.name == ""


def test_a_name_can_be_given_with_the_source() -> None:
    assert parse("s3://models/llama", CacheFlags(name="llama")).name == "llama"


def test_missing_files_are_loaded_only_with_the_flag() -> None:
    assert not parse("llama").load
    assert parse("llama", CacheFlags(load=True)).load
    assert not parse("llama", CacheFlags(load=False)).load


def test_the_keys_to_read_the_source_may_be_others() -> None:
    assert parse("llama", store=StoreOptions(s3_secret="keys")).s3_secret == "keys"


@dataclass(frozen=True)
class Refused:
    """A command line that --adopt does not take, and a word of the error."""

    name: str
    word: str
    target: str = "llama"
    flags: CacheFlags = field(default_factory=CacheFlags)
    store: StoreOptions = field(default_factory=StoreOptions)
    staging: StagingFlags = field(default_factory=StagingFlags)
    hub: HubOptions = field(default_factory=HubOptions)


REFUSED = [
    Refused("quota", "--quota", flags=CacheFlags(quota="1Gi")),
    Refused("reads", "--high-concurrency", flags=CacheFlags(high_concurrency=True)),
    Refused("replicas", "--replicas", flags=CacheFlags(replicas=1)),
    Refused("node", "--node ", flags=CacheFlags(nodes=("gpu-0",))),
    Refused("node selector", "--node-selector", flags=CacheFlags(node_selector="a=b")),
    Refused("medium", "--medium", flags=CacheFlags(medium="SSD")),
    Refused("endpoint", "--endpoint", store=StoreOptions(endpoint="http://x")),
    Refused("bucket", "--to", staging=StagingFlags(to="s3://b")),
    Refused("image", "--image", staging=StagingFlags(image="x/y:1")),
    Refused("hub", "flags of the Hub", hub=HubOptions(include=("*.json",))),
    Refused("two names", "names differ", flags=CacheFlags(name="other")),
    Refused("a model of the Hub", "model of the Hub", target="acme/llama"),
    Refused("no source at all", "invalid SOURCE", target="s3://"),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_flags_that_would_change_the_cache_are_refused(row: Refused) -> None:
    with pytest.raises(UsageError) as caught:
        parse(row.target, row.flags, row.store, row.staging, row.hub)
    assert row.word in str(caught.value)
