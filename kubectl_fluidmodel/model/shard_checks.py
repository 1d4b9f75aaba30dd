"""Checks that all weight files exist and are complete: indexes, numbering, headers, sizes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING

from kubectl_fluidmodel.model.files import SourceFile, is_weights
from kubectl_fluidmodel.model.issue import (
    DAMAGED,
    MAX_PATHS,
    SHARDS,
    WARNING,
    ModelIssue,
    is_or_are,
)
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
_INDEX_TOLERANCE = 20
"""Tolerance for an index's total, as a fraction: it counts shared tensors twice, or once."""


def check_shards(
    files: Sequence[SourceFile], sample: Sample, essential: Callable[[str], bool]
) -> Iterator[ModelIssue]:
    """Yield what is missing or damaged; `essential` decides which files an engine reads."""
    safetensors_folders = {file.directory for file in files if file.path.endswith(".safetensors")}
    indexes: list[ShardIndex] = []
    for file in sorted(files):
        if not file.path.endswith(INDEX_SUFFIXES) or file.path not in sample.texts:
            continue
        of_safetensors = file.path.endswith(SAFETENSORS_INDEX_SUFFIX)
        if not of_safetensors and file.directory in safetensors_folders:
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
    shown = tuple(missing[:MAX_PATHS])
    if len(missing) < len(index.files):
        yield ModelIssue(
            SHARDS,
            f"{summarize(missing)} {is_or_are(missing)} missing: {index.path} names "
            f"{'it' if len(missing) == 1 else f'these {len(missing)} files'}",
            wrong,
            shown,
        )
        return
    other_shards = sorted(
        file.path
        for file in files
        if is_weights(file.path) and file.directory == _parent(index.path) and file.size
    )
    if not other_shards:
        yield ModelIssue(
            SHARDS,
            f"none of the {pluralize(len(missing), 'file')} that {index.path} names exists "
            f"({summarize(missing, 2)})",
            wrong,
            shown,
        )
    elif index.path.rpartition("/")[2] == _MAIN:
        single = any(path.rpartition("/")[2] == "model.safetensors" for path in other_shards)
        yield ModelIssue(
            SHARDS,
            f"{index.path} belongs to other files ({summarize(missing, 1)}) than those that are "
            f"there ({summarize(other_shards, 1)}): engines that go by it find no weights",
            wrong and not single,
            shown,
        )


def _check_gaps(
    files: Sequence[SourceFile],
    safetensors_folders: set[str],
    indexes: Sequence[ShardIndex],
    essential: Callable[[str], bool],
) -> Iterator[ModelIssue]:
    """Yield missing files of numbered series without an index."""
    indexed = {series_of(path) for index in indexes for path in index.files}
    numbered = [
        file.path
        for file in files
        if is_weights(file.path)
        and series_of(file.path) not in {None, *indexed}
        and (file.path.endswith(".safetensors") or file.directory not in safetensors_folders)
    ]
    missing_by_series: dict[Series, list[str]] = {}
    for path in missing_shards(numbered):
        series = series_of(path)
        if series is not None:
            missing_by_series.setdefault(series, []).append(path)
    complete = {
        (file.directory, file.path.rpartition(".")[2])
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
            tuple(missing[:MAX_PATHS]),
        )


def _is_complete(path: str, incomplete: Container[Series]) -> bool:
    """Return whether a file is a model by itself, or belongs to a series that is complete."""
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
        header = sample.headers.get(file.path)
        if header is None:
            continue
        fault = header if isinstance(header, str) else _size_mismatch(header, file.size)
        if fault:
            is_read = file.directory not in folders or file.path in indexed
            wrong = essential(file.path) and is_read
            yield ModelIssue(DAMAGED, f"{file.path} is damaged: {fault}", wrong, (file.path,))


def _size_mismatch(header: Header, size: int) -> str:
    difference = header.file_size - size
    if not difference:
        return ""
    relation = "more" if difference > 0 else "fewer"
    return (
        f"its header describes {header.file_size} bytes, {abs(difference)} {relation} than it has"
    )


def _check_index_against_headers(index: ShardIndex, sample: Sample) -> Iterator[ModelIssue]:
    """Compare an index with the headers of its files, if all of them were read."""
    headers = {
        path: header
        for path in index.files
        if isinstance(header := sample.headers.get(path), Header)
    }
    if len(headers) < len(index.files) or not headers:
        return
    missing = sorted(
        name for name, path in index.tensors.items() if name not in headers[path].tensors
    )
    if missing:
        yield ModelIssue(
            WARNING,
            f"{index.path} names {pluralize(len(missing), 'tensor')} that the files do not have "
            f"where it says ({missing[0][:80]!r} in {index.tensors[missing[0]]})",
        )
    present_bytes = sum(header.data_bytes for header in headers.values())
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
    named = {series for path in index.files if (series := series_of(path))}
    kinds = {(prefix, suffix) for prefix, _, suffix in named}
    unused = [
        file
        for file in files
        if (other := series_of(file.path)) and other not in named and (other[0], other[2]) in kinds
    ]
    if unused:
        paths = [file.path for file in unused]
        yield ModelIssue(
            WARNING,
            f"{summarize(paths)} {is_or_are(paths)} of another sharding, and {index.path} does not "
            f"name {'it' if len(paths) == 1 else 'them'}: "
            f"{format_bytes(sum(file.size for file in unused))} for nothing",
        )
