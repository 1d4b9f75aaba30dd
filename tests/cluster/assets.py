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

#: Each generation of Dynamo's CRDs: the folder of copies that has it.
DYNAMO_DIRS = {
    "current": "dynamo-2026-08",
    "v1alpha1": "dynamo-2026-08",
    "2025-08": "dynamo-2025-08",
}


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


def _documents(directory: Path, pattern: str) -> list[Object]:
    found: list[Object] = []
    for path in sorted(directory.glob(pattern)):
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        found += [each for each in yaml.load_all(path.read_text(), loader) if each]
    return found


def fluid_crds() -> list[Object]:
    return _documents(fluid_dir() / "charts" / "fluid" / "fluid" / "crds", "*.yaml")


def kwok_crds() -> list[Object]:
    base = module_dir("kwok", "sigs.k8s.io/kwok") / "kustomize" / "crd" / "bases"
    return _documents(base, "*.yaml")


class NotAtHand(RuntimeError):
    """Data of another project that no registry serves, and that nobody has put here."""


def crd_copies() -> Path:
    """The directory of CRD copies, for modules that no registry serves."""
    for candidate in (os.environ.get("FLUIDMODEL_CRDS"), str(paths.REPO.parent / "shared/crds")):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    raise NotAtHand(
        "Dynamo's CRDs are not at hand; set FLUIDMODEL_CRDS to a directory that has "
        + " and ".join(sorted(set(DYNAMO_DIRS.values())))
        + ", or have none: python -m tests.cluster up --crds dynamo=none"
    )


def dynamo_crds(generation: str) -> list[Object]:
    """DynamoGraphDeployment's CRDs as one generation of the operator serves them.

    ``current`` stores v1beta1 and serves v1alpha1 too, without the operator's conversion webhook
    (strategy None: what is written as one version reads as the other unconverted); ``v1alpha1`` is
    the same age serving and storing v1alpha1 alone; ``2025-08`` is the age that had nothing else.
    """
    if generation not in DYNAMO_DIRS:
        raise ValueError(f"no generation {generation!r}; there are {', '.join(DYNAMO_DIRS)}")
    found = _documents(crd_copies() / DYNAMO_DIRS[generation], "*.yaml")
    for crd in found:
        spec = crd["spec"]
        spec["conversion"] = {"strategy": "None"}
        names = [version["name"] for version in spec["versions"]]
        if generation == "v1alpha1" and "v1alpha1" in names:
            spec["versions"] = [each for each in spec["versions"] if each["name"] == "v1alpha1"]
            spec["versions"][0].update(served=True, storage=True)
        crd["metadata"].setdefault("annotations", {}).pop("cert-manager.io/inject-ca-from", None)
    return found
