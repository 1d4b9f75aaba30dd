"""The documents keep what they promise: links lead somewhere, YAML is YAML, nothing leaks."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from docs.tools import reference
from tests.commands import commands_in_page, parse_command

REPO = Path(__file__).parents[1]
PAGES = sorted(
    path
    for path in REPO.rglob("*.md")
    if not {".venv", "build", "dist", ".pytest_cache", "node_modules"} & set(path.parts)
)


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown renderer makes of a page's headings."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE):
        text = re.sub(r"[`*]", "", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_every_yaml_block_parses(page: Path) -> None:
    for block in re.findall(
        r"^```yaml[^\n]*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
    ):
        list(yaml.safe_load_all(block))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_every_command_parses(page: Path) -> None:
    for words in commands_in_page(page.read_text()):
        parse_command(words)


MODULE = re.compile(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py|(?:[a-z_0-9]+/)+)`")
PACKAGE = REPO / "kubectl_fluidmodel"


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_module_that_a_page_names_exists(page: str) -> None:
    named = MODULE.findall((REPO / page).read_text())
    assert [
        name for name in named if not any((root / name).exists() for root in (PACKAGE, REPO))
    ] == []


def test_every_package_names_its_entry_modules() -> None:
    packages = [path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    assert {path.name for path in packages} >= {"cache", "doctor", "inspect", "pin", "stage"}
    for package in packages:
        docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
        named = re.findall(r"`(\w+(?:\.py|/))`", docstring)
        assert named, package.name
        assert [name for name in named if not (package / name).exists()] == [], package.name


def test_the_picture_of_the_layers_has_every_package() -> None:
    picture = (REPO / "ARCHITECTURE.md").read_text()
    packages = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    assert [name for name in packages if f"    {name}/ " not in picture] == []


def test_the_example_of_a_check_is_real() -> None:
    text = (REPO / "CONTRIBUTING.md").read_text()
    example = re.search(r"```python\n(.*?)    for ", text, re.DOTALL)
    assert example
    source = (PACKAGE / "doctor" / "checks" / "store_errors.py").read_text()
    for line in example[1].splitlines():
        assert line.removesuffix(" …") in source, line


def test_the_reference_matches_the_code() -> None:
    there = {path.name: path.read_text() for path in reference.TARGET.glob("*.md")}
    assert there == reference.pages(), "run: make docs"


def test_every_document_is_described() -> None:
    """Each kind that `-o` prints, or that is kept as a file."""
    kinds = re.findall(r"^\| `(\w+)` \|", reference.documents(), re.MULTILINE)
    described = (REPO / "docs" / "output.md").read_text()
    assert [kind for kind in kinds if f"`{kind}`" not in described] == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout.split()
    forbidden = re.compile(
        "|".join(
            ["/work/" + "main", "/ro" + "ot/", "pypi" + r"\.org/simple", "proxy" + r"\.golang"]
        )
    )
    for name in tracked:
        path = REPO / name
        if path.suffix in (".sum", ".mod") or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        assert not forbidden.search(text), name


def test_what_a_control_plane_needs_is_part_of_what_development_needs() -> None:
    import configparser

    config = configparser.ConfigParser()
    config.read(REPO / "setup.cfg")
    extras = {name: set(text.split()) for name, text in config["options.extras_require"].items()}
    assert extras["control-plane"] < extras["dev"]


def test_the_constraints_cover_every_dependency() -> None:
    """An install without them backtracks for minutes, so none may be missing."""
    import configparser

    config = configparser.ConfigParser()
    config.read(REPO / "setup.cfg")
    wanted = config["options"]["install_requires"] + config["options.extras_require"]["dev"]
    names = {re.split(r"[<>=~!\[; ]", line)[0] for line in wanted.split() if line}
    lines = (REPO / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert {name.lower().replace("_", "-") for name in names if name} <= pinned
    assert all("==" in line for line in lines if line.strip() and not line.startswith("#"))
