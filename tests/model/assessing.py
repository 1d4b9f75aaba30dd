"""Assess files given as bytes, as `cache` and `doctor` do it with what a store holds."""

from __future__ import annotations

from collections.abc import Mapping

from kubectl_fluidmodel.model.assessment import ModelAssessment, assess_model
from kubectl_fluidmodel.model.files import SourceFile
from kubectl_fluidmodel.model.junk import junk_owner
from kubectl_fluidmodel.model.sample import read_sample

Files = Mapping[str, bytes]


def assess(files: Files, path: str = "models/m") -> ModelAssessment:
    listed = [SourceFile(name, len(content)) for name, content in sorted(files.items())]
    own = [file for file in listed if not junk_owner(file.path)]
    return assess_model(
        own, read_sample(own, lambda name, at, count: files[name][at : at + count]), path
    )


def error_texts(files: Files, path: str = "models/m") -> list[str]:
    return [issue.text for issue in assess(files, path).errors]


def warning_texts(files: Files) -> list[str]:
    assessment = assess(files)
    assert assessment.errors == ()
    return [issue.text for issue in assessment.warnings]
