"""The Job as an object."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.hub.client import HubClient as HubClient
from kubectl_fluidmodel.hub.http import HubCredentials
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.net.proxies import bypasses_proxy
from kubectl_fluidmodel.objects.plugin_pod import (
    SecretKey,
    no_image_error,
    parse_network,
    require_image,
)
from kubectl_fluidmodel.objectstore.layout import BucketPrefix
from kubectl_fluidmodel.stage.job import JobSettings, build_job
from kubectl_fluidmodel.stage.job_description import cache_flags, update_flags
from tests.hub import FakeHub, Repo

PLAN = StagingPlan("org/model", "main", "c" * 40, (PlanFile("a", 5, "git", "0" * 40),))
SETTINGS = JobSettings(
    name="model",
    namespace="ns",
    to=BucketPrefix("models", "p"),
    endpoint="http://minio:9000",
    access_key=SecretKey("keys", "AWS_ACCESS_KEY_ID"),
    secret_key=SecretKey("keys", "AWS_SECRET_ACCESS_KEY"),
    hub_token=SecretKey("hub", "HF_TOKEN"),
    shards=4,
)


def container(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"]["template"]["spec"]["containers"][0])


def test_the_job_is_indexed_with_one_shard_per_pod() -> None:
    job = build_job(PLAN, SETTINGS)
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 4
    arguments = container(job)["args"]
    assert arguments[0] == f"org/model@{'c' * 40}"
    assert "--shard=$(FLUIDMODEL_SHARD)/4" in arguments and "--to=s3://models/p" in arguments


def test_the_pod_has_no_privileges_that_it_does_not_need() -> None:
    pod = build_job(PLAN, SETTINGS)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    security = pod["containers"][0]["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "384Mi"
    assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]] == ["/fluidmodel"]


def test_secrets_are_passed_by_reference() -> None:
    env = {variable["name"]: variable for variable in container(build_job(PLAN, SETTINGS))["env"]}
    for name, secret in (
        ("AWS_ACCESS_KEY_ID", "keys"),
        ("AWS_SECRET_ACCESS_KEY", "keys"),
        ("HF_TOKEN", "hub"),
    ):
        assert "value" not in env[name]
        assert env[name]["valueFrom"]["secretKeyRef"]["name"] == secret


def test_the_name_depends_on_the_plan_and_the_settings() -> None:
    one = build_job(PLAN, SETTINGS)
    assert build_job(PLAN, SETTINGS) == one
    assert build_job(replace(PLAN, commit="d" * 40), SETTINGS)["metadata"] != one["metadata"]
    other = build_job(PLAN, replace(SETTINGS, to=BucketPrefix("elsewhere")))
    assert other["metadata"]["name"] != one["metadata"]["name"]
    long = build_job(PLAN, replace(SETTINGS, name="n" * 45))["metadata"]["name"]
    assert len(long) <= 52  # a pod of it adds its index and a random suffix


def test_the_job_is_plain_json() -> None:
    json.dumps(build_job(PLAN, SETTINGS))


def test_the_deadline_grows_with_the_plan() -> None:
    """An hour, and what the plan takes at the slowest rate that is worth waiting for."""
    assert build_job(PLAN, SETTINGS)["spec"]["activeDeadlineSeconds"] == 3600
    large = replace(PLAN, files=(PlanFile("a", 700 << 30, "sha256", "0" * 64),))
    seconds = build_job(large, SETTINGS)["spec"]["activeDeadlineSeconds"]
    assert 3 * 86_400 < seconds < 5 * 86_400


def test_temporary_keys_are_passed_with_their_session_token() -> None:
    names = {variable["name"] for variable in container(build_job(PLAN, SETTINGS))["env"]}
    assert "AWS_SESSION_TOKEN" not in names
    job = build_job(PLAN, replace(SETTINGS, session_token=SecretKey("keys", "token")))
    env = {variable["name"]: variable for variable in container(job)["env"]}
    reference = env["AWS_SESSION_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "keys", "key": "token"}


def test_nothing_is_installed_into_a_pod_with_keys() -> None:
    spec = container(build_job(PLAN, replace(SETTINGS, image="registry/own:1")))
    assert spec["image"] == "registry/own:1"
    assert spec["command"] == ["python", "-m", "kubectl_fluidmodel", "stage"]
    assert "pip" not in json.dumps(spec) and "PYTHONPATH" not in json.dumps(spec)


def test_the_container_runs_this_package(tmp_path: Path) -> None:
    """The container's own words, run by the Python of the tests: the plan is that of the Job."""
    with FakeHub(Repo("org/model", {"config.json": b"{}", "model.safetensors": b"x" * 99})) as hub:
        plan = HubClient(HubCredentials(hub.endpoint, "")).plan("org/model")
        spec = container(build_job(plan, replace(SETTINGS, endpoint_hub=hub.endpoint)))
        arguments = [sys.executable, *spec["command"][1:], *spec["args"]]
        env = {
            variable["name"]: variable["value"] for variable in spec["env"] if "value" in variable
        }
        done = subprocess.run(
            [*(word.replace("$(FLUIDMODEL_SHARD)", "0") for word in arguments), "--dry-run=client"],
            env={**env, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert plan.commit[:12] in done.stdout and "2 files" in done.stdout


def test_the_flags_of_a_job_build_the_same_job() -> None:
    """What doctor prints for a Job that failed has to make the same Job."""
    settings = replace(
        SETTINGS,
        image="r/i:1",
        region="eu",
        include=("*.json", "a b"),
        network=parse_network("http://p:1", "x", "secret/c:k", ("pull",)),
    )
    flags = cache_flags(build_job(PLAN, settings))
    pairs = list(zip(flags[::2], flags[1::2], strict=True))
    assert pairs == [
        ("--to", "s3://models/p"), ("--endpoint", "http://minio:9000"), ("--region", "eu"),
        ("--include", "*.json"), ("--include", "a b"), ("--shards", "4"),
        ("--s3-secret", "keys"), ("--hf-secret", "hub"), ("--image", "r/i:1"),
        ("--stage-proxy", "http://p:1"), ("--stage-no-proxy", "x"), ("--stage-ca", "secret/c:k"),
        ("--image-pull-secret", "pull"),
    ]  # fmt: skip
    update = update_flags(build_job(PLAN, settings))
    assert list(zip(update[::2], update[1::2], strict=True)) == pairs[1:], "not the bucket"
    own = replace(SETTINGS, access_key=SecretKey("model-store", "k"), hub_token=None, image="i")
    assert not {"--s3-secret", "--hf-secret", "--stage-ca"} & set(cache_flags(build_job(PLAN, own)))


class TestNetwork:
    def settings(self, **flags: Any) -> JobSettings:
        flags_with_defaults = {"proxy": None, "no_proxy": None, "ca": None, "pull_secrets": ()}
        return replace(SETTINGS, network=parse_network(**{**flags_with_defaults, **flags}))

    def pod(self, **flags: Any) -> dict[str, Any]:
        return dict(build_job(PLAN, self.settings(**flags))["spec"]["template"]["spec"])

    def env(self, **flags: Any) -> dict[str, str]:
        variables = self.pod(**flags)["containers"][0]["env"]
        return {variable["name"]: variable.get("value", "") for variable in variables}

    def test_no_network_settings_by_default(self) -> None:
        assert not {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"} & set(self.env())
        assert "imagePullSecrets" not in self.pod()

    def test_the_clusters_own_store_bypasses_the_proxy(self) -> None:
        env = self.env(proxy="http://proxy:3128")
        assert env["HTTPS_PROXY"] == env["HTTP_PROXY"] == "http://proxy:3128"
        for host, exempt in (("minio", True), ("minio.ns.svc", True), ("huggingface.co", False)):
            assert bypasses_proxy(host, 443, env["NO_PROXY"]) is exempt, host
        assert self.env(proxy="http://p:1", no_proxy="x.y")["NO_PROXY"] == "x.y"

    @pytest.mark.parametrize("kind", ["configmap", "secret"])
    def test_certificates_are_mounted_and_trusted(self, kind: str) -> None:
        spec = self.pod(ca=f"{kind}/corp:bundle.pem")
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
        assert "corp" in json.dumps(volumes["ca"])
        assert mounts["ca"]["readOnly"]
        env = self.env(ca=f"{kind}/corp:bundle.pem")
        file = f"{mounts['ca']['mountPath']}/bundle.pem"
        assert env["SSL_CERT_FILE"] == env["AWS_CA_BUNDLE"] == env["REQUESTS_CA_BUNDLE"] == file

    def test_pull_secrets_are_passed_to_the_pod(self) -> None:
        assert self.pod(pull_secrets=("a", "b"))["imagePullSecrets"] == [
            {"name": "a"}, {"name": "b"},
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ({"proxy": "proxy:3128"}, "not a URL"),
            ({"proxy": "http://"}, "not a URL"),
            ({"proxy": "http://[::1"}, "not a URL"),
            ({"proxy": "socks5://h:1"}, "not a URL"),
            ({"proxy": "http://user:hunter2@proxy:3128"}, "a user name or a password"),
            ({"no_proxy": "x"}, "--stage-no-proxy"),
            ({"ca": "corp"}, "--stage-ca 'corp'"),
            ({"ca": "pod/corp"}, "--stage-ca"),
            ({"ca": "configmap/"}, "--stage-ca"),
            ({"ca": "configmap/corp:"}, "--stage-ca"),
            ({"ca": "secret/corp:../x"}, "--stage-ca"),
            ({"pull_secrets": ("Bad Name",)}, "--image-pull-secret"),
        ],
    )
    def test_invalid_network_flags_are_refused(self, flags: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError) as caught:
            self.settings(**flags)
        assert message in caught.value.message and "hunter2" not in str(caught.value)


class TestImage:
    def test_the_image_flag_takes_precedence_over_the_environment(self) -> None:
        assert require_image("r/a:1", {"FLUIDMODEL_IMAGE": "r/b:2"}) == "r/a:1"
        assert require_image(None, {"FLUIDMODEL_IMAGE": "r/b:2"}) == "r/b:2"
        assert require_image(None, {}) == ""

    @pytest.mark.parametrize("name", ["REGISTRY/x:1", "a b", "--privileged", "x;reboot"])
    def test_invalid_image_names_are_refused(self, name: str) -> None:
        with pytest.raises(UsageError, match="--image"):
            require_image(name, {})
        with pytest.raises(UsageError, match="FLUIDMODEL_IMAGE"):
            require_image(None, {"FLUIDMODEL_IMAGE": name})

    def test_the_error_without_an_image_names_both_alternatives(self) -> None:
        error = no_image_error()
        for part in ("docker build -t ", "docker push ", "--image ", "--stage-on client"):
            assert part in error.hint
