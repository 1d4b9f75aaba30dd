"""`version`."""

from __future__ import annotations

import json

import yaml

from kubectl_fluidmodel import __version__
from tests.cli.program import run


def test_one_line() -> None:
    assert run("version").out == f"v{__version__}\n"


def test_documents() -> None:
    document = json.loads(run("version", "-o", "json").out)
    assert yaml.safe_load(run("version", "-o", "yaml").out) == document
    assert (document["apiVersion"], document["kind"]) == ("fluidmodel.io/v1", "Version")
    assert document["version"] == f"v{__version__}"
    assert set(document) == {"apiVersion", "kind", "version", "python", "platform"}
