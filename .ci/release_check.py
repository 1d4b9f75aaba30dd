"""Is this commit fit to be released? `make release-check`, or with TAG=v0.2.0 before tagging.

Every doubt is one line; exit code 1 where there is any.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

REPO = Path(__file__).parents[1]


def version_doubts(setup: str, package: str, changelog: str, tags: list[str]) -> Iterator[str]:
    """Texts of setup.cfg, __init__.py and CHANGELOG.md, and the tags of the commit."""
    config = configparser.ConfigParser()
    config.read_string(setup)
    version = config["metadata"]["version"]
    if not re.fullmatch(r"0\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(rc|beta|alpha)\.[1-9]\d*)?", version):
        yield f"setup.cfg: {version} is no semantic version 0.x.y"
    if f'__version__ = "{version}"' not in package:
        yield f"kubectl_fluidmodel/__init__.py: its version is not {version}"
    headings = re.findall(r"^## \[?([^\]\s]+)\]?(.*)$", changelog, re.MULTILINE)
    if not headings or headings[0][0] != "Unreleased":
        yield "CHANGELOG.md: the first heading is not [Unreleased]"
    dates = dict(headings)
    if version not in dates:
        yield f"CHANGELOG.md: it has no heading [{version}]"
    elif not re.fullmatch(r" - \d{4}-\d\d-\d\d", dates[version]):
        yield f"CHANGELOG.md: [{version}] has no date"
    for tag in tags:
        if tag != f"v{version}":
            yield f"the tag {tag} is not v{version}"


def constraint_doubts(setup: str, constraints: str) -> Iterator[str]:
    """Whether every dependency is pinned, within its bounds."""
    config = configparser.ConfigParser()
    config.read_string(setup)
    listed = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    pins = [Requirement(line) for line in constraints.splitlines() if line and line[0] != "#"]
    pinned: dict[str, set[str]] = {}
    for pin in pins:
        pinned.setdefault(_plain(pin.name), set()).update(each.version for each in pin.specifier)
    for line in "\n".join(listed).splitlines():
        if not line.strip() or line.strip().startswith("#"):
            continue
        wanted = Requirement(line)
        versions = pinned.get(_plain(wanted.name))
        if versions is None:
            yield f"constraints.txt: {wanted.name} is not pinned; run: make constraints"
        for version in sorted(versions or ()):  # one for each range of Pythons
            if version not in wanted.specifier:
                yield f"constraints.txt: {wanted.name} {version} is not {wanted.specifier}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _output(*command: str) -> str:
    return subprocess.run(
        command, cwd=REPO, capture_output=True, text=True, check=True
    ).stdout.rstrip()


def _ends_well(what: str, *command: str) -> Iterator[str]:
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"{what}: {' '.join((done.stdout + done.stderr).split())[-300:]}"


def doubts(tag: str) -> Iterator[str]:
    """All of them."""
    setup = (REPO / "setup.cfg").read_text()
    tags = [tag] if tag else [t for t in _output("git", "tag", "--points-at", "HEAD").split() if t]
    yield from version_doubts(
        setup,
        (REPO / "kubectl_fluidmodel" / "__init__.py").read_text(),
        (REPO / "CHANGELOG.md").read_text(),
        tags,
    )
    yield from constraint_doubts(setup, (REPO / "constraints.txt").read_text())
    changed = _output("git", "status", "--porcelain")
    if changed:
        yield f"the tree is not clean: {', '.join(line[3:] for line in changed.splitlines()[:5])}"
    yield from _ends_well("docs", sys.executable, "-m", "docs.tools.reference", "--check")
    yield from _ends_well("plugin.yaml", sys.executable, "-m", "krew.manifest", "lint")


if __name__ == "__main__":
    lines = list(doubts(sys.argv[1] if len(sys.argv) > 1 else ""))
    print("\n".join(lines) or "fit for release")
    sys.exit(1 if lines else 0)
