"""plugin.yaml: what is committed, what a release makes of it, and what a lint finds."""

from __future__ import annotations

import configparser
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from krew import manifest
from krew.lint import ZEROS, problems
from krew.names import TARGETS, Target, archive_name
from kubectl_fluidmodel import __version__

ROOT = Path(__file__).resolve().parents[2]
SOURCE = manifest.SOURCE.read_text()
KNOWN = {target: hashlib.sha256(str(target).encode()).hexdigest() for target in TARGETS}


class TestCommitted:
    def test_it_is_in_order_but_for_what_a_release_fills_in(self) -> None:
        assert problems(SOURCE) == []
        assert problems(SOURCE, released=True) == [
            f"platforms[{index}]: sha256 is not filled in" for index in range(len(TARGETS))
        ]

    def test_it_has_this_version_and_the_homepage(self) -> None:
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        spec = yaml.safe_load(SOURCE)["spec"]
        assert spec["version"] == f"v{__version__}" == f"v{setup['metadata']['version']}"
        assert spec["homepage"] == setup["metadata"]["url"]
        assert all(each["uri"].startswith(spec["homepage"]) for each in spec["platforms"])

    def test_the_bots_template_is_current(self) -> None:
        """`python -m krew.manifest bot > .krew.yaml` writes it."""
        assert (ROOT / ".krew.yaml").read_text() == manifest.for_bot(SOURCE)

    def test_the_bots_template_becomes_a_manifest(self) -> None:
        """As krew-release-bot fills it in: the tag, and address and sha256 of each archive."""

        def filled(action: re.Match[str]) -> str:
            uri = action[1].replace("{{ .TagName }}", "v1.2.3")
            target = next(each for each in TARGETS if f"_{each.os}_{each.arch}." in uri)
            return f"uri: {uri}\n    sha256: {KNOWN[target]}"

        text = (ROOT / ".krew.yaml").read_text()
        text = re.sub(r'\{\{addURIAndSha "(.*?)" \.TagName \}\}', filled, text)
        assert problems(text.replace("{{ .TagName }}", "v1.2.3"), released=True) == []


class TestRendered:
    def test_a_release(self) -> None:
        text = manifest.render(SOURCE, "1.2.3-rc.1", KNOWN)
        assert problems(text, released=True) == []
        spec = yaml.safe_load(text)["spec"]
        assert spec["version"] == "v1.2.3-rc.1"
        assert {each["sha256"] for each in spec["platforms"]} == set(KNOWN.values())
        assert not text.startswith("#")

    def test_what_was_built_and_from_elsewhere(self) -> None:
        some = {target: KNOWN[target] for target in TARGETS[1:3]}
        text = manifest.render(SOURCE, "1.2.3", some, "http://127.0.0.1:8000")
        assert problems(text, released=True, partial=True) == []
        assert [each["uri"] for each in yaml.safe_load(text)["spec"]["platforms"]] == [
            f"http://127.0.0.1:8000/v1.2.3/{archive_name('1.2.3', target)}" for target in some
        ]
        assert problems(text, released=True) == [
            f"no platform is for {target}" for target in TARGETS if target not in some
        ]

    def test_a_sha256_that_yaml_could_take_for_a_number(self) -> None:
        for digest in ("1" * 64, "1" * 32 + "e" + "1" * 31):
            text = manifest.render(SOURCE, "1.2.3", dict.fromkeys(TARGETS, digest))
            assert problems(text, released=True) == []

    def test_by_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = ["render", "--archives", str(tmp_path), "--version", "1.2.3"]
        written = ["--to", str(tmp_path / "plugin.yaml")]
        for target in TARGETS[:-1]:
            (tmp_path / archive_name("1.2.3", target)).write_text(str(target))
        assert manifest.main([*options, *written]) == 1
        assert "windows/amd64" in capsys.readouterr().err
        (tmp_path / archive_name("1.2.3", TARGETS[-1])).write_text(str(TARGETS[-1]))
        assert manifest.main([*options, *written]) == 0
        assert (tmp_path / "plugin.yaml").read_text() == manifest.render(SOURCE, "1.2.3", KNOWN)
        assert manifest.main(["lint", str(tmp_path / "plugin.yaml"), "--released"]) == 0
        assert manifest.main(["lint", "--released"]) == 1


def changed(path: str, value: Any) -> str:
    """A release's manifest with one value replaced, added, or (with None) removed."""
    document = yaml.safe_load(manifest.render(SOURCE, "1.2.3", KNOWN))
    *parents, last = path.split(".")
    here = document
    for step in parents:
        here = here[int(step) if step.isdigit() else step]
    if value is None:
        del here[last]
    else:
        here[last] = value
    return yaml.safe_dump(document)


FIRST = "spec.platforms.0"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("apiVersion", "krew.googlecontainertools.github.com/v1alpha3", "apiVersion"),
        ("kind", "plugin", "kind is not Plugin"),
        ("metadata.name", "Fluid_Model", "no name for a plugin"),
        ("metadata.name", "con", "no name for a plugin"),
        ("metadata.labels", {}, "'labels', which krew does not know"),
        ("spec.version", "1.2.3", "no semantic version"),
        ("spec.version", "v1.2", "no semantic version"),
        ("spec.version", "v1.02.3", "no semantic version"),
        ("spec.version", 1.2, "no 'version', or not as a str"),
        ("spec.homepage", "http://example.com", "https://"),
        ("spec.shortDescription", "Two\nlines", "shortDescription"),
        ("spec.shortDescription", "x" * 61, "shortDescription"),
        ("spec.shortDescription", "With a full stop.", "shortDescription"),
        ("spec.shortdescription", "typo", "'shortdescription', which krew does not know"),
        ("spec.shortDescription", None, "no 'shortDescription'"),
        ("spec.description", "x" * 81, "more than 80"),
        ("spec.platforms", [], "no 'platforms'"),
        ("spec.platforms", ["x"], "platforms[0] is no mapping"),
        (f"{FIRST}.sha256", "A" * 64, "64 lowercase"),
        (f"{FIRST}.sha256", "a" * 63, "64 lowercase"),
        (f"{FIRST}.sha256", ZEROS, "not filled in"),
        (f"{FIRST}.sha256", None, "no 'sha256'"),
        (f"{FIRST}.files", [], "'files', which krew does not know"),
        (f"{FIRST}.uri", "https://example.com/x.tar.gz", "not that of v1.2.3 for linux/amd64"),
        (f"{FIRST}.uri", "ftp://example.com/x.tar.gz", "https://"),
        (f"{FIRST}.bin", "./kubectl-fluidmodel", "bin is not"),
        ("spec.platforms.4.bin", "kubectl-fluidmodel", "bin is not kubectl-fluidmodel.exe"),
        (f"{FIRST}.selector", {"matchExpressions": []}, "matchExpressions"),
        (f"{FIRST}.selector.matchLabels.arch", None, "no 'arch'"),
        (f"{FIRST}.selector.matchLabels.arch", "arm64", "two platforms are for linux/arm64"),
        (f"{FIRST}.selector.matchLabels.arch", "386", "nothing is made for linux/386"),
        (f"{FIRST}.selector.matchLabels.cpu", "x", "'cpu', which krew does not know"),
    ],
)
def test_what_the_lint_finds(path: str, value: Any, message: str) -> None:
    found = problems(changed(path, value), released=True)
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize("text", ["", "[]", "a: [", "a: 1\na: 2"])
def test_files_that_are_no_manifest(text: str) -> None:
    assert problems(text)


def test_a_key_that_is_there_twice() -> None:
    text = manifest.render(SOURCE, "1.2.3", KNOWN).replace(
        "  homepage:", "  version: v9\n  homepage:"
    )
    assert problems(text) == ["'version' is there twice"]


def test_names() -> None:
    linux = archive_name("1.2.3", Target("linux", "arm64"))
    assert linux == "kubectl-fluidmodel_v1.2.3_linux_arm64.tar.gz"
