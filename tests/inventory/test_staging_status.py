"""What a Dataset records of how its model was staged."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.inventory.staging_status import glob_annotations, staged_globs


@pytest.mark.parametrize(
    ("include", "exclude"), [((), ()), (("*.safetensors", "a, b"), ()), ((), ('"x" [0-9]*',))]
)
def test_globs_come_back_as_they_were_recorded(include, exclude) -> None:
    annotations = glob_annotations(include, exclude)
    assert staged_globs({"metadata": {"annotations": annotations}}) == (include, exclude)
    assert bool(annotations) == bool(include or exclude)


@pytest.mark.parametrize("text", ["", "no JSON", '{"a": 1}', "3"])
def test_a_record_that_somebody_broke_is_none(text) -> None:
    dataset = {"metadata": {"annotations": {"fluidmodel.io/include": text}}}
    assert staged_globs(dataset) == ((), ())
