"""The command `stage` as a user meets it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubectl_fluidmodel.cli.main import main
from tests.hub import FakeHub, Repo
from tests.stage.s3server import S3Server

MODEL = "acme/model"
FILES = {
    "config.json": b"{}",
    "model.safetensors": os.urandom(6 << 20),
    "pytorch_model.bin": os.urandom(100_000),
}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> Iterator[FakeHub]:
    for key, value in s3.env().items():
        monkeypatch.setenv(key, value)
    with FakeHub(Repo(MODEL, FILES)) as running:
        yield running


def arguments(hub: FakeHub, s3: S3Server, *more: str, to: str = "s3://cli-models/x") -> list[str]:
    hub_flag, store = f"--endpoint-hub={hub.endpoint}", f"--endpoint={s3.endpoint}"
    return ["stage", MODEL, f"--to={to}", hub_flag, store, *more]


def test_a_model_is_staged_found_verified_and_cleaned_up(
    hub: FakeHub, s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(hub, s3)) == 0
    out, err = capsys.readouterr()
    head = hub.repos[MODEL].head
    uri = f"s3://cli-models/x/{MODEL}/{head}"
    assert "every hash verified" in out
    assert f"next: kubectl fluidmodel cache {uri} --endpoint {s3.endpoint}\n" in out
    assert "left out 1 file, which saves 97.7 KiB" in err and "pytorch_model.bin" in err

    assert main(arguments(hub, s3, "-o", "name")) == 0
    assert capsys.readouterr().out == f"{uri}\n"

    assert main(arguments(hub, s3, "-o", "json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "Staging" and document["bytesRead"] == 0
    assert document["manifest"].endswith("manifest.json")

    assert main(arguments(hub, s3, "--verify")) == 0
    assert "is intact" in capsys.readouterr().out
    assert main(arguments(hub, s3, "--verify", "--read", "-o", "json")) == 0
    assert json.loads(capsys.readouterr().out)["sound"] is True

    s3.client().delete_object(Bucket="cli-models", Key=f"x/{MODEL}/{head}/config.json")
    assert main(arguments(hub, s3, "--verify")) == 1
    assert "config.json: missing" in capsys.readouterr().out

    assert main(arguments(hub, s3, "--abort-stale")) == 0
    assert "no stale uploads" in capsys.readouterr().out


def test_a_dry_run_needs_no_bucket_and_no_keys(
    hub: FakeHub, s3: S3Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert main(arguments(hub, s3, "--dry-run", to="s3://nowhere-yet")) == 0
    out = capsys.readouterr().out
    assert "2 files, 6.0 MiB" in out and "model.safetensors" in out
    assert "pytorch_model.bin (the weights are there as safetensors)" in out
    assert main(arguments(hub, s3, "--dry-run", "-o", "json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "StagingPlan" and document["bytesSkipped"] == 100_000
    assert main(arguments(hub, s3, "--dry-run", "--include=*", "-o", "yaml")) == 0
    assert "pytorch_model.bin" in capsys.readouterr().out
    assert not hub.requests_matching("resolve", on="cdn")


def test_a_server_dry_run_shows_what_the_store_has(
    hub: FakeHub, s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(*more: str) -> str:
        assert main(arguments(hub, s3, "--dry-run=server", *more, to="s3://cli-dry/x")) == 0
        return capsys.readouterr().out

    assert "bucket cli-dry does not exist: it would be created" in look()
    client = s3.client()
    assert "cli-dry" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    assert main(arguments(hub, s3, "--include=config.json", to="s3://cli-dry/x")) == 0
    capsys.readouterr()
    assert "already in the store: 1 file, 2 B; 6.0 MiB to stage" in look()
    assert main(arguments(hub, s3, to="s3://cli-dry/x")) == 0
    capsys.readouterr()
    assert "already staged: the manifest is valid" in look()
    there = json.loads(look("-o", "json"))["store"]
    assert there["files"] == 2 and there["bytesLeft"] == 0 and there["manifest"] is True


def test_a_json_log_has_one_event_per_line(
    hub: FakeHub, s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(hub, s3, "--log=json", to="s3://cli-models/log")) == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert events[0]["event"] in ("Began", "Note") and events[-1]["event"] == "Ended"
    assert err == ""
    hub.gated[MODEL] = set()
    assert main(arguments(hub, s3, "--log=json", to="s3://cli-models/log2")) == 1
    out, err = capsys.readouterr()
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "Error" and last["exitCode"] == 1 and "gated" in last["what"]
    assert err.startswith("error: the model acme/model is gated")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--to=gs://x"], "cannot stage to 'gs://x'"),
        (["--to=s3://ok-bucket", "--shard=4/4"], "shard 4 of 4"),
        (["--to=s3://ok-bucket", "--shard=x"], "invalid --shard"),
        (["--to=s3://ok-bucket", "--memory=1Mi"], "too little"),
        (["--to=s3://ok-bucket", "--memory=lots"], "--memory 'lots' is not a size"),
        (["--to=s3://ok-bucket", "--part-size=1Mi"], "--part-size 1Mi is invalid"),
        (
            ["--to=s3://ok-bucket", "--verify", "--abort-stale"],
            "cannot combine --verify and --abort-stale",
        ),
        (["--to=s3://ok-bucket", "--read"], "--read requires --verify"),
        ([], "missing option '--to'"),
    ],
)
def test_wrong_usage_exits_with_2(
    more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stage", MODEL, *more]) == 2
    assert message in capsys.readouterr().err


def test_other_sources_than_the_hub_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", "s3://bucket/x", "--to=s3://ok-bucket"]) == 2
    assert "it is not a Hub model" in capsys.readouterr().err


def test_missing_keys_are_an_error(
    hub: FakeHub, s3: S3Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert main(arguments(hub, s3)) == 1
    assert "no S3 credentials" in capsys.readouterr().err


def test_an_unreachable_endpoint_exits_with_3(
    hub: FakeHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubectl_fluidmodel.stage.engine._NO_ANSWER_TIMEOUT", 0.5)
    command = ["stage", MODEL, "--to=s3://ok-bucket", f"--endpoint-hub={hub.endpoint}"]
    assert main([*command, "--endpoint=http://127.0.0.1:9"]) == 3
    assert "does not respond" in capsys.readouterr().err


def test_nothing_secret_is_shown(
    hub: FakeHub, s3: S3Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    hub.bad_tokens.add("hf_very_secret")
    for more in ((), ("--log=json",), ("--dry-run",)):
        assert main(arguments(hub, s3, *more)) == 1
        out, err = capsys.readouterr()
        assert "hf_very_secret" not in out + err and secret not in out + err


def test_help_does_not_import_what_it_does_not_need() -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom kubectl_fluidmodel.cli.main import main\n"
        "main(['stage', '--help'])\n"
        "print([m for m in ('huggingface_hub', 'boto3', 'kubernetes') if m in sys.modules])\n"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
