"""The harness's own CRDs of Dynamo against the real ones, of which no registry has a copy.

What the real ones say of every graph is recorded (tests/fixtures/dynamo), so that a clone can hold
ours against it. `make test-crds` asks the real ones, where FLUIDMODEL_CRDS says that they are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import Object
from tests.cluster.cluster import Cluster
from tests.cluster.dynamo.crd_responses import GRAPHS, RECORD, CrdResponses, ask
from tests.cluster.dynamo.crds import GENERATIONS, given, ours, real
from tests.cluster.dynamo.pods import published

pytestmark = [pytest.mark.cluster, pytest.mark.alone]


@pytest.fixture(scope="module")
def recorded() -> CrdResponses:
    found: CrdResponses = json.loads(RECORD.read_text())
    return found


@pytest.fixture
def copies() -> Path:
    found = given()
    assert found, "FLUIDMODEL_CRDS does not say where the real CRDs are"
    return found


def test_our_crds_validate_prune_and_default_like_the_real_ones(
    cluster: Cluster, recorded: CrdResponses
) -> None:
    said = ask(cluster.api, "ours", GRAPHS)
    for generation in GENERATIONS:
        assert said[generation] == recorded[generation], generation


def test_the_record_has_every_kind_of_response(recorded: CrdResponses) -> None:
    """Else the test before would hold nothing."""
    for generation, responses in recorded.items():
        refused = [each for each in responses.values() if "refused" in each]
        assert len(refused) > 20, generation
        assert any(each.get("pruned") for each in responses.values()), generation
        assert any(each == {"pruned": [], "filled": {}} for each in responses.values()), generation


@pytest.mark.real_crds
def test_the_record_is_of_the_real_ones(
    cluster: Cluster, recorded: CrdResponses, copies: Path
) -> None:
    assert ask(cluster.api, "real", GRAPHS) == recorded


@pytest.mark.real_crds
@pytest.mark.parametrize("generation", GENERATIONS)
def test_our_crds_have_the_fields_of_the_real_ones(
    cluster: Cluster, copies: Path, generation: str
) -> None:
    """Names, types, defaults, list maps and where there are rules, in every version."""
    types = published(cluster.api)
    mine = {each["metadata"]["name"]: each for each in ours(types, generation)}
    theirs = {each["metadata"]["name"]: each for each in real(copies, generation)}
    assert set(mine) == set(theirs)
    for name in mine:
        assert bare(mine[name]["spec"]) == bare(theirs[name]["spec"]), name


@pytest.mark.real_crds
def test_graphs_from_elsewhere_meet_the_same(cluster: Cluster, copies: Path) -> None:
    elsewhere = os.environ.get("FLUIDMODEL_EXAMPLES")
    assert elsewhere, "FLUIDMODEL_EXAMPLES does not say where other graphs are"
    mine = ask(cluster.api, "ours", Path(elsewhere), faults=False)
    assert all(mine.values()), f"{elsewhere} has no graphs"
    assert mine == ask(cluster.api, "real", Path(elsewhere), faults=False)


def bare(schema: Any) -> Any:
    """A schema without what a machine does not read; of rules, whether there are any."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made: Object = {}
    for key, each in schema.items():
        if key == "description" and isinstance(each, str):
            continue
        if key == "x-kubernetes-validations":
            made[key] = bool(each)
        elif key in ("required", "enum"):
            # An empty list of either says nothing.
            if each:
                made[key] = sorted(each)
        elif key == "additionalPrinterColumns" and not each:
            continue
        else:
            made[key] = bare(each)
    return made
