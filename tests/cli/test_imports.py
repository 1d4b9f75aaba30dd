"""A command line imports only what it needs: importing is most of the time of a short one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import kubectl_fluidmodel
from tests.cli.program import start
from tests.inventory import samples
from tests.loopback import serve
from tests.snapshot.served import Cluster

_REPORT_MODULES = """
import sys
from kubectl_fluidmodel.cli.main import main
code = main(sys.argv[1:])
sys.stderr.write("\\nmodules: " + " ".join(sys.modules))
sys.exit(code)
"""

GRAPH = Path(__file__).parents[1] / "fixtures/dgd/beta-agg.yaml"
HEAVY = ("kubernetes", "boto3", "botocore", "rich", "huggingface_hub")
OTHER_VERBS = tuple(f"kubectl_fluidmodel.{verb}" for verb in ("cache", "pin", "stage", "doctor"))
RARE = ("fractions", "shutil", "tempfile")
"""Modules of the standard library for what a command rarely does."""
REMOTE = ("kubectl_fluidmodel.hub", "kubectl_fluidmodel.objectstore")
CLUSTER = (
    *("urllib3", "http", "concurrent", "kubectl_fluidmodel.inventory"),
    *("kubectl_fluidmodel.kube.client", "kubectl_fluidmodel.snapshot"),
)
"""What only a command with a cluster needs."""
OTHER_WORK = tuple(
    f"kubectl_fluidmodel.{module}"
    for module in (
        *("cache.workflow", "doctor.collect", "doctor.mount_probe", "doctor.report"),
        *("objectstore.s3", "pin", "stage.engine"),
    )
)
"""What reads, changes or reports more than a view with doctor's warnings does."""
DETAILS = tuple(
    f"kubectl_fluidmodel.{module}"
    for module in ("inspect.details", "inspect.startup_estimate", "model.source")
)


@dataclass(frozen=True)
class Lean:
    """A command line, and what it does without."""

    arguments: str
    packages: tuple[str, ...]

    def __str__(self) -> str:
        return self.arguments or "no arguments"


def imported(*arguments: str) -> set[str]:
    """The modules of a process that ran a command line."""
    ended = start(*arguments, python=("-c", _REPORT_MODULES))
    assert ended.code == 0, ended.err
    return set(ended.err.splitlines()[-1].removeprefix("modules: ").split())


def of_packages(modules: set[str], packages: tuple[str, ...]) -> set[str]:
    return {
        module
        for module in modules
        if any(module == package or module.startswith(f"{package}.") for package in packages)
    }


@pytest.mark.parametrize(
    "lean",
    [
        Lean("", (*HEAVY, "urllib3", "yaml")),
        Lean("--help", (*HEAVY, "urllib3", "yaml")),
        Lean("--version", (*HEAVY, "urllib3", "yaml")),
        Lean("version -o json", (*HEAVY, "urllib3", "yaml")),
        Lean("completion bash", (*HEAVY, "urllib3", "yaml")),
        Lean("__complete cache --", HEAVY),
        Lean("cache --help", HEAVY),
        Lean("pin --help", HEAVY),
        Lean("stage --help", HEAVY),
        Lean(
            f"pin demo -f {GRAPH} --dry-run=client -o yaml",
            (*HEAVY, *REMOTE, *RARE, *CLUSTER, "kubectl_fluidmodel.pin.preflight"),
        ),
        Lean("inspect --help", (*HEAVY, *OTHER_VERBS, *REMOTE, "urllib3", "yaml")),
        Lean("cache pvc://c/m --quota 10Gi --dry-run=client", HEAVY),
        Lean(
            "cache s3://models/m --quota 10Gi --dry-run=client",
            ("kubernetes", "rich", "huggingface_hub"),
        ),
    ],
    ids=str,
)
def test_without_a_cluster_nothing_heavy_is_imported(lean: Lean) -> None:
    assert of_packages(imported(*lean.arguments.split()), lean.packages) == set()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve(Cluster(objects=[*samples.cache(), samples.reader()])) as running:
        yield running.url


@pytest.mark.parametrize(
    "lean",
    [
        Lean("inspect", (*HEAVY, "urllib3", *OTHER_VERBS, *REMOTE, *DETAILS)),
        Lean("inspect -A --sort-by size", (*HEAVY, "urllib3", *OTHER_VERBS, *REMOTE, *DETAILS)),
        Lean("inspect -o name", (*HEAVY, "urllib3", *OTHER_VERBS, *REMOTE, *DETAILS)),
        Lean(
            "inspect -o tree",
            (*HEAVY, "urllib3", "kubectl_fluidmodel.doctor", "kubectl_fluidmodel.hub"),
        ),
        Lean(
            "inspect demo --offline",
            (*HEAVY, *RARE, "urllib3", *OTHER_WORK, "kubectl_fluidmodel.hub"),
        ),
    ],
    ids=str,
)
def test_a_view_imports_only_what_it_shows(lean: Lean, server: str) -> None:
    modules = imported(*lean.arguments.split(), "-s", server)
    assert of_packages(modules, lean.packages) == set()


def test_no_module_needs_posix_to_be_imported() -> None:
    """On Windows, the commands run, and these modules do not exist."""
    posix = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}
    package = Path(kubectl_fluidmodel.__file__).parent
    imports = [
        f"{path.relative_to(package)}: {name}"
        for path in package.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        for name in imported_names(node)
        if name in posix
    ]
    assert imports == []


def imported_names(node: ast.stmt) -> list[str]:
    """The top-level modules that an import names."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [str(node.module).partition(".")[0]] if isinstance(node, ast.ImportFrom) else []
