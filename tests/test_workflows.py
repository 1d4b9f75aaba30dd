"""What can be checked of the workflows without running them; and that home is one place."""

from __future__ import annotations

import configparser
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from krew import smoke
from krew.names import TARGETS, Target, archive_name

REPO = Path(__file__).parents[1]
FILES = sorted((REPO / ".github" / "workflows").glob("*.yml"))
LOADED: dict[str, Any] = {file.stem: yaml.safe_load(file.read_text()) for file in FILES}
RELEASE = LOADED["release"]["jobs"]
READ = {"contents": "read"}
PERMISSIONS = {
    ("ci", "test"): READ,
    ("ci", "python"): READ,
    ("ci", "system"): READ,
    ("nightly", "fuzz"): READ,
    ("nightly", "real"): READ,
    ("codeql", "analyze"): {"contents": "read", "security-events": "write"},
    ("release", "check"): READ,
    ("release", "archive"): READ,
    ("release", "package"): READ,
    ("release", "release"): {"contents": "write", "id-token": "write", "attestations": "write"},
    ("release", "krew"): READ,
    ("release", "pypi"): {"id-token": "write"},
}
"""All that each job may do; whoever gives one more has to say so here."""
CLAIMED = {
    "test",
    "lint",
    "types",
    "docs",
    "site",
    "audit",
    "krew-test",
    "test-real-node",
    "test-real",
}
"""What .ci/run makes."""
AS_ROOT = 'sudo env "PATH=$PATH" "HOME=$HOME" '
"""For real nodes. A sudoers file's secure_path wins over --preserve-env=PATH."""


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, workflow in LOADED.items():
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                yield name, step


def test_there_are_just_these() -> None:
    jobs = {(name, job) for name, each in LOADED.items() for job in each["jobs"]}
    assert jobs == set(PERMISSIONS)


@pytest.mark.parametrize(("workflow", "job"), PERMISSIONS)
def test_no_job_may_do_more_than_it_has_to(workflow: str, job: str) -> None:
    found = LOADED[workflow]
    granted = found["jobs"][job].get("permissions", found["permissions"])
    assert granted == PERMISSIONS[workflow, job]
    assert found["permissions"] in ({}, READ)
    assert found["jobs"][job]["timeout-minutes"] <= 90


def test_actions_are_pinned_to_commits() -> None:
    """With the tag beside it for whoever reads: `owner/name@COMMIT # vX.Y.Z`."""
    for file in FILES:
        used = re.findall(r"uses: (.*)", file.read_text())
        assert used
        for each in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+(?:/[\w-]+)?@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), (
                each
            )


def test_no_credential_stays_in_the_clone() -> None:
    clones = [step for _, step in steps() if "checkout@" in step.get("uses", "")]
    assert len(clones) == 11
    assert all(step["with"]["persist-credentials"] is False for step in clones)


def test_every_target_of_make_that_is_run_exists() -> None:
    known = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
    commands = "\n".join(step.get("run", "") for _, step in steps())
    run = (REPO / ".ci" / "run").read_text()
    wanted = set(re.findall(r"^\s*(?:step )?make ([a-z-]+)", f"{commands}\n{run}", re.MULTILINE))
    assert wanted >= {"dist", "release-check"} | CLAIMED
    assert wanted <= known


def test_ci_runs_what_anybody_can_run() -> None:
    job = LOADED["ci"]["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [f"{AS_ROOT}.ci/run"]


def test_the_pythons_that_setup_cfg_claims_are_tried() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPO / "setup.cfg")
    tried = LOADED["ci"]["jobs"]["python"]["strategy"]["matrix"]["python"]
    assert setup["options"]["python_requires"] == f">={tried[0]}"
    minors = [int(each.removeprefix("3.")) for each in tried]
    assert minors == list(range(minors[0], minors[-1] + 1))


def test_the_frozen_archive_is_tried_before_its_release_day() -> None:
    job = LOADED["ci"]["jobs"]["system"]
    assert {runner.split("-")[0] for runner in job["strategy"]["matrix"]["runner"]} == {
        "macos",
        "windows",
    }
    runs = " ".join(step.get("run", "") for step in job["steps"])
    assert "krew.freeze" in runs and "krew.smoke" in runs and "-m pytest" in runs


def test_nightly_examples_are_random() -> None:
    listed = LOADED["nightly"]["jobs"]["fuzz"]["steps"]
    assert any(step.get("run", "").startswith("make fuzz") for step in listed)
    assert "schedule" in LOADED["nightly"][True]  # YAML's "on"


def test_what_each_run_leaves_out_runs_nightly() -> None:
    recipes = (REPO / "Makefile").read_text()
    assert "real and not alone and not nightly" in recipes and "real and nightly" in recipes
    listed = LOADED["nightly"]["jobs"]["real"]["steps"]
    assert any(step.get("run") == f"{AS_ROOT}make test-real-nightly" for step in listed)


def test_pinned_dependencies_are_updated() -> None:
    offered = yaml.safe_load((REPO / ".github" / "dependabot.yml").read_text())["updates"]
    assert {each["package-ecosystem"] for each in offered} == {"github-actions", "pip", "gomod"}
    assert (REPO / ".github" / "CODEOWNERS").read_text().count("@") >= 1


class TestRelease:
    def test_the_targets_are_those_of_krew(self) -> None:
        matrix = RELEASE["archive"]["strategy"]["matrix"]["include"]
        built = [Target(each["os"], each["arch"]) for each in matrix]
        assert tuple(built) == TARGETS
        spec = yaml.safe_load((REPO / "plugin.yaml").read_text())["spec"]
        described = [each["selector"]["matchLabels"] for each in spec["platforms"]]
        assert [Target(each["os"], each["arch"]) for each in described] == built

    @pytest.mark.parametrize("target", TARGETS)
    def test_each_is_built_on_its_own_kind(self, target: Target) -> None:
        matrix = RELEASE["archive"]["strategy"]["matrix"]["include"]
        (runner,) = [e["runner"] for e in matrix if (e["os"], e["arch"]) == target]
        system = {"linux": "ubuntu-", "darwin": "macos-", "windows": "windows-"}[target.os]
        assert runner.startswith(system)
        # GitHub's: ubuntu-… is Intel and ubuntu-…-arm is not; macos-NN is Apple's, -intel is not.
        arm = runner.endswith("-arm") or re.fullmatch(r"macos-\d+", runner) is not None
        assert arm == (target.arch == "arm64")

    def test_windows_is_built_as_make_dist_does(self) -> None:
        (step,) = [s for s in RELEASE["archive"]["steps"] if "windows" in s.get("if", "")[10:]
                   and "==" in s["if"]]  # fmt: skip
        recipe = (REPO / "Makefile").read_text()
        for words in ("-m venv build/dist-venv", "-c constraints.txt -e '.[dist]'", "krew.freeze"):
            assert words in step["run"]
            assert words in recipe

    def test_the_names_that_are_collected_are_those_that_are_uploaded(self) -> None:
        (download,) = [s for s in RELEASE["release"]["steps"] if "download" in s.get("uses", "")]
        glob = re.compile(re.escape(download["with"]["pattern"]).replace(r"\*", ".*"))
        assert all(glob.fullmatch(f"{target.os}-{target.arch}") for target in TARGETS)
        assert not glob.fullmatch("package")

    def test_nothing_is_published_before_all_is_built_and_tried(self) -> None:
        assert set(RELEASE["release"]["needs"]) == {"archive", "package"}
        for job in ("krew", "pypi"):
            assert RELEASE[job]["needs"] == "release"
        assert RELEASE["archive"]["needs"] == RELEASE["package"]["needs"] == "check"
        runs = [step.get("run", "") for step in RELEASE["archive"]["steps"]]
        assert [run for run in runs if "krew.smoke" in run]
        upload = [step.get("uses", "") for step in RELEASE["archive"]["steps"]][-1]
        assert "upload-artifact" in upload

    def test_it_is_lint_sums_bill_of_materials_and_provenance(self) -> None:
        text = (REPO / ".github/workflows/release.yml").read_text()
        for words in ("krew.manifest render", "krew.manifest lint dist/plugin.yaml --released",
                      "sha256sum", "cyclonedx-py", "attest-build-provenance"):  # fmt: skip
            assert words in text


class TestSmoke:
    def test_another_machine_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert smoke.main(["windows/amd64"]) == 1
        assert "this machine is" in capsys.readouterr().err

    def test_failures_are_reported(self, tmp_path: Path) -> None:
        program = tmp_path / "program"
        program.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
        program.chmod(0o755)
        found = smoke.problems(program)
        assert len(found) == len(smoke.commands())
        assert found[0] == "version: exit 3: broken"


@pytest.mark.parametrize(
    "file",
    [
        ".github/ISSUE_TEMPLATE/bug.yml",
        ".github/ISSUE_TEMPLATE/idea.yml",
        ".github/ISSUE_TEMPLATE/config.yml",
        ".pre-commit-config.yaml",
    ],
)
def test_what_contributors_meet_is_there(file: str) -> None:
    assert yaml.safe_load((REPO / file).read_text())
    assert (REPO / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text().strip()


def test_home_is_one_place() -> None:
    """setup.cfg says where; whatever else names it has to say the same."""
    setup = configparser.ConfigParser()
    setup.read(REPO / "setup.cfg")
    home = setup["metadata"]["url"]
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True
    )
    name = home.rsplit("/", 1)[1]
    found: dict[str, set[str]] = {}
    for file in filter(None, listed.stdout.split("\0")):
        text = (REPO / file).read_bytes() if (REPO / file).is_file() else b""
        for url in re.findall(rb"https?://(?:github\.com|ghcr\.io)/[\w.-]+/" + name.encode(), text):
            found.setdefault(url.decode(), set()).add(file)
    assert set(found) == {home}, found
    assert {"setup.cfg", "plugin.yaml", ".krew.yaml"} <= found[home]


def test_archive_names_have_one_pattern() -> None:
    base = yaml.safe_load((REPO / "plugin.yaml").read_text())["spec"]
    version = base["version"].removeprefix("v")
    for each, target in zip(base["platforms"], TARGETS, strict=True):
        assert each["uri"].endswith("/" + archive_name(version, target))
