"""Measuring sources, and what their mounts need, without a real store."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kubectl_fluidmodel.caching.measure import Measured, measure, reachable
from kubectl_fluidmodel.caching.run import secret_command
from kubectl_fluidmodel.errors import FluidModelError, Unreachable
from kubectl_fluidmodel.kube.kind import PODS, SECRETS, SERVICES
from kubectl_fluidmodel.model.store import Store
from tests.caching.objects import Objects, objects
from tests.caching.test_request import request
from tests.loopback import Answer, free_port, serve

__all__ = ["objects"]

LISTING = Answer(
    200,
    b"<ListBucketResult><Contents><Key>llama/config.json</Key><Size>3</Size></Contents>"
    b"<Contents><Key>llama/w.safetensors</Key><Size>9</Size></Contents></ListBucketResult>",
    {"Content-Type": "application/xml"},
)


def look(
    source: str = "s3://models/llama", endpoint: str | None = None, client: Any = None, **flags: Any
) -> Measured:
    return measure(request(source, **flags), client, "ns", endpoint=endpoint, region=None)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "h1dden")


@pytest.mark.usefixtures("keys")
class TestKeys:
    def test_a_secret_is_made_of_those_that_boto3_finds(self) -> None:
        with serve(lambda _: LISTING) as server:
            found = look(endpoint=server.url)
        assert found.secret is not None
        assert found.access.keys is not None
        assert found.access.keys.secret == found.secret["metadata"]["name"] == "llama-store"
        decoded = {k: base64.b64decode(v).decode() for k, v in found.secret["data"].items()}
        assert decoded == {
            found.access.keys.access: "AKIATEST",
            found.access.keys.hidden: "h1dden",
        }
        assert found.listing is not None
        assert found.listing.bytes == 12
        assert "h1dden" not in repr(found.access) + repr(found.notes)

    def test_how_to_make_it_by_hand_tells_no_value(self) -> None:
        found = look(quota="50Gi")
        assert found.secret is not None
        assert secret_command(found.secret) == (
            "kubectl create secret generic llama-store -n ns "
            '--from-literal=AWS_ACCESS_KEY_ID="$AWS_ACCESS_KEY_ID" '
            '--from-literal=AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY"'
        )

    def test_temporary_ones_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
        with pytest.raises(FluidModelError, match="temporary") as caught:
            look(quota="50Gi")
        assert "--s3-secret" in caught.value.try_
        assert look(quota="50Gi", s3_secret="mine").secret is None


def test_no_keys_at_all_are_noted() -> None:
    found = look(quota="50Gi")
    assert (found.secret, found.access.keys) == (None, None)
    assert "no S3 credentials found" in found.notes[0]


def secret(**data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": "mine", "namespace": "ns"}, "data": encoded}


class TestExistingSecret:
    def test_its_keys_open_the_store_and_are_named_in_the_mount(self, objects: Objects) -> None:
        objects.add(SECRETS, secret(accesskey="AKIATEST", secretkey="h1dden"))
        with serve(lambda _: LISTING) as server:
            found = look(endpoint=server.url, client=objects.client, s3_secret="mine")
            assert "AKIATEST" in server.asked[0].headers["Authorization"]
        assert found.secret is None
        assert found.access.keys is not None
        keys = found.access.keys
        assert (keys.secret, keys.access, keys.hidden) == ("mine", "accesskey", "secretkey")

    def test_missing(self, objects: Objects) -> None:
        with pytest.raises(FluidModelError, match="Secret mine does not exist") as caught:
            look(client=objects.client, s3_secret="mine")
        assert "kubectl create secret generic mine -n ns" in caught.value.try_

    @pytest.mark.parametrize("value", ["h1dden\n", " h1dden", ""])
    def test_a_key_with_a_newline_is_said_before_the_store_refuses_it(
        self, objects: Objects, value: str
    ) -> None:
        objects.add(SECRETS, secret(accesskey="AKIATEST", secretkey=value))
        with pytest.raises(FluidModelError, match="ends in a newline") as caught:
            look(client=objects.client, s3_secret="mine")
        assert "h1dden" not in str(caught.value)

    def test_without_a_cluster_the_usual_names_are_taken(self) -> None:
        found = look(quota="50Gi", s3_secret="mine")
        assert found.access.keys is not None
        assert found.access.keys.access == "AWS_ACCESS_KEY_ID"


class TestQuotaInsteadOfMeasuring:
    def test_an_endpoint_that_is_down_wants_a_quota(self) -> None:
        with pytest.raises(Unreachable) as caught:
            look(endpoint=f"http://127.0.0.1:{free_port()}")
        assert caught.value.exit_code == 3

    def test_with_a_quota_it_is_a_note(self, objects: Objects) -> None:
        down = f"http://127.0.0.1:{free_port()}"
        found = look(endpoint=down, client=objects.client, quota="50Gi")
        assert found.listing is None
        assert any("was not measured" in note for note in found.notes)

    def test_a_refusal_is_an_error_all_the_same(self, objects: Objects) -> None:
        body = b"<Error><Code>NoSuchBucket</Code></Error>"
        answer = Answer(404, body, {"Content-Type": "application/xml"})
        with serve(lambda _: answer) as server, pytest.raises(FluidModelError, match="cannot list"):
            look(endpoint=server.url, client=objects.client, quota="50Gi")

    def test_offline_with_a_quota_nobody_is_asked(self) -> None:
        with serve(lambda _: LISTING) as server:
            assert look(endpoint=server.url, quota="50Gi").listing is None
            assert look(f"{server.url}/m/", quota="50Gi").listing is None
            assert server.asked == []

    @pytest.mark.parametrize(
        "source", ["hdfs://nn:8020/m", "nfs://h/e", "pvc://c/m", "gs://b123/m"]
    )
    def test_what_cannot_be_measured_has_no_listing(self, source: str) -> None:
        found = look(source, quota="50Gi")
        assert (found.listing, found.secret) == (None, None)


def test_doubts_about_the_model_become_notes() -> None:
    page = Answer(200, b"<a href='readme.txt'>x</a>", {"Content-Type": "text/html"})
    with serve(lambda asked: page if asked.path == "/m/" else Answer(200, b"hello")) as server:
        found = look(f"{server.url}/m/")
    assert any("no weights" in note for note in found.notes)
    assert any("no config.json" in note for note in found.notes)


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
        store = Store(endpoint)
        with reachable(store, objects.client, "ns") as near:
            assert near == store
        assert objects.asked == []

    def test_without_a_cluster_there_is_no_other_way(self) -> None:
        store = Store("http://minio-of-nowhere:9000")
        with reachable(store, None, "ns") as near:
            assert near == store

    def test_no_such_service(self, objects: Objects) -> None:
        store = Store("http://minio-of-nowhere.store:9000")
        with pytest.raises(Unreachable, match="no Service minio-of-nowhere in namespace store"):
            with reachable(store, objects.client, "ns"):
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
        store = Store("http://minio-of-nowhere:9000")
        with pytest.raises(Unreachable, match="cannot reach") as caught:
            with reachable(store, objects.client, "ns"):
                pass
        assert "pods/portforward in namespace ns" in caught.value.why
        assert caught.value.try_.startswith("--quota SIZE")
