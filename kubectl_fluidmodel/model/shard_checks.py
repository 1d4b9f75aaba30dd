"""Checks that all weight files exist and are complete: indexes, numbering, headers, sizes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING

from kubectl_fluidmodel.model.files import SourceFile, is_weights
from kubectl_fluidmodel.model.issue import DAMAGED, SHARDS, WARNING, ModelIssue, is_or_are
from kubectl_fluidmodel.model.safetensors import Header
from kubectl_fluidmodel.model.shards import (
    INDEX_SUFFIXES,
    SAFETENSORS_INDEX_SUFFIX,
    Series,
    ShardIndex,
    missing_shards,
    parse_index,
    series_of,
)
from kubectl_fluidmodel.output.units import format_bytes, pluralize, summarize

if TYPE_CHECKING:
    from kubectl_fluidmodel.model.sample import Sample

_MAIN = f"model{SAFETENSORS_INDEX_SUFFIX}"
"""The index that engines read; others belong to variants and other formats."""
_SHOWN = 20
_INDEX_TOLERANCE = 20
"""Tolerance for an index's total, as a fraction: it counts shared tensors twice, or once."""


def check_shards(
    files: Sequence[SourceFile], sample: Sample, essential: Callable[[str], bool]
) -> Iterator[ModelIssue]:
    """Yield what is missing or damaged; `essential` decides which files an engine reads."""
    safetensors_folders = {
        _parent(file.path) for file in files if file.path.endswith(".safetensors")
    }
    indexes: list[ShardIndex] = []
    for file in sorted(files):
        if not file.path.endswith(INDEX_SUFFIXES) or file.path not in sample.texts:
            continue
        if (
            not file.path.endswith(SAFETENSORS_INDEX_SUFFIX)
            and _parent(file.path) in safetensors_folders
        ):
            continue  # an index of pickles, which engines do not read beside safetensors
        try:
            indexes.append(parse_index(file.path, sample.texts[file.path]))
        except ValueError as err:
            wrong = essential(file.path)
            yield ModelIssue(SHARDS, f"{file.path} cannot be read: {err}", wrong, (file.path,))
    paths = {file.path for file in files}
    for index in indexes:
        yield from _check_missing(index, files, essential(index.path))
    yield from _check_gaps(files, safetensors_folders, indexes, essential)
    complete = [index for index in indexes if index.files <= paths]
    yield from _check_damaged(files, sample, complete, essential)
    for index in complete:
        yield from _check_index_against_headers(index, sample)
        yield from _check_other_shardings(index, files)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _check_missing(
    index: ShardIndex, files: Sequence[SourceFile], wrong: bool
) -> Iterator[ModelIssue]:
    """Yield the missing files that an index names."""
    paths = {file.path for file in files}
    missing = sorted(index.files - paths)
    if not missing:
        return
    found = tuple(missing[:_SHOWN])
    if len(missing) < len(index.files):
        yield ModelIssue(
            SHARDS,
            f"{summarize(missing)} {is_or_are(missing)} missing: {index.path} names "
            f"{'it' if len(missing) == 1 else f'these {len(missing)} files'}",
            wrong,
            found,
        )
        return
    other_shards = sorted(
        file.path
        for file in files
        if is_weights(file.path) and _parent(file.path) == _parent(index.path) and file.size
    )
    if not other_shards:
        yield ModelIssue(
            SHARDS,
            f"none of the {pluralize(len(missing), 'file')} that {index.path} names exists "
            f"({summarize(missing, 2)})",
            wrong,
            found,
        )
    elif index.path.rpartition("/")[2] == _MAIN:
        single = any(each.rpartition("/")[2] == "model.safetensors" for each in other_shards)
        yield ModelIssue(
            SHARDS,
            f"{index.path} belongs to other files ({summarize(missing, 1)}) than those "
            "that are "
            f"there ({summarize(other_shards, 1)}): engines that go by it find no weights",
            wrong and not single,
            found,
        )


def _check_gaps(
    files: Sequence[SourceFile],
    safetensors_folders: set[str],
    indexes: Sequence[ShardIndex],
    essential: Callable[[str], bool],
) -> Iterator[ModelIssue]:
    """Yield missing files of numbered series without an index.

    `safe` are directories of safetensors.
    """
    indexed = {series_of(path) for index in indexes for path in index.files}
    numbered = [
        file.path
        for file in files
        if is_weights(file.path)
        and series_of(file.path) not in {None, *indexed}
        and (file.path.endswith(".safetensors") or _parent(file.path) not in safetensors_folders)
    ]
    missing_by_series: dict[Series, list[str]] = {}
    for path in missing_shards(numbered):
        series = series_of(path)
        if series is not None:
            missing_by_series.setdefault(series, []).append(path)
    complete = {
        (_parent(file.path), file.path.rpartition(".")[2])
        for file in files
        if file.size and is_weights(file.path) and _is_complete(file.path, missing_by_series)
    }
    for (head, _, tail), missing in missing_by_series.items():
        is_repeated = (_parent(head), tail.removeprefix(".")) in complete
        yield ModelIssue(
            SHARDS,
            f"{summarize(missing)} {is_or_are(missing)} missing: the others of that series "
            "are there",
            essential(missing[0]) and not is_repeated,
            tuple(missing[:_SHOWN]),
        )


def _is_complete(path: str, incomplete: Container[Series]) -> bool:
    """Return whether a file belongs to an incomplete series."""
    series = series_of(path)
    if series is not None:
        return series not in incomplete
    return path.endswith(".gguf") or path.rpartition("/")[2] == "model.safetensors"


def _check_damaged(
    files: Sequence[SourceFile],
    sample: Sample,
    indexes: Sequence[ShardIndex],
    essential: Callable[[str], bool],
) -> Iterator[ModelIssue]:
    """Yield weight files that are incomplete according to their own headers."""
    folders = {_parent(index.path) for index in indexes if index.path.endswith(_MAIN)}
    indexed = {path for index in indexes for path in index.files}
    for file in files:
        head = sample.headers.get(file.path)
        if head is None:
            continue
        fault = head if isinstance(head, str) else _size_mismatch(head, file.size)
        if fault:
            read = _parent(file.path) not in folders or file.path in indexed
            wrong = essential(file.path) and read
            yield ModelIssue(DAMAGED, f"{file.path} is damaged: {fault}", wrong, (file.path,))


def _size_mismatch(head: Header, size_: int) -> str:
    if head.file_size == size_:
        return ""
    apart = abs(head.file_size - size_)
    if size_ < head.file_size:
        return f"its header describes {head.file_size} bytes, {apart} more than it has"
    return f"its header describes {head.file_size} bytes, {apart} fewer than it has"


def _check_index_against_headers(index: ShardIndex, sample: Sample) -> Iterator[ModelIssue]:
    """Compare an index with the headers of its files, if all of them were read."""
    heads = {path: sample.headers.get(path) for path in index.files}
    known = {path: head for path, head in heads.items() if isinstance(head, Header)}
    if len(known) < len(heads) or not known:
        return
    missing = sorted(
        name for name, path in index.tensors.items() if name not in known[path].tensors
    )
    if missing:
        yield ModelIssue(
            WARNING,
            f"{index.path} names {pluralize(len(missing), 'tensor')} that the files do not have "
            "where it "
            f"says ({missing[0][:80]!r} in {index.tensors[missing[0]]})",
        )
    present_bytes = sum(head.data_bytes for head in known.values())
    if (
        index.total_bytes is not None
        and abs(index.total_bytes - present_bytes) * _INDEX_TOLERANCE > present_bytes
    ):
        yield ModelIssue(
            WARNING,
            f"{index.path} counts {format_bytes(index.total_bytes)} of tensors, and its files "
            f"hold {format_bytes(present_bytes)}",
        )


def _check_other_shardings(index: ShardIndex, files: Sequence[SourceFile]) -> Iterator[ModelIssue]:
    """Yield files of another sharding beside the files that the index names."""
    series = {series_of(path) for path in index.files} - {None}
    kinds = {(each[0], each[2]) for each in series if each}
    unused = [
        file
        for file in files
        if (each := series_of(file.path)) and each not in series and (each[0], each[2]) in kinds
    ]
    if unused:
        paths = [file.path for file in unused]
        yield ModelIssue(
            WARNING,
            f"{summarize(paths)} {is_or_are(paths)} of another sharding, and {index.path} "
            "does not name "
            f"{'it' if len(paths) == 1 else 'them'}: {format_bytes(sum(f.size for f in unused))} "
            "for "
            "nothing",
        )
