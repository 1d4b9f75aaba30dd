"""Are all files of the weights there, and whole? Indexes, numbering, headers and sizes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING

from kubectl_fluidmodel.model.files import File, is_weights
from kubectl_fluidmodel.model.remark import DAMAGED, DOUBT, SHARDS, Remark, are, some
from kubectl_fluidmodel.model.safetensors import Header
from kubectl_fluidmodel.model.shards import (
    INDEX,
    SAFETENSORS_INDEX,
    Index,
    Series,
    parse_index,
    series_of,
    unnumbered,
)
from kubectl_fluidmodel.output.text import plural, size

if TYPE_CHECKING:
    from kubectl_fluidmodel.model.sample import Sample

_MAIN = f"model{SAFETENSORS_INDEX}"
"""The index that engines look for; others are of variants and of formats beside it."""
_SHOWN = 20
_OFF = 20
"""One part in so many by which an index may miscount: it counts shared tensors twice, or once."""


def check_shards(
    files: Sequence[File], sample: Sample, essential: Callable[[str], bool]
) -> Iterator[Remark]:
    """What is missing or damaged; `essential` tells which files an engine reads."""
    safe = {_folder(file.path) for file in files if file.path.endswith(".safetensors")}
    indexes: list[Index] = []
    for file in sorted(files):
        if not file.path.endswith(INDEX) or file.path not in sample.texts:
            continue
        if not file.path.endswith(SAFETENSORS_INDEX) and _folder(file.path) in safe:
            continue  # of pickles, which engines do not read beside safetensors
        try:
            indexes.append(parse_index(file.path, sample.texts[file.path]))
        except ValueError as err:
            wrong = essential(file.path)
            yield Remark(SHARDS, f"{file.path} cannot be read: {err}", wrong, (file.path,))
    paths = {file.path for file in files}
    for index in indexes:
        yield from _missing(index, files, essential(index.path))
    yield from _gaps(files, safe, indexes, essential)
    whole = [index for index in indexes if index.files <= paths]
    yield from _damaged(files, sample, whole, essential)
    for index in whole:
        yield from _compared(index, sample)
        yield from _unnamed(index, files)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _missing(index: Index, files: Sequence[File], wrong: bool) -> Iterator[Remark]:
    """The files that an index names and that are not there."""
    paths = {file.path for file in files}
    missing = sorted(index.files - paths)
    if not missing:
        return
    found = tuple(missing[:_SHOWN])
    if len(missing) < len(index.files):
        yield Remark(
            SHARDS,
            f"{some(missing)} {are(missing)} missing: {index.path} names "
            f"{'it' if len(missing) == 1 else f'these {len(missing)} files'}",
            wrong,
            found,
        )
        return
    others = sorted(
        file.path
        for file in files
        if is_weights(file.path) and _folder(file.path) == _folder(index.path) and file.size
    )
    if not others:
        yield Remark(
            SHARDS,
            f"none of the {plural(len(missing), 'file')} that {index.path} names is there "
            f"({some(missing, 2)})",
            wrong,
            found,
        )
    elif index.path.rpartition("/")[2] == _MAIN:
        single = any(each.rpartition("/")[2] == "model.safetensors" for each in others)
        yield Remark(
            SHARDS,
            f"{index.path} is of another set of files ({some(missing, 1)}) than those that are "
            f"there ({some(others, 1)}): engines that go by it find no weights",
            wrong and not single,
            found,
        )


def _gaps(
    files: Sequence[File],
    safe: set[str],
    indexes: Sequence[Index],
    essential: Callable[[str], bool],
) -> Iterator[Remark]:
    """Numbered files that lack, where no index tells better; `safe` are folders of safetensors."""
    told = {series_of(path) for index in indexes for path in index.files}
    numbered = [
        file.path
        for file in files
        if is_weights(file.path)
        and series_of(file.path) not in {None, *told}
        and (file.path.endswith(".safetensors") or _folder(file.path) not in safe)
    ]
    lacking: dict[Series, list[str]] = {}
    for path in unnumbered(numbered):
        series = series_of(path)
        if series is not None:
            lacking.setdefault(series, []).append(path)
    whole = {
        (_folder(file.path), file.path.rpartition(".")[2])
        for file in files
        if file.size and is_weights(file.path) and _is_whole(file.path, lacking)
    }
    for (head, _, tail), missing in lacking.items():
        beside = (_folder(head), tail.removeprefix(".")) in whole
        yield Remark(
            SHARDS,
            f"{some(missing)} {are(missing)} missing: the others of that series are there",
            essential(missing[0]) and not beside,
            tuple(missing[:_SHOWN]),
        )


def _is_whole(path: str, lacking: Container[Series]) -> bool:
    """Whether a file is, or belongs to, a model beside a series that lacks some."""
    series = series_of(path)
    if series is not None:
        return series not in lacking
    return path.endswith(".gguf") or path.rpartition("/")[2] == "model.safetensors"


def _damaged(
    files: Sequence[File],
    sample: Sample,
    indexes: Sequence[Index],
    essential: Callable[[str], bool],
) -> Iterator[Remark]:
    """Weights whose own header says that they are not whole."""
    folders = {_folder(index.path) for index in indexes if index.path.endswith(_MAIN)}
    named = {path for index in indexes for path in index.files}
    for file in files:
        head = sample.heads.get(file.path)
        if head is None:
            continue
        fault = head if isinstance(head, str) else _fault(head, file.size)
        if fault:
            read = _folder(file.path) not in folders or file.path in named
            wrong = essential(file.path) and read
            yield Remark(DAMAGED, f"{file.path} is damaged: {fault}", wrong, (file.path,))


def _fault(head: Header, size_: int) -> str:
    if head.file_size == size_:
        return ""
    apart = abs(head.file_size - size_)
    if size_ < head.file_size:
        return f"its header tells of {head.file_size} bytes, {apart} more than it has"
    return f"its header tells of {head.file_size} bytes, {apart} fewer than it has"


def _compared(index: Index, sample: Sample) -> Iterator[Remark]:
    """An index against the headers of its files, where all of them were read."""
    heads = {path: sample.heads.get(path) for path in index.files}
    known = {path: head for path, head in heads.items() if isinstance(head, Header)}
    if len(known) < len(heads) or not known:
        return
    lost = sorted(name for name, path in index.tensors.items() if name not in known[path].tensors)
    if lost:
        yield Remark(
            DOUBT,
            f"{index.path} names {plural(len(lost), 'tensor')} that the files do not have where it "
            f"says ({lost[0][:80]!r} in {index.tensors[lost[0]]})",
        )
    held = sum(head.data for head in known.values())
    if index.total is not None and abs(index.total - held) * _OFF > held:
        yield Remark(
            DOUBT,
            f"{index.path} counts {size(index.total)} of tensors, and its files hold {size(held)}",
        )


def _unnamed(index: Index, files: Sequence[File]) -> Iterator[Remark]:
    """Files of another sharding beside those that the index names."""
    series = {series_of(path) for path in index.files} - {None}
    kinds = {(each[0], each[2]) for each in series if each}
    others = [
        file
        for file in files
        if (each := series_of(file.path)) and each not in series and (each[0], each[2]) in kinds
    ]
    if others:
        paths = [file.path for file in others]
        yield Remark(
            DOUBT,
            f"{some(paths)} {are(paths)} of another sharding, and {index.path} does not name "
            f"{'it' if len(paths) == 1 else 'them'}: {size(sum(f.size for f in others))} for "
            "nothing",
        )
