"""What stores, and those who answer in their place, say: recorded answers over real HTTP."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable

import pytest

from kubectl_fluidmodel.doctor.mount_probe.s3 import S3Probe
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.inventory.mount_target import MountTarget
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.objectstore.retry import S3RequestError
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials, require_session_token
from kubectl_fluidmodel.objectstore.s3_objects import list_prefix
from kubectl_fluidmodel.stage.bucket import Bucket
from tests.loopback import HttpResponse, serve

KEYS = S3Credentials("AKIA" + "A" * 16, "hidden-value")
XML = {"Content-Type": "application/xml"}
HTML = {"Content-Type": "text/html; charset=utf-8"}


def error(code: str, message: str = "words", more: str = "", **headers: str) -> HttpResponse:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    return HttpResponse(400 if code != "AccessDenied" else 403, body.encode(), {**XML, **headers})


CONSOLE = "does not respond like an S3 store: it responds with HTTP {} and {}"
ANSWERS: dict[str, tuple[HttpResponse, str, str, str]] = {
    "a console": (
        HttpResponse(200, b"<html><title>MinIO Console</title></html>", HTML),
        error_codes.NOT_S3, CONSOLE.format(200, "text/html"), "not the console's (9001)"),
    "a console's page that is no XML": (
        HttpResponse(200, b"<!doctype html><title>Console", HTML),
        error_codes.NOT_S3, CONSOLE.format(200, "text/html"), "not the console's (9001)"),
    "a page without a type": (
        HttpResponse(200, b"<!DOCTYPE html><p>hi"),
        error_codes.NOT_S3, CONSOLE.format(200, "no type"), ""),
    "nothing": (HttpResponse(200), error_codes.NOT_S3, CONSOLE.format(200, "no type"), ""),
    "JSON": (
        HttpResponse(200, b'{"ok": true}', {"Content-Type": "application/json"}),
        error_codes.NOT_S3, CONSOLE.format(200, "application/json"), ""),
    "another kind of XML": (
        HttpResponse(200, b"<?xml version='1.0'?><feed/>", XML),
        error_codes.NOT_S3, CONSOLE.format(200, "application/xml"), ""),
    "an ingress that does not know the host": (
        HttpResponse(404, b"default backend - 404", {"Content-Type": "text/plain"}),
        error_codes.NOT_S3, CONSOLE.format(404, "text/plain"), ""),
    "a proxy that filters": (
        HttpResponse(403, b"<html>blocked by policy</html>", HTML),
        error_codes.NOT_S3, CONSOLE.format(403, "text/html"), ""),
    "a login page": (
        HttpResponse(302, b"<html>", {**HTML, "Location": "https://me:pw@login.example/in?token=s3cret"}),
        error_codes.NOT_S3, "which redirects to https://login.example/in, unlike S3", ""),
    "TLS behind http, by Go": (
        HttpResponse(400, b"Client sent an HTTP request to an HTTPS server.\n"),
        error_codes.TLS, "this port uses TLS", "--endpoint https://127.0.0.1"),
    "TLS behind http, by nginx": (
        HttpResponse(400, b"<html>The plain HTTP request was sent to HTTPS port</html>", HTML),
        error_codes.TLS, "this port uses TLS", "--endpoint https://127.0.0.1"),
    "a region by its field": (
        error("AuthorizationHeaderMalformed", more="<Region>eu-central-1</Region>"),
        error_codes.REGION, "it is in eu-central-1", "--region eu-central-1"),
    "a region by the words": (
        error("AuthorizationHeaderMalformed", "'us-east-1' is wrong; expecting 'eu-central-1'"),
        error_codes.REGION, "it is in eu-central-1", "--region eu-central-1"),
    "a clock": (
        error("RequestTimeTooSkewed"), error_codes.SKEW, "this machine's clock is off",
        "timedatectl"),
    "an unknown key": (
        error("InvalidAccessKeyId"), error_codes.UNKNOWN_KEY, "does not know this access key",
        "AWS_ACCESS_KEY_ID"),
    "a wrong secret": (
        error("SignatureDoesNotMatch"), error_codes.WRONG_SECRET, "the secret key is wrong",
        "AWS_SECRET_ACCESS_KEY"),
    "an expired session": (
        error("ExpiredToken"), error_codes.EXPIRED, "the session has expired", "log in again"),
    "a policy": (
        error("AccessDenied"), error_codes.DENIED, "the credentials may not ListObjectsV2",
        "policy"),
    "a bucket that lets its readers pay": (
        error("AccessDenied", "This is a Requester Pays bucket"),
        error_codes.DENIED, "requester-pays", "your own bucket"),
    "a bucket that is not there": (
        error("NoSuchBucket"), error_codes.NO_BUCKET, "bucket 'b123' does not exist", "--endpoint"),
    "a list that is taken for a file": (
        error("NoSuchKey"), error_codes.NO_BUCKET, "bucket 'b123' does not exist", "--endpoint"),
    "anything else": (error("Whatever"), error_codes.ERROR, "Whatever: words", ""),
}  # fmt: skip


@pytest.fixture(params=ANSWERS.values(), ids=ANSWERS)
def recorded(request: pytest.FixtureRequest) -> tuple[HttpResponse, str, str, str]:
    response: tuple[HttpResponse, str, str, str] = request.param
    return response


def staging(store: S3Store, operation: str, **settings: str) -> None:
    """One operation as staging does it."""
    try:
        Bucket(store, "b123", retry_timeout=1.0).call_raw("try", operation, **settings)
    except S3RequestError as err:
        raise err.error from err


def translated_error(answer: HttpResponse, ask: Callable[[S3Store], object]) -> FluidModelError:
    """What comes of an answer."""
    with serve(lambda _: answer) as server, pytest.raises(FluidModelError) as caught:
        ask(S3Store(server.url, "us-east-1", KEYS))
    text = str(caught.value)
    assert "\n" not in text and "hidden-value" not in text and "s3cret" not in text
    return caught.value


def test_cache_reports_it_in_its_own_error(recorded: tuple[HttpResponse, str, str, str]) -> None:
    answer, _, why, way = recorded
    err = translated_error(answer, lambda store: list_prefix(store, "b123", "p"))
    assert err.message == "cannot list s3://b123/p"
    assert why in err.reason and way in err.hint
    assert err.exit_code == 1


def test_stage_reports_the_same(recorded: tuple[HttpResponse, str, str, str]) -> None:
    answer, _, why, way = recorded
    err = translated_error(answer, lambda store: staging(store, "list_objects_v2", Prefix="p"))
    assert why in err.reason and way in err.hint


def test_doctor_knows_it_by_the_same_table(recorded: tuple[HttpResponse, str, str, str]) -> None:
    answer, state, _, _ = recorded
    with serve(lambda _: answer) as server:
        question = MountTarget("ns", "s3://b123/p", "s3", "b123", "p", server.url, "us-east-1")
        result = S3Probe(question, KEYS).run()
    assert result.state == state
    assert "s3cret" not in str(result)


def test_by_how_much_a_clock_is_off() -> None:
    theirs = email.utils.formatdate(time.time() + 7200, usegmt=True)
    meta = {"HTTPHeaders": {"Date": theirs}, "HTTPStatusCode": 403}
    details = error_codes.parse_error(
        {"Error": {"Code": "RequestTimeTooSkewed"}, "ResponseMetadata": meta}, "x"
    )
    assert 7190 < details.skew < 7210
    assert (
        "clock is off by 7"
        in error_codes.explain_error(details, "AWS", "b", has_credentials=True)[0]
    )
    assert (
        error_codes.parse_clock_skew({"date": "yesterday"}) == error_codes.parse_clock_skew({}) == 0
    )


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_page_of_a_gateway_that_may_pass_is_no_foreign_server(status: int) -> None:
    page = HttpResponse(status, b"<html>Bad Gateway</html>", HTML)
    err = translated_error(page, lambda store: list_prefix(store, "b123", "p"))
    assert "does not respond like an S3 store" not in err.reason


def test_a_refusal_without_keys_is_reported_as_such() -> None:
    with serve(lambda _: error("AccessDenied")) as server, pytest.raises(FluidModelError) as caught:
        list_prefix(S3Store(server.url), "b123", "p")
    assert "no S3 credentials were found, and bucket b123 is not public" in caught.value.reason
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_a_head_has_no_reason_in_its_answer() -> None:
    err = translated_error(HttpResponse(403), lambda store: staging(store, "head_object", Key="k"))
    assert "may not HeadObject (the response to HEAD has no reason)" in err.reason


def test_redirects_in_a_circle_end() -> None:
    body = b"<Error><Code>PermanentRedirect</Code><Message>go there</Message></Error>"
    answer = HttpResponse(301, body, XML)
    err = translated_error(answer, lambda store: list_prefix(store, "b123", "p"))
    assert "the bucket is in another region" in err.reason
    with serve(lambda _: answer) as server:
        question = MountTarget("ns", "s3://b123/p", "s3", "b123", "p", server.url, "us-east-1")
        assert S3Probe(question, KEYS).run().state == error_codes.REGION


@pytest.mark.parametrize(
    ("endpoint", "bucket", "right"),
    [
        ("https://models.s3.eu-central-1.amazonaws.com", "models", "https://s3.eu-central-1.amazonaws.com"),
        ("https://models.s3-eu-west-1.amazonaws.com", "models", "https://s3-eu-west-1.amazonaws.com"),
        ("https://models.storage.googleapis.com", "models", "https://storage.googleapis.com"),
        ("http://minio:9000/models", "models", "http://minio:9000"),
        ("http://models.minio.svc:9000", "models", ""),
        ("http://minio:9000", "models", ""),
        ("http://minio:9000/other", "models", ""),
        ("", "models", ""),
    ],
)  # fmt: skip
def test_the_buckets_name_in_the_endpoint(endpoint: str, bucket: str, right: str) -> None:
    assert error_codes.find_bucket_in_endpoint(endpoint, bucket) == right
    if right:  # and nobody is asked
        with pytest.raises(UsageError, match="contains the bucket's name") as caught:
            list_prefix(S3Store(endpoint, "", KEYS), bucket, "p")
        assert caught.value.hint == f"--endpoint {right}"


def test_a_host_that_may_contain_the_bucket_is_named_when_it_fails() -> None:
    with pytest.raises(FluidModelError) as caught:
        list_prefix(S3Store("http://models.nowhere.invalid:9000", "", KEYS), "models", "p")
    assert caught.value.hint == "--endpoint http://nowhere.invalid:9000"
    assert "does not resolve" in caught.value.reason and caught.value.exit_code == 3


def test_https_on_a_port_of_plain_http() -> None:
    with serve(lambda _: HttpResponse(200)) as server, pytest.raises(FluidModelError) as caught:
        list_prefix(S3Store(server.url.replace("http:", "https:"), "", KEYS), "b123", "p")
    assert "does not speak TLS" in caught.value.reason
    assert "http://" in caught.value.hint


@pytest.mark.parametrize(
    ("keys", "refused"),
    [
        (None, False),
        (KEYS, False),
        (S3Credentials("ASIA" + "A" * 16, "x"), True),
        (S3Credentials("ASIA" + "A" * 16, "x", "token"), False),
        (S3Credentials("ASIA", "x"), False),  # of another store: AWS's have 20 characters
    ],
)
def test_a_temporary_key_without_its_token(keys: S3Credentials | None, refused: bool) -> None:
    if not refused:
        require_session_token(keys)
        return
    with pytest.raises(FluidModelError, match="is temporary") as caught:
        require_session_token(keys, " in Secret mine")
    assert (
        "in Secret mine" in caught.value.message
        and "session token, which is missing" in caught.value.reason
    )
