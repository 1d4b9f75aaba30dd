"""`python -m krew.freeze`: the plugin as one archive that needs no Python, in dist/.

The same sources, Python and packages make the same bytes: the archive's entries are sorted and
bear one time (SOURCE_DATE_EPOCH, else the last commit's) and nobody's name.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from krew import licenses
from krew.contents import ROOT
from krew.names import NAME, archive_name, here
from kubectl_fluidmodel import __version__

SPEC = ROOT / "krew" / f"{NAME}.spec"
LIMIT = 40 << 20
"""Bytes that an archive may have at most."""


def freeze(work: Path) -> Path:
    """Run PyInstaller below `work`; returns the directory that it made."""
    shutil.rmtree(work, ignore_errors=True)
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level=WARN"]
    command += [f"--distpath={work / 'out'}", f"--workpath={work / 'work'}", str(SPEC)]
    environ = {**os.environ, "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": str(moment())}
    subprocess.run(command, cwd=ROOT, env=environ, check=True)
    made = work / "out" / NAME
    shutil.copyfile(ROOT / "LICENSE", made / "LICENSE")
    text = licenses.collect(made / "_internal")
    (made / "THIRD_PARTY_LICENSES.txt").write_text(text, encoding="utf-8", newline="\n")
    return made


def pack(folder: Path, archive: Path, epoch: int, level: int = 9) -> str:
    """Write a folder as a .tar.gz of plain files and directories; returns its sha256.

    What is a link on disk becomes a file of its own: krew takes no archive with links in it.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", level, raw, mtime=epoch) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in _walk(folder):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.mtime = epoch
            if path.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
                continue
            entry.size = path.stat().st_size
            entry.mode = 0o755 if _runs(path) else 0o644
            with path.open("rb") as data:
                tar.addfile(entry, data)
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def moment() -> int:
    """Seconds since the epoch that all files in the archive bear."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    asked = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 315532800


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below a folder, links followed, in the order of the names."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        yield path
        if path.is_dir():
            yield from _walk(path)


def _runs(path: Path) -> bool:
    return path.name.partition(".")[0] == NAME or os.access(path, os.X_OK)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m krew.freeze", description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "dist", metavar="DIR")
    options = parser.parse_args(argv)
    archive = options.to / archive_name(__version__, here())
    digest = pack(freeze(ROOT / "build" / "frozen"), archive, moment())
    size = archive.stat().st_size
    print(f"{digest}  {archive.name}  {size / (1 << 20):.1f} MiB")
    if size > LIMIT:
        print(f"error: {archive.name} is larger than {LIMIT >> 20} MiB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
