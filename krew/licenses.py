"""The licences of what the bundle holds beside our own code."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

_TEXT = re.compile(r"(^|/)(licen[cs]e|copying|notice|authors)[^/]*$", re.IGNORECASE)


@dataclass(frozen=True)
class Library:
    """A shared library of the machine that the bundle was made on."""

    name: str
    license: str
    package: str
    """Debian's, whose copyright file has the text."""


LIBRARIES = {
    "libbz2": Library("bzip2", "bzip2-1.0.6", "libbz2-1.0"),
    "libcrypto": Library("OpenSSL", "Apache-2.0", "libssl3"),
    "libexpat": Library("Expat", "MIT", "libexpat1"),
    "libffi": Library("libffi", "MIT", "libffi8"),
    "liblzma": Library("XZ Utils (liblzma)", "0BSD", "liblzma5"),
    "libmpdec": Library("mpdecimal", "BSD-2-Clause", "libmpdec3"),
    "libssl": Library("OpenSSL", "Apache-2.0", "libssl3"),
    "libuuid": Library("util-linux (libuuid)", "BSD-3-Clause", "libuuid1"),
    "libyaml": Library("libyaml", "MIT", "libyaml-0-2"),
    "libz": Library("zlib", "Zlib", "zlib1g"),
    "libzstd": Library("Zstandard", "BSD-3-Clause", "libzstd1"),
}
_PYTHON = ("libpython", "python", "vcruntime", "msvcp", "ucrtbase", "api-ms-win")
_DOCUMENTS = Path("/usr/share/doc")


class UnknownLicenseError(Exception):
    """The bundle holds a library whose licence nobody has looked up."""


def collect(internal: Path) -> str:
    """One text with all of them.

    Raises:
        UnknownLicenseError: there is a library that LIBRARIES lacks.
    """
    parts = [
        _part("Python", "PSF-2.0", _python()),
        *(_of_package(found) for found in bundled(internal)),
        *(_of_library(found) for found in libraries(internal)),
    ]
    head = "kubectl-fluidmodel is under the licence in LICENSE. With it come:\n\n"
    return head + "\n".join(parts)


def bundled(internal: Path) -> list[Distribution]:
    """The Python packages that the bundle has something of, and what made it."""
    found = {}
    for each in distributions():
        name = each.metadata["Name"]
        if name.lower() == "pyinstaller" or any(_has(internal, top) for top in _tops(each)):
            found[name.lower()] = each
    found.pop("kubectl-fluidmodel", None)
    return [found[name] for name in sorted(found)]


def libraries(internal: Path) -> list[Library]:
    """The shared libraries beside Python's own."""
    found = set()
    for path in internal.iterdir():
        if not re.search(r"\.(so|dylib|dll)(\.|$)", path.name, re.IGNORECASE):
            continue
        stem = re.split(r"[-.]", path.name, maxsplit=1)[0].lower()
        if path.name.lower().startswith(_PYTHON):
            continue
        if stem not in LIBRARIES:
            raise UnknownLicenseError(f"{path.name}: add its licence to krew/licenses.py")
        found.add(LIBRARIES[stem])
    return sorted(found, key=lambda library: library.name)


def _tops(distribution: Distribution) -> Iterator[str]:
    """The top-level names that a package installs."""
    for file in distribution.files or ():
        top = file.parts[0]
        if top.endswith((".dist-info", ".pth")) or top in ("..", "__pycache__"):
            continue
        yield top


def _has(internal: Path, top: str) -> bool:
    return (internal / top).exists() or (internal / f"{top.removesuffix('.py')}.pyc").exists()


def _of_package(distribution: Distribution) -> str:
    data: Any = distribution.metadata
    license_ = data.get("License-Expression") or data.get("License") or "see below"
    texts = [
        str(file.locate().read_text("utf-8", "replace"))  # type: ignore[attr-defined]
        for file in distribution.files or ()
        if ".dist-info/" in str(file) and _TEXT.search(str(file))
    ]
    title = f"{data['Name']} {data['Version']}"
    return _part(title, license_.strip().splitlines()[0][:80], "\n".join(texts))


def _of_library(library: Library) -> str:
    file = _DOCUMENTS / library.package / "copyright"
    text = file.read_text("utf-8", "replace") if file.is_file() else ""
    return _part(library.name, library.license, text)


def _python() -> str:
    for file in (Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_config_var("prefix"))):
        for name in ("LICENSE.txt", "LICENSE"):
            if (file / name).is_file():
                return (file / name).read_text("utf-8", "replace")
    return "https://docs.python.org/3/license.html"


def _part(name: str, license_: str, text: str) -> str:
    line = "=" * 78
    return f"{line}\n{name}: {license_}\n{line}\n{text.strip()}\n"
