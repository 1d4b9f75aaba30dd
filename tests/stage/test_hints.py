"""Commands in hints and `next:` lines: bash parses them to the values that were meant."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.stage import credentials, job_control, verify
from kubectl_fluidmodel.stage.events import Completed
from kubectl_fluidmodel.stage.report import format_result, format_verification
from kubectl_fluidmodel.stage.verify import VerificationReport
from tests.pasting import run_commands_in_bash

HOSTILE = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20),
    st.sampled_from(["$(touch p)", "`x`", "a'b", 'a"b', "~", "=ls", "a\nb", "--all", "-x", ""]),
)


def assert_parsed_as(line: str, *arguments: str) -> None:
    """Bash calls the one program with these words, and nothing else."""
    [recorded] = run_commands_in_bash([line])
    assert recorded.unexpected == []
    assert [sorted(call) for call in recorded.calls] == [sorted(arguments)]


def next_line(text: str) -> str:
    return text[text.index("next: ") :].removeprefix("next: ").rstrip("\n")


class NoCommits:
    """A bucket in which nothing is staged."""

    def list_objects(self, _prefix: str) -> list[tuple[str, int, str]]:
        return []


@settings(max_examples=25)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_the_hint_for_a_missing_model_stages_it(repo: str, commit: str, prefix: str) -> None:
    layout = StagingLayout(BucketPrefix("models", prefix), repo, commit)
    err = verify._not_staged_error(NoCommits(), layout)  # type: ignore[arg-type]
    assert_parsed_as(err.hint, *_stage(layout))


@settings(max_examples=25)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_the_next_command_after_problems_stages_the_model_again(
    repo: str, prefix: str, endpoint: str
) -> None:
    layout = StagingLayout(BucketPrefix("models", prefix), repo, "c" * 40)
    report = VerificationReport(layout, problems=["x: missing"])
    text = format_verification(report, False, ["--endpoint", endpoint])
    assert_parsed_as(next_line(text), *_stage(layout), "--endpoint", endpoint)


@settings(max_examples=25)
@given(HOSTILE, HOSTILE)
def test_the_next_command_after_staging_caches_the_prefix(uri: str, endpoint: str) -> None:
    plan = StagingPlan("o/m", "main", "c" * 40, (PlanFile("a", 1, "git", "0" * 40),))
    result = Completed(uri, "s3://manifest", 1, 1, 1, 1, 1.0)
    text = format_result(plan, result, ["--endpoint", endpoint])
    arguments = ["kubectl", "fluidmodel", "cache", uri, "--endpoint", endpoint]
    assert_parsed_as(next_line(text), *arguments, *(["--"] if uri.startswith("-") else []))


@settings(max_examples=25)
@given(HOSTILE, HOSTILE)
def test_the_hint_for_a_missing_secret_creates_it(name: str, namespace: str) -> None:
    line = credentials._create_secret(name, namespace, ("HF_TOKEN",))
    arguments = ["kubectl", "create", "secret", "generic", name, "-n", namespace]
    end = ["--"] if name.startswith("-") else []
    assert_parsed_as(line, *arguments, "--from-literal=HF_TOKEN=VALUE", *end)


def _stage(layout: StagingLayout) -> list[str]:
    model = f"{layout.repo}@{layout.commit}"
    arguments = ["kubectl", "fluidmodel", "stage", model, "--to", layout.destination.uri]
    return [*arguments, *(["--"] if model.startswith("-") else [])]


@settings(max_examples=25)
@given(HOSTILE, HOSTILE)
def test_the_hint_for_a_job_that_stays_deletes_it(name: str, namespace: str) -> None:
    err = job_control._still_deleting_error(name, namespace)
    arguments = ["kubectl", "delete", "job", name, "-n", namespace]
    assert_parsed_as(err.hint, *arguments, *(["--"] if name.startswith("-") else []))
