"""What lies below a mount, judged by the judge of models and cut to what a report shows. Pure.

The reader that it is given does the reading, see `model/sample.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubectl_fluidmodel.doctor.mount_probe.result import SHOWN, Found
from kubectl_fluidmodel.model.configs import model_directories
from kubectl_fluidmodel.model.files import File, is_weights
from kubectl_fluidmodel.model.judge import judge
from kubectl_fluidmodel.model.remark import Remark
from kubectl_fluidmodel.model.rubbish import owner, sort_out
from kubectl_fluidmodel.model.sample import Fetch, take

_REMARKS = 20


@dataclass(frozen=True)
class Entry:
    """One file below the mount; `written` is its last write as RFC 3339, empty if not told."""

    path: str
    size: int
    written: str = ""


def examine(
    entries: Sequence[Entry], whole: bool, fetch: Fetch, path: str = "", seconds: float = 6.0
) -> Found:
    """What a listing shows; `path` is where it lies in its store, `seconds` are for reading.

    A listing that is not `whole` is not judged: what it lacks may only not have been listed.
    """
    files = [File(each.path, each.size) for each in entries if not owner(each.path)]
    own = [each for each in entries if not owner(each.path)]
    paths = {file.path for file in files}
    beside = sort_out((each.path, each.size) for each in entries)
    newest = sorted(own, key=lambda each: (each.written, each.path), reverse=True)
    remarks: tuple[Remark, ...] = ()
    unread = ""
    if whole and files:
        sample = take(files, fetch, seconds)
        remarks, unread = judge(files, sample, path).remarks[:_REMARKS], sample.unread
    return Found(
        files=len(files),
        bytes=sum(file.size for file in files),
        whole=whole,
        models=tuple(model_directories(paths))[:SHOWN],
        weights=sum(is_weights(path) for path in paths),
        remarks=remarks,
        unread=unread,
        rubbish=tuple(beside),
        paths=tuple(sorted(paths, key=lambda path: (path.count("/"), path)))[:SHOWN],
        newest=tuple((each.path, each.written) for each in newest if each.written)[:SHOWN],
    )


def by_likeness(wanted: str, names: Iterable[str]) -> list[str]:
    """Names by how alike they are to the one that was wanted, the likeliest first."""
    plain = wanted.lower()

    def likeness(name: str) -> tuple[float, str]:
        return -difflib.SequenceMatcher(None, plain, name.lower()).ratio(), name

    return sorted(set(names), key=likeness)
