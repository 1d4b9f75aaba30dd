"""Logs, output of commands and results of probes survive a bundle, of every version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubectl_fluidmodel.model.issue import ModelIssue
from kubectl_fluidmodel.model.junk import JunkFiles
from kubectl_fluidmodel.snapshot import probe_result
from kubectl_fluidmodel.snapshot.document import snapshot_from_document, snapshot_to_document
from kubectl_fluidmodel.snapshot.probe_result import (
    MountContents,
    ProbeOrigin,
    ProbeResult,
    ProbeState,
)
from kubectl_fluidmodel.snapshot.snapshot import CommandKey, LogKey, Snapshot
from kubectl_fluidmodel.snapshot.texts import encode_texts

LISTED = {
    "mount": "s3://hf-models/demo",
    "state": "ok",
    "endpoint": "http://minio:9000",
    "origin": "port-forward",
    "code": "",
    "message": "",
    "action": "",
    "holder": "demo-store",
    "entry": "AWS_ACCESS_KEY_ID",
    "entries": ["AWS_ACCESS_KEY_ID"],
    "region": "eu-west-1",
    "skew": -3.5,
    "nearest": [],
    "buckets": [],
    "manifest": "valid",
    "found": {
        "files": 3,
        "bytes": 9,
        "whole": False,
        "models": [""],
        "weights": 1,
        "remarks": [
            {
                "kind": "shards",
                "text": "a shard is missing",
                "wrong": True,
                "paths": ["a"],
                "model": "o/m@c",
            }
        ],
        "unread": "timeout",
        "rubbish": [
            {"owner": "git", "files": 1, "bytes": 2, "example": ".git/x", "places": [".git/"]}
        ],
        "paths": ["config.json"],
        "newest": [["config.json", "2026-09-20T08:00:00Z"]],
    },
    "seconds": 1.5,
}
"""What version 0.1 wrote."""
READ = ProbeResult(
    mount="s3://hf-models/demo",
    state=ProbeState.OK,
    endpoint="http://minio:9000",
    origin=ProbeOrigin.PORT_FORWARD,
    secret_name="demo-store",
    secret_key="AWS_ACCESS_KEY_ID",
    secret_keys=("AWS_ACCESS_KEY_ID",),
    region="eu-west-1",
    clock_skew=-3.5,
    manifest="valid",
    contents=MountContents(
        files=3,
        bytes=9,
        complete=False,
        models=("",),
        weights=1,
        remarks=(ModelIssue("shards", "a shard is missing", True, ("a",), "o/m@c"),),
        unread="timeout",
        rubbish=(JunkFiles("git", 1, 2, ".git/x", (".git/",)),),
        paths=("config.json",),
        newest=(("config.json", "2026-09-20T08:00:00Z"),),
    ),
    seconds=1.5,
)
OLD = {
    "log default/demo-master-0/alluxio-master": "a line",
    "previous log default/demo-master-0/alluxio-master": "before",
    "default/demo: alluxio fsadmin report capacity": "Capacity: 1",
    "store default/demo": json.dumps([LISTED]),
}


def load(texts: dict[str, Any]) -> Snapshot:
    document = snapshot_to_document(Snapshot(None, 1.0))
    return snapshot_from_document({**document, "texts": texts})


def test_a_bundle_of_an_earlier_version_is_read_completely() -> None:
    snapshot = load(OLD)
    pod = ("default", "demo-master-0", "alluxio-master")
    assert snapshot.logs == {LogKey(*pod): "a line", LogKey(*pod, previous=True): "before"}
    command = CommandKey("default", "demo", "alluxio fsadmin report capacity")
    assert snapshot.command_outputs == {command: "Capacity: 1"}
    assert snapshot.probe_results == {("default", "demo"): (READ,)}


def test_texts_are_written_as_they_were_read() -> None:
    texts = encode_texts(load(OLD))
    assert json.loads(texts.pop("store default/demo")) == [LISTED]
    assert texts == {key: text for key, text in OLD.items() if not key.startswith("store ")}


def test_fields_of_another_version_are_ignored() -> None:
    text = json.dumps([{**LISTED, "colour": "red"}, {"mount": "s3://b", "state": "denied"}])
    results = load({"store a/b": text}).probe_results[("a", "b")]
    assert results == (READ, ProbeResult("s3://b", ProbeState.DENIED))


@pytest.mark.parametrize("text", ["", "[", "7", '[{"mount": "s3://b"}]', '["x"]', "[[]]"])
def test_results_that_cannot_be_read_are_recorded_with_the_reason(text: str) -> None:
    snapshot = load({"store a/b": text})
    assert snapshot.probe_results == {}
    assert snapshot.unreadable_probes[("a", "b")]


def test_a_state_of_another_version_is_recorded_by_name() -> None:
    snapshot = load({"store a/b": '[{"mount": "s3://b", "state": "bored"}]'})
    assert "bored" in snapshot.unreadable_probes[("a", "b")]


@pytest.mark.parametrize("state", ProbeState)
def test_a_probe_prints_its_result_on_one_line_that_is_read_back(state: ProbeState) -> None:
    result = ProbeResult("s3://b", state, message="two\nlines", origin=ProbeOrigin.POD)
    line = probe_result.to_json(result)
    assert "\n" not in line
    assert probe_result.from_json(line) == result
