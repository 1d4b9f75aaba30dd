"""Which caches replace each other, and what the next one is called."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.fluid.names import validate_name
from kubectl_fluidmodel.inventory.succession import (
    model_caches,
    predecessor_of,
    successor_name,
    successor_of,
)
from tests.update.samples import NEW, NEWER, OLD, cache

LONG = "a-name-of-forty-five-characters-is-the-limit-"[:44] + "x"


@pytest.mark.parametrize(
    ("name", "own", "commit", "expected"),
    [
        ("llama", OLD, NEW, "llama-9f8e7d6"),
        ("llama-1a2b3c4", OLD, NEW, "llama-9f8e7d6"),
        ("llama-1a2b3c4", NEWER, NEW, "llama-1a2b3c4-9f8e7d6"),
        ("llama", "", NEW, "llama-9f8e7d6"),
        (LONG, OLD, NEW, "a-name-of-forty-five-characters-is-th-9f8e7d6"),
        ("a-name-of-forty-five-characters-is-t-b-c", OLD, NEW, None),
    ],
)
def test_the_name_has_the_commit_and_is_valid(name, own, commit, expected):
    made = successor_name(name, own, commit)
    assert validate_name(made) == made
    if expected is not None:
        assert made == expected
    again = successor_name(made, commit, OLD)
    assert again == successor_name(name, own, OLD), "names do not grow"


def names(caches, name):
    return [member.name for member in model_caches(caches, "ns", name)]


def test_the_first_name_means_all_that_replaced_it():
    old, new = cache("llama", OLD), cache("llama-9f8e7d6", NEW, replaces="llama")
    other = cache("phi", OLD)
    assert names([old, new, other], "llama") == ["llama", "llama-9f8e7d6"]
    assert names([old, new, other], "llama-9f8e7d6") == ["llama", "llama-9f8e7d6"]
    assert names([new, other], "llama") == ["llama-9f8e7d6"], "the first one is removed"
    assert names([old, new, other], "phi") == ["phi"]
    assert names([old, new, other], "llam") == []
    newer = cache("llama-5555555", NEWER, replaces="llama-9f8e7d6")
    assert names([old, new, newer], "llama-5555555") == ["llama", "llama-5555555", "llama-9f8e7d6"]
    assert model_caches([old], "elsewhere", "llama") == []


def test_neighbours():
    old, new = cache("llama", OLD), cache("llama-9f8e7d6", NEW, replaces="llama")
    both = [old.dataset, new.dataset]
    assert successor_of(old.dataset, both) == "llama-9f8e7d6"
    assert predecessor_of(new.dataset, both) == "llama"
    assert not successor_of(new.dataset, both) and not predecessor_of(old.dataset, both)
    assert not predecessor_of(new.dataset, [new.dataset]), "it is removed"
