"""What `make release-check` looks for, and that the version is one everywhere."""

from __future__ import annotations

import configparser
import runpy
from pathlib import Path

import pytest

from kubectl_fluidmodel import __version__

REPO = Path(__file__).parents[1]
CHECK = runpy.run_path(str(REPO / ".ci" / "release_check.py"))

SETUP = """
[metadata]
version = 0.2.0
[options]
install_requires =
    click>=8.1
[options.extras_require]
dev =
    types-PyYAML>=6
"""
PACKAGE = '__version__ = "0.2.0"\n'
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-11-24\n\n## [0.1.0] - 2026-01-01\n"
PINS = "click==8.5.1\ntypes_pyyaml==6.0.1\n"


def test_setup_cfg_and_the_package_agree() -> None:
    config = configparser.ConfigParser()
    config.read(REPO / "setup.cfg")
    assert config["metadata"]["version"] == __version__


def test_so_does_the_changelog() -> None:
    """The version has its heading and date; what comes next gathers above it."""
    texts = [REPO / "setup.cfg", REPO / "kubectl_fluidmodel/__init__.py", REPO / "CHANGELOG.md"]
    found = CHECK["version_doubts"](*(file.read_text() for file in texts), [f"v{__version__}"])
    assert list(found) == []


def test_the_constraints_fit() -> None:
    setup, pins = (REPO / "setup.cfg").read_text(), (REPO / "constraints.txt").read_text()
    assert list(CHECK["constraint_doubts"](setup, pins)) == []


def test_a_release_that_is_fit() -> None:
    assert list(CHECK["version_doubts"](SETUP, PACKAGE, CHANGELOG, ["v0.2.0"])) == []
    assert list(CHECK["version_doubts"](SETUP, PACKAGE, CHANGELOG, [])) == []
    assert list(CHECK["constraint_doubts"](SETUP, PINS)) == []


@pytest.mark.parametrize(
    ("setup", "package", "changelog", "tag", "doubt"),
    [
        (SETUP.replace("0.2.0", "1.0"), PACKAGE, CHANGELOG, "", "no semantic version"),
        (SETUP, PACKAGE.replace("2", "1"), CHANGELOG, "", "__init__.py"),
        (SETUP, PACKAGE, CHANGELOG.replace("[0.2.0]", "[0.2.1]"), "", "no heading [0.2.0]"),
        (SETUP, PACKAGE, CHANGELOG.replace(" - 2026-11-24", ""), "", "no date"),
        (SETUP, PACKAGE, CHANGELOG.replace("Unreleased", "0.3.0"), "", "[Unreleased]"),
        (SETUP, PACKAGE, CHANGELOG, "0.2.0", "the tag 0.2.0 is not v0.2.0"),
        (SETUP, PACKAGE, CHANGELOG, "v0.2.1", "the tag v0.2.1"),
    ],
)
def test_a_release_that_is_not(
    setup: str, package: str, changelog: str, tag: str, doubt: str
) -> None:
    found = list(CHECK["version_doubts"](setup, package, changelog, [tag] if tag else []))
    assert any(doubt in line for line in found), found


@pytest.mark.parametrize(
    ("pins", "doubt"),
    [("click==8.5.1\n", "types-PyYAML is not pinned"), (PINS.replace("8.5", "8.0"), "click 8.0.1")],
)
def test_constraints_that_do_not_fit(pins: str, doubt: str) -> None:
    assert any(doubt in line for line in CHECK["constraint_doubts"](SETUP, pins))
