"""Judge files given as bytes, as `cache` and `doctor` do it with what a store holds."""

from __future__ import annotations

from collections.abc import Mapping

from kubectl_fluidmodel.model.files import File
from kubectl_fluidmodel.model.judge import Verdict, judge
from kubectl_fluidmodel.model.rubbish import owner
from kubectl_fluidmodel.model.sample import take

Files = Mapping[str, bytes]


def verdict(files: Files, path: str = "models/m") -> Verdict:
    listed = [File(name, len(content)) for name, content in sorted(files.items())]
    own = [file for file in listed if not owner(file.path)]
    return judge(own, take(own, lambda name, at, count: files[name][at : at + count]), path)


def wrong(files: Files, path: str = "models/m") -> list[str]:
    return [each.text for each in verdict(files, path).wrong]


def doubts(files: Files) -> list[str]:
    found = verdict(files)
    assert found.wrong == ()
    return [each.text for each in found.doubts]
