"""What is taken from the modules' files rather than compiled: CRDs and Helm charts.

They come from the very module versions that the binaries are built from, so they always match.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

import yaml

from . import paths
from .api import Object
from .binaries import go_command, go_environment, pinned
from .process import locked


@functools.cache
def module_dir(stack: str, module: str) -> Path:
    """Where the Go client has unpacked the pinned version of ``module``."""
    version = pinned(stack, module)
    note = paths.cache_dir() / "modules" / f"{module.replace('/', '_')}@{version}"
    if note.exists() and Path(note.read_text()).is_dir():
        return Path(note.read_text())
    done = subprocess.run(
        [go_command(), "mod", "download", "-json", f"{module}@{version}"],
        cwd=paths.GO_DIR / stack,
        env=go_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout or "{}")
    if "Dir" not in answer:
        raise RuntimeError(f"cannot get {module}@{version}: {answer.get('Error') or done.stderr}")
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(answer["Dir"])
    return Path(answer["Dir"])


def fluid_dir() -> Path:
    return module_dir("fluid", "github.com/fluid-cloudnative/fluid")


def fluid_charts() -> Path:
    """Fluid's charts in a folder of their own, whole.

    A module's zip has no symbolic links, so each runtime's chart comes without its library chart:
    laid out here with the library in place, as the controllers' own images have it.
    """
    version = pinned("fluid", "github.com/fluid-cloudnative/fluid")
    laid_out = paths.cache_dir() / "charts" / f"fluid-{version}"
    if laid_out.exists():
        return laid_out
    with locked(paths.cache_dir() / "charts.lock"):
        if laid_out.exists():
            return laid_out
        source = fluid_dir() / "charts"
        unfinished = laid_out.with_name(f".{laid_out.name}.{os.getpid()}")
        shutil.copytree(source, unfinished, copy_function=shutil.copyfile)
        for folder in [unfinished, *unfinished.rglob("*")]:
            folder.chmod(0o755 if folder.is_dir() else 0o644)
        for chart in unfinished.rglob("Chart.yaml"):
            if "library" in chart.parent.name or chart.parent.name == "fluid":
                continue
            declared = yaml.safe_load(chart.read_text()).get("dependencies") or []
            if any(each.get("name") == "library" for each in declared):
                shutil.copytree(
                    unfinished / "library", chart.parent / "charts" / "library", dirs_exist_ok=True
                )
        unfinished.replace(laid_out)
    return laid_out


def documents(directory: Path, pattern: str) -> list[Object]:
    """The objects in a folder's YAML files."""
    found: list[Object] = []
    for path in sorted(directory.glob(pattern)):
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        found += [each for each in yaml.load_all(path.read_text(), loader) if each]
    return found


def fluid_crds() -> list[Object]:
    return documents(fluid_dir() / "charts" / "fluid" / "fluid" / "crds", "*.yaml")


def kwok_crds() -> list[Object]:
    base = module_dir("kubernetes", "sigs.k8s.io/kwok") / "kustomize" / "crd" / "bases"
    return documents(base, "*.yaml")
