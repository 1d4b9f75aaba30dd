"""Files beside a model that are not part of it: what tools and desktops leave. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kubectl_fluidmodel.records import dataclass

HUB_CLIENT = "the Hub client's own"
_OWNER_BY_FOLDER = {
    ".cache": HUB_CLIENT,  # hf download --local-dir: .cache/huggingface/download/*.metadata
    ".locks": HUB_CLIENT,
    ".no_exist": HUB_CLIENT,
    ".git": "Git's own",
    ".fluidmodel": "records of staging",
    "__pycache__": "Python's own",
    ".ipynb_checkpoints": "a notebook's own",
    "__MACOSX": "a desktop's own",
}
_OWNER_BY_NAME = {
    ".DS_Store": "a desktop's own",
    "Thumbs.db": "a desktop's own",
    "desktop.ini": "a desktop's own",
}
_OWNER_BY_SUFFIX = {
    ".incomplete": "downloads that were cut off",
    ".part": "downloads that were cut off",
    ".crdownload": "downloads that were cut off",
    ".aria2": "downloads that were cut off",
    ".lock": HUB_CLIENT,
    "_$folder$": "markers of folders",
}


@dataclass(frozen=True)
class JunkFiles:
    """Files of one owner."""

    owner: str
    files: int
    bytes: int
    example: str
    paths: tuple[str, ...] = ()
    """The directories (with a trailing slash) and files to remove, at most 5."""


def junk_owner(path: str) -> str:
    """Return the owner of a file; empty for the model's files."""
    return _match_junk(path)[0]


def _match_junk(path: str) -> tuple[str, str]:
    """Return the owner of a file, and its directory or file; both empty for the model's files."""
    *folders, name = path.split("/")
    for depth, folder in enumerate(folders, 1):
        if folder in _OWNER_BY_FOLDER:
            return _OWNER_BY_FOLDER[folder], "/".join(folders[:depth]) + "/"
    if name in _OWNER_BY_NAME or name.startswith("._"):
        return _OWNER_BY_NAME.get(name, "a desktop's own"), path
    owner = next((owner for ending, owner in _OWNER_BY_SUFFIX.items() if name.endswith(ending)), "")
    return owner, path if owner else ""


def group_junk(files: Iterable[tuple[str, int]]) -> list[JunkFiles]:
    """Group the junk among the files (path, bytes) by owner, most bytes first."""
    files_by_owner: dict[str, list[tuple[str, int]]] = {}
    for path, size in files:
        owner = junk_owner(path)
        if owner:
            files_by_owner.setdefault(owner, []).append((path, size))
    junk_groups = [
        JunkFiles(
            owner,
            len(owned),
            sum(size for _, size in owned),
            min(path for path, _ in owned),
            tuple(sorted({_match_junk(path)[1] for path, _ in owned}))[:5],
        )
        for owner, owned in files_by_owner.items()
    ]
    return sorted(junk_groups, key=lambda group: (-group.bytes, group.owner))
