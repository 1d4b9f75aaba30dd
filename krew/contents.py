"""What goes into the frozen plugin, and what does not.

The spec beside this file asks here, and so do the tests: what is imported by name at run time
has to be named here, as PyInstaller cannot see it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

PACKAGE = "kubectl_fluidmodel"
ROOT = Path(__file__).resolve().parents[1]

LAZY = ("huggingface_hub.errors", "huggingface_hub.utils", "huggingface_hub.utils._auth")
"""Modules of others that they import by name when they are asked for."""

EXCLUDED = (
    # Of the Hub's client we read settings, the token and what an error means.
    "fsspec",
    "hf_xet",
    "huggingface_hub.cli",
    "huggingface_hub.inference",
    "tqdm.notebook",
    "tqdm.gui",
    "tqdm.tk",
    # rich draws tables and bars here, no code and no Markdown.
    "markdown_it",
    "pygments",
    # Engines of others that take over where they are found.
    "awscrt",
    # What Python brings along and nobody asks for.
    "curses",
    "distutils",
    "doctest",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pdb",
    "pip",
    "pkg_resources",
    "pydoc",
    "pydoc_data",
    "readline",
    "setuptools",
    "sqlite3",
    "test",
    "tkinter",
    "turtle",
    "unittest",
    "xmlrpc",
    # Were they installed, what depends on them if there would bring them in.
    "IPython",
    "cryptography",
    "hypothesis",
    "kubernetes",
    "mypy",
    "numpy",
    "pytest",
)

SERVICES = ("s3", "signin", "sso", "sso-oidc", "sts")
"""AWS services whose descriptions we need: the store's, and those that the log-in chain asks."""

_BOTOCORE = (
    *(f"botocore/data/{service}/" for service in SERVICES),
    "botocore/cacert.pem",
    "botocore/data/_retry.json",
    "botocore/data/endpoints.json",
    "botocore/data/partitions.json",
    "botocore/data/sdk-default-configuration.json",
)


def hidden_imports() -> list[str]:
    """All modules of our own, as verbs, checks and shapes are imported by name; and LAZY."""
    return [*own_modules(), *LAZY]


def own_modules() -> list[str]:
    """Every module of the package, by its dotted name."""
    found = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def wanted(data: Iterable[str]) -> list[str]:
    """Those of the data files (as paths in the bundle) that something reads."""
    return [path for path in data if _wanted(path.replace("\\", "/"))]


def _wanted(path: str) -> bool:
    if path.endswith(".pyc"):  # code
        return True
    top = path.partition("/")[0]
    if top in ("botocore", "boto3"):
        return path.startswith(_BOTOCORE) and "/examples-" not in path
    if top.endswith(".dist-info"):  # PyInstaller brings it where a version is asked for
        return path.endswith("/METADATA")
    return top not in ("certifi", "dateutil")
