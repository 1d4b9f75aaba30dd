"""Fixes of a cache that was adopted: its spec is patched, never written anew by `cache`."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.doctor import cache_commands
from kubectl_fluidmodel.doctor.checks.load import reload_fix
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from tests.doctor import builders as b
from tests.doctor import fluid
from tests.doctor.fault_cases import Fault
from tests.doctor.fluid import NAME, NS
from tests.doctor.test_names import all_of, exclusive, options, second_cache

ADOPTED = {**names.managed_labels(NAME), names.ADOPTED_LABEL: "true"}
ADOPT_AND_LOAD = f"kubectl fluidmodel cache {NAME} -n {NS} --adopt --load"


def cache(labels: dict[str, str]) -> Cache:
    dataset = fluid.dataset()
    dataset["metadata"]["labels"] = labels
    return Cache(NS, NAME, dataset, [fluid.runtime()])


@pytest.mark.parametrize("labels", [ADOPTED, {}], ids=["adopted", "by hand"])
def test_what_is_missing_is_loaded_by_adopting(labels: dict[str, str]) -> None:
    assert cache_commands.load_command(cache(labels)) == ADOPT_AND_LOAD


def test_a_cache_made_by_cache_is_loaded_by_the_same_command() -> None:
    ours = cache_commands.load_command(cache(names.managed_labels(NAME)))
    assert ours.startswith(f"kubectl fluidmodel cache s3://hf-models/{NAME} --name {NAME}")


def test_reloading_an_adopted_cache_proves_it() -> None:
    assert reload_fix(cache(ADOPTED)).text == ADOPT_AND_LOAD
    ended = reload_fix(cache(ADOPTED), fluid.load(), delete_first=True).text
    assert ended == f"kubectl delete dataload {NAME} -n {NS} --ignore-not-found && {ADOPT_AND_LOAD}"


def test_recreating_it_uses_uncache_and_keeps_the_owners_secret() -> None:
    """Its Secret has no label of ours, so `uncache` leaves it where it is."""
    made = cache_commands.recreate_cache(cache(ADOPTED))
    assert made.startswith(f"kubectl fluidmodel uncache {NAME} -n {NS} && kubectl fluidmodel cache")
    assert f"--s3-secret {NAME}-store" in made
    assert f"--s3-secret {NAME}-store" not in cache_commands.recreate_cache(
        cache(names.managed_labels(NAME))
    )


def test_other_flags_never_change_an_adopted_cache() -> None:
    assert cache_commands.rebuild_cache(cache(ADOPTED), "--quota", "9Gi").startswith(
        f"kubectl fluidmodel uncache {NAME}"
    )


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("FM209", all_of(exclusive, second_cache)),
        ("FM211", options(aws__secretKey="planted")),
    ],
)
def test_a_fix_of_an_adopted_dataset_is_that_of_a_hand_made_one(code: str, fault: Fault) -> None:
    fixes = []
    for labels in (ADOPTED, {}):
        snapshot = b.healthy_snapshot()
        fault(snapshot)
        snapshot.objects[names.DATASETS.resource][0]["metadata"]["labels"] = labels
        fixes.append([finding.fix for finding in b.findings_of(snapshot, code)])
    assert fixes[0] == fixes[1]
    [fix] = fixes[0]
    assert fix is not None and "patch dataset" in fix.text and "uncache" not in fix.text
