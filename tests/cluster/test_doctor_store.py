"""Doctor's checks of the store, each broken for real on the S3 server and mended again."""

from __future__ import annotations

import contextlib
import datetime
import json
import secrets
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.auth
import pytest

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.snapshot.texts import encode_texts
from tests import weights
from tests.cluster import objects
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import Cli, clear
from tests.cluster.image import STAGE
from tests.cluster.in_process_doctor import Doctor, secret_free
from tests.cluster.s3 import secret
from tests.loopback import HttpResponse, Server

pytestmark = pytest.mark.cluster

ACCESS, HIDDEN = "aws.accessKeyId", "aws.secretKey"


class StoreFaults:
    """A namespace with a bucket in it, and a key of its own that may read the bucket."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.namespace = f"t-{secrets.token_hex(3)}-doctor-store"
        cluster.api.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )
        self.bucket = Bucket(cluster.s3, f"models-{secrets.token_hex(4)}")
        self.bucket.put_model("org/llama")
        self.access = f"DOC{secrets.token_hex(6).upper()}"
        self.hidden = secrets.token_urlsafe(24)
        self.bucket.user(self.access, self.hidden)
        self.doctor = Doctor(cluster, self.namespace, "5", folder / "bin")

    def dataset(
        self,
        name: str,
        prefix: str = "org/llama",
        *,
        mount: str = "",
        options: dict[str, str | None] | None = None,
        secret_name: str | None = None,
        keys: dict[str, str] | None = None,
    ) -> str:
        """A Dataset without a runtime, with its Secret: enough to be tried."""
        api = self.cluster.api
        if secret_name is None:
            values = {ACCESS: self.access, HIDDEN: self.hidden} if keys is None else keys
            api.apply(secret(self.namespace, f"{name}-s3", values))
        given = {**objects.s3_options(self.cluster), **(options or {})}
        api.apply(
            objects.dataset(
                self.namespace,
                name,
                mount or f"s3://{self.bucket.name}/{prefix}",
                {key: value for key, value in given.items() if value is not None},
                secret_name or f"{name}-s3",
            )
        )
        return name

    def found_codes(self, name: str, **how: Any) -> list[str]:
        self.doctor.diagnose(probe=True, **how)
        secret_free(self.doctor.snapshot, self.access, self.hidden)
        return self.doctor.codes(name)

    def only_finding(self, code: str, name: str) -> Any:
        """The only finding of a code."""
        (found,) = self.doctor.found(name)[code]
        return found

    def delete_cache(self, name: str) -> None:
        """End a Dataset, and wait: one of the same name made before would go with it."""
        api = self.cluster.api
        api.delete(objects.FLUID, "Dataset", name, self.namespace)
        objects.until(
            f"the end of {name}",
            lambda: not api.find(objects.FLUID, "Dataset", name, self.namespace),
        )

    def close(self) -> None:
        self.bucket.delete()
        with contextlib.suppress(RuntimeError):
            self.cluster.s3.delete_user(self.access)
        clear(self.cluster, self.namespace)


@pytest.fixture(scope="module")
def faults(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreFaults]:
    made = StoreFaults(cluster, tmp_path_factory.mktemp("doctor"))
    yield made
    made.close()


@pytest.fixture
def llama(faults: StoreFaults, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Dataset of a whole model whose keys are good: nothing is wrong with its store."""
    name = faults.dataset(f"m{secrets.token_hex(3)}")
    assert faults.found_codes(name) == []
    yield name
    faults.delete_cache(name)


# -- the Secret ------------------------------------------------------------------------------


def env(faults: StoreFaults) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": faults.access, "AWS_SECRET_ACCESS_KEY": faults.hidden}


@pytest.mark.breaks("FM501")
def test_missing_secret_is_reported(faults: StoreFaults, llama: str) -> None:
    faults.cluster.api.delete("v1", "Secret", f"{llama}-s3", faults.namespace)
    assert faults.found_codes(llama) == ["FM501"]
    finding = faults.only_finding("FM501", llama)
    assert finding.about == f"secret {faults.namespace}/{llama}-s3"
    assert "could" not in finding.cause and faults.doctor.skipped("FM521", llama)
    faults.doctor.run(finding.fix, env(faults))
    assert faults.found_codes(llama) == []


@pytest.mark.breaks("FM502")
def test_key_with_another_name_is_reported(faults: StoreFaults, llama: str) -> None:
    faults.cluster.api.delete("v1", "Secret", f"{llama}-s3", faults.namespace)
    keys = {"accesskey": faults.access, "secretkey": faults.hidden}
    faults.cluster.api.apply(secret(faults.namespace, f"{llama}-s3", keys))
    assert faults.found_codes(llama) == ["FM502"]
    finding = faults.only_finding("FM502", llama)
    assert [each.text for each in finding.evidence] == [ACCESS, "accesskey, secretkey"]
    faults.doctor.run(finding.fix, env(faults))
    assert faults.found_codes(llama) == []


@pytest.mark.breaks("FM503")
@pytest.mark.parametrize("tail", ["\n", " "])
def test_key_with_trailing_whitespace_is_reported(
    faults: StoreFaults, llama: str, tail: str
) -> None:
    keys = {ACCESS: faults.access, HIDDEN: faults.hidden + tail}
    faults.cluster.api.apply(secret(faults.namespace, f"{llama}-s3", keys))
    assert faults.found_codes(llama) == ["FM503"]
    faults.doctor.run(faults.only_finding("FM503", llama).fix, env(faults))
    assert faults.found_codes(llama) == []


def test_empty_key_is_reported(faults: StoreFaults, llama: str) -> None:
    keys = {ACCESS: faults.access, HIDDEN: ""}
    faults.cluster.api.apply(secret(faults.namespace, f"{llama}-s3", keys))
    assert faults.found_codes(llama) == ["FM503"]
    assert "is empty" in faults.only_finding("FM503", llama).cause


# -- the way to the store ---------------------------------------------------------------------


@pytest.mark.breaks("FM506")
def test_service_addressed_by_host_name_is_reported(faults: StoreFaults) -> None:
    endpoint = faults.cluster.s3.expose(faults.namespace, "minio")
    options: dict[str, str | None] = {
        "alluxio.underfs.s3.endpoint": endpoint,
        "alluxio.underfs.s3.disable.dns.buckets": None,
    }
    name = faults.dataset("by-host", options=options)
    objects.until(
        "the Service's pod",
        lambda: any(
            each.get("status", {}).get("phase") == "Running"
            for each in faults.cluster.api.list("v1", "Pod", faults.namespace)
        ),
    )
    assert faults.found_codes(name) == ["FM506"]
    faults.doctor.run(faults.only_finding("FM506", name).fix)
    assert "FM506" not in faults.found_codes(name)
    faults.delete_cache(name)


def test_store_behind_a_service_is_probed(faults: StoreFaults) -> None:
    endpoint = faults.cluster.s3.expose(faults.namespace, "minio")
    name = faults.dataset("by-service", options={"alluxio.underfs.s3.endpoint": endpoint})
    faults.doctor.see("the store through the Service", name=name, probe=True)
    (answer,) = json.loads(encode_texts(faults.doctor.snapshot)[f"store {faults.namespace}/{name}"])
    assert (answer["state"], answer["origin"]) == ("ok", "port-forward")
    assert answer["found"]["models"] == [""]
    faults.delete_cache(name)


@pytest.mark.breaks("FM507")
def test_endpoint_without_a_scheme_is_reported(faults: StoreFaults) -> None:
    written = faults.cluster.s3.endpoint.removeprefix("http://")
    name = faults.dataset("no-scheme", options={"alluxio.underfs.s3.endpoint": written})
    assert faults.found_codes(name) == ["FM507"]
    finding = faults.only_finding("FM507", name)
    assert finding.evidence[0].text == written
    faults.doctor.run(faults.only_finding("FM507", name).fix)
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


@pytest.mark.breaks("FM508")
def test_bucket_name_in_the_endpoint_is_reported(faults: StoreFaults) -> None:
    wrong = f"{faults.cluster.s3.endpoint}/{faults.bucket.name}"
    name = faults.dataset("in-bucket", options={"alluxio.underfs.s3.endpoint": wrong})
    found = faults.found_codes(name)
    assert "FM508" in found
    faults.doctor.run(faults.only_finding("FM508", name).fix)
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


def test_temporary_key_without_a_token_is_reported(faults: StoreFaults, llama: str) -> None:
    keys = {ACCESS: "ASIA" + "A" * 16, HIDDEN: "x" * 40}
    faults.cluster.api.apply(secret(faults.namespace, f"{llama}-s3", keys))
    assert faults.found_codes(llama) == ["FM522"]
    assert "its session token is missing" in faults.only_finding("FM522", llama).cause
    faults.doctor.run(faults.only_finding("FM522", llama).fix, env(faults))
    assert faults.found_codes(llama) == []


@pytest.mark.breaks("FM510")
def test_missing_service_is_reported(faults: StoreFaults) -> None:
    endpoint = "http://nowhere:9000"
    name = faults.dataset("nowhere", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert faults.found_codes(name) == ["FM510"]
    finding = faults.only_finding("FM510", name)
    assert "there is no Service nowhere" in finding.cause
    assert faults.doctor.run(finding.fix)
    faults.delete_cache(name)


def test_unresolvable_endpoint_is_reported(faults: StoreFaults) -> None:
    endpoint = "http://store.no-such-domain.invalid"
    name = faults.dataset("no-dns", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert faults.found_codes(name) == ["FM510"]
    faults.delete_cache(name)


@pytest.mark.breaks("FM511")
def test_refused_connection_is_reported(faults: StoreFaults) -> None:
    endpoint = "http://127.0.0.1:1"
    name = faults.dataset("closed", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert faults.found_codes(name) == ["FM511"]
    assert "refuses the connection" in faults.only_finding("FM511", name).cause
    assert "an earlier store error hides this" in faults.doctor.skipped("FM521", name)
    faults.delete_cache(name)


@pytest.mark.breaks("FM512")
def test_https_on_a_plain_http_port_is_reported(faults: StoreFaults) -> None:
    endpoint = faults.cluster.s3.endpoint.replace("http:", "https:")
    name = faults.dataset("tls", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert faults.found_codes(name) == ["FM512"]
    faults.doctor.run(faults.only_finding("FM512", name).fix)
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


def test_http_on_a_tls_port_is_reported(faults: StoreFaults) -> None:
    endpoint = faults.cluster.api.server.replace("https:", "http:")
    name = faults.dataset("no-tls", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert faults.found_codes(name) == ["FM512"]
    assert "uses TLS" in faults.only_finding("FM512", name).cause
    faults.delete_cache(name)


def serving(status: int, body: bytes, kind: str) -> Server:
    return Server(lambda _: HttpResponse(status, body, {"Content-Type": kind}))


@pytest.mark.breaks("FM513", "FM522", "FM528")
@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (200, b"<!doctype html><title>Console", "text/html", "FM513"),
        (404, b"no such page", "text/plain", "FM513"),
        (
            400,
            b"<Error><Code>ExpiredToken</Code><Message>The token has expired</Message></Error>",
            "application/xml",
            "FM522",
        ),
        (
            507,
            b"<Error><Code>XMinioStorageFull</Code><Message>The disk is full</Message></Error>",
            "application/xml",
            "FM528",
        ),
    ],
)
def test_unexpected_answer_of_a_server_is_reported(
    faults: StoreFaults, status: int, body: bytes, kind: str, code: str
) -> None:
    with contextlib.closing(Running(serving(status, body, kind))) as server:
        name = faults.dataset("other", options={"alluxio.underfs.s3.endpoint": server.url})
        assert faults.found_codes(name) == [code], faults.doctor.causes_by_code(name)
    faults.delete_cache(name)


class Running:
    """A loopback server in a thread."""

    def __init__(self, server: Server) -> None:
        import threading

        self.server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.breaks("FM514")
def test_clock_skew_is_reported(
    faults: StoreFaults, llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = botocore.auth.get_current_datetime
    ahead = datetime.timedelta(hours=2)
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: real(*a, **k) + ahead
    )
    assert faults.found_codes(llama) == ["FM514"]
    monkeypatch.undo()
    assert faults.found_codes(llama) == []


# -- what the store says ----------------------------------------------------------------------


@pytest.mark.breaks("FM520")
def test_deleted_key_is_reported(faults: StoreFaults, llama: str) -> None:
    faults.cluster.s3.delete_user(faults.access)
    try:
        assert faults.found_codes(llama) == ["FM520"]
        finding = faults.only_finding("FM520", llama)
        assert "InvalidAccessKeyId" in finding.evidence[1].text
        # Another key that the store knows.
        own = {
            "AWS_ACCESS_KEY_ID": faults.cluster.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": faults.cluster.s3.secret_key,
        }
        faults.doctor.run(finding.fix, own)
        assert faults.found_codes(llama) == []
        secret_free(faults.doctor.snapshot, *own.values())
    finally:
        faults.cluster.s3.create_user(faults.access, faults.hidden)


@pytest.mark.breaks("FM521")
def test_rotated_secret_is_reported(faults: StoreFaults, llama: str) -> None:
    faults.hidden = secrets.token_urlsafe(24)
    faults.cluster.s3.rotate(faults.access, faults.hidden)
    assert faults.found_codes(llama) == ["FM521"]
    finding = faults.only_finding("FM521", llama)
    assert finding.about == f"secret {faults.namespace}/{llama}-s3"
    assert "SignatureDoesNotMatch" in finding.evidence[1].text
    faults.doctor.run(finding.fix, env(faults))
    assert faults.found_codes(llama) == []


@pytest.mark.breaks("FM523", "FM524")
@pytest.mark.parametrize(("left", "code"), [("s3:GetObject", "FM523"), ("s3:ListBucket", "FM524")])
def test_denied_action_is_reported(faults: StoreFaults, llama: str, left: str, code: str) -> None:
    faults.cluster.s3.allow(faults.bucket.name, faults.access, [left])
    assert faults.found_codes(llama) == [code]
    fix = faults.only_finding(code, llama).fix
    statement = {**json.loads(fix.text), "Principal": {"AWS": [faults.access]}}
    other = {"Effect": "Allow", "Principal": {"AWS": [faults.access]}, "Action": left}
    suffix = "/*" if left == "s3:GetObject" else ""
    other["Resource"] = f"arn:aws:s3:::{faults.bucket.name}{suffix}"
    faults.cluster.s3.policy(faults.bucket.name, [statement, other])
    assert faults.found_codes(llama) == []
    faults.cluster.s3.allow(faults.bucket.name, faults.access)


@pytest.mark.breaks("FM525")
def test_wrong_region_is_reported(faults: StoreFaults) -> None:
    name = faults.dataset("region", options={"alluxio.underfs.s3.endpoint.region": "eu-west-1"})
    assert faults.found_codes(name) == ["FM525"]
    faults.doctor.run(faults.only_finding("FM525", name).fix)
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


@pytest.mark.breaks("FM526")
def test_missing_bucket_is_reported(faults: StoreFaults, llama: str) -> None:
    root = Path(faults.cluster.s3.state) / "s3"
    old, new = faults.bucket.name, f"{faults.bucket.name}-old"
    for folder in ("data", "meta"):
        (root / folder / old).rename(root / folder / new)
    try:
        assert faults.found_codes(llama) == ["FM526"]
        finding = faults.only_finding("FM526", llama)
        assert f"bucket {old} does not exist" in finding.cause
    finally:
        for folder in ("data", "meta"):
            (root / folder / new).rename(root / folder / old)
    assert faults.found_codes(llama) == []


@pytest.mark.breaks("FM526")
def test_similar_bucket_is_suggested(faults: StoreFaults) -> None:
    keys = {ACCESS: faults.cluster.s3.access_key, HIDDEN: faults.cluster.s3.secret_key}
    wrong = faults.bucket.name.replace("models", "model")
    name = faults.dataset("likely", mount=f"s3://{wrong}/org/llama", keys=keys)
    assert faults.found_codes(name) == ["FM526"]
    faults.doctor.run(faults.only_finding("FM526", name).fix)
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


@pytest.mark.breaks("FM527")
def test_web_directory_faults_are_reported(faults: StoreFaults) -> None:
    closed = Running(serving(401, b"", "text/html"))
    missing = Running(serving(404, b"", "text/html"))
    bare = Running(serving(200, b"<html>no links</html>", "text/html"))
    for server, code in ((closed, "FM527"), (missing, "FM526"), (bare, "FM531")):
        with contextlib.closing(server):
            name = faults.dataset("web", mount=f"{server.url}/models/")
            assert faults.found_codes(name) == [code]
    assert faults.found_codes(name) == ["FM511"]
    faults.delete_cache(name)


@pytest.mark.breaks("FM529")
def test_missing_source_claim_is_reported(faults: StoreFaults) -> None:
    name = faults.dataset("from-claim", mount="pvc://weights/llama")
    assert faults.found_codes(name) == ["FM529"]
    finding = faults.only_finding("FM529", name)
    assert finding.about == f"persistentvolumeclaim {faults.namespace}/weights"
    faults.delete_cache(name)


def test_unsupported_source_is_skipped_with_a_reason(faults: StoreFaults) -> None:
    name = faults.dataset("on-nodes", mount="local:///mnt/models")
    assert faults.found_codes(name) == []
    assert "only pods on its nodes" in faults.doctor.skipped("FM511", name)
    faults.delete_cache(name)


# -- what lies in it --------------------------------------------------------------------------


@pytest.mark.breaks("FM530")
@pytest.mark.parametrize("wrong", ["org/lama", "org/Llama", "llama", "org/llama/main"])
def test_wrong_prefix_is_reported(faults: StoreFaults, wrong: str) -> None:
    name = faults.dataset("wrong", wrong)
    assert faults.found_codes(name) == ["FM530"]
    faults.doctor.run(faults.only_finding("FM530", name).fix)
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


@pytest.mark.breaks("FM531")
def test_empty_bucket_is_reported(faults: StoreFaults) -> None:
    empty = Bucket(faults.cluster.s3, f"empty-{secrets.token_hex(4)}")
    faults.cluster.s3.allow(empty.name, faults.access)
    name = faults.dataset("empty", mount=f"s3://{empty.name}/any/where")
    assert faults.found_codes(name) == ["FM531"]
    faults.delete_cache(name)
    empty.delete()


@pytest.mark.breaks("FM532")
def test_missing_shard_is_reported(faults: StoreFaults, llama: str) -> None:
    key = "org/llama/model-00002-of-00003.safetensors"
    faults.bucket.client.delete_object(Bucket=faults.bucket.name, Key=key)
    assert faults.found_codes(llama) == ["FM532"]
    assert "model-00002-of-00003.safetensors" in faults.only_finding("FM532", llama).cause
    # Without the index it is the numbering that tells.
    index = faults.bucket.client.get_object(
        Bucket=faults.bucket.name, Key="org/llama/model.safetensors.index.json"
    )["Body"].read()
    faults.bucket.put("org/llama/model.safetensors.index.json", b"{not an index")
    assert faults.found_codes(llama) == ["FM532"]
    assert len(faults.doctor.found(llama)["FM532"]) == 2
    faults.bucket.put("org/llama/model.safetensors.index.json", index)
    faults.bucket.put(key, 1 << 20)
    assert faults.found_codes(llama) == []


@pytest.mark.breaks("FM533")
def test_missing_configuration_is_reported(faults: StoreFaults, llama: str) -> None:
    client, bucket = faults.bucket.client, faults.bucket.name
    config = client.get_object(Bucket=bucket, Key="org/llama/config.json")["Body"].read()
    client.delete_object(Bucket=bucket, Key="org/llama/config.json")
    assert faults.found_codes(llama) == ["FM533"]
    faults.bucket.put("org/llama/config.json", config)
    assert faults.found_codes(llama) == []


@pytest.mark.breaks("FM534")
def test_empty_or_missing_weights_are_reported(faults: StoreFaults) -> None:
    for key, content in weights.MODEL.items():
        faults.bucket.put(f"org/hollow/{key}", content)
    faults.bucket.put("org/hollow/model.safetensors", b"")
    name = faults.dataset("hollow", "org/hollow")
    assert faults.found_codes(name) == ["FM534"]
    faults.bucket.client.delete_object(
        Bucket=faults.bucket.name, Key="org/hollow/model.safetensors"
    )
    assert faults.found_codes(name) == ["FM534"]
    faults.bucket.put("org/hollow/model.safetensors", 4096)
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


def test_model_of_another_format_is_healthy(faults: StoreFaults) -> None:
    faults.bucket.put("org/gguf/model-q4.gguf", b"GGUF and more")
    faults.bucket.put("org/mistral/params.json", b"{}")
    faults.bucket.put("org/mistral/x.safetensors", 4096)
    for prefix, codes in (("org/gguf", ["FM541"]), ("org/mistral", []), ("org", ["FM541"])):
        name = faults.dataset("kinds", prefix)
        assert faults.found_codes(name) == codes, prefix
    faults.delete_cache(name)


SHA = "0f" * 20


@pytest.mark.breaks("FM538")
def test_truncated_weights_are_reported(faults: StoreFaults) -> None:
    whole = weights.safetensors_file(9000)
    for key, content in weights.MODEL.items():
        faults.bucket.put(f"org/cut/{key}", content)
    name = faults.dataset("cut", "org/cut")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9000\n"
    for content, words in (
        (whole[:5000], "4000 more than it has"),
        (pointer, "a Git LFS pointer"),
        (b"<!doctype html><title>Sign in</title>" + b" " * 5000, "an HTML page"),
    ):
        faults.bucket.put("org/cut/model.safetensors", content)
        assert faults.found_codes(name) == ["FM538"]
        assert words in faults.only_finding("FM538", name).cause
    faults.bucket.put("org/cut/model.safetensors", whole)
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


@pytest.mark.breaks("FM539")
def test_hub_cache_without_links_is_reported(faults: StoreFaults) -> None:
    top = "hub/models--acme--tiny"
    for number, (key, content) in enumerate(weights.MODEL.items()):
        faults.bucket.put(f"{top}/blobs/{number:040x}", content)
        faults.bucket.put(f"{top}/snapshots/{SHA}/{key}", b"")
    for prefix in (top, f"{top}/snapshots/{SHA}", "hub"):
        name = faults.dataset("links", prefix)
        assert faults.found_codes(name) == ["FM539"], prefix
        assert "without its symbolic links" in faults.only_finding("FM539", name).cause
    for key, content in weights.MODEL.items():  # as a copy that follows links has it
        faults.bucket.put(f"{top}/snapshots/{SHA}/{key}", content)
    name = faults.dataset("links", f"{top}/snapshots/{SHA}")
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


@pytest.mark.breaks("FM541")
def test_model_without_eos_token_is_reported(faults: StoreFaults) -> None:
    files = {**weights.MODEL, "config.json": weights.model_config(eos_token_id=None)}
    del files["generation_config.json"]
    for key, content in files.items():
        faults.bucket.put(f"org/endless/{key}", content)
    name = faults.dataset("endless", "org/endless")
    assert faults.found_codes(name) == ["FM541"]
    assert "no generation_config.json" in faults.only_finding("FM541", name).cause
    faults.bucket.put("org/endless/generation_config.json", b'{"eos_token_id": [1, 2]}')
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


@pytest.mark.breaks("FM542")
def test_unrelated_files_are_reported(faults: StoreFaults) -> None:
    for key, content in weights.MODEL.items():
        faults.bucket.put(f"org/littered/{key}", content)
    name = faults.dataset("littered", "org/littered")
    faults.bucket.put("org/littered/.cache/huggingface/download/x.metadata", b"x")
    assert faults.found_codes(name) == []  # a few bytes are no finding
    faults.bucket.put("org/littered/.cache/huggingface/download/y.incomplete", 2 << 20)
    assert faults.found_codes(name) == ["FM542"]
    fix = shlex.split(faults.only_finding("FM542", name).fix.text)
    endpoint = faults.cluster.s3.endpoint
    folder = f"s3://{faults.bucket.name}/org/littered/.cache/"
    assert fix == ["aws", "s3", "rm", folder, "--recursive", "--endpoint-url", endpoint]
    for key in faults.bucket.sizes("org/littered/.cache/"):  # what that command does
        faults.bucket.client.delete_object(Bucket=faults.bucket.name, Key=key)
    assert faults.found_codes(name) == []
    faults.delete_cache(name)


# -- what was staged and cached ---------------------------------------------------------------


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.breaks("FM535")
def test_unverified_staging_is_reported(faults: StoreFaults) -> None:
    faults.bucket.put_model(f"acme/tiny/{COMMIT}")
    name = faults.dataset("staged", f"acme/tiny/{COMMIT}")
    notes = {"fluidmodel.io/source": "hf://acme/tiny", "fluidmodel.io/commit": COMMIT}
    body = {"metadata": {"annotations": notes}}
    faults.cluster.api.patch(objects.FLUID, "Dataset", name, body, faults.namespace)
    assert faults.found_codes(name) == ["FM535"]
    fix = faults.only_finding("FM535", name).fix
    assert fix.text.startswith(
        f"kubectl fluidmodel stage acme/tiny@{COMMIT} --to s3://{faults.bucket.name}"
    )
    key = f"acme/tiny/.fluidmodel/{COMMIT}/manifest.json"
    faults.bucket.put(key, b"{}")
    assert faults.found_codes(name) == ["FM535"]
    assert "damaged" in faults.only_finding("FM535", name).cause
    sizes = {
        path.rpartition("/")[2]: size
        for path, size in faults.bucket.sizes(f"acme/tiny/{COMMIT}/").items()
    }
    faults.bucket.put(key, manifest(sizes))
    assert faults.found_codes(name) == []
    faults.bucket.put(f"acme/tiny/{COMMIT}/tokenizer.json", b"another")
    assert faults.found_codes(name) == ["FM535"]
    assert "tokenizer.json" in faults.only_finding("FM535", name).cause
    faults.delete_cache(name)


def manifest(sizes: dict[str, int]) -> bytes:
    from kubectl_fluidmodel.model.plan import PlanFile
    from kubectl_fluidmodel.stage.manifest import Manifest, ManifestEntry

    entries = [
        ManifestEntry(PlanFile(path, size, "git", "0" * 40), "e") for path, size in sizes.items()
    ]
    return Manifest("acme/tiny", COMMIT, tuple(sorted(entries))).to_json().encode()


@pytest.fixture(scope="module")
def cached(
    faults: StoreFaults, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A cache made by the plugin, Bound and loaded."""
    faults.bucket.put_model("org/cached")
    cli = Cli(cluster, tmp_path_factory.mktemp("cli"))
    cli("cache", faults.bucket.uri("org/cached"), "-n", faults.namespace, timeout=240).ok()
    yield "cached"


def test_healthy_cache_has_no_findings(faults: StoreFaults, cached: str) -> None:
    assert faults.found_codes(cached) == []
    seen = {
        outcome.check.code
        for outcome in faults.doctor.diagnosis.results
        if outcome.cache == (faults.namespace, cached) and not outcome.skip_reason
    }
    assert {"FM501", "FM521", "FM530", "FM532", "FM533", "FM536", "FM537"} <= seen


@pytest.mark.breaks("FM536")
def test_changed_source_is_reported(faults: StoreFaults, cached: str) -> None:
    faults.bucket.put("org/cached/extra.json", b"{}")
    assert faults.found_codes(cached) == ["FM536", "FM537"]
    assert "FM536" in [root.check.code for root in faults.doctor.diagnosis.roots]
    faults.bucket.client.delete_object(Bucket=faults.bucket.name, Key="org/cached/extra.json")
    assert faults.found_codes(cached) == []


@pytest.mark.breaks("FM537")
def test_fix_reloads_a_replaced_file(faults: StoreFaults, cached: str) -> None:
    sizes = faults.bucket.sizes("org/cached/")
    time.sleep(1.1)  # times of the store have seconds
    key = "org/cached/tokenizer.json"
    faults.bucket.put(key, b"y" * sizes[key])
    assert faults.found_codes(cached) == ["FM537"]
    faults.doctor.run(faults.only_finding("FM537", cached).fix, timeout=240)
    assert faults.found_codes(cached) == []


def test_probe_is_skipped_with_few_permissions(faults: StoreFaults, cached: str) -> None:
    rules = [
        {"apiGroups": ["data.fluid.io"], "resources": ["*"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["get", "list"]},
    ]
    path = faults.cluster.user_kubeconfig("doctor-few", rules=rules, namespace=faults.namespace)
    few = Client.connect(ConfigFlags(kubeconfig=str(path)))
    assert faults.found_codes(cached, client=few) == []
    assert "no permission to read Secret" in faults.doctor.skipped("FM521", cached)


# -- from inside ------------------------------------------------------------------------------


@pytest.fixture
def image(faults: StoreFaults) -> None:
    # What is in the image is where the tests' own Python has it.
    faults.cluster.image(STAGE, path=[str(Path(sys.executable).parent)])


def answer_of(faults: StoreFaults, name: str) -> dict[str, Any]:
    (found,) = json.loads(encode_texts(faults.doctor.snapshot)[f"store {faults.namespace}/{name}"])
    return dict(found)


def test_probe_runs_in_the_cluster(faults: StoreFaults, cached: str, image: None) -> None:
    from kubectl_fluidmodel.inventory.cache import build_caches

    assert faults.found_codes(cached) == []  # reads the cluster
    caches = [each for each in build_caches(faults.doctor.snapshot) if each.name == cached]
    from kubectl_fluidmodel.doctor.mount_probe import runner
    from kubectl_fluidmodel.doctor.mount_probe.job import PodProbe

    runner.probe_mounts(
        faults.doctor.client, caches, faults.doctor.snapshot, pod_probe=PodProbe(STAGE)
    )
    found = answer_of(faults, cached)
    assert (found["state"], found["origin"]) == ("ok", "pod"), found
    assert found["found"]["models"] == [""]
    objects.until(
        "the probe's Job to be gone",
        lambda: (
            not [
                each
                for each in faults.cluster.api.list("batch/v1", "Job", faults.namespace)
                if "-probe-" in each["metadata"]["name"]
            ]
        ),
    )


@pytest.mark.parametrize(("fault", "state"), [("secret", "no-secret"), ("rotated", "wrong-secret")])
def test_probe_reports_the_fault(
    faults: StoreFaults, llama: str, image: None, fault: str, state: str
) -> None:
    from kubectl_fluidmodel.doctor.mount_probe import runner
    from kubectl_fluidmodel.doctor.mount_probe.job import PodProbe
    from kubectl_fluidmodel.inventory.cache import build_caches

    if fault == "secret":
        faults.cluster.api.delete("v1", "Secret", f"{llama}-s3", faults.namespace)
    else:
        keys = {ACCESS: faults.access, HIDDEN: "not-the-one-at-all"}
        faults.cluster.api.apply(secret(faults.namespace, f"{llama}-s3", keys))
    caches = [each for each in build_caches(faults.doctor.snapshot) if each.name == llama]
    runner.probe_mounts(
        faults.doctor.client, caches, faults.doctor.snapshot, pod_probe=PodProbe(STAGE)
    )
    found = answer_of(faults, llama)
    assert (found["state"], found["origin"]) == (state, "pod"), found
    secret_free(faults.doctor.snapshot, faults.access, faults.hidden, "not-the-one-at-all")
