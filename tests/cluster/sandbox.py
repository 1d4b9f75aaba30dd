"""A pod's view of the file system: the host's, with the pod's volumes at their mount paths.

Nothing is pulled here, so a container sees the host's programs.  What must be its own are the paths
that its pod mounts - ``/scripts``, ``/etc/fluid/secrets/...`` - and those are given to it by a
mount namespace: a new root made of symbolic links into the host's (one bind mount, whatever the
host has), in which the mount paths are real directories with the volumes bound over them.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

#: Where the host's own root is seen inside a sandbox.
HOST = "/.host"


def build(root: Path, mounts: dict[str, Path]) -> Path:
    """Make the root directory of a sandbox; returns the program that enters it.

    The program is used as ``enter COMMAND ARGUMENT…`` and keeps the environment and the standard
    streams; ``FLUIDMODEL_WORKDIR`` says where to start.
    """
    if root.exists():
        shutil.rmtree(root)
    tree = root / "root"
    (tree / HOST.lstrip("/")).mkdir(parents=True)
    wanted = {os.path.normpath(path): source for path, source in mounts.items()}
    folders = {"/"}
    for path in wanted:
        folders |= {str(parent) for parent in Path(path).parents}
    for folder in sorted(folders):
        _mirror(tree, folder, folders | set(wanted))
    lines = []
    for path, source in sorted(wanted.items()):
        inside = tree / path.lstrip("/")
        if source.is_dir():
            inside.mkdir(parents=True, exist_ok=True)
        else:
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.touch()
        lines.append(f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(inside))}")
    return _write_enter(root, tree, lines)


def _mirror(tree: Path, folder: str, ours: set[str]) -> None:
    """Fill one directory of the new root with links to what the host has there."""
    inside = tree / folder.lstrip("/")
    inside.mkdir(parents=True, exist_ok=True)
    host = Path(folder)
    if not host.is_dir():
        return
    for entry in host.iterdir():
        link = inside / entry.name
        if str(entry) in ours or os.path.lexists(link):
            continue
        target = entry.readlink() if entry.is_symlink() else f"{HOST}{entry}"
        link.symlink_to(target)


def _write_enter(root: Path, tree: Path, lines: list[str]) -> Path:
    inner = root / "inner"
    quoted = shlex.quote(str(tree))
    inner.write_text(
        "set -e\n"
        # Inside another sandbox (kwok's) the host's root is one step further away.
        f"if [ -d {HOST} ]; then host={HOST}; else host=/; fi\n"
        f"mount --rbind $host {quoted}{HOST}\n" + "".join(f"{line}\n" for line in lines) + "cd /\n"
        f"exec chroot {quoted} /bin/sh -c "
        '\'cd "${FLUIDMODEL_WORKDIR:-/}" && exec "$@"\' sh "$@"\n'
    )
    enter = root / "enter"
    user = "" if os.getuid() == 0 else " -r"
    enter.write_text(
        # Entered from another sandbox, everything is private already, and "/" is no mount point.
        f"#!/bin/sh\nif [ -d {HOST} ]; then how=unchanged; else how=private; fi\n"
        f"exec unshare -m{user} --propagation $how /bin/sh {shlex.quote(str(inner))}"
        ' "$@"\n'
    )
    enter.chmod(0o755)
    return enter
