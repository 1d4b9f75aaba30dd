"""What a listing says of a model, and what a probe's pod says before it runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubectl_fluidmodel.doctor import answer, probe
from kubectl_fluidmodel.doctor.contents import (
    Entry,
    by_likeness,
    examine,
    model_directories,
    shards_of,
    unnumbered,
)
from kubectl_fluidmodel.doctor.question import KeyRef, Question, load

INDEX = json.dumps(
    {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
).encode()


def test_missing_files_of_an_index() -> None:
    entries = [
        Entry("config.json", 2),
        Entry("model.safetensors.index.json", len(INDEX)),
        Entry("model-1.safetensors", 5, "2026-01-01T00:00:00Z"),
    ]
    found = examine(entries, True, lambda _: INDEX)
    assert found.shards == ("model-2.safetensors",)
    assert (found.files, found.models, found.weights) == (3, ("",), 1)
    assert found.newest == (("model-1.safetensors", "2026-01-01T00:00:00Z"),)


def test_an_index_in_a_directory_and_one_that_is_none() -> None:
    assert shards_of("unet/x.safetensors.index.json", INDEX) == {
        "unet/model-1.safetensors",
        "unet/model-2.safetensors",
    }
    for bad in (b"{}", b"[]", b"nothing", b'{"weight_map": 3}'):
        with pytest.raises(ValueError):
            shards_of("x", bad)


def test_a_listing_that_was_cut_off_says_nothing_of_what_is_missing() -> None:
    entries = [Entry("model.safetensors.index.json", 10), Entry("a-00001-of-00002.bin", 1)]
    assert examine(entries, False, lambda _: INDEX).shards == ()


@pytest.mark.parametrize(
    ("paths", "missing"),
    [
        (["m-00001-of-00003.safetensors", "m-00003-of-00003.safetensors"], ["m-00002-of-00003"]),
        (["m-00000-of-00002.bin", "m-00001-of-00002.bin"], []),
        (["m-00001-of-00001.bin", "model.bin"], []),
        (["x/m-00002-of-00002.gguf"], ["x/m-00001-of-00002"]),
    ],
)
def test_numbered_series(paths: list[str], missing: list[str]) -> None:
    assert [each.rpartition(".")[0] for each in unnumbered(paths)] == missing


@pytest.mark.parametrize(
    ("paths", "directories"),
    [
        (["config.json", "tokenizer/config.json"], [""]),
        (["a/config.json", "b/x.gguf", "a/sub/config.json"], ["a", "b"]),
        (["model_index.json", "unet/config.json"], [""]),
        ([".fluidmodel/config.json", "readme.md"], []),
    ],
)
def test_directories_that_are_a_model(paths: list[str], directories: list[str]) -> None:
    assert model_directories(paths) == directories


def test_the_likeliest_name_comes_first() -> None:
    names = ["org/qwen", "org/Llama-3.3-70B", "org/llama-2"]
    assert by_likeness("org/llama-3.3-70b", names)[0] == "org/Llama-3.3-70B"


# -- probes ----------------------------------------------------------------------------------

ASKED = Question(
    "models",
    "s3://b/m",
    "s3",
    "b",
    "m",
    "http://minio:9000",
    access=KeyRef("keys", "id", "aws.accessKeyId"),
    hidden=KeyRef("keys", "hidden", "aws.secretKey"),
    plain=("planted-1", "planted-2"),
)


def test_a_question_goes_to_the_pod_and_back_without_plain_keys() -> None:
    again = load(ASKED.text())
    assert again.plain is None
    assert (again.access, again.hidden, again.uri) == (ASKED.access, ASKED.hidden, "s3://b/m")


def test_the_probe_is_a_job_that_ends_and_goes_by_itself() -> None:
    job = probe.build(ASKED, "demo", "example.com/own:1")
    assert job["spec"]["ttlSecondsAfterFinished"] and job["spec"]["activeDeadlineSeconds"]
    assert job["spec"]["backoffLimit"] == 0
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["image"] == "example.com/own:1"
    env = {each["name"]: each for each in container["env"]}
    assert env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {
        "name": "keys",
        "key": "hidden",
    }
    assert "planted" not in json.dumps(job)
    assert "kubectl_fluidmodel.doctor.probe" in container["command"][2]


def waiting(reason: str, message: str) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"status": {"containerStatuses": [{"name": "probe", "state": state}]}}


@pytest.mark.parametrize(
    ("reason", "message", "state", "entry"),
    [
        ("CreateContainerConfigError", 'secret "keys" not found', answer.NO_SECRET, "id"),
        (
            "CreateContainerConfigError",
            "couldn't find key hidden in Secret models/keys",
            answer.NO_KEY,
            "hidden",
        ),
        ("ImagePullBackOff", "no such image", answer.SKIPPED, ""),
    ],
)
def test_what_keeps_a_probe_from_starting(
    reason: str, message: str, state: str, entry: str
) -> None:
    found, _ = probe.trouble(waiting(reason, message), ASKED)
    assert found is not None
    assert (found.state, found.entry, found.origin) == (state, entry, answer.POD)


def test_a_probe_that_only_waits() -> None:
    found, seen = probe.trouble(waiting("ContainerCreating", ""), ASKED)
    assert found is None and seen == "ContainerCreating"
