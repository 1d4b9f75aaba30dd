"""An image of Alluxio, from its jars at Maven's registry and a Java runtime of this machine's JDK.

Alluxio has no image and no assembly that a package registry serves, but its modules are there, of
this version whole.  Not among them are the stores `web`, `hdfs` and `gcs`, and 2.9.0, which Fluid
1.0 starts by default, has no `s3a`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .. import image, paths
from ..process import locked
from ..progress import Progress
from . import packages
from .machine import MachineLacks

VERSION = "2.9.3"
NAME = f"fluidmodel.test/alluxio:{VERSION}"
JAVA = 17
SOURCES = paths.HERE / "real" / "alluxio_image"
#: What Alluxio uses of Java: all of the standard, and what is HotSpot's own.
MODULES = "java.se,jdk.crypto.ec,jdk.management,jdk.naming.dns,jdk.security.auth,jdk.unsupported"
JLINK = ("--add-modules", MODULES, "--strip-debug", "--no-header-files", "--no-man-pages")
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
#: Two back ends of slf4j are one too many; log4j 2 stays. The S3 client uses log4j 1 directly.
WITHOUT = "slf4j-log4j12,slf4j-reload4j"
#: What Fluid's scripts, its probes and an administrator run in these containers. FUSE asks for its
#: user's groups with `getent` and `id`.
PROGRAMS = (
    "awk", "bash", "cat", "chmod", "cut", "date", "df", "dirname", "du", "env", "find", "getent",
    "grep", "groups", "head", "hostname", "id", "kill", "ls", "mkdir", "mount", "mountpoint", "rm",
    "sed", "sleep", "sort", "stat", "tail", "timeout", "touch", "tr", "umount", "uname", "wc",
    "whoami",
)  # fmt: skip
#: The shell's classes as the JVM maps them (class data sharing).
CLASSES = "classes.jsa"
#: Opened by Alluxio's own native code, so that no program's `ldd` names them.
LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1")


def obstacle() -> str | None:
    """Why the image cannot be made here, in a line; None where it can, or is made already."""
    if not _jars_folder().exists() and not shutil.which("mvn"):
        return (
            "Alluxio's jars come by Maven, and there is no mvn on PATH; try: apt-get install maven"
        )
    if not _runtime_folder().exists() and not _machines_jlink() and not packages.obtainable():
        return f"Alluxio needs Java {JAVA}, and there is no JDK {JAVA} on PATH and no apt-get"
    return None


def archive() -> Path:
    """The image's archive in the cache, made if need be.

    Raises:
        MachineLacks: there is no Maven, no JDK, or one of them does not do its work.
    """
    reason = obstacle()
    if reason:
        raise MachineLacks(f"no image of Alluxio: {reason}")
    fuse = packages.unpack("fuse", "fuse3", "libfuse3-3")
    fuse2 = packages.unpack("fuse2", "libfuse2")  # for JNR-FUSE; Alluxio's own image has both
    home = "/opt/alluxio"
    files = {
        **image.base(),
        **image.programs(PROGRAMS),
        **image.below(java_runtime(), "/opt/jre"),
        **image.below(jars(), f"{home}/lib"),
        "/bin/bash": Path("/bin/bash").resolve(),
        "/usr/bin/fusermount3": next(fuse.rglob("fusermount3")),
        "/entrypoint.sh": SOURCES / "entrypoint.sh",
        f"{home}/bin/alluxio": SOURCES / "alluxio",
        f"{home}/{CLASSES}": class_archive(),
        "/usr/local/bin/alluxio": image.Link(f"{home}/bin/alluxio"),
        f"{home}/integration/fuse/bin/alluxio-fuse": SOURCES / "alluxio-fuse",
        # Volumes of Fluid's chart are mounted there.
        "/journal/.keep": b"",
        "/opt/domain/.keep": b"",
    }
    for path in SOURCES.glob("log4j*.properties"):
        files[f"{home}/conf/{path.name}"] = path
    linked = dict(image.with_libraries(files))
    libraries = next(Path(path).parent for path in linked if path.endswith("/libc.so.6"))
    for name in LIBRARIES:
        linked[str(libraries / name)] = (libraries / name).resolve()
    [libfuse] = [path for path in fuse.rglob("libfuse3.so.3.*") if not path.is_symlink()]
    linked[str(libraries / "libfuse3.so.3")] = libfuse
    [libfuse2] = [path for path in fuse2.rglob("libfuse.so.2.*") if not path.is_symlink()]
    linked[str(libraries / "libfuse.so.2")] = libfuse2
    settings = {
        "Env": [f"PATH={home}/bin:{image.PATH}", "LANG=C.UTF-8"],
        "Entrypoint": ["/entrypoint.sh"],
        "WorkingDir": home,
    }
    return image.archived(NAME, linked, settings)


def jars() -> Path:
    """The folder of Alluxio's jars, fetched unless the cache has it, and held to their checksums.

    Raises:
        MachineLacks: Maven cannot fetch them, or a file is not the one that was pinned.
    """
    home = _jars_folder()
    with locked(paths.cache_dir() / "alluxio.lock"):
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=paths.cache_dir()) as folder:
                fetched = Path(folder) / "jars"
                with Progress(f"fetching Alluxio {VERSION} by Maven, about 200 MB, once"):
                    _fetch(fetched, Path(folder) / "repository")
                wrong = differing(fetched, (SOURCES / "jars.sha256").read_text())
                if wrong:
                    raise MachineLacks(f"no image of Alluxio: not as pinned: {', '.join(wrong)}")
                home.parent.mkdir(parents=True, exist_ok=True)
                fetched.rename(home)
    return home


def differing(folder: Path, pinned: str) -> list[str]:
    """The files of which the folder has others than a list of `sha256sum` says, or too many."""
    wanted = {name: digest for digest, name in map(str.split, pinned.splitlines())}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder.iterdir() if folder.exists() else ())
    }
    return sorted(name for name in wanted | found if wanted.get(name) != found.get(name))


def java_runtime() -> Path:
    """A Java runtime of the modules that Alluxio uses, made unless the cache has it.

    Raises:
        MachineLacks: there is no JDK of the right version, or it cannot make one.
    """
    home = _runtime_folder()
    with locked(paths.cache_dir() / "java.lock"):
        if not home.exists():
            jlink = _machines_jlink() or _debians_jlink()
            unfinished = home.with_name(f".{home.name}.{os.getpid()}")
            words = [str(jlink), *JLINK, "--output", str(unfinished)]
            with Progress(f"making a Java {JAVA} runtime, once"):
                done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                shutil.rmtree(unfinished, ignore_errors=True)
                said = (done.stdout + done.stderr).strip().splitlines()[:1]
                raise MachineLacks(f"no image of Alluxio: jlink failed: {' '.join(said)}")
            # The classes of Java itself, loaded beforehand: half of the time of a short command.
            dump = [str(unfinished / "bin" / "java"), "-Xshare:dump", "-Xlog:disable"]
            subprocess.run(dump, capture_output=True, check=True)
            unfinished.rename(home)
    return home


def class_archive() -> Path:
    """The classes of Alluxio's shell as the JVM maps them, made unless the cache has them.

    Fluid and the plugin run the shell by the hundred; this halves its CPU time (3.0 to 1.6 s). A
    JVM takes the archive only if each jar is at the path that it had then. So it is written in a
    mount namespace that has Java and the jars where the image has them.

    Raises:
        MachineLacks: Java cannot write it.
    """
    java, libraries, script = java_runtime(), jars(), SOURCES / "alluxio"
    made_with = f"{java.name} {libraries.name} {script.read_text()}"
    archive = libraries.parent / f"{hashlib.sha256(made_with.encode()).hexdigest()[:12]}.jsa"
    with locked(paths.cache_dir() / "classes.lock"):
        if archive.exists():
            return archive
        with tempfile.TemporaryDirectory(dir=paths.cache_dir()) as temporary:
            tree = Path(temporary)
            steps = (
                "set -e; mkdir -p jre alluxio/lib alluxio/bin alluxio/conf",
                f"cp {script} alluxio/bin; cp {SOURCES}/log4j* alluxio/conf",
                f"mount --bind {java} jre",
                f"mount --bind {libraries} alluxio/lib",
                "mount --rbind . /opt",
                # There is no master: the command fails, with all of its classes loaded.
                "/opt/alluxio/bin/alluxio fsadmin report -XX:ArchiveClassesAtExit="
                f"/opt/alluxio/{CLASSES} -Dalluxio.user.rpc.retry.max.duration=1s || true",
            )
            with Progress("writing an archive of Alluxio's classes, once"):
                done = subprocess.run(
                    ["unshare", "--mount", "--net", "bash", "-c", "\n".join(steps)],
                    cwd=tree,
                    env={"PATH": image.PATH, "ALLUXIO_MASTER_HOSTNAME": "127.0.0.1"},
                    capture_output=True,
                    text=True,
                    check=False,
                )
            written = tree / "alluxio" / CLASSES
            if not written.exists():
                last = (done.stdout + done.stderr).strip().splitlines()[-1:]
                raise MachineLacks(f"no image of Alluxio: no class archive: {' '.join(last)}")
            written.rename(archive)
    return archive


def _jars_folder() -> Path:
    digest = hashlib.sha256((SOURCES / "jars.sha256").read_bytes()).hexdigest()[:12]
    return paths.cache_dir() / "alluxio" / f"{VERSION}-{digest}"


def _runtime_folder() -> Path:
    digest = hashlib.sha256(" ".join(JLINK).encode()).hexdigest()[:8]
    return paths.cache_dir() / f"java-{JAVA}-{digest}"


def _fetch(folder: Path, repository: Path) -> None:
    """Let Maven copy the jars; its repository is ours, so that nothing is left of the download."""
    words = [
        "mvn", "--batch-mode", "--quiet", f"--file={SOURCES / 'pom.xml'}", COPY,
        f"-Dmaven.repo.local={repository}", f"-DoutputDirectory={folder}",
        "-DincludeScope=runtime", f"-DexcludeArtifactIds={WITHOUT}",
    ]  # fmt: skip
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line][:1]
        reason = " ".join(said).removeprefix("[ERROR] ") or done.stderr.strip()
        raise MachineLacks(f"no image of Alluxio: Maven failed: {reason}")


def _machines_jlink() -> str | None:
    """The machine's jlink, where it is of the right Java."""
    found = shutil.which("jlink")
    if found is None:
        return None
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return found if re.match(rf"{JAVA}\b", done.stdout) else None


def _debians_jlink() -> Path:
    names = [f"openjdk-{JAVA}-{part}-headless" for part in ("jdk", "jre")]
    tree = packages.unpack(f"jdk-{JAVA}", *names)
    [found] = tree.glob("usr/lib/jvm/*/bin/jlink")
    return found
