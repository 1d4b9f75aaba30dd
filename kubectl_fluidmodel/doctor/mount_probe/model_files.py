"""Check the files below a mount as a model, and cut the lists to what a report shows. Pure.

The caller provides the reader, see `model/sample.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.model.assessment import assess_model
from kubectl_fluidmodel.model.config_files import find_model_directories
from kubectl_fluidmodel.model.files import SourceFile, is_weights
from kubectl_fluidmodel.model.issue import ModelIssue
from kubectl_fluidmodel.model.junk import group_junk, junk_owner
from kubectl_fluidmodel.model.sample import RangeReader, read_sample
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.probe_result import MAX_LISTED, MountContents

_MAX_REMARKS = 20


@dataclass(frozen=True)
class ListedFile:
    """One file below the mount; `modified` is RFC 3339, empty if unknown."""

    path: str
    size: int
    modified: str = ""


def examine_files(
    listed: Sequence[ListedFile],
    complete: bool,
    fetch: RangeReader,
    path: str = "",
    timeout: float = 6.0,
) -> MountContents:
    """Assess a listing; `path` is its location in the store, `timeout` is in seconds.

    Files missing in a listing that is not `complete` are not reported.
    """
    own_files = [file for file in listed if not junk_owner(file.path)]
    files = [SourceFile(file.path, file.size) for file in own_files]
    paths = {file.path for file in files}
    junk = group_junk((file.path, file.size) for file in listed)
    newest = sorted(own_files, key=lambda file: (file.modified, file.path), reverse=True)
    remarks: tuple[ModelIssue, ...] = ()
    unread = ""
    if complete and files:
        sample = read_sample(files, fetch, timeout)
        remarks = assess_model(files, sample, path).issues[:_MAX_REMARKS]
        unread = sample.incomplete_reason
    return MountContents(
        files=len(files),
        bytes=sum(file.size for file in files),
        complete=complete,
        models=tuple(find_model_directories(paths))[:MAX_LISTED],
        weights=sum(is_weights(path) for path in paths),
        remarks=remarks,
        unread=unread,
        rubbish=tuple(junk),
        paths=tuple(sorted(paths, key=lambda path: (path.count("/"), path)))[:MAX_LISTED],
        newest=tuple((file.path, file.modified) for file in newest if file.modified)[:MAX_LISTED],
    )
