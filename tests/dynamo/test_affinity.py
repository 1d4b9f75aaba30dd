"""The algebra, over generated affinities and all nodes that their labels can tell apart."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.dynamo.affinity import (
    LabelRequirement,
    add_requirements,
    remove_requirement,
)
from kubectl_fluidmodel.objects.node_selector import terms_of
from tests.dynamo import strategies as gen
from tests.dynamo.nodes import all_nodes, allowed

NODES = all_nodes()
A = LabelRequirement("fluid.io/s-ns-a")
B = LabelRequirement("fluid.io/s-ns-b")


def with_terms(terms):
    if terms is None:
        return None
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"nodeAffinity": {name: {"nodeSelectorTerms": terms}}}


def has(node, *requirements):
    return all(node["labels"].get(one.key) == "true" for one in requirements)


@given(gen.affinity)
@settings(max_examples=300, deadline=None)
def test_what_is_allowed_afterwards_is_what_was_allowed_on_cache_nodes(affinity):
    before = copy.deepcopy(affinity)
    after = with_terms(add_requirements(terms_of(affinity), [A]))
    assert affinity == before
    for node in NODES:
        assert allowed(after, node) == (allowed(affinity, node) and has(node, A))


@given(gen.affinity)
@settings(max_examples=200, deadline=None)
def test_two_models_are_both_required(affinity):
    after = with_terms(add_requirements(terms_of(affinity), [A, B]))
    for node in NODES:
        assert allowed(after, node) == (allowed(affinity, node) and has(node, A, B))


@given(gen.affinity)
def test_requiring_twice_is_requiring_once(affinity):
    once = add_requirements(terms_of(affinity), [A])
    assert add_requirements(once, [A]) == once


def test_an_empty_term_matches_nothing_and_stays_empty():
    assert add_requirements([{}, {"matchExpressions": []}], [A]) == [{}, {"matchExpressions": []}]
    assert add_requirements([], [A]) == []


def test_removing_keeps_a_term_that_was_the_users_own():
    own = [A.to_term(), {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]
    edited = [
        *add_requirements(own, [A]),
        {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]},
    ]
    assert remove_requirement(edited, A, own) == [
        own[0],
        own[1],
        {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]},
    ]


def test_removing_drops_a_term_without_other_expressions():
    assert remove_requirement([A.to_term()], A) is None
    assert remove_requirement(
        [{"matchExpressions": [B.to_expression(), A.to_expression()]}], A
    ) == [B.to_term()]


@given(st.lists(gen.terms, max_size=3))
def test_removing_leaves_no_empty_term(terms):
    after = remove_requirement(add_requirements(terms, [A]), A, terms)
    nonempty = [term for term in terms if term.get("matchExpressions") or term.get("matchFields")]
    assert len(after or []) <= len(terms)
    assert len(after or []) >= len([t for t in nonempty if t != A.to_term()]) - 1
