"""Reference Datasets: what they refer to, who refers, and what is built."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.fluid.dataset import build_reference
from kubectl_fluidmodel.fluid.reference import references_to, referred_claim, referred_dataset


def dataset(*mount_points: str, **status: Any) -> dict[str, Any]:
    mounts = [{"mountPoint": point} for point in mount_points]
    return {"spec": {"mounts": mounts}, "status": status}


@pytest.mark.parametrize(
    ("point", "source"),
    [
        ("dataset://models/llama", ("models", "llama")),
        ("dataset://models/llama/", ("models", "llama")),
        ("dataset://models/llama/sub/dir", ("models", "llama")),
        ("dataset://models", None),
        ("dataset://", None),
        ("s3://models/llama", None),
    ],
)
def test_what_a_dataset_refers_to(point: str, source: tuple[str, str] | None) -> None:
    assert referred_dataset(dataset(point)) == source


def test_no_dataset_and_none_without_mounts_refer_to_nothing() -> None:
    assert referred_dataset(None) is None
    assert referred_dataset(dataset()) is None


def test_who_refers_to_a_dataset() -> None:
    listed = ["team-a/llama", "team-b/other", "no-slash", 7]
    assert references_to(dataset(datasetRef=listed)) == [("team-a", "llama"), ("team-b", "other")]
    assert references_to(dataset()) == references_to(None) == []


def test_the_claim_reports_it_too() -> None:
    labels = {
        "fluid.io/dataset.referring-name": "llama",
        "fluid.io/dataset.referring-namespace": "models",
        "fluid.io/s-team-a-llama": "true",
    }
    assert referred_claim({"metadata": {"labels": labels}}) == ("models", "llama")
    del labels["fluid.io/dataset.referring-name"]
    assert referred_claim({"metadata": {"labels": labels}}) is None
    assert referred_claim(None) is None


def test_a_reference_has_one_mount_and_no_workers() -> None:
    made = build_reference("mine", "team-a", ("models", "llama"))
    assert made["spec"] == {
        "mounts": [{"mountPoint": "dataset://models/llama"}],
        "accessModes": ["ReadOnlyMany"],
    }
    assert referred_dataset(made) == ("models", "llama")
