"""The flags of `update`, and the options of the cache that it makes."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from kubectl_fluidmodel.cache.options import CacheFlags, CacheOptions, StagingFlags
from kubectl_fluidmodel.cli.update import command
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.update.options import UpdateFlags, UpdateOptions, parse_update_options
from kubectl_fluidmodel.update.state import find_state
from kubectl_fluidmodel.update.successor import cache_options
from tests.update.samples import NEW, OLD, cache


def parse(text: str, cache_flags: CacheFlags | None = None, **flags) -> UpdateOptions:
    return parse_update_options(
        text,
        UpdateFlags(**flags),
        cache_flags or CacheFlags(),
        StoreOptions(),
        StagingFlags(stage_on="client"),
        HubOptions(),
        60.0,
    )


@pytest.mark.parametrize(
    ("text", "name", "revision"),
    [
        ("llama", "llama", ""),
        ("llama@v1.1", "llama", "v1.1"),
        ("llama@refs/pr/3", "llama", "refs/pr/3"),
        (f"llama@{NEW}", "llama", NEW),
    ],
)
def test_name_and_revision(text, name, revision):
    options = parse(text)
    assert (options.name, options.revision) == (name, revision)


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("@main", {}, "is not NAME or NAME@REVISION"),
        ("llama@", {}, "is not NAME or NAME@REVISION"),
        ("llama@-x", {}, "is not NAME or NAME@REVISION"),
        ("llama", {"in_place": True, "to_step": "pin"}, "the steps in place are stage and cache"),
        (
            "llama",
            {"in_place": True, "cache_flags": CacheFlags(nodes=("gpu-1",))},
            "the cache stays on its nodes",
        ),
    ],
)
def test_wrong_usage(text, flags, message):
    with pytest.raises(UsageError) as caught:
        parse(text, **flags)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "steps"),
    [
        ({}, "stage cache pin retire"),
        ({"to_step": "stage"}, "stage"),
        ({"to_step": "pin"}, "stage cache pin"),
        ({"in_place": True}, "stage cache"),
        ({"in_place": True, "to_step": "stage"}, "stage"),
    ],
)
def test_steps(flags, steps):
    assert " ".join(parse("llama", **flags).steps) == steps


def made(options: UpdateOptions, asked: str = "main", followed: str = "") -> CacheOptions:
    old = cache("llama", OLD, **({"revision": followed} if followed else {}))
    old.runtimes[0]["spec"]["replicas"] = 2
    state = find_state([old], "ns", "llama", NEW, in_place=options.in_place)
    return cache_options(options, state, asked)


def test_the_new_cache_is_like_the_old_one():
    new = made(parse("llama"))
    assert new.source.uri == f"hf://org/llama@{NEW}"
    assert (new.name, new.replaces) == ("llama-9f8e7d6", "llama")
    assert (new.replicas, new.replicas_given) == (2, True)
    assert (new.medium, new.path, new.quota) == ("MEM", "/dev/shm", None)
    assert new.staging is not None and new.staging.to.uri == "s3://models/llm"
    assert new.staging.on == "client"
    assert new.store == StoreOptions("http://minio:9000", None, "llama-store")
    assert (new.nodes, new.load, new.wait, new.revision) == ((), True, True, "")


def test_flags_take_precedence():
    flags = CacheFlags(nodes=("gpu-1",))
    options = replace(parse("llama", flags), store=StoreOptions(s3_secret="mine"))
    new = made(options)
    assert (new.nodes, new.replicas, new.store.s3_secret) == (("gpu-1",), 1, "mine")


def test_in_place_nothing_is_replaced():
    new = made(parse("llama", in_place=True))
    assert (new.name, new.replaces) == ("llama", "")


@pytest.mark.parametrize(
    ("followed", "asked", "recorded"),
    [
        ("", "main", ""),
        ("", "v1.1", "v1.1"),
        ("v1.1", "v1.1", "v1.1"),
        ("v1.1", "main", ""),
        ("v1.1", NEW, "v1.1"),
        ("", NEW, ""),
    ],
)
def test_later_updates_follow_the_branch_that_was_asked_for(followed, asked, recorded):
    assert made(parse("llama"), asked, followed).revision == recorded


def test_the_globs_of_the_first_staging_are_kept():
    recorded = {"include": '["*.safetensors"]', "exclude": '["a b/*"]'}
    state = find_state([cache("llama", OLD, **recorded)], "ns", "llama", NEW)
    new = cache_options(parse("llama"), state, "main")
    assert new.staging is not None
    hub = new.staging.hub
    assert (hub.include, hub.exclude) == (("*.safetensors",), ("a b/*",))
    options = replace(parse("llama"), hub=HubOptions(exclude=("*.bin",)))
    new = cache_options(options, state, "main")
    assert new.staging is not None
    assert (new.staging.hub.include, new.staging.hub.exclude) == ((), ("*.bin",))


def test_high_concurrency_is_kept():
    old = cache("llama", OLD)
    assert (
        cache_options(
            parse("llama"), find_state([old], "ns", "llama", NEW), "main"
        ).high_concurrency
        is False
    )
    old.runtimes[0]["spec"]["properties"] = {"alluxio.fuse.jnifuse.enabled": "false"}
    new = cache_options(parse("llama"), find_state([old], "ns", "llama", NEW), "main")
    assert new.high_concurrency is True


def test_another_run_gets_the_same_hub_store_and_way_of_staging():
    options = UpdateOptions(
        "llama",
        store=StoreOptions("http://minio", "eu", "keys"),
        staging=StagingFlags(stage_on="client", image="img:1"),
        hub=HubOptions("http://hub", exclude=("a b",)),
    )
    assert options.repeated_flags == [
        "--endpoint-hub", "http://hub", "--exclude", "a b",
        "--endpoint", "http://minio", "--region", "eu", "--s3-secret", "keys",
        "--stage-on", "client", "--image", "img:1",
    ]  # fmt: skip
    assert UpdateOptions("llama").repeated_flags == []


@pytest.mark.parametrize(
    ("options", "name"),
    [(kind, field.name) for kind in (StoreOptions, HubOptions) for field in fields(kind)],
)
def test_no_option_of_hub_and_store_is_lost_in_a_printed_command(options, name):
    value = ("x",) if name in ("include", "exclude") else "x"
    [flag, given] = options(**{name: value}).flags
    assert flag in {opt for each in command.params for opt in each.opts} and given == "x"
