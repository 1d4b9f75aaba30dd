"""How far an update is, by the objects of the cluster: states, and the step that is next."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.update.state import caches_to_update, find_state
from tests.update.samples import NEW, NEWER, OLD, cache, chat

LLAMA = "llama-9f8e7d6"


def new(**more):
    return cache(LLAMA, NEW, replaces="llama", **more)


STATES = {
    "nothing done": ([cache("llama", OLD, graphs=(chat(),))], "llama", "cache pin retire"),
    "the cache is being built": (
        [cache("llama", OLD, graphs=(chat(),)), new(phase="NotBound", cached="0.00B")],
        "llama",
        "cache pin retire",
    ),
    "the cache is half loaded": (
        [cache("llama", OLD, graphs=(chat(),)), new(cached="5.00GiB")],
        "llama",
        "cache pin retire",
    ),
    "the cache is loaded": (
        [cache("llama", OLD, graphs=(chat(),)), new()],
        "llama",
        "pin retire",
    ),
    "one of two graphs is moved": (
        [cache("llama", OLD, graphs=(chat(name="b"),)), new(graphs=(chat(LLAMA, "a"),))],
        LLAMA,
        "pin retire",
    ),
    "the last graph rolls out": (
        [
            cache("llama", OLD, readers=(("chat-work-1", "chat"),)),
            new(graphs=(chat(LLAMA),)),
        ],
        "llama",
        "pin retire",
    ),
    "all graphs are moved": (
        [cache("llama", OLD), new(graphs=(chat(LLAMA),))],
        "llama",
        "retire",
    ),
    "the old cache is removed": ([new(graphs=(chat(LLAMA),))], "llama", ""),
    "the old cache is removed, by the new name": ([new()], LLAMA, ""),
    "it was the newest from the start": ([cache("llama", NEW)], "llama", ""),
    "a second update before the first was finished": (
        [
            cache("llama", OLD, graphs=(chat(),)),
            cache("llama-5555555", NEWER, replaces="llama", graphs=(chat("llama-5555555", "b"),)),
        ],
        "llama",
        "cache pin retire",
    ),
}


def steps(state) -> str:
    """What is left, as `plan_steps` computes it."""
    left = [] if state.is_cached else ["cache"]
    left += ["pin"] if any(old.graphs or old.rolling for old in state.old) else []
    return " ".join(left + (["retire"] if state.old else []))


@pytest.mark.parametrize("case", STATES)
def test_what_is_left(case):
    caches, name, expected = STATES[case]
    state = find_state(caches, "ns", name, NEW)
    assert steps(state) == expected
    assert state.is_done is (not expected)
    assert state.name == ("llama" if case.startswith("it was") else LLAMA)


def test_the_new_cache_takes_its_settings_from_the_old_one_until_it_exists():
    old = cache("llama", OLD)
    assert find_state([old], "ns", "llama", NEW).template is old
    target = new()
    assert find_state([old, target], "ns", "llama", NEW).template is target
    target.runtimes.clear()
    assert find_state([old, target], "ns", "llama", NEW).template is old


def test_the_way_back_is_an_update_to_the_old_commit():
    old, target = cache("llama", OLD), new(graphs=(chat(LLAMA),))
    state = find_state([old, target], "ns", LLAMA, OLD)
    assert (state.name, [old.name for old in state.old]) == ("llama", [LLAMA])
    assert state.is_cached and not state.is_done
    assert [graph.reference for graph in state.old[0].graphs] == ["chat"]


def test_readers_without_a_graph_are_known():
    old = cache("llama", OLD, graphs=(chat(),), readers=(("chat-work-1", "chat"), ("job-x", "")))
    (replaced,) = find_state([old], "ns", "llama", NEW).old
    assert replaced.other_readers == ("job-x",) and replaced.rolling == ()


MANAGED = {"argocd.argoproj.io/tracking-id": "x"}


@pytest.mark.parametrize(
    ("graph", "obstacle", "solution"),
    [
        (chat(), "", ""),
        (chat("", "chat"), "it is not pinned to llama", "kubectl fluidmodel pin llama dgd/chat"),
        (
            chat(labels=MANAGED),
            "Argo CD manages it",
            "kubectl fluidmodel pin llama-9f8e7d6 -f FILE --replace llama, and commit it",
        ),
    ],
    ids=["by pin", "by hand", "GitOps"],
)
def test_what_others_manage_is_named_with_the_command(graph, obstacle, solution):
    old = cache("llama", OLD, graphs=(graph,))
    (use,) = find_state([old], "ns", "llama", NEW).old[0].graphs
    assert use.obstacle == obstacle and use.solution.startswith(solution)
    assert use.workers == (0 if "not pinned" in obstacle else 2)


def test_in_place_the_cache_keeps_its_name_and_nothing_is_replaced():
    old = cache("llama", OLD, graphs=(chat(),))
    state = find_state([old], "ns", "llama", NEW, in_place=True)
    assert (state.name, state.old, state.is_cached) == ("llama", (), False)
    assert find_state([old], "ns", "llama", OLD, in_place=True).is_done
    with pytest.raises(FluidModelError, match="cannot be updated in place") as caught:
        find_state([old, new()], "ns", "llama", NEW, in_place=True)
    assert LLAMA in caught.value.reason


def adopted():
    old = cache("llama", OLD)
    old.dataset["metadata"]["labels"]["fluidmodel.io/adopted"] = "true"
    return old


def in_git():
    old = cache("llama", OLD)
    old.dataset["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = "x"
    return old


def plain():
    old = cache("llama", OLD)
    recorded = old.dataset["metadata"]["annotations"]
    recorded["fluidmodel.io/source"] = "s3://models/llama"
    del recorded["fluidmodel.io/commit"]
    return old


@pytest.mark.parametrize(
    ("caches", "message"),
    [
        ([], "namespace ns has no cache llama"),
        ([plain()], "llama has no newer commit to update to: it caches s3://models/llama, and"),
        ([adopted()], "llama cannot be updated: it was made by hand"),
        ([in_git()], "llama cannot be updated: Argo CD manages it, and would create it again"),
    ],
    ids=["none", "no commit", "adopted", "GitOps"],
)
def test_one_line_for_what_cannot_be_updated(caches, message):
    with pytest.raises(FluidModelError) as caught:
        caches_to_update(caches, "ns", "llama")
    assert str(caught.value).startswith(message)


def test_a_bucket_that_was_filled_by_hand_gets_the_way_to_commits():
    """As in Dynamo's page on Fluid: s3://hf-models/ORG/MODEL."""
    old = plain()
    recorded = old.dataset["metadata"]["annotations"]
    recorded["fluidmodel.io/source"] = "s3://hf-models/llm/meta-llama/Llama-3.3-70B"
    with pytest.raises(FluidModelError) as caught:
        caches_to_update([old], "ns", "llama")
    assert caught.value.hint == (
        "if it is meta-llama/Llama-3.3-70B on the Hub: kubectl fluidmodel cache "
        "meta-llama/Llama-3.3-70B --to s3://hf-models/llm --endpoint http://minio:9000 "
        "--name llama-2 -n ns, then pin with --replace llama"
    )


def test_a_cache_that_is_being_deleted_is_not_complete():
    target = new()
    dataset = copy.deepcopy(target.dataset)
    dataset["metadata"]["deletionTimestamp"] = "2026-03-01T00:00:00Z"
    assert not find_state([replace(target, dataset=dataset)], "ns", "llama", NEW).is_cached
