"""The flags of `prune`: it lists, unless it is told to remove."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.prune.options import PruneOptions, parse_age, parse_prune_options


def parse(*names: str, **flags: Any) -> PruneOptions:
    return parse_prune_options(
        names,
        flags.get("from_uri"),
        flags.get("store", StoreOptions()),
        flags.get("older_than", "14d"),
        dry_run=flags.get("dry_run"),
        yes=flags.get("yes", False),
        all_namespaces=flags.get("all_namespaces", False),
    )


@pytest.mark.parametrize(
    ("flags", "dry_run"),
    [
        ({}, "client"),
        ({"dry_run": "client"}, "client"),
        ({"dry_run": "server"}, "server"),
        ({"dry_run": "none"}, "none"),
        ({"yes": True}, "none"),
        ({"yes": True, "dry_run": "none"}, "none"),
    ],
)
def test_nothing_is_removed_without_the_flag(flags: dict[str, Any], dry_run: str) -> None:
    assert parse(**flags).dry_run == dry_run


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("30s", 30), ("15m", 900), ("12h", 43200), ("14d", 1209600), ("1d12h", 129600)],
)
def test_an_age_has_days_too(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "14", "d", "14 d", "1w", "-1d", "14d ", "1d,2h"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an age"):
        parse_age(text)


@pytest.mark.parametrize(
    ("names", "flags", "word"),
    [
        ((), {"yes": True, "dry_run": "server"}, "--yes and --dry-run=server"),
        ((), {"yes": True, "dry_run": "client"}, "--yes and --dry-run=client"),
        (("llama",), {"all_namespaces": True}, "NAME and -A"),
        ((), {"store": StoreOptions(endpoint="http://x")}, "store of --from"),
        ((), {"from_uri": "models"}, "it is not an S3 bucket; try: --from s3://models"),
        ((), {"from_uri": "gs://models"}, "cannot look into 'gs://models'"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    names: tuple[str, ...], flags: dict[str, Any], word: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*names, **flags)
    assert word in str(caught.value)


def test_the_bucket_is_where_models_were_staged() -> None:
    place = parse(from_uri="s3://models/llm/").from_prefix
    assert place is not None and place.uri == "s3://models/llm"
