"""Measuring sources, and what their mounts need, without a real store."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from kubectl_fluidmodel.cache.command import create_secret_command
from kubectl_fluidmodel.cache.source_info import SourceInfo, reachable_store, read_source
from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import PODS, SECRETS, SERVICES
from kubectl_fluidmodel.objectstore.s3 import S3Store
from tests.cache.objects import Objects, objects
from tests.cache.test_options import make_options
from tests.loopback import HttpRequest, HttpResponse, RequestHandler, free_port, serve
from tests.weights import MODEL

__all__ = ["objects"]

LISTED = b"".join(
    b"<Contents><Key>llama/%s</Key><Size>%d</Size></Contents>" % (name.encode(), len(content))
    for name, content in MODEL.items()
)
BYTES = sum(map(len, MODEL.values()))
XML = {"Content-Type": "application/xml"}


def bucket(request: HttpRequest) -> HttpResponse:
    """A store that holds a small model below `llama/`."""
    name = request.path.rpartition("/")[2]
    if name in MODEL:
        first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
        part = MODEL[name][int(first) : int(last) + 1]
        return HttpResponse(
            206, part, {"Content-Range": f"bytes {first}-{last}/{len(MODEL[name])}"}
        )
    return HttpResponse(200, b"<ListBucketResult>" + LISTED + b"</ListBucketResult>", XML)


def look(
    source: str = "s3://models/llama", endpoint: str | None = None, client: Any = None, **flags: Any
) -> SourceInfo:
    return read_source(make_options(source, endpoint=endpoint, **flags), client, "ns")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "h1dden")


@pytest.mark.usefixtures("keys")
class TestKeys:
    def test_a_secret_is_made_of_those_that_boto3_finds(self) -> None:
        with serve(bucket) as server:
            info = look(endpoint=server.url)
        assert info.secret is not None
        assert info.credentials.keys is not None
        assert info.credentials.keys.secret == info.secret["metadata"]["name"] == "llama-store"
        decoded = {k: base64.b64decode(v).decode() for k, v in info.secret["data"].items()}
        assert decoded == {
            info.credentials.keys.access_key: "AKIATEST",
            info.credentials.keys.secret_key: "h1dden",
        }
        assert info.listing is not None
        assert info.listing.bytes == BYTES
        assert "h1dden" not in repr(info.credentials) + repr(info.notes)

    def test_the_create_command_contains_no_value(self) -> None:
        info = look(quota="50Gi")
        assert info.secret is not None
        assert create_secret_command(info.secret) == (
            "kubectl create secret generic llama-store -n ns "
            '--from-literal=AWS_ACCESS_KEY_ID="$AWS_ACCESS_KEY_ID" '
            '--from-literal=AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY"'
        )

    def test_a_temporary_key_without_its_token_is_distinguished(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before any request: the store would say that it does not know the key."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIA" + "A" * 16)
        with pytest.raises(FluidModelError, match="temporary") as caught:
            look(quota="50Gi")
        assert (
            "ASIA" in caught.value.reason
            and "session token, which is missing" in caught.value.reason
        )

    def test_temporary_ones_of_a_secret_are_refused(self, objects: Objects) -> None:
        data = {name: base64.b64encode(name.encode()).decode() for name in (
            "aws.accessKeyId", "aws.secretKey", "aws.sessionToken",
        )}  # fmt: skip
        objects.add(SECRETS, {"metadata": {"name": "loaned", "namespace": "ns"}, "data": data})
        with pytest.raises(FluidModelError, match="the keys in Secret loaned are temporary"):
            look(client=objects.client, s3_secret="loaned")

    def test_temporary_ones_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
        with pytest.raises(FluidModelError, match="temporary") as caught:
            look(quota="50Gi")
        assert "--s3-secret" in caught.value.hint
        assert look(quota="50Gi", s3_secret="mine").secret is None


def test_no_keys_at_all_are_noted() -> None:
    info = look(quota="50Gi")
    assert (info.secret, info.credentials.keys) == (None, None)
    assert "no S3 credentials found" in info.notes[0]


def secret(**data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": "mine", "namespace": "ns"}, "data": encoded}


class TestExistingSecret:
    def test_its_keys_open_the_store_and_are_named_in_the_mount(self, objects: Objects) -> None:
        objects.add(SECRETS, secret(accesskey="AKIATEST", secretkey="h1dden"))
        with serve(bucket) as server:
            info = look(endpoint=server.url, client=objects.client, s3_secret="mine")
            assert "AKIATEST" in server.requests[0].headers["Authorization"]
        assert info.secret is None
        assert info.credentials.keys is not None
        keys = info.credentials.keys
        assert (keys.secret, keys.access_key, keys.secret_key) == ("mine", "accesskey", "secretkey")

    def test_missing(self, objects: Objects) -> None:
        with pytest.raises(FluidModelError, match="Secret mine does not exist") as caught:
            look(client=objects.client, s3_secret="mine")
        assert "kubectl create secret generic mine -n ns" in caught.value.hint

    @pytest.mark.parametrize("value", ["h1dden\n", " h1dden", ""])
    def test_a_key_with_a_newline_is_reported_before_any_request(
        self, objects: Objects, value: str
    ) -> None:
        objects.add(SECRETS, secret(accesskey="AKIATEST", secretkey=value))
        with pytest.raises(FluidModelError, match="ends in a newline") as caught:
            look(client=objects.client, s3_secret="mine")
        assert "h1dden" not in str(caught.value)

    def test_without_a_cluster_the_usual_names_are_taken(self) -> None:
        info = look(quota="50Gi", s3_secret="mine")
        assert info.credentials.keys is not None
        assert info.credentials.keys.access_key == "AWS_ACCESS_KEY_ID"


class TestQuotaInsteadOfMeasuring:
    def test_an_unreachable_endpoint_requires_a_quota(self) -> None:
        with pytest.raises(UnreachableError) as caught:
            look(endpoint=f"http://127.0.0.1:{free_port()}")
        assert caught.value.exit_code == 3

    def test_with_a_quota_it_is_a_note(self, objects: Objects) -> None:
        down = f"http://127.0.0.1:{free_port()}"
        info = look(endpoint=down, client=objects.client, quota="50Gi")
        assert info.listing is None
        assert any("size of the source is unknown" in note for note in info.notes)

    def test_a_refusal_is_an_error_all_the_same(self, objects: Objects) -> None:
        body = b"<Error><Code>NoSuchBucket</Code></Error>"
        answer = HttpResponse(404, body, {"Content-Type": "application/xml"})
        with serve(lambda _: answer) as server, pytest.raises(FluidModelError, match="cannot list"):
            look(endpoint=server.url, client=objects.client, quota="50Gi")

    def test_offline_with_a_quota_nothing_is_requested(self) -> None:
        with serve(bucket) as server:
            assert look(endpoint=server.url, quota="50Gi").listing is None
            assert look(f"{server.url}/m/", quota="50Gi").listing is None
            assert server.requests == []

    @pytest.mark.parametrize(
        "source", ["hdfs://nn:8020/m", "nfs://h/e", "pvc://c/m", "gs://b123/m"]
    )
    def test_what_cannot_be_measured_has_no_listing(self, source: str) -> None:
        info = look(source, quota="50Gi")
        assert (info.listing, info.secret) == (None, None)


def web(files: Mapping[str, bytes]) -> RequestHandler:
    """A server with an index of the files below `/m/`."""

    def respond(request: HttpRequest) -> HttpResponse:
        if request.path == "/m/":
            links = "".join(f"<a href='{name}'>x</a>" for name in files)
            return HttpResponse(200, links.encode(), {"Content-Type": "text/html"})
        return HttpResponse(200, files[request.path.removeprefix("/m/")])

    return respond


class TestJudging:
    def test_doubts_about_the_model_become_notes(self) -> None:
        with serve(web({**MODEL, "generation_config.json": b"{}", "config.json": b"{}"})) as server:
            info = look(f"{server.url}/m/")
        assert any("no eos_token_id" in note for note in info.notes)

    def test_a_model_in_order_has_none(self) -> None:
        with serve(bucket) as server:
            assert look(endpoint=server.url, s3_secret="mine").notes == ()

    def test_an_unloadable_model_is_refused_with_a_fix(self) -> None:
        with serve(web({**MODEL, "model.safetensors": b"<html>no</html>"})) as server:
            with pytest.raises(
                FluidModelError, match="not a model that an engine can load"
            ) as caught:
                look(f"{server.url}/m/", quota="50Gi", client=object())
        assert "model.safetensors is damaged: it is an HTML page" in caught.value.reason
        assert caught.value.hint and caught.value.exit_code == 1

    def test_a_hub_cache_without_links_is_refused_with_the_command(self) -> None:
        sha = "ab" * 20
        keys = [f"models--acme--tiny/snapshots/{sha}/config.json", "models--acme--tiny/blobs/x"]
        listing = b"".join(
            b"<Contents><Key>hub/%s</Key><Size>%d</Size></Contents>" % (key.encode(), size)
            for key, size in zip(keys, (0, 900), strict=True)
        )
        answer = HttpResponse(200, b"<ListBucketResult>" + listing + b"</ListBucketResult>", XML)
        with serve(lambda _: answer) as server, pytest.raises(FluidModelError) as caught:
            look("s3://models/hub", endpoint=server.url, s3_secret="mine")
        assert "without its symbolic links" in caught.value.reason
        assert caught.value.hint == (
            f"kubectl fluidmodel cache acme/tiny@{sha} --to s3://models --name hub "
            f"--endpoint {server.url} -n ns"
        )

    def test_junk_is_separate_from_the_model(self) -> None:
        files = {**MODEL, ".cache/huggingface/download/x.incomplete": b"x" * 999}
        with serve(web(files)) as server:
            info = look(f"{server.url}/m/")
        assert info.listing is not None
        assert (info.listing.bytes, len(info.listing.junk)) == (BYTES, 1)

    def test_nothing_but_junk_is_no_model(self) -> None:
        with serve(web({".DS_Store": b"x"})) as server:
            with pytest.raises(FluidModelError, match="does not contain a model"):
                look(f"{server.url}/m/")

    def test_files_that_may_be_listed_but_not_read_are_reported(self) -> None:
        denied = HttpResponse(403, b"<Error><Code>AccessDenied</Code></Error>", XML)

        def respond(request: HttpRequest) -> HttpResponse:
            return denied if request.path.count("/") > 1 else bucket(request)

        with serve(respond) as server:
            info = look(endpoint=server.url, s3_secret="mine")
        assert any("was only partially checked" in n and "AccessDenied" in n for n in info.notes)


class TestReachable:
    """An endpoint that is the name of a Service means nothing outside the cluster."""

    @pytest.mark.parametrize(
        "endpoint",
        [
            "",
            "http://127.0.0.1:9000",
            "http://localhost:9000",
            "https://minio:9000",
            "http://a.b.c",
        ],
    )
    def test_what_can_be_reached_is_left_as_it_is(self, objects: Objects, endpoint: str) -> None:
        store = S3Store(endpoint)
        with reachable_store(store, objects.client, "ns") as near:
            assert near == store
        assert objects.asked == []

    def test_without_a_cluster_there_is_no_other_way(self) -> None:
        store = S3Store("http://minio-of-nowhere:9000")
        with reachable_store(store, None, "ns") as near:
            assert near == store

    def test_no_such_service(self, objects: Objects) -> None:
        store = S3Store("http://minio-of-nowhere.store:9000")
        with pytest.raises(
            UnreachableError, match="no Service minio-of-nowhere in namespace store"
        ):
            with reachable_store(store, objects.client, "ns"):
                pass

    def test_forwarding_ports_is_forbidden(self, objects: Objects) -> None:
        service = {
            "metadata": {"name": "minio-of-nowhere", "namespace": "ns"},
            "spec": {"ports": [{"port": 9000}], "selector": {"a": "b"}},
        }
        objects.add(SERVICES, service)
        conditions = [{"type": "Ready", "status": "True"}]
        ready = {"metadata": {"name": "minio-0"}, "status": {"conditions": conditions}}
        objects.lists[PODS.path("ns")] = [ready]
        objects.forbidden.add(PODS.path("ns", "minio-0", "portforward"))
        store = S3Store("http://minio-of-nowhere:9000")
        with pytest.raises(UnreachableError, match="cannot reach") as caught:
            with reachable_store(store, objects.client, "ns"):
                pass
        assert "pods/portforward in namespace ns" in caught.value.reason
        assert caught.value.hint.startswith("--quota SIZE")


class TestLoopback:
    """`--endpoint http://localhost:9000`, which is another machine for each pod."""

    @staticmethod
    def node(address: str) -> Object:
        addresses = [{"type": "InternalIP", "address": address}]
        return {"metadata": {"name": "n"}, "status": {"addresses": addresses}}

    @pytest.mark.parametrize(
        "endpoint",
        [
            "http://localhost:9000", "http://127.0.0.1:9000", "https://127.1.2.3", "http://[::1]:1",
            "http://0.0.0.0:9000", "http://minio.localhost:9000",
        ],
    )  # fmt: skip
    def test_it_is_questioned(self, endpoint: str) -> None:
        (warning,) = look(endpoint=endpoint, quota="50Gi").warnings
        assert endpoint in warning and "as pods reach it" in warning

    @pytest.mark.parametrize(
        "endpoint", ["http://minio:9000", "https://10.0.0.7", "https://localhost.example.com", ""]
    )
    def test_others_are_not(self, endpoint: str) -> None:
        assert look(endpoint=endpoint or None, quota="50Gi").warnings == ()

    @pytest.mark.parametrize(("address", "here"), [("127.0.0.1", True), ("203.0.113.9", False)])
    def test_it_may_be_meant_where_a_node_is_this_machine(
        self, objects: Objects, address: str, here: bool
    ) -> None:
        objects.lists["/api/v1/nodes"] = [self.node(address)]
        with serve(bucket) as server:
            info = look(endpoint=server.url, client=objects.client)
        assert (info.warnings == ()) is here

    def test_nodes_that_cannot_be_seen_do_not_silence_it(self, objects: Objects) -> None:
        objects.forbidden.add("/api/v1/nodes")
        with serve(bucket) as server:
            assert look(endpoint=server.url, client=objects.client).warnings
