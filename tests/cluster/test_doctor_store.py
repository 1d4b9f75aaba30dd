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
from kubectl_fluidmodel.kube.config import Connection
from tests import weights
from tests.cluster import objects
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import Cli, clear
from tests.cluster.image import STAGE
from tests.cluster.in_process_doctor import Doctor, secret_free
from tests.cluster.s3 import secret
from tests.loopback import Answer, Server

pytestmark = pytest.mark.cluster

ACCESS, HIDDEN = "aws.accessKeyId", "aws.secretKey"


class Place:
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

    def look(self, name: str, **how: Any) -> list[str]:
        self.doctor.look(ask=True, **how)
        secret_free(self.doctor.snapshot, self.access, self.hidden)
        return self.doctor.codes(name)

    def one(self, code: str, name: str) -> Any:
        """The only finding of a code."""
        (found,) = self.doctor.found(name)[code]
        return found

    def gone(self, name: str) -> None:
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
def place(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(cluster, tmp_path_factory.mktemp("doctor"))
    yield made
    made.close()


@pytest.fixture
def llama(place: Place, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Dataset of a whole model whose keys are good: nothing is wrong with its store."""
    name = place.dataset(f"m{secrets.token_hex(3)}")
    assert place.look(name) == []
    yield name
    place.gone(name)


# -- the Secret ------------------------------------------------------------------------------


def env(place: Place) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": place.access, "AWS_SECRET_ACCESS_KEY": place.hidden}


@pytest.mark.breaks("FM501")
def test_no_secret(place: Place, llama: str) -> None:
    place.cluster.api.delete("v1", "Secret", f"{llama}-s3", place.namespace)
    assert place.look(llama) == ["FM501"]
    finding = place.one("FM501", llama)
    assert finding.about == f"secret {place.namespace}/{llama}-s3"
    assert "could" not in finding.cause and place.doctor.skipped("FM521", llama)
    place.doctor.run(finding.fix, env(place))
    assert place.look(llama) == []


@pytest.mark.breaks("FM502")
def test_a_key_of_another_name(place: Place, llama: str) -> None:
    place.cluster.api.delete("v1", "Secret", f"{llama}-s3", place.namespace)
    keys = {"accesskey": place.access, "secretkey": place.hidden}
    place.cluster.api.apply(secret(place.namespace, f"{llama}-s3", keys))
    assert place.look(llama) == ["FM502"]
    finding = place.one("FM502", llama)
    assert [each.text for each in finding.evidence] == [ACCESS, "accesskey, secretkey"]
    place.doctor.run(finding.fix, env(place))
    assert place.look(llama) == []


@pytest.mark.breaks("FM503")
@pytest.mark.parametrize("tail", ["\n", " "])
def test_a_key_with_a_newline(place: Place, llama: str, tail: str) -> None:
    keys = {ACCESS: place.access, HIDDEN: place.hidden + tail}
    place.cluster.api.apply(secret(place.namespace, f"{llama}-s3", keys))
    assert place.look(llama) == ["FM503"]
    place.doctor.run(place.one("FM503", llama).fix, env(place))
    assert place.look(llama) == []


def test_an_empty_key(place: Place, llama: str) -> None:
    keys = {ACCESS: place.access, HIDDEN: ""}
    place.cluster.api.apply(secret(place.namespace, f"{llama}-s3", keys))
    assert place.look(llama) == ["FM503"]
    assert "is empty" in place.one("FM503", llama).cause


# -- the way to the store ---------------------------------------------------------------------


@pytest.mark.breaks("FM506")
def test_a_service_addressed_by_host_name(place: Place) -> None:
    endpoint = place.cluster.s3.expose(place.namespace, "minio")
    options: dict[str, str | None] = {
        "alluxio.underfs.s3.endpoint": endpoint,
        "alluxio.underfs.s3.disable.dns.buckets": None,
    }
    name = place.dataset("by-host", options=options)
    objects.until(
        "the Service's pod",
        lambda: any(
            each.get("status", {}).get("phase") == "Running"
            for each in place.cluster.api.list("v1", "Pod", place.namespace)
        ),
    )
    assert place.look(name) == ["FM506"]
    place.gone(name)


def test_by_way_of_a_service(place: Place) -> None:
    endpoint = place.cluster.s3.expose(place.namespace, "minio")
    name = place.dataset("by-service", options={"alluxio.underfs.s3.endpoint": endpoint})
    place.doctor.see("the store through the Service", name=name, ask=True)
    (answer,) = json.loads(place.doctor.snapshot.texts[f"store {place.namespace}/{name}"])
    assert (answer["state"], answer["origin"]) == ("ok", "port-forward")
    assert answer["found"]["models"] == [""]
    place.gone(name)


@pytest.mark.breaks("FM507")
def test_an_endpoint_without_a_scheme(place: Place) -> None:
    written = place.cluster.s3.endpoint.removeprefix("http://")
    name = place.dataset("no-scheme", options={"alluxio.underfs.s3.endpoint": written})
    assert place.look(name) == ["FM507"]
    finding = place.one("FM507", name)
    assert finding.evidence[0].text == written
    assert finding.fix.text == f"alluxio.underfs.s3.endpoint: {place.cluster.s3.endpoint}"
    place.dataset(name)
    assert place.look(name) == []
    place.gone(name)


@pytest.mark.breaks("FM508")
def test_an_endpoint_with_the_bucket_in_it(place: Place) -> None:
    wrong = f"{place.cluster.s3.endpoint}/{place.bucket.name}"
    name = place.dataset("in-bucket", options={"alluxio.underfs.s3.endpoint": wrong})
    found = place.look(name)
    assert "FM508" in found
    fix = place.one("FM508", name).fix
    assert fix.text == f"alluxio.underfs.s3.endpoint: {place.cluster.s3.endpoint}"
    place.dataset(name)
    assert place.look(name) == []
    place.gone(name)


def test_a_temporary_key_without_its_token(place: Place, llama: str) -> None:
    keys = {ACCESS: "ASIA" + "A" * 16, HIDDEN: "x" * 40}
    place.cluster.api.apply(secret(place.namespace, f"{llama}-s3", keys))
    assert place.look(llama) == ["FM522"]
    assert "its session token is missing" in place.one("FM522", llama).cause
    place.doctor.run(place.one("FM522", llama).fix, env(place))
    assert place.look(llama) == []


@pytest.mark.breaks("FM510")
def test_a_service_that_is_not_there(place: Place) -> None:
    endpoint = "http://nowhere:9000"
    name = place.dataset("nowhere", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert place.look(name) == ["FM510"]
    finding = place.one("FM510", name)
    assert "there is no Service nowhere" in finding.cause
    assert place.doctor.run(finding.fix)
    place.gone(name)


def test_a_host_that_dns_does_not_have(place: Place) -> None:
    endpoint = "http://store.no-such-domain.invalid"
    name = place.dataset("no-dns", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert place.look(name) == ["FM510"]
    place.gone(name)


@pytest.mark.breaks("FM511")
def test_a_port_that_nobody_listens_on(place: Place) -> None:
    endpoint = "http://127.0.0.1:1"
    name = place.dataset("closed", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert place.look(name) == ["FM511"]
    assert "refuses the connection" in place.one("FM511", name).cause
    assert "did not let us see" in place.doctor.skipped("FM521", name)
    place.gone(name)


@pytest.mark.breaks("FM512")
def test_https_on_a_port_of_plain_http(place: Place) -> None:
    endpoint = place.cluster.s3.endpoint.replace("http:", "https:")
    name = place.dataset("tls", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert place.look(name) == ["FM512"]
    fix = place.one("FM512", name).fix
    assert fix.text == f"alluxio.underfs.s3.endpoint: {place.cluster.s3.endpoint}"
    place.dataset(name)
    assert place.look(name) == []
    place.gone(name)


def test_http_on_a_port_of_tls(place: Place) -> None:
    endpoint = place.cluster.api.server.replace("https:", "http:")
    name = place.dataset("no-tls", options={"alluxio.underfs.s3.endpoint": endpoint})
    assert place.look(name) == ["FM512"]
    assert "speaks TLS" in place.one("FM512", name).cause
    place.gone(name)


def serving(status: int, body: bytes, kind: str) -> Server:
    return Server(lambda _: Answer(status, body, {"Content-Type": kind}))


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
def test_what_else_a_server_may_say(
    place: Place, status: int, body: bytes, kind: str, code: str
) -> None:
    with contextlib.closing(Running(serving(status, body, kind))) as server:
        name = place.dataset("other", options={"alluxio.underfs.s3.endpoint": server.url})
        assert place.look(name) == [code], place.doctor.told(name)
    place.gone(name)


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
def test_a_clock_that_is_off(place: Place, llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = botocore.auth.get_current_datetime
    ahead = datetime.timedelta(hours=2)
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: real(*a, **k) + ahead
    )
    assert place.look(llama) == ["FM514"]
    monkeypatch.undo()
    assert place.look(llama) == []


# -- what the store says ----------------------------------------------------------------------


@pytest.mark.breaks("FM520")
def test_a_key_that_was_deleted(place: Place, llama: str) -> None:
    place.cluster.s3.delete_user(place.access)
    try:
        assert place.look(llama) == ["FM520"]
        finding = place.one("FM520", llama)
        assert "InvalidAccessKeyId" in finding.evidence[1].text
        # Another key that the store knows.
        own = {
            "AWS_ACCESS_KEY_ID": place.cluster.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": place.cluster.s3.secret_key,
        }
        place.doctor.run(finding.fix, own)
        assert place.look(llama) == []
        secret_free(place.doctor.snapshot, *own.values())
    finally:
        place.cluster.s3.create_user(place.access, place.hidden)


@pytest.mark.breaks("FM521")
def test_a_rotated_secret(place: Place, llama: str) -> None:
    place.hidden = secrets.token_urlsafe(24)
    place.cluster.s3.rotate(place.access, place.hidden)
    assert place.look(llama) == ["FM521"]
    finding = place.one("FM521", llama)
    assert finding.about == f"secret {place.namespace}/{llama}-s3"
    assert "SignatureDoesNotMatch" in finding.evidence[1].text
    place.doctor.run(finding.fix, env(place))
    assert place.look(llama) == []


@pytest.mark.breaks("FM523", "FM524")
@pytest.mark.parametrize(("left", "code"), [("s3:GetObject", "FM523"), ("s3:ListBucket", "FM524")])
def test_denied_by_policy(place: Place, llama: str, left: str, code: str) -> None:
    place.cluster.s3.allow(place.bucket.name, place.access, [left])
    assert place.look(llama) == [code]
    fix = place.one(code, llama).fix
    statement = {**json.loads(fix.text), "Principal": {"AWS": [place.access]}}
    other = {"Effect": "Allow", "Principal": {"AWS": [place.access]}, "Action": left}
    suffix = "/*" if left == "s3:GetObject" else ""
    other["Resource"] = f"arn:aws:s3:::{place.bucket.name}{suffix}"
    place.cluster.s3.policy(place.bucket.name, [statement, other])
    assert place.look(llama) == []
    place.cluster.s3.allow(place.bucket.name, place.access)


@pytest.mark.breaks("FM525")
def test_a_wrong_region(place: Place) -> None:
    name = place.dataset("region", options={"alluxio.underfs.s3.endpoint.region": "eu-west-1"})
    assert place.look(name) == ["FM525"]
    assert place.one("FM525", name).fix.text.endswith(f"region: {place.cluster.s3.region}")
    place.gone(name)


@pytest.mark.breaks("FM526")
def test_a_bucket_that_was_renamed(place: Place, llama: str) -> None:
    root = Path(place.cluster.s3.state) / "s3"
    old, new = place.bucket.name, f"{place.bucket.name}-old"
    for folder in ("data", "meta"):
        (root / folder / old).rename(root / folder / new)
    try:
        assert place.look(llama) == ["FM526"]
        finding = place.one("FM526", llama)
        assert f"bucket {old} does not exist" in finding.cause
    finally:
        for folder in ("data", "meta"):
            (root / folder / new).rename(root / folder / old)
    assert place.look(llama) == []


def test_a_likely_bucket_is_named(place: Place) -> None:
    keys = {ACCESS: place.cluster.s3.access_key, HIDDEN: place.cluster.s3.secret_key}
    wrong = place.bucket.name.replace("models", "model")
    name = place.dataset("likely", mount=f"s3://{wrong}/org/llama", keys=keys)
    assert place.look(name) == ["FM526"]
    fix = place.one("FM526", name).fix
    assert fix.text == f"mountPoint: s3://{place.bucket.name}/org/llama"
    place.gone(name)


@pytest.mark.breaks("FM527")
def test_web_directories(place: Place) -> None:
    closed = Running(serving(401, b"", "text/html"))
    missing = Running(serving(404, b"", "text/html"))
    bare = Running(serving(200, b"<html>no links</html>", "text/html"))
    for server, code in ((closed, "FM527"), (missing, "FM526"), (bare, "FM531")):
        with contextlib.closing(server):
            name = place.dataset("web", mount=f"{server.url}/models/")
            assert place.look(name) == [code]
    assert place.look(name) == ["FM511"]
    place.gone(name)


@pytest.mark.breaks("FM529")
def test_a_claim_that_is_not_there(place: Place) -> None:
    name = place.dataset("from-claim", mount="pvc://weights/llama")
    assert place.look(name) == ["FM529"]
    finding = place.one("FM529", name)
    assert finding.about == f"persistentvolumeclaim {place.namespace}/weights"
    place.gone(name)


def test_what_cannot_be_tried_says_so(place: Place) -> None:
    name = place.dataset("on-nodes", mount="local:///mnt/models")
    assert place.look(name) == []
    assert "pods on them alone" in place.doctor.skipped("FM511", name)
    place.gone(name)


# -- what lies in it --------------------------------------------------------------------------


@pytest.mark.breaks("FM530")
@pytest.mark.parametrize("wrong", ["org/lama", "org/Llama", "llama", "org/llama/main"])
def test_a_wrong_prefix(place: Place, wrong: str) -> None:
    name = place.dataset("wrong", wrong)
    assert place.look(name) == ["FM530"]
    assert place.one("FM530", name).fix.text == f"mountPoint: s3://{place.bucket.name}/org/llama"
    place.gone(name)


@pytest.mark.breaks("FM531")
def test_an_empty_bucket(place: Place) -> None:
    empty = Bucket(place.cluster.s3, f"empty-{secrets.token_hex(4)}")
    place.cluster.s3.allow(empty.name, place.access)
    name = place.dataset("empty", mount=f"s3://{empty.name}/any/where")
    assert place.look(name) == ["FM531"]
    place.gone(name)
    empty.delete()


@pytest.mark.breaks("FM532")
def test_a_shard_that_is_missing(place: Place, llama: str) -> None:
    key = "org/llama/model-00002-of-00003.safetensors"
    place.bucket.client.delete_object(Bucket=place.bucket.name, Key=key)
    assert place.look(llama) == ["FM532"]
    assert "model-00002-of-00003.safetensors" in place.one("FM532", llama).cause
    # Without the index it is the numbering that tells.
    index = place.bucket.client.get_object(
        Bucket=place.bucket.name, Key="org/llama/model.safetensors.index.json"
    )["Body"].read()
    place.bucket.put("org/llama/model.safetensors.index.json", b"{not an index")
    assert place.look(llama) == ["FM532"]
    assert len(place.doctor.found(llama)["FM532"]) == 2
    place.bucket.put("org/llama/model.safetensors.index.json", index)
    place.bucket.put(key, 1 << 20)
    assert place.look(llama) == []


@pytest.mark.breaks("FM533")
def test_no_config(place: Place, llama: str) -> None:
    client, bucket = place.bucket.client, place.bucket.name
    config = client.get_object(Bucket=bucket, Key="org/llama/config.json")["Body"].read()
    client.delete_object(Bucket=bucket, Key="org/llama/config.json")
    assert place.look(llama) == ["FM533"]
    place.bucket.put("org/llama/config.json", config)
    assert place.look(llama) == []


@pytest.mark.breaks("FM534")
def test_weights_that_are_hollow_or_gone(place: Place) -> None:
    for key, content in weights.MODEL.items():
        place.bucket.put(f"org/hollow/{key}", content)
    place.bucket.put("org/hollow/model.safetensors", b"")
    name = place.dataset("hollow", "org/hollow")
    assert place.look(name) == ["FM534"]
    place.bucket.client.delete_object(Bucket=place.bucket.name, Key="org/hollow/model.safetensors")
    assert place.look(name) == ["FM534"]
    place.bucket.put("org/hollow/model.safetensors", 4096)
    assert place.look(name) == []
    place.gone(name)


def test_a_model_of_another_kind_is_well(place: Place) -> None:
    place.bucket.put("org/gguf/model-q4.gguf", b"GGUF and more")
    place.bucket.put("org/mistral/params.json", b"{}")
    place.bucket.put("org/mistral/x.safetensors", 4096)
    for prefix, codes in (("org/gguf", ["FM541"]), ("org/mistral", []), ("org", ["FM541"])):
        name = place.dataset("kinds", prefix)
        assert place.look(name) == codes, prefix
    place.gone(name)


SHA = "0f" * 20


@pytest.mark.breaks("FM538")
def test_weights_that_were_cut_off(place: Place) -> None:
    whole = weights.safetensors(9000)
    for key, content in weights.MODEL.items():
        place.bucket.put(f"org/cut/{key}", content)
    name = place.dataset("cut", "org/cut")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9000\n"
    for content, words in (
        (whole[:5000], "4000 more than it has"),
        (pointer, "a pointer of Git LFS"),
        (b"<!doctype html><title>Sign in</title>" + b" " * 5000, "a page of HTML"),
    ):
        place.bucket.put("org/cut/model.safetensors", content)
        assert place.look(name) == ["FM538"]
        assert words in place.one("FM538", name).cause
    place.bucket.put("org/cut/model.safetensors", whole)
    assert place.look(name) == []
    place.gone(name)


@pytest.mark.breaks("FM539")
def test_a_hub_cache_that_lost_its_links(place: Place) -> None:
    top = "hub/models--acme--tiny"
    for number, (key, content) in enumerate(weights.MODEL.items()):
        place.bucket.put(f"{top}/blobs/{number:040x}", content)
        place.bucket.put(f"{top}/snapshots/{SHA}/{key}", b"")
    for prefix in (top, f"{top}/snapshots/{SHA}", "hub"):
        name = place.dataset("links", prefix)
        assert place.look(name) == ["FM539"], prefix
        assert "links were lost" in place.one("FM539", name).cause
    for key, content in weights.MODEL.items():  # as a copy that follows links has it
        place.bucket.put(f"{top}/snapshots/{SHA}/{key}", content)
    name = place.dataset("links", f"{top}/snapshots/{SHA}")
    assert place.look(name) == []
    place.gone(name)


@pytest.mark.breaks("FM541")
def test_a_model_that_frontends_do_not_list(place: Place) -> None:
    files = {**weights.MODEL, "config.json": weights.config(eos_token_id=None)}
    del files["generation_config.json"]
    for key, content in files.items():
        place.bucket.put(f"org/endless/{key}", content)
    name = place.dataset("endless", "org/endless")
    assert place.look(name) == ["FM541"]
    assert "no generation_config.json" in place.one("FM541", name).cause
    place.bucket.put("org/endless/generation_config.json", b'{"eos_token_id": [1, 2]}')
    assert place.look(name) == []
    place.gone(name)


@pytest.mark.breaks("FM542")
def test_rubbish_beside_the_model(place: Place) -> None:
    for key, content in weights.MODEL.items():
        place.bucket.put(f"org/littered/{key}", content)
    name = place.dataset("littered", "org/littered")
    place.bucket.put("org/littered/.cache/huggingface/download/x.metadata", b"x")
    assert place.look(name) == []  # a few bytes are no finding
    place.bucket.put("org/littered/.cache/huggingface/download/y.incomplete", 2 << 20)
    assert place.look(name) == ["FM542"]
    fix = shlex.split(place.one("FM542", name).fix.text)
    endpoint = place.cluster.s3.endpoint
    folder = f"s3://{place.bucket.name}/org/littered/.cache/"
    assert fix == ["aws", "s3", "rm", folder, "--recursive", "--endpoint-url", endpoint]
    for key in place.bucket.sizes("org/littered/.cache/"):  # what that command does
        place.bucket.client.delete_object(Bucket=place.bucket.name, Key=key)
    assert place.look(name) == []
    place.gone(name)


# -- what was staged and cached ---------------------------------------------------------------


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.breaks("FM535")
def test_staged_and_not_verified(place: Place) -> None:
    place.bucket.put_model(f"acme/tiny/{COMMIT}")
    name = place.dataset("staged", f"acme/tiny/{COMMIT}")
    notes = {"fluidmodel.io/source": "hf://acme/tiny", "fluidmodel.io/commit": COMMIT}
    body = {"metadata": {"annotations": notes}}
    place.cluster.api.patch(objects.FLUID, "Dataset", name, body, place.namespace)
    assert place.look(name) == ["FM535"]
    fix = place.one("FM535", name).fix
    assert fix.text.startswith(
        f"kubectl fluidmodel stage acme/tiny@{COMMIT} --to s3://{place.bucket.name}"
    )
    key = f"acme/tiny/.fluidmodel/{COMMIT}/manifest.json"
    place.bucket.put(key, b"{}")
    assert place.look(name) == ["FM535"]
    assert "damaged" in place.one("FM535", name).cause
    sizes = {
        path.rpartition("/")[2]: size
        for path, size in place.bucket.sizes(f"acme/tiny/{COMMIT}/").items()
    }
    place.bucket.put(key, manifest(sizes))
    assert place.look(name) == []
    place.bucket.put(f"acme/tiny/{COMMIT}/tokenizer.json", b"another")
    assert place.look(name) == ["FM535"]
    assert "tokenizer.json" in place.one("FM535", name).cause
    place.gone(name)


def manifest(sizes: dict[str, int]) -> bytes:
    from kubectl_fluidmodel.model.plan import PlanFile
    from kubectl_fluidmodel.stage.manifest import Entry, Manifest

    entries = [Entry(PlanFile(path, size, "git", "0" * 40), "e") for path, size in sizes.items()]
    return Manifest("acme/tiny", COMMIT, tuple(sorted(entries))).text().encode()


@pytest.fixture(scope="module")
def cached(
    place: Place, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A cache made by the plugin, Bound and loaded."""
    place.bucket.put_model("org/cached")
    cli = Cli(cluster, tmp_path_factory.mktemp("cli"))
    cli("cache", place.bucket.uri("org/cached"), "-n", place.namespace, timeout=240).ok()
    yield "cached"


def test_a_healthy_cache_has_no_finding(place: Place, cached: str) -> None:
    assert place.look(cached) == []
    seen = {
        outcome.check.code
        for outcome in place.doctor.diagnosis.outcomes
        if outcome.cache == (place.namespace, cached) and not outcome.skipped
    }
    assert {"FM501", "FM521", "FM530", "FM532", "FM533", "FM536", "FM537"} <= seen


@pytest.mark.breaks("FM536")
def test_a_source_that_changed(place: Place, cached: str) -> None:
    place.bucket.put("org/cached/extra.json", b"{}")
    assert place.look(cached) == ["FM536", "FM537"]
    assert "FM536" in [root.check.code for root in place.doctor.diagnosis.roots]
    place.bucket.client.delete_object(Bucket=place.bucket.name, Key="org/cached/extra.json")
    assert place.look(cached) == []


@pytest.mark.breaks("FM537")
def test_a_file_that_was_replaced_is_loaded_anew_by_the_fix(place: Place, cached: str) -> None:
    sizes = place.bucket.sizes("org/cached/")
    time.sleep(1.1)  # times of the store have seconds
    key = "org/cached/tokenizer.json"
    place.bucket.put(key, b"y" * sizes[key])
    assert place.look(cached) == ["FM537"]
    place.doctor.run(place.one("FM537", cached).fix, timeout=240)
    assert place.look(cached) == []


def test_under_little_rbac_it_is_skipped(place: Place, cached: str) -> None:
    rules = [
        {"apiGroups": ["data.fluid.io"], "resources": ["*"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["get", "list"]},
    ]
    path = place.cluster.user_kubeconfig("doctor-few", rules=rules, namespace=place.namespace)
    few = Client(Connection(kubeconfig=str(path)))
    assert place.look(cached, client=few) == []
    assert "no permission to read Secret" in place.doctor.skipped("FM521", cached)


# -- from inside ------------------------------------------------------------------------------


@pytest.fixture
def image(place: Place) -> None:
    # What is in the image is where the tests' own Python has it.
    place.cluster.image(STAGE, path=[str(Path(sys.executable).parent)])


def answer_of(place: Place, name: str) -> dict[str, Any]:
    (found,) = json.loads(place.doctor.snapshot.texts[f"store {place.namespace}/{name}"])
    return dict(found)


def test_a_probe_tries_it_in_the_cluster(place: Place, cached: str, image: None) -> None:
    from kubectl_fluidmodel.inventory.cache import link

    caches = [each for each in link(place.doctor.snapshot) if each.name == cached]
    from kubectl_fluidmodel.doctor.mount_probe import runner

    runner.ask(place.doctor.client, caches, place.doctor.snapshot, probe=True, image=STAGE)
    found = answer_of(place, cached)
    assert (found["state"], found["origin"]) == ("ok", "pod"), found
    assert found["found"]["models"] == [""]
    objects.until(
        "the probe's Job to be gone",
        lambda: (
            not [
                each
                for each in place.cluster.api.list("batch/v1", "Job", place.namespace)
                if "-probe-" in each["metadata"]["name"]
            ]
        ),
    )


@pytest.mark.parametrize(("fault", "state"), [("secret", "no-secret"), ("rotated", "wrong-secret")])
def test_a_probe_sees_what_is_wrong(
    place: Place, llama: str, image: None, fault: str, state: str
) -> None:
    from kubectl_fluidmodel.doctor.mount_probe import runner
    from kubectl_fluidmodel.inventory.cache import link

    if fault == "secret":
        place.cluster.api.delete("v1", "Secret", f"{llama}-s3", place.namespace)
    else:
        keys = {ACCESS: place.access, HIDDEN: "not-the-one-at-all"}
        place.cluster.api.apply(secret(place.namespace, f"{llama}-s3", keys))
    caches = [each for each in link(place.doctor.snapshot) if each.name == llama]
    runner.ask(place.doctor.client, caches, place.doctor.snapshot, probe=True, image=STAGE)
    found = answer_of(place, llama)
    assert (found["state"], found["origin"]) == (state, "pod"), found
    secret_free(place.doctor.snapshot, place.access, place.hidden, "not-the-one-at-all")
