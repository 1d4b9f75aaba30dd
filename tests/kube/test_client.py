"""The client against a loopback server: what it sends, and what it makes of the answers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.errors import (
    ClusterUnreachableError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnauthorizedError,
)
from kubectl_fluidmodel.objects.kinds import NODES, PODS
from tests.kube import certificates
from tests.kube.server import client, listed, pod, status
from tests.loopback import HttpRequest, HttpResponse, Server, free_port, json_response, serve

PODS_PATH = "/api/v1/namespaces/ns/pods"


class TestReading:
    def test_get(self) -> None:
        with serve(lambda _: json_response(pod("a"))) as server:
            assert client(server).get(PODS, "a", "ns") == pod("a")
            (asked,) = server.requests
        assert (asked.method, asked.path, asked.query) == ("GET", f"{PODS_PATH}/a", {})
        assert asked.headers["Accept"] == "application/json"
        assert asked.headers["User-Agent"].startswith("kubectl-fluidmodel/")
        assert asked.headers["Authorization"] is None

    def test_find_is_none_only_for_404(self) -> None:
        with serve(lambda _: status(404, "not found", "NotFound")) as server:
            assert client(server).get_or_none(PODS, "a", "ns") is None
        with (
            serve(lambda _: status(403, "no", "Forbidden")) as server,
            pytest.raises(ForbiddenError),
        ):
            client(server).get_or_none(PODS, "a", "ns")

    def test_a_server_without_a_version_is_no_api_server(self) -> None:
        """As behind a wrong path of a proxy for many clusters: not a cluster without Fluid."""
        with (
            serve(lambda _: HttpResponse(404, b"404 page not found")) as server,
            pytest.raises(ClusterUnreachableError, match="there is no API server at http://"),
        ):
            client(server).server_version()

    def test_lists_are_read_in_pages(self) -> None:
        pages = {
            "": listed(pod("a"), pod("b"), version=7, token="more"),
            "more": listed(pod("c"), version=7),
        }
        with serve(lambda asked: pages[asked.query.get("continue", "")]) as server:
            items = client(server).list_objects(PODS, "ns", labels="a=b", fields="c=d")
            queries = [asked.query for asked in server.requests]
        assert [item["metadata"]["name"] for item in items] == ["a", "b", "c"]
        assert items.resource_version == "7"
        selectors = {"limit": "500", "labelSelector": "a=b", "fieldSelector": "c=d"}
        assert queries == [selectors, {**selectors, "continue": "more"}]

    def test_listed_objects_have_kind_and_api_version(self) -> None:
        with serve(lambda _: listed(pod("a"))) as server:
            (item,) = client(server).list_objects(PODS, "ns")
        assert (item["kind"], item["apiVersion"]) == ("Pod", "v1")

    @pytest.mark.parametrize("items", [None, []])
    def test_an_empty_list(self, items: Any) -> None:
        with serve(
            lambda _: json_response({"kind": "PodList", "metadata": {}, "items": items})
        ) as server:
            objects = client(server).list_objects(PODS, "ns")
            assert (objects, objects.resource_version) == ([], "")

    def test_a_list_that_expires_between_pages_is_read_again(self) -> None:
        """etcd compacts while a slow reader turns pages: 410 on the continue token."""

        def respond(asked: HttpRequest) -> HttpResponse:
            if "continue" in asked.query:
                return status(410, "The provided continue parameter is too old", "Expired")
            if "limit" in asked.query:
                return listed(pod("a"), token="old")
            return listed(pod("a"), pod("b"), version=9)

        with serve(respond) as server:
            items = client(server).list_objects(PODS, "ns")
        assert [item["metadata"]["name"] for item in items] == ["a", "b"]
        assert items.resource_version == "9"

    @pytest.mark.parametrize(
        ("answer", "versions"),
        [
            (
                json_response(
                    {
                        "kind": "APIGroup",
                        "versions": [{"version": "v1alpha1"}, {"version": "v1"}],
                        "preferredVersion": {"version": "v1"},
                    }
                ),
                ["v1", "v1alpha1"],
            ),
            (status(404, "the server could not find the requested resource"), []),
            (HttpResponse(404, b"404 page not found\n", {"Content-Type": "text/plain"}), []),
        ],
    )
    def test_served_versions(self, answer: HttpResponse, versions: list[str]) -> None:
        with serve(lambda _: answer) as server:
            assert client(server).served_versions("data.fluid.io") == versions

    def test_a_log(self) -> None:
        with serve(lambda _: HttpResponse(200, b"one\n\xfftwo\n")) as server:
            text = client(server).pod_logs("ns", "p", "c", tail=3, previous=True)
            (asked,) = server.requests
        assert text == "one\n\ufffdtwo\n"
        assert asked.path == f"{PODS_PATH}/p/log"
        assert asked.query == {"container": "c", "tailLines": "3", "previous": "true"}


class TestWriting:
    def test_server_side_apply(self) -> None:
        with serve(lambda asked: json_response(asked.json)) as server:
            assert client(server).apply(PODS, pod("a")) == pod("a")
            (asked,) = server.requests
        assert (asked.method, asked.path) == ("PATCH", f"{PODS_PATH}/a")
        assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
        assert asked.query == {
            "fieldManager": "kubectl-fluidmodel",
            "force": "false",
            "fieldValidation": "Strict",
        }
        assert asked.json == pod("a")

    def test_a_dry_run_is_named_in_every_line(self) -> None:
        with serve(lambda _: json_response({})) as server:
            kube = client(server)
            kube.apply(PODS, pod("a"), dry_run=True, force=True)
            kube.patch(PODS, "a", "ns", {}, dry_run=True)
            kube.create(PODS, pod("a"), dry_run=True)
            kube.delete(PODS, "a", "ns", dry_run=True)
            *others, deleted = server.requests
        assert [asked.query["dryRun"] for asked in others] == ["All"] * 3
        assert others[0].query["force"] == "true"
        assert deleted.json["dryRun"] == ["All"]

    @pytest.mark.parametrize(
        ("media", "body"),
        [
            ("application/merge-patch+json", {"spec": None}),
            ("application/json-patch+json", [{"op": "remove", "path": "/spec"}]),
        ],
    )
    def test_patch(self, media: str, body: Any) -> None:
        with serve(lambda _: json_response({})) as server:
            client(server).patch(PODS, "a", "ns", body, media=media)
            (asked,) = server.requests
        assert (asked.headers["Content-Type"], asked.json) == (media, body)

    def test_create_posts_to_the_list(self) -> None:
        with serve(lambda asked: json_response(asked.json, 201)) as server:
            client(server).create(PODS, pod("a"))
            (asked,) = server.requests
        assert (asked.method, asked.path) == ("POST", PODS_PATH)

    def test_delete_in_the_background_of_one_object_only(self) -> None:
        with serve(lambda _: json_response({})) as server:
            assert client(server).delete(PODS, "a", "ns", uid="u-1")
            (asked,) = server.requests
        assert asked.json == {"propagationPolicy": "Background", "preconditions": {"uid": "u-1"}}

    def test_what_is_gone_needs_no_delete(self) -> None:
        with serve(lambda _: status(404, "gone", "NotFound")) as server:
            assert client(server).delete(PODS, "a", "ns") is False


class TestIdentity:
    def asked(self, **flags: Any) -> HttpRequest:
        with serve(lambda _: json_response({})) as server:
            client(server, **flags).get(NODES, "n")
            return server.requests[0]

    def test_a_token(self, tmp_path: Path) -> None:
        certificate = certificates.self_signed(tmp_path, "localhost")
        with serve(lambda _: json_response({}), certificate=certificate) as server:
            client(server, token="t-1", insecure_skip_tls_verify=True).get(NODES, "n")
            assert server.requests[0].headers["Authorization"] == "Bearer t-1"

    def test_impersonation(self) -> None:
        headers = self.asked(as_user="jane", as_groups=("dev", "ops")).headers
        assert headers["Impersonate-User"] == "jane"
        assert headers.get_all("Impersonate-Group") == ["dev", "ops"]

    def test_a_server_below_a_path(self) -> None:
        with serve(lambda _: json_response({})) as server:
            Client.connect(ConfigFlags(server=f"{server.url}/k8s/clusters/c-1/")).get(NODES, "n")
            assert server.requests[0].path == "/k8s/clusters/c-1/api/v1/nodes/n"


class TestRefusals:
    @pytest.mark.parametrize(
        ("answer", "kind", "reason"),
        [
            (status(401, "Unauthorized"), UnauthorizedError, "rejects these credentials"),
            (
                status(403, 'pods "a" is forbidden: User "x" cannot get'),
                ForbiddenError,
                "is forbidden",
            ),
            (
                HttpResponse(403, b"Access denied by corporate proxy\n"),
                ForbiddenError,
                "corporate proxy",
            ),
            (status(404, 'pods "a" not found'), NotFoundError, "not found"),
            (status(409, "Apply failed with 1 conflict"), ConflictError, "1 conflict"),
            (status(410, "too old"), GoneError, "too old"),
            (status(422, "spec.x: Invalid value"), InvalidError, "Invalid value"),
            (status(429, "Too many requests, please try again later."), KubeError, "Too many"),
            (status(500, "etcdserver: leader changed"), KubeError, "leader changed"),
            (HttpResponse(503, b"apiserver is shutting down"), KubeError, "shutting down"),
            (HttpResponse(502, b"<html>Bad Gateway</html>"), KubeError, "Bad Gateway"),
        ],
    )
    def test_each_is_reported_and_not_retried(
        self, answer: HttpResponse, kind: type[FluidModelError], reason: str
    ) -> None:
        with serve(lambda _: answer) as server:
            with pytest.raises(kind) as caught:
                client(server).get(PODS, "a", "ns")
            assert len(server.requests) == 1
        assert caught.value.message == "cannot get pods a in namespace ns"
        assert reason in caught.value.reason

    @pytest.mark.parametrize("body", [b"<html>a login page</html>", b"[]", b"", b"7"])
    def test_an_answer_that_is_no_object(self, body: bytes) -> None:
        with (
            serve(lambda _: HttpResponse(200, body)) as server,
            pytest.raises(ClusterUnreachableError) as caught,
        ):
            client(server).get(PODS, "a", "ns")
        assert "the server responded" in caught.value.reason

    def test_a_redirect_is_not_followed(self) -> None:
        """The bearer token must not travel to where a redirect points."""
        with serve(lambda _: json_response({})) as elsewhere:
            answer = HttpResponse(302, b"", {"Location": elsewhere.url + "/"})
            with serve(lambda _: answer) as server, pytest.raises(FluidModelError):
                client(server, token="t-1").get(PODS, "a", "ns")
            assert elsewhere.requests == []


class TestPatience:
    """Off: an error at once. On: a server that restarts is waited for, but never a POST again."""

    def flaky(self, *answers: HttpResponse) -> Any:
        left = list(answers)
        return lambda _: left.pop(0) if len(left) > 1 else left[0]

    def test_reads_and_applies_are_tried_again(self) -> None:
        respond = self.flaky(status(503, "starting"), status(429, "busy"), json_response({"ok": 1}))
        with serve(respond) as server:
            kube = client(server)
            kube.retry_timeout = 5.0
            assert kube.apply(PODS, pod("a")) == {"ok": 1}
            assert len(server.requests) == 3

    def test_a_post_is_not(self) -> None:
        with serve(self.flaky(status(503, "starting"), json_response({}))) as server:
            kube = client(server)
            kube.retry_timeout = 5.0
            with pytest.raises(KubeError, match="starting"):
                kube.create(PODS, pod("a"))
            assert len(server.requests) == 1

    @pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 410, 422])
    def test_a_no_is_a_no(self, code: int) -> None:
        with serve(lambda _: status(code, "no")) as server:
            kube = client(server)
            kube.retry_timeout = 5.0
            with pytest.raises(FluidModelError):
                kube.get(PODS, "a", "ns")
            assert len(server.requests) == 1

    def test_it_ends(self) -> None:
        with serve(lambda _: status(503, "starting")) as server:
            kube = client(server)
            kube.retry_timeout = 0.5
            began = time.monotonic()
            with pytest.raises(KubeError, match="starting"):
                kube.get(PODS, "a", "ns")
        assert 0.5 <= time.monotonic() - began < 3

    def test_a_server_that_comes_up_late(self) -> None:
        port = free_port()
        kube = Client.connect(ConfigFlags(server=f"http://127.0.0.1:{port}"))
        kube.retry_timeout = 10.0
        pods_read: list[Any] = []
        reader = threading.Thread(target=lambda: pods_read.append(kube.get(PODS, "a", "ns")))
        reader.start()
        time.sleep(0.5)
        with serve(lambda _: json_response(pod("a")), port):
            reader.join(8)
        assert pods_read == [pod("a")]


class TestUnreachable:
    def test_no_server_listens(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(ClusterUnreachableError) as caught:
            Client.connect(ConfigFlags(server=url)).get(PODS, "a", "ns")
        assert caught.value.reason == f"no response from {url} (Connection refused)"
        assert (caught.value.exit_code, caught.value.hint) == (3, "kubectl cluster-info")

    def test_an_unknown_host(self) -> None:
        with pytest.raises(ClusterUnreachableError) as caught:
            Client.connect(ConfigFlags(server="http://nowhere.invalid:1")).get(PODS, "a", "ns")
        assert "nowhere.invalid" in caught.value.reason
        assert "object at 0x" not in caught.value.reason

    def test_a_server_that_does_not_answer_in_time(self) -> None:
        def slow(_: HttpRequest) -> HttpResponse:
            time.sleep(1.5)
            return json_response({})

        with serve(slow) as server:
            began = time.monotonic()
            with pytest.raises(ClusterUnreachableError, match="no response") as caught:
                client(server, request_timeout="200ms").get(PODS, "a", "ns")
            assert time.monotonic() - began < 1.2
            assert len(server.requests) == 1  # it may have been carried out: not sent again
        assert "imed out" in caught.value.reason

    def test_a_connection_that_breaks_in_the_answer(self) -> None:
        def broken() -> Iterator[bytes]:
            yield b'{"kind": '

        with serve(lambda _: HttpResponse(200, broken(), {}, chunked=False)) as server:
            with pytest.raises(ClusterUnreachableError):
                client(server).get(PODS, "a", "ns")
            assert len(server.requests) == 1

    def test_tls_to_a_server_without(self) -> None:
        """As an API server's plain port answers what it cannot read."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def answer() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        peer, _ = listener.accept()
                        peer.recv(9999)
                        peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                        peer.close()

            threading.Thread(target=answer, daemon=True).start()
            with pytest.raises(ClusterUnreachableError) as caught:
                port = listener.getsockname()[1]
                Client.connect(ConfigFlags(server=f"https://127.0.0.1:{port}")).get(PODS, "a", "ns")
        assert caught.value.reason == f"127.0.0.1:{port} does not speak TLS"
        assert "\n" not in str(caught.value)

    def test_a_certificate_authority_that_is_none(self, tmp_path: Path) -> None:
        authority = tmp_path / "ca.pem"
        authority.write_text("no certificate")
        with pytest.raises(ClusterUnreachableError):
            Client.connect(
                ConfigFlags(server="https://127.0.0.1:1", certificate_authority=str(authority))
            ).get(PODS, "a", "ns")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server with a certificate of its own, for 127.0.0.1 and kubernetes.example."""
    directory = tmp_path_factory.mktemp("tls")
    certificate = certificates.self_signed(directory, "kubernetes.example")
    with serve(lambda _: json_response({}), certificate=certificate) as server:
        yield server, certificate


class TestTls:
    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ({}, "its certificate from issuer CN=kubernetes.example is not trusted"),
            ({"certificate_authority": "ca", "tls_server_name": "else.example"}, "else.example"),
        ],
    )
    def test_a_certificate_that_does_not_hold(
        self, secure: tuple[Server, Path], flags: dict[str, str], message: str
    ) -> None:
        server, authority = secure
        resolved = {key: str(authority) if value == "ca" else value for key, value in flags.items()}
        with pytest.raises(ClusterUnreachableError) as caught:
            Client.connect(ConfigFlags(server=server.url, **resolved)).get(PODS, "a", "ns")  # type: ignore[arg-type]
        assert message in caught.value.reason

    @pytest.mark.parametrize(
        "flags",
        [
            {"certificate_authority": "ca", "tls_server_name": "kubernetes.example"},
            {"certificate_authority": "ca"},
            {"insecure_skip_tls_verify": True},
        ],
    )
    def test_one_that_does(self, secure: tuple[Server, Path], flags: dict[str, Any]) -> None:
        server, authority = secure
        resolved: dict[str, Any] = {
            key: str(authority) if value == "ca" else value for key, value in flags.items()
        }
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing of urllib3's on the user's terminal
            assert (
                Client.connect(ConfigFlags(server=server.url, **resolved)).get(PODS, "a", "ns")
                == {}
            )


class TestStream:
    def test_lines_as_they_come_whatever_the_chunks(self) -> None:
        chunks = iter([b"one\ntw", b"o\n\n", b"three"])
        with serve(lambda _: HttpResponse(200, chunks)) as server:
            lines = client(server).stream("/x", query={"watch": "1"}, action="cannot watch", idle=5)
            assert list(lines) == [b"one", b"two", b"three"]

    def test_a_refusal(self) -> None:
        with serve(lambda _: status(410, "too old", "Expired")) as server, pytest.raises(GoneError):
            list(client(server).stream("/x", query={}, action="cannot watch", idle=5))

    def test_a_broken_connection(self) -> None:
        answer = HttpResponse(200, iter([b"one\n"]), {}, chunked=False)
        with serve(lambda _: answer) as server:
            lines = client(server).stream("/x", query={}, action="cannot watch", idle=5)
            assert next(lines) == b"one"
            with pytest.raises(ClusterUnreachableError, match="cannot watch"):
                next(lines)

    def test_silence(self) -> None:
        def silent() -> Iterator[bytes]:
            yield b"one\n"
            time.sleep(1.0)

        with serve(lambda _: HttpResponse(200, silent())) as server:
            lines = client(server).stream("/x", query={}, action="cannot watch", idle=0.3)
            assert next(lines) == b"one"
            with pytest.raises(ClusterUnreachableError):
                next(lines)
