"""What `update --dry-run` shows: golden files at 80 columns, to be read in a review.

`GOLDEN=write pytest …` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kubectl_fluidmodel.model.plan import SHA256, PlanFile, StagingPlan
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.output.serialize import to_json
from kubectl_fluidmodel.stage.status import StagingStatus
from kubectl_fluidmodel.update.plan import StagingFacts, plan_steps
from kubectl_fluidmodel.update.state import find_state
from kubectl_fluidmodel.update.view import headline, steps_text, update_document
from kubectl_fluidmodel.update.workflow import recovery_note
from tests.update.samples import GIB, NEW, OLD, SIZE, cache, chat
from tests.update.test_options import parse

DIRECTORY = Path(__file__).parents[1] / "fixtures" / "update"
FILES = StagingPlan(
    "org/llama",
    "main",
    NEW,
    tuple(PlanFile(f"model-{n}.safetensors", SIZE // 2, SHA256, str(n) * 64) for n in (1, 2)),
)
LAYOUT = StagingLayout(BucketPrefix("models", "llm"), "org/llama", NEW)
NOTHING = StagingStatus(True, 0, 0, 0, SIZE - 7 * GIB, 7 * GIB)
STAGED = StagingStatus(True, 2, SIZE, has_manifest=True)
DESIRED: Any = SimpleNamespace(
    placement=SimpleNamespace(names=("gpu-1",)),
    quota=14 * GIB,
    medium=SimpleNamespace(type="MEM"),
    replicas=1,
)
MANUAL = (
    chat(),
    chat(name="prod-chat", labels={"argocd.argoproj.io/tracking-id": "x"}),
    chat("", "by-hand"),
)


def shown(caches, status, **flags: Any) -> tuple[Any, Any, Any]:
    options = parse("llama", **flags)
    state = find_state(caches, "ns", "llama", NEW, in_place=options.in_place)
    facts = StagingFacts(FILES, LAYOUT, status)
    return state, facts, plan_steps(state, options, facts, DESIRED)


CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "nothing-done": ([cache("llama", OLD, graphs=(chat(),))], NOTHING, {}),
    "by-you": (
        [cache("llama", OLD, graphs=MANUAL, readers=(("job-x-1", ""),))],
        STAGED,
        {"to_step": "cache"},
    ),
    "half-done": (
        [
            cache("llama", OLD, graphs=(chat(),), readers=(("old-1", "other"),)),
            cache("llama-9f8e7d6", NEW, replaces="llama", graphs=(chat("llama-9f8e7d6", "other"),)),
        ],
        STAGED,
        {},
    ),
    "in-place": (
        [cache("llama", OLD, graphs=(chat(),), readers=(("chat-work-1", "chat"),))],
        NOTHING,
        {"in_place": True},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_golden(case):
    caches, status, flags = CASES[case]
    state, _, steps = shown(caches, status, **flags)
    text = headline(state, "org/llama", "main") + "\n" + steps_text(steps, width=80)
    file = DIRECTORY / f"{case}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()
    prose = [line for line in text.splitlines() if not line.startswith("  kubectl patch ")]
    assert not [line for line in prose if len(line) > 80 and " " in line.strip()]


def test_states_of_the_steps():
    def states(case: str) -> str:
        caches, status, flags = CASES[case]
        return ", ".join(step.state for step in shown(caches, status, **flags)[2])

    assert states("nothing-done") == "to do, to do, to do, to do"
    assert states("by-you") == "done, to do, not now, not now"
    assert states("half-done") == "done, done, to do, to do"
    assert states("in-place") == "to do, to do"


def test_the_document_has_what_the_text_has():
    state, facts, steps = shown(*CASES["by-you"][:2], to_step="cache")
    document = update_document(state, facts, "main", steps)
    assert to_json(document)
    assert (document["kind"], document["commit"], document["done"]) == ("Update", NEW, False)
    (old,) = document["replaces"]
    assert [graph["obstacle"] for graph in old["graphs"]] == [
        None,
        "Argo CD manages it",
        "it is not pinned to llama",
    ]
    assert old["otherReaders"] == ["job-x-1"]
    assert document["staging"]["bytes"] == document["staging"]["bytesThere"] == SIZE
    assert [step["name"] for step in document["steps"]] == ["stage", "cache", "pin", "retire"]


@pytest.mark.parametrize(
    ("step", "flags", "start"),
    [
        ("stage", {}, "llama still serves commit 1a2b3c400000; to go on: the same command; "),
        ("cache", {}, "llama still serves commit 1a2b3c400000; to go on: the same command; "),
        ("pin", {}, "llama and llama-9f8e7d6 both serve; to go on: the same command; "),
        ("retire", {}, "llama and llama-9f8e7d6 both serve; to go on: the same command; "),
        ("stage", {"in_place": True}, "llama is unchanged; to go on: the same command"),
        ("cache", {"in_place": True}, "to go on: the same command"),
    ],
)
def test_a_failure_says_how_to_go_on_and_back(step, flags, start):
    options = parse("llama", **flags)
    state = find_state([cache("llama", OLD)], "ns", "llama", NEW, in_place=options.in_place)
    note = recovery_note(options, state, step)
    assert note.startswith(start)
    back = "to go back: kubectl fluidmodel update llama@1a2b3c400000 --stage-on client -n ns"
    assert (back in note) is not options.in_place
