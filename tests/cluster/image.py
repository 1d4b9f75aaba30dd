"""Container images made of this machine's own files, without a container engine or a registry.

`stage()` is what the Dockerfile of this repository would make: the Python that runs the tests, with
the libraries it is linked with, what the package requires at run time, and the package, with the
Dockerfile's own environment, user and entrypoint.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from . import paths
from .process import locked

DISTRIBUTION = "kubectl-fluidmodel"
STAGE = f"fluidmodel.test/{DISTRIBUTION}:tests"
PYTHON = "fluidmodel.test/python:tests"
#: Path in the image → a file of this machine, or content; a `Link` points elsewhere in the image.
Files = Mapping[str, "Path | bytes | Link"]
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
#: What Debian's slim image of Python leaves out as well.
LEFT_OUT = (
    "test",
    "tests",
    "idlelib",
    "idle_test",
    "ensurepip",
    "tkinter",
    "turtledemo",
)
#: Of glibc besides libc.so.6; PEP 600 lets wheels be linked with these.
GLIBC = ("libdl.so.2", "libm.so.6", "libpthread.so.0", "libresolv.so.2", "librt.so.1")
#: Seconds for which an archive stays that another one replaces.
_KEPT = 3600.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Link(str):
    """A symbolic link, by its target."""


def python() -> tuple[Files, dict[str, Any]]:
    """Files and configuration of a Python alone, as `python:3.12-slim` is one."""
    interpreter = _interpreter()
    files: dict[str, Path | bytes | Link] = {**base(), **_standard_library()}
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        files[str(certificates)] = certificates
    for name in ("python", "python3"):
        files[f"/usr/local/bin/{name}"] = Link(interpreter)
    files[str(interpreter)] = interpreter
    return with_libraries(files), {"Env": [f"PATH={PATH}"], "Cmd": ["python3"]}


def base() -> dict[str, Path | bytes | Link]:
    """A shell, and what a C library looks for; users are the image's own, never the machine's."""
    cache = Path("/etc/ld.so.cache")
    return {
        "/bin/sh": Path("/bin/sh").resolve(),
        "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
        "/etc/group": b"root:x:0:\n",
        "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\n",
        **({str(cache): cache} if cache.exists() else {}),
    }


def programs(names: Iterable[str]) -> dict[str, Path | bytes | Link]:
    """Programs of this machine, below `/usr/bin`.

    Raises:
        LookupError: this machine does not have one of them.
    """
    found = {
        name: shutil.which(name, path=f"{os.environ.get('PATH', '')}:{PATH}") for name in names
    }
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise LookupError(f"there is no {' and no '.join(missing)} on PATH")
    return {f"/usr/bin/{name}": Path(str(path)).resolve() for name, path in found.items()}


def below(folder: Path, inside: str) -> dict[str, Path | bytes | Link]:
    """All files of a folder, at a place inside of the image."""
    return {
        f"{inside}/{path.relative_to(folder)}": path.resolve()
        for path in folder.rglob("*")
        if path.is_file()
    }


def stage() -> tuple[Files, dict[str, Any]]:
    """Files and configuration of the staging image: that Python with the package."""
    files = {**python()[0]}
    for found in (package(), *map(distribution, required(DISTRIBUTION))):
        files |= {str(site() / name): path for name, path in found.items()}
    for entry in importlib.metadata.distribution(DISTRIBUTION).entry_points:
        if entry.group == "console_scripts":
            lines = ("#!/usr/local/bin/python", f"import {entry.module} as m", f"m.{entry.attr}()")
            files[f"/usr/local/bin/{entry.name}"] = "\n".join([*lines, ""]).encode()
    return with_libraries(files), _dockerfile((paths.REPO / "Dockerfile").read_text())


def package() -> dict[str, Path]:
    """The package as this clone has it, by path below `site-packages`."""
    return {
        str(path.relative_to(paths.REPO)): path
        for path in (paths.REPO / "kubectl_fluidmodel").rglob("*")
        if path.suffix in (".py", ".typed")
    }


def distribution(name: str) -> dict[str, Path]:
    """An installed distribution, by path below `site-packages`."""
    found: dict[str, Path] = {}
    for file in importlib.metadata.distribution(name).files or []:
        path = Path(str(file.locate()))
        if ".." not in file.parts and path.exists():  # programs lie elsewhere; none is needed
            found[str(file)] = path
    return found


def required(name: str) -> list[str]:
    """The distributions that one needs at run time, with all that those need; not itself."""
    found: list[str] = []
    waiting = [Requirement(name)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        each = waiting.pop()
        key = (canonicalize_name(each.name), frozenset(each.extras))
        if key in seen:
            continue
        seen.add(key)
        if key[0] not in (name, *found):
            found.append(key[0])
        for line in importlib.metadata.requires(each.name) or []:
            needed = Requirement(line)
            environments = [{"extra": extra} for extra in each.extras or {""}]
            if not needed.marker or any(needed.marker.evaluate(env) for env in environments):
                waiting.append(needed)
    return found


def archived(name: str, files: Files, settings: dict[str, Any]) -> Path:
    """The archive of an image in the cache, written unless what it is made of is the same."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path, what in sorted(files.items()):
        found = what.stat() if isinstance(what, Path) else None
        content = (found.st_size, found.st_mtime_ns) if found else what
        digest.update(f"{path} {content!r}\n".encode())
    stem = re.sub(r"[^\w.-]+", "_", name)
    archive = paths.cache_dir() / "images" / f"{stem}-{digest.hexdigest()[:12]}.tar"
    with locked(archive.parent / f".{stem}.lock"):
        if not archive.exists():
            unfinished = write(archive.with_suffix(".unfinished"), name, files, settings)
            for old in archive.parent.glob(f"{stem}-{'?' * 12}.tar"):
                # Another clone of this repository may be about to use a new one of its own.
                if time.time() - old.stat().st_mtime > _KEPT:
                    old.unlink()
            unfinished.replace(archive)
    return archive


def write(archive: Path, name: str, files: Files, settings: dict[str, Any]) -> Path:
    """Write an OCI archive with one image of one layer."""
    layer = archive.with_suffix(".layer")
    try:
        with tarfile.open(layer, "w") as tar:
            _fill(tar, files)
        with layer.open("rb") as stream:
            digest = _sha256(stream)
        config = {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Env": [f"PATH={PATH}"], **settings},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
        with tarfile.open(archive, "w") as tar:
            kind = "application/vnd.oci.image"
            described = _blob(tar, f"{kind}.config.v1+json", config)
            size = layer.stat().st_size
            manifest = {
                "schemaVersion": 2,
                "mediaType": f"{kind}.manifest.v1+json",
                "config": described,
                "layers": [{"mediaType": f"{kind}.layer.v1.tar", "digest": digest, "size": size}],
            }
            tar.add(layer, f"blobs/{digest.replace(':', '/')}")
            entry = _blob(tar, f"{kind}.manifest.v1+json", manifest)
            # containerd goes by the first, everybody else by the second.
            names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
            index = {"schemaVersion": 2, "manifests": [{**entry, "annotations": names}]}
            _add(tar, "index.json", json.dumps(index).encode())
            _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    finally:
        layer.unlink(missing_ok=True)
    return archive


def _interpreter() -> Path:
    """The Python that this virtual environment was made with."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


@functools.cache
def site() -> Path:
    """Where an interpreter outside of any virtual environment looks for packages."""
    words = [str(_interpreter()), "-I", "-c", "import site; print(site.getsitepackages()[0])"]
    return Path(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())


def _standard_library() -> dict[str, Path | bytes | Link]:
    root = Path(sysconfig.get_path("stdlib")).resolve()
    found: dict[str, Path | bytes | Link] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [
            each
            for each in folders
            if each not in (*LEFT_OUT, "site-packages", "dist-packages")
            and not each.startswith("config-")
        ]
        for name in names:
            if not name.endswith((".opt-1.pyc", ".opt-2.pyc", ".a")) and "_tkinter" not in name:
                path = Path(folder) / name
                found[str(path)] = path
    return found


def with_libraries(files: Mapping[str, Path | bytes | Link]) -> Files:
    """The files with the libraries and loaders that programs among them are linked with.

    glibc comes whole: wheels and jars are linked with parts of it that no program here is.
    """
    linked = [str(each) for each in files.values() if isinstance(each, Path) and _is_elf(each)]
    done = subprocess.run(["ldd", *linked], capture_output=True, text=True, check=False)
    found: dict[str, Path | bytes | Link] = dict(files)
    there = {Path(path).name for path in found}
    for line in done.stdout.splitlines():
        match = re.match(r"\s+(?:\S+ => )?(/\S+) \(0x", line)
        # By another path (a RUNPATH through /usr/lib) it is the same library.
        if match and (Path(match[1]).name not in there or match[1] in found):
            found[match[1]] = Path(match[1]).resolve()
            there.add(Path(match[1]).name)
    [libc] = [Path(path) for path in found if path.endswith("/libc.so.6")]
    for beside in (libc.with_name(name) for name in GLIBC):
        if beside.exists() and beside.name not in there:
            found[str(beside)] = beside.resolve()
    return found


def _is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _dockerfile(text: str) -> dict[str, Any]:
    """User, environment and program of a Dockerfile's last stage."""
    settings: dict[str, Any] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            settings = {"Env": [f"PATH={PATH}"]}
        elif word == "ENV":
            settings["Env"] += shlex.split(rest)
        elif word == "USER":
            settings["User"] = rest.strip()
        elif word in ("ENTRYPOINT", "CMD"):
            settings[word.capitalize()] = json.loads(rest)
    return settings


def _fill(tar: tarfile.TarFile, files: Files) -> None:
    """All files, root's and readable for everyone, after their directories."""
    folders = {str(parent) for path in files for parent in Path(path).parents} - {"/"}
    for folder in sorted({*folders, "/tmp"}):
        info = tarfile.TarInfo(folder.lstrip("/"))
        info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "/tmp" else 0o755
        tar.addfile(info)
    for path, what in sorted(files.items()):
        if isinstance(what, Path):
            found = what.stat()
            info = tarfile.TarInfo(path.lstrip("/"))
            # Compiled files go by the time of their source.
            info.size, info.mtime = found.st_size, int(found.st_mtime)
            info.mode = 0o755 if found.st_mode & 0o111 else 0o644
            with what.open("rb") as stream:
                tar.addfile(info, stream)
        elif isinstance(what, Link):
            info = tarfile.TarInfo(path.lstrip("/"))
            info.type, info.linkname = tarfile.SYMTYPE, str(what)
            tar.addfile(info)
        else:
            _add(tar, path.lstrip("/"), what, 0o755 if what.startswith(b"#!") else 0o644)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def _blob(tar: tarfile.TarFile, kind: str, value: Any) -> dict[str, Any]:
    content = json.dumps(value).encode()
    digest = _sha256(io.BytesIO(content))
    _add(tar, f"blobs/{digest.replace(':', '/')}", content)
    return {"mediaType": kind, "digest": digest, "size": len(content)}


def _sha256(stream: Any) -> str:
    digest = hashlib.sha256()
    for block in iter(functools.partial(stream.read, 1 << 20), b""):
        digest.update(block)
    return f"sha256:{digest.hexdigest()}"
