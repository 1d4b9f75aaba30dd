"""`cache` without a cluster: what a dry run prints, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import weights
from tests.cli.program import run, start
from tests.fluid import golden
from tests.hub import FakeHub, Repo
from tests.kube import kubeconfig

PVC = ("cache", "pvc://claim/dir", "--quota", "10Gi", "--dry-run")


def test_as_a_module_it_prints_exactly_the_objects() -> None:
    ended = start(*PVC)
    assert (ended.code, ended.err) == (0, "")
    golden.require_golden("dry-run-pvc", list(yaml.safe_load_all(ended.out)))
    assert ended.out == (golden.DIRECTORY / "dry-run-pvc.yaml").read_text()


def test_the_three_outputs_agree() -> None:
    documents = list(yaml.safe_load_all(run(*PVC).out))
    assert [document["kind"] for document in documents] == ["Dataset", "AlluxioRuntime", "DataLoad"]
    assert list(yaml.safe_load_all(run(*PVC, "-o", "yaml").out)) == documents
    assert json.loads(run(*PVC, "-o", "json").out)["items"] == documents
    assert run(*PVC, "-o", "name").out.splitlines() == [
        "dataset.data.fluid.io/dir",
        "alluxioruntime.data.fluid.io/dir",
        "dataload.data.fluid.io/dir",
    ]


def test_a_bare_dry_run_means_client_and_takes_no_value() -> None:
    verb, *rest = PVC[:-1]
    assert run(verb, *rest, "--dry-run=client").out == run(*PVC).out
    assert run(verb, "--dry-run", *rest).out == run(*PVC).out


@pytest.mark.parametrize(
    ("flags", "namespace"), [((), "team"), (("--context", "other"), "default"), (("-n", "x"), "x")]
)
def test_the_namespace_is_that_of_the_context(
    tmp_path: Path, flags: tuple[str, ...], namespace: str
) -> None:
    kubeconfig.write(
        tmp_path / ".kube" / "config",
        contexts={"main": ("c1", "u1", "team"), "other": ("c1", "u1", "")},
    )
    for document in yaml.safe_load_all(run(*PVC, *flags).out):
        assert document["metadata"]["namespace"] == namespace


class TestS3:
    WORDS = ("cache", "s3://models/llama", "--quota", "160Gi", "--dry-run")

    def test_no_key_is_printed_anywhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "h1dden")
        for output in ("yaml", "json", "name"):
            ended = run(*self.WORDS, "-o", output)
            assert ended.code == 0
            for secret in ("AKIATEST", "h1dden", "QUtJQVRFU1Q", "aDFkZGVu"):
                assert secret not in ended.out + ended.err
        assert "kubectl create secret generic llama-store -n default" in ended.err
        assert '"$AWS_SECRET_ACCESS_KEY"' in ended.err

    def test_the_secret_is_not_among_the_objects_but_referenced(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "h1dden")
        documents = list(yaml.safe_load_all(run(*self.WORDS).out))
        assert [document["kind"] for document in documents] == [
            "Dataset",
            "AlluxioRuntime",
            "DataLoad",
        ]
        (mount,) = documents[0]["spec"]["mounts"]
        assert {
            entry["valueFrom"]["secretKeyRef"]["name"] for entry in mount["encryptOptions"]
        } == {"llama-store"}

    def test_an_existing_secret(self) -> None:
        ended = run(*self.WORDS, "--s3-secret", "mine", "--endpoint", "http://minio:9000")
        assert ended.code == 0
        assert "kubectl create secret" not in ended.err
        mount = next(yaml.safe_load_all(ended.out))["spec"]["mounts"][0]
        assert mount["options"]["alluxio.underfs.s3.endpoint"] == "http://minio:9000"
        assert mount["encryptOptions"][0]["valueFrom"]["secretKeyRef"]["name"] == "mine"

    def test_an_endpoint_with_keys_in_it(self) -> None:
        ended = run(*self.WORDS, "--endpoint", "http://AKIA:h1dden@minio:9000")
        assert ended.code == 2
        assert "h1dden" not in ended.err


@pytest.mark.parametrize(
    ("flags", "path", "value"),
    [
        (["--name", "mine"], "metadata.name", "mine"),
        (["--replicas", "3"], "spec.replicas", 3),
        (["--medium", "MEM"], "spec.tieredstore.levels.0.mediumtype", "MEM"),
        (["--path", "/mnt/x"], "spec.tieredstore.levels.0.path", "/mnt/x"),
        (["--quota", "64GiB"], "spec.tieredstore.levels.0.quota", "64Gi"),
    ],
)
def test_flags_reach_the_runtime(flags: list[str], path: str, value: object) -> None:
    documents = list(yaml.safe_load_all(run(*PVC, *flags).out))
    here = documents[1]
    for step in path.split("."):
        here = here[int(step)] if step.isdigit() else here[step]
    assert here == value


def test_no_load_prints_no_load() -> None:
    kinds = [document["kind"] for document in yaml.safe_load_all(run(*PVC, "--no-load").out)]
    assert kinds == ["Dataset", "AlluxioRuntime"]


def test_the_hub_needs_a_bucket_first() -> None:
    ended = run("cache", "org/model", "--dry-run")
    assert ended.code != 0
    assert "hf://org/model" in ended.error


class TestEstimate:
    """A dry run says what the cache will take."""

    @pytest.fixture
    def arguments(self) -> Iterator[tuple[str, ...]]:
        with FakeHub(Repo("acme/tiny", weights.MODEL)) as hub:
            yield (
                "cache", "acme/tiny", "--to", "s3://models", "--stage-on", "client",
                "--endpoint-hub", hub.endpoint, "--dry-run",
            )  # fmt: skip

    def test_is_on_stderr_at_80_columns(self, arguments: tuple[str, ...]) -> None:
        ended = run(*arguments)
        assert ended.code == 0, ended.err
        lines = ended.err.splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("estimate: "))
        estimate = "\n".join(lines[start:])
        for label in ("staging", "loading", "room", "a start", "pays off"):
            assert f"estimate: {label}: " in estimate
        assert "price" not in estimate
        wrapped = [line for line in lines[start:] if line.startswith(("estimate: ", "  "))]
        assert max(map(len, wrapped)) <= 80
        assert "estimate" not in ended.out

    def test_has_money_where_a_price_is_given(self, arguments: tuple[str, ...]) -> None:
        assert "estimate: price: " in run(*arguments, "--price-per-gib", "0.09").err

    @pytest.mark.parametrize("price", ["-1", "cheap"])
    def test_accepts_no_invalid_price(self, arguments: tuple[str, ...], price: str) -> None:
        assert run(*arguments, "--price-per-gib", price).code == 2

    def test_is_only_for_dry_runs(self) -> None:
        ended = run("cache", "s3://models/llama", "--price-per-gib", "1")
        assert ended.code == 2
        assert ended.error == "--price-per-gib is for the estimate of a dry run; try: --dry-run"

    def test_is_not_made_of_a_source_that_was_not_listed(self) -> None:
        assert "estimate" not in run(*PVC).err


def test_inspect_counts_money_for_one_cache_only() -> None:
    ended = run("inspect", "--price-per-gib", "1")
    assert ended.code == 2
    assert "estimate of one cache" in ended.error
