"""Where keys and endpoints come from, and what a store's refusals mean.

What a bucket holds is tested against a real S3 server in tests/cluster; here a loopback server
speaks the error documents of S3's REST API.
"""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError, UsageError
from kubectl_fluidmodel.model.sample import RangeReadError
from kubectl_fluidmodel.objectstore.s3 import S3Store, store_from_environment, validate_endpoint
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials, find_key_names
from kubectl_fluidmodel.objectstore.s3_objects import list_prefix, range_reader
from tests.loopback import HttpRequest, HttpResponse, free_port, serve

KEYS = S3Credentials("AKIATEST", "hidden-value")


def test_keys_are_not_in_a_repr() -> None:
    text = repr(S3Store("http://s3", "", S3Credentials("AKIATEST", "hidden-value", "token-value")))
    for secret in ("AKIATEST", "hidden-value", "token-value"):
        assert secret not in text


@pytest.mark.parametrize(
    ("url", "expected"),
    [("", ""), ("http://minio:9000/", "http://minio:9000"), ("https://s3.example", "https://s3.example")],
)  # fmt: skip
def test_an_endpoint(url: str, expected: str) -> None:
    assert validate_endpoint(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "minio:9000",
        "s3://bucket",
        "http://",
        "http:// x",
        "http://key:secret@minio:9000",
        "ftp://x",
    ],
)
def test_a_bad_endpoint_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate_endpoint(url)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "x"],
         ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        (["aws.accessKeyId", "aws.secretKey"], ("aws.accessKeyId", "aws.secretKey")),
        (["rootUser", "rootPassword"], ("rootUser", "rootPassword")),
        (["root-user", "accesskey", "secretkey"], ("accesskey", "secretkey")),
    ],
)  # fmt: skip
def test_the_names_of_the_keys_in_a_secret(keys: list[str], expected: tuple[str, str]) -> None:
    assert find_key_names(dict.fromkeys(keys, ""), "s") == expected


@pytest.mark.parametrize("keys", [[], ["user"], ["AWS_ACCESS_KEY_ID", "secretkey"]])
def test_a_secret_without_the_keys_is_reported_with_the_keys_it_has(keys: list[str]) -> None:
    with pytest.raises(FluidModelError) as caught:
        find_key_names(dict.fromkeys(keys, "value"), "minio")
    assert all(key in caught.value.reason for key in keys or ["nothing"])
    assert "value" not in str(caught.value)
    assert "kubectl create secret generic minio" in caught.value.hint


class TestFromEnvironment:
    def test_nothing_is_set(self) -> None:
        assert store_from_environment(None, None) == S3Store()

    def test_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "B")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "C")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all/")
        assert store_from_environment(None, None) == S3Store(
            "http://all", "eu-1", S3Credentials("A", "B", "C")
        )
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
        assert store_from_environment(None, None).endpoint == "http://s3"
        flags = store_from_environment("https://flag", "us-9")
        assert (flags.endpoint, flags.region) == ("https://flag", "us-9")

    @pytest.mark.parametrize(
        ("config", "env", "endpoint"),
        [
            ("endpoint_url = http://profile", {}, "http://profile"),
            ("services = lab\n[services lab]\ns3 =\n  endpoint_url = http://s3", {}, "http://s3"),
            (
                "services = lab\nendpoint_url = http://profile\n[services lab]\nec2 =\n"
                "  endpoint_url = http://ec2",
                {},
                "http://profile",
            ),
            ("endpoint_url = http://profile", {"AWS_ENDPOINT_URL": "http://env"}, "http://env"),
            ("endpoint_url = http://x\nignore_configured_endpoint_urls = true", {}, ""),
            ("", {"AWS_ENDPOINT_URL": "http://x", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
             ""),
        ],
    )  # fmt: skip
    def test_the_endpoint_of_the_configuration(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        config: str,
        env: dict[str, str],
        endpoint: str,
    ) -> None:
        """As boto3 itself takes it: the Dataset has to name the store that was measured."""
        file = tmp_path / "config"
        file.write_text(f"[default]\n{config}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        store = store_from_environment(None, None)
        assert store.endpoint == endpoint
        theirs = boto3.session.Session().client("s3", region_name="us-east-1").meta.endpoint_url
        assert (theirs == endpoint) or (not endpoint and "amazonaws.com" in theirs)

    def test_services_that_are_not_there(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        file = tmp_path / "config"
        file.write_text("[default]\nservices = lab\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
        with pytest.raises(UsageError, match="cannot read the AWS configuration") as caught:
            store_from_environment(None, None)
        assert "'lab'" in caught.value.reason

    def test_a_store_without_endpoint_is_aws(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere")
        assert "amazonaws.com" in S3Store(region="us-east-1").client().meta.endpoint_url

    def test_a_profile(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        file = tmp_path / ".aws" / "credentials"
        file.parent.mkdir()
        file.write_text("[work]\naws_access_key_id = A\naws_secret_access_key = B\n")
        monkeypatch.setenv("AWS_PROFILE", "work")
        assert store_from_environment(None, None).credentials == S3Credentials("A", "B")

    def test_a_missing_profile_is_wrong_usage(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nope")
        with pytest.raises(UsageError, match="cannot read the AWS configuration") as caught:
            store_from_environment(None, None)
        assert "nope" in caught.value.reason
        assert "AWS_PROFILE" in caught.value.hint


def refusal(code: str, status: int = 403) -> HttpResponse:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>words</Message></Error>"
    return HttpResponse(status, body.encode(), {"Content-Type": "application/xml"})


@pytest.mark.parametrize(
    ("code", "status", "why"),
    [
        ("NoSuchBucket", 404, "bucket 'b123' does not exist"),
        ("InvalidAccessKeyId", 403, "does not know this access key"),
        ("SignatureDoesNotMatch", 403, "the secret key is wrong"),
        ("RequestTimeTooSkewed", 403, "this machine's clock is off"),
        ("ExpiredToken", 400, "the session has expired"),
        ("AuthorizationHeaderMalformed", 400, "the bucket is in another region"),
        ("AccessDenied", 403, "access denied: the credentials may not ListObjectsV2"),
        ("Whatever", 400, "Whatever: words"),
    ],
)
def test_what_a_refusal_means(code: str, status: int, why: str) -> None:
    with serve(lambda _: refusal(code, status)) as server, pytest.raises(FluidModelError) as caught:
        list_prefix(S3Store(server.url, "us-east-1", KEYS), "b123", "p")
    assert caught.value.message == "cannot list s3://b123/p"
    assert why in caught.value.reason
    assert caught.value.exit_code == 1
    assert "hidden-value" not in str(caught.value)


def test_no_endpoint_answers() -> None:
    store = S3Store(f"http://127.0.0.1:{free_port()}", "us-east-1", KEYS)
    with pytest.raises(UnreachableError) as caught:
        list_prefix(store, "b123", "")
    assert (caught.value.message, caught.value.exit_code) == ("cannot list s3://b123", 3)
    assert store.endpoint in caught.value.reason


def test_what_is_no_s3_server() -> None:
    page = HttpResponse(200, b"<html>hello</html>", {"Content-Type": "text/html"})
    with serve(lambda _: page) as server, pytest.raises(FluidModelError) as caught:
        list_prefix(S3Store(server.url, "us-east-1", KEYS), "b123", "p")
    assert "\n" not in str(caught.value)


def test_the_reach_is_where_requests_go_and_credentials_stay() -> None:
    page = b"""<ListBucketResult><Contents><Key>p/a.bin</Key><Size>3</Size></Contents>
<Contents><Key>p/</Key><Size>0</Size></Contents></ListBucketResult>"""
    with serve(lambda _: HttpResponse(200, page, {"Content-Type": "application/xml"})) as server:
        store = S3Store("http://minio.nowhere.invalid:9000", "", KEYS).with_reach_url(server.url)
        listing = list_prefix(store, "b123", "p")
        request = server.requests[0]
    assert [(file.path, file.size) for file in listing.files] == [("a.bin", 3)]
    assert request.path == "/b123"  # path style: no DNS name per bucket
    assert request.query["prefix"] == "p/"
    assert "AKIATEST" in request.headers["Authorization"]


def test_without_keys_requests_are_unsigned() -> None:
    with serve(lambda _: refusal("AccessDenied")) as server, pytest.raises(FluidModelError):
        list_prefix(S3Store(server.url), "b123", "p")
    assert "Authorization" not in server.requests[0].headers


def test_an_empty_snapshot_of_a_hub_cache_is_detected_by_its_blobs() -> None:
    sha, top = "ab" * 20, "hub/models--acme--tiny"

    def respond(request: HttpRequest) -> HttpResponse:
        inside = request.query["prefix"] == f"{top}/blobs/"
        entry = f"<Contents><Key>{top}/blobs/x</Key><Size>9</Size></Contents>" if inside else ""
        body = f"<ListBucketResult>{entry}</ListBucketResult>"
        return HttpResponse(200, body.encode(), {"Content-Type": "application/xml"})

    with serve(respond) as server, pytest.raises(FluidModelError, match="is empty") as caught:
        list_prefix(S3Store(server.url, "us-east-1", KEYS), "b123", f"{top}/snapshots/{sha}")
    assert "without its links to hub/models--acme--tiny/blobs/" in caught.value.reason
    assert caught.value.hint == (
        f"kubectl fluidmodel cache acme/tiny@{sha} --to s3://b123 --endpoint {server.url}"
    )


@pytest.mark.parametrize(
    ("key", "folder"), [("models/q.gguf", "s3://b123/models"), ("q.gguf", "s3://b123")]
)
def test_one_object_is_distinguished_from_an_empty_prefix(key: str, folder: str) -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        inside = request.query["prefix"] == key
        entry = f"<Contents><Key>{key}</Key><Size>9</Size></Contents>" if inside else ""
        body = f"<ListBucketResult>{entry}</ListBucketResult>"
        return HttpResponse(200, body.encode(), {"Content-Type": "application/xml"})

    with serve(respond) as server, pytest.raises(FluidModelError, match="not a model") as caught:
        list_prefix(S3Store(server.url, "us-east-1", KEYS), "b123", key)
    assert caught.value.reason == "it is one object, not a directory of files"
    assert caught.value.hint == f"kubectl fluidmodel cache {folder}"


def test_files_are_read_in_part() -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        assert request.path == "/b123/p/a b.bin" and request.headers["Range"] == "bytes=2-4"
        return HttpResponse(206, b"234", {"Content-Range": "bytes 2-4/9"})

    with serve(respond) as server:
        assert (
            range_reader(S3Store(server.url, "us-east-1", KEYS), "b123", "p")("a b.bin", 2, 3)
            == b"234"
        )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refusal("AccessDenied"), "AccessDenied"),
        (HttpResponse(200, b"0123456789"), "not support range"),
        (HttpResponse(403, b"<html>no</html>", {"Content-Type": "text/html"}), "unlike S3"),
    ],
)
def test_files_that_cannot_be_read(answer: HttpResponse, message: str) -> None:
    with serve(lambda _: answer) as server, pytest.raises(RangeReadError, match=message):
        range_reader(S3Store(server.url, "us-east-1", KEYS), "b123", "p")("a", 2, 3)
