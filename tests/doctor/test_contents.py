"""What a listing says of a model, and what a probe's pod says before it runs."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from kubectl_fluidmodel.doctor.mount_probe import job as mount_probe_job
from kubectl_fluidmodel.doctor.mount_probe.model_files import ListedFile, examine_files
from kubectl_fluidmodel.inventory.mount_target import MountTarget, SecretKeyRef, target_from_json
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.model.similarity import sort_by_similarity
from kubectl_fluidmodel.objects.plugin_pod import parse_network
from kubectl_fluidmodel.snapshot.probe_result import ProbeOrigin, ProbeResult, ProbeState, to_json
from tests import weights

HOLDS = {
    **weights.MODEL,
    ".cache/huggingface/download/x.incomplete": b"half",
}


def fetch(path: str, start: int, count: int) -> bytes:
    return HOLDS[path][start : start + count]


def test_the_files_are_assessed_and_junk_is_apart() -> None:
    entries = [
        ListedFile(path, len(content), "2026-01-01T00:00:00Z") for path, content in HOLDS.items()
    ]
    contents = examine_files(entries, True, fetch)
    assert (contents.files, contents.models, contents.weights) == (4, ("",), 1)
    assert contents.bytes == sum(map(len, weights.MODEL.values()))
    assert [(junk.files, junk.bytes) for junk in contents.rubbish] == [(1, 4)]
    assert (contents.remarks, contents.unread) == ((), "")
    assert ".cache" not in str(contents.newest) + str(contents.paths)
    entries[-2] = ListedFile("model.safetensors", 3000)
    (remark,) = examine_files(entries, True, fetch).remarks
    assert (remark.kind, remark.fatal) == ("damaged", True)


def test_a_listing_that_was_cut_off_is_not_assessed() -> None:
    entries = [ListedFile("a-00001-of-00002.safetensors", 1)]
    assert examine_files(entries, False, fetch).remarks == ()


def test_the_likeliest_name_comes_first() -> None:
    names = ["org/qwen", "org/Llama-3.3-70B", "org/llama-2"]
    assert sort_by_similarity("org/llama-3.3-70b", names)[0] == "org/Llama-3.3-70B"


# -- probes ----------------------------------------------------------------------------------

ASKED = MountTarget(
    "models",
    "s3://b/m",
    "s3",
    "b",
    "m",
    "http://minio:9000",
    access=SecretKeyRef("keys", "id", "aws.accessKeyId"),
    hidden=SecretKeyRef("keys", "hidden", "aws.secretKey"),
    plain=("planted-1", "planted-2"),
)


def test_a_mount_target_reaches_the_pod_without_plaintext_keys() -> None:
    again = target_from_json(ASKED.to_json())
    assert again.plain is None
    assert (again.access, again.hidden, again.uri) == (ASKED.access, ASKED.hidden, "s3://b/m")


def test_the_probe_is_a_job_with_a_deadline_and_a_ttl() -> None:
    job = mount_probe_job.build_probe_job(
        ASKED, "demo", mount_probe_job.PodProbe("example.com/own:1")
    )
    assert job["spec"]["ttlSecondsAfterFinished"] and job["spec"]["activeDeadlineSeconds"]
    assert job["spec"]["backoffLimit"] == 0
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["image"] == "example.com/own:1"
    env = {variable["name"]: variable for variable in container["env"]}
    assert env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {
        "name": "keys",
        "key": "hidden",
    }
    assert "planted" not in json.dumps(job)
    assert "kubectl_fluidmodel.doctor.mount_probe.job" in container["command"][2]


def test_the_probe_pulls_reaches_and_trusts_as_a_staging_job_does() -> None:
    network = parse_network(
        "http://proxy:3128", None, "configmap/corp:ca.pem", ["pull-1"], "--probe"
    )
    probe = mount_probe_job.PodProbe("example.com/own:1", network)
    job = mount_probe_job.build_probe_job(ASKED, "demo", probe)
    pod = job["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "pull-1"}]
    assert {"key": "ca.pem", "path": "ca.pem"} in pod["volumes"][-1]["configMap"]["items"]
    (container,) = pod["containers"]
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert env["HTTPS_PROXY"] == "http://proxy:3128"
    assert ".svc" in env["NO_PROXY"].split(",")
    assert env["AWS_CA_BUNDLE"] == f"{container['volumeMounts'][-1]['mountPath']}/ca.pem"


@pytest.mark.parametrize(
    ("reason", "message", "state", "entry"),
    [
        ("CreateContainerConfigError", 'secret "keys" not found', ProbeState.NO_SECRET, "id"),
        (
            "CreateContainerConfigError",
            "couldn't find key hidden in Secret models/keys",
            ProbeState.NO_KEY,
            "hidden",
        ),
        ("ImagePullBackOff", "no such image", ProbeState.SKIPPED, ""),
    ],
)
def test_what_keeps_a_probe_from_starting(
    reason: str, message: str, state: str, entry: str
) -> None:
    result = mount_probe_job.start_failure(ASKED, f"{reason}: {message}")
    assert (result.state, result.secret_key, result.origin) == (state, entry, ProbeOrigin.POD)


def pod_of(state: dict[str, Any], phase: str = "Pending") -> dict[str, Any]:
    status = {"phase": phase, "containerStatuses": [{"name": "probe", "state": state}]}
    return {"metadata": {"name": "p", "namespace": "models"}, "status": status}


class ProbeCluster:
    """A cluster that runs a probe's Job."""

    def __init__(self, pod: dict[str, Any] | None, log: str = "") -> None:
        self.pods = [pod] if pod else []
        self.log = log
        self.calls: list[str] = []

    def create(self, *_: Any) -> None:
        self.calls.append("create")

    def delete(self, *_: Any) -> None:
        self.calls.append("delete")

    def list_objects(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return self.pods

    def pod_logs(self, *_: Any, **__: Any) -> str:
        return self.log


ANSWER = to_json(ProbeResult("m", ProbeState.OK, "", ProbeOrigin.POD))
BLOCKED = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}


@pytest.mark.parametrize(
    ("pod", "log", "state", "message"),
    [
        (pod_of({}, "Succeeded"), f"warning: x\nanswer: {ANSWER}\n", ProbeState.OK, ""),
        (pod_of({}, "Failed"), "Killed\n", ProbeState.SKIPPED, "printed no result: Killed"),
        (pod_of({}, "Failed"), "", ProbeState.SKIPPED, "its log is empty"),
        (pod_of({}, "Succeeded"), "answer: {", ProbeState.SKIPPED, "cannot read"),
        (pod_of(BLOCKED), "", ProbeState.SKIPPED, "does not start: ImagePullBackOff: no such"),
        (pod_of({}, "Running"), "", ProbeState.SKIPPED, "did not finish"),
        (None, "", ProbeState.SKIPPED, "no pod was created"),
    ],
)
def test_a_probe_gives_a_result_and_its_job_is_deleted(
    pod: dict[str, Any] | None, log: str, state: str, message: str
) -> None:
    cluster = ProbeCluster(pod, log)
    probe = mount_probe_job.PodProbe("example.com/own:1")
    result = mount_probe_job.run_probe_job(cast(Client, cluster), ASKED, "demo", probe, 1.0)
    assert result.state == state and message in result.message
    assert cluster.calls == ["create", "delete"]
