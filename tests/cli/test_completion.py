"""Completion: of shells, and of kubectl by way of `__complete`."""

from __future__ import annotations

import base64
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubectl_fluidmodel.cli.completion_scripts import SCRIPTS
from kubectl_fluidmodel.cli.main import VERBS
from tests.cli.bash import press_tab
from tests.cli.program import run
from tests.kube import kubeconfig
from tests.kube.certificates import self_signed
from tests.kube.server import status
from tests.loopback import (
    HttpRequest,
    HttpResponse,
    RequestHandler,
    Server,
    free_port,
    json_response,
    serve,
)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str, tmp_path: Path) -> None:
    ended = run("completion", shell)
    assert ended.code == 0
    assert ended.out == SCRIPTS[shell]
    assert "__complete" in ended.out
    binary = shutil.which(shell)
    if binary:
        file = tmp_path / "script"
        file.write_text(ended.out)
        subprocess.run([binary, "-n", str(file)], check=True, timeout=10)


def test_the_bridge_of_kubectl() -> None:
    ended = run("completion", "kubectl")
    assert ended.out == '#!/bin/sh\nexec kubectl-fluidmodel __complete "$@"\n'


@pytest.mark.parametrize("on_path", [True, False])
def test_installing_the_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: bool
) -> None:
    mine = tmp_path / "bin"
    mine.mkdir()
    monkeypatch.setenv("PATH", f"/usr/bin:{mine}" if on_path else "/usr/bin")
    ended = run("completion", "kubectl", "--install")
    target = (mine if on_path else tmp_path / ".local" / "bin") / "kubectl_complete-fluidmodel"
    assert ended.out == f"wrote {target}\n"
    assert target.stat().st_mode & 0o111 == 0o111
    assert target.read_text() == run("completion", "kubectl").out


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin" / "kubectl_complete-fluidmodel").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    ended = run("completion", "kubectl", "--install")
    assert ended.code == 1
    assert "cannot write" in ended.error


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".local").write_text("a file")
    monkeypatch.setenv("PATH", "/usr/bin")
    ended = run("completion", "kubectl", "--install")
    assert ended.code == 1
    assert "cannot write" in ended.error


def complete(*arguments: str) -> tuple[list[str], str]:
    """Candidates, and the directive at the end."""
    ended = run("__complete", *arguments)
    assert (ended.code, ended.err) == (0, "")
    *lines, directive = ended.out.splitlines()
    return [line.split("\t")[0] for line in lines], directive


@pytest.mark.parametrize(
    ("arguments", "candidates"),
    [
        ((), list(VERBS)),
        (("",), list(VERBS)),
        (("unc",), ["uncache"]),
        (("nope",), []),
        (("cache", "--med"), ["--medium"]),
        (("cache", "--medium", ""), ["auto", "MEM", "SSD", "HDD"]),
        (("cache", "s3://x/y", "--medium", "S"), ["SSD"]),
        (("cache", "-o", ""), ["json", "yaml", "name"]),
        (("completion", "k"), ["kubectl"]),
        (("version", "-o", "y"), ["yaml"]),
    ],
)
def test_candidates(arguments: tuple[str, ...], candidates: list[str]) -> None:
    assert complete(*arguments) == (candidates, ":4")


def test_verbs_come_with_their_help() -> None:
    lines = run("__complete", "c").out.splitlines()
    assert any(line.startswith("cache\t") for line in lines)
    assert not any("__complete" in line for line in lines)


@pytest.mark.parametrize(
    "arguments", [("cache", "--unknown", ""), ("--", ""), ("cache", "--", "x")]
)
def test_unknown_arguments_are_no_error(arguments: tuple[str, ...]) -> None:
    assert complete(*arguments)[1] == ":4"


def table(columns: list[str], *rows: list[str]) -> HttpResponse:
    """A list as the API server answers kubectl."""
    return json_response(
        {
            "kind": "Table",
            "columnDefinitions": [{"name": column, "type": "string"} for column in columns],
            "rows": [{"cells": row, "object": None} for row in rows],
        }
    )


GRAPH = {
    "metadata": {"name": "chat"},
    "spec": {
        "components": [
            {"name": "decode", "type": "decode"},
            {"name": "web", "type": "frontend"},
        ]
    },
}
OTHER = {"metadata": {"name": "other"}, "spec": {"components": [{"name": "x", "type": "worker"}]}}


def answer(request: HttpRequest) -> HttpResponse:
    space = "/namespaces/team"
    if request.path == f"/apis/data.fluid.io/v1alpha1{space}/datasets":
        columns = ["Name", "Ufs Total Size", "Cached Percentage", "Phase", "Age"]
        return table(columns, ["llama", "9GiB", "100.0%", "Bound", "1d"], ["qwen"] + [""] * 4)
    if request.path == f"/apis/nvidia.com/v1beta1{space}/dynamographdeployments":
        if "as=Table" in request.headers["Accept"]:
            return table(["Name", "Ready", "Backend"], ["chat", "True", "vllm"])
        return json_response({"kind": "List", "items": [GRAPH, OTHER]})
    if request.path == "/api/v1/nodes":
        return table(["Name", "Status"], ["gpu-0", "Ready"], ["gpu-1", "NotReady"])
    if request.path == "/api/v1/namespaces":
        return table(["Name", "Status"], ["default", "Active"], ["team", "Active"])
    if request.path == f"/api/v1{space}/secrets":
        return table(["Name", "Type", "Data"], ["minio-keys", "Opaque", "2"])
    return status(404, "not found", "NotFound")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An API server that the kubeconfig's context `main`, of namespace team, leads to."""
    with serve(answer) as running:
        lead_to(tmp_path, running.url)
        yield running


def lead_to(home: Path, url: str, **settings: object) -> None:
    kubeconfig.write(
        home / ".kube" / "config",
        clusters={"c1": url, "arn:aws:x": "http://127.0.0.1:1"},
        contexts={"main": ("c1", "u1", "team"), "arn:aws:x/y": ("arn:aws:x", "u1", "")},
        **settings,  # type: ignore[arg-type]
    )


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no bug; how long it takes is measured elsewhere."""
    monkeypatch.setenv("FLUIDMODEL_COMPLETION_TIMEOUT", "5")


LIVE = [
    # words, candidates with what is said of them
    ("pin ", ["llama\tBound, 100.0%", "qwen"]),
    ("uncache l", ["llama\tBound, 100.0%"]),
    ("unpin llama ", ["chat\tTrue, vllm"]),
    ("pin llama chat ", []),
    ("pin llama --component ", ["decode\tworker of chat", "web\tfrontend of chat",
                              "x\tworker of other"]),
    ("pin llama chat --component ", ["decode\tworker of chat", "web\tfrontend of chat"]),
    ("pin llama dgd/chat --component=w", ["web\tfrontend of chat"]),
    ("pin llama chat --component web --component ", ["decode\tworker of chat"]),
    ("cache s3://b/m --node ", ["gpu-0\tReady", "gpu-1\tNotReady"]),
    ("cache s3://b/m --node gpu-0 --node ", ["gpu-1\tNotReady"]),
    ("cache s3://b/m --s3-secret ", ["minio-keys\tOpaque"]),
    ("stage org/m --hf-secret mi", ["minio-keys\tOpaque"]),
    ("cache org/m --image-pull-secret mi", ["minio-keys\tOpaque"]),
    ("cache s3://b/m -n ", ["default\tActive", "team\tActive"]),
    ("pin --context ", ["main\tc1", "arn:aws:x/y\tarn:aws:x"]),
    ("pin --cluster c", ["c1\t{url}"]),
    ("pin --user ", ["u1"]),
    ("pin -n elsewhere ", []),
    ("pin --context arn:aws:x/y ", []),
]  # fmt: skip


@pytest.mark.parametrize(("line", "candidates"), LIVE, ids=[row[0] for row in LIVE])
def test_live_names(server: Server, line: str, candidates: list[str]) -> None:
    ended = run("__complete", *line.split(" "))
    assert (ended.code, ended.err) == (0, "")
    expected = [candidate.format(url=server.url) for candidate in candidates]
    assert ended.out.splitlines() == [*expected, ":4"]


def test_files_are_left_to_the_shell() -> None:
    for arguments in (("pin", "llama", "-f", ""), ("pin", "--kubeconfig=/e"), ("pin", "-f", "x")):
        assert complete(*arguments) == ([], ":0")


def test_the_data_of_secrets_are_not_asked_for(server: Server) -> None:
    complete("cache", "s3://b/m", "--s3-secret", "")
    (request,) = server.requests
    assert request.headers["Accept"].startswith("application/json;as=Table;v=v1;g=meta.k8s.io")
    assert request.query["includeObject"] == "None"


class TestLogin:
    @pytest.fixture
    def server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
        """The same by TLS: without it nothing secret is sent."""
        pem = self_signed(tmp_path, "localhost")
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        with serve(answer, certificate=pem) as running:
            lead_to(tmp_path, running.url)
            yield running

    @staticmethod
    def headers(server: Server, *flags: str) -> dict[str, str]:
        assert complete("pin", *flags, "")[0] == ["llama", "qwen"]
        return {name.lower(): value for name, value in server.requests[-1].headers.items()}

    def test_a_token(self, server: Server) -> None:
        assert self.headers(server)["authorization"] == "Bearer token-1"
        assert self.headers(server, "--token", "mine")["authorization"] == "Bearer mine"

    def test_acting_as_another(self, server: Server) -> None:
        assert self.headers(server, "--as", "jane")["impersonate-user"] == "jane"

    def test_a_token_file_is_relative_to_the_kubeconfig(
        self, server: Server, tmp_path: Path
    ) -> None:
        lead_to(tmp_path, server.url, users={"u1": {"tokenFile": "token"}})
        (tmp_path / ".kube" / "token").write_text("from-file\n")
        assert self.headers(server)["authorization"] == "Bearer from-file"

    def test_a_password(self, server: Server, tmp_path: Path) -> None:
        lead_to(tmp_path, server.url, users={"u1": {"username": "a", "password": "b"}})
        assert self.headers(server)["authorization"] == "Basic YTpi"

    def test_an_exec_plugin(self, server: Server, tmp_path: Path) -> None:
        kind = '"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"'
        body = f'echo \'{{{kind}, "status": {{"token": "\'$WHO-$1\'"}}}}\''
        plugin = kubeconfig.plugin(kubeconfig.script(tmp_path / "p", body), WHO="me")
        lead_to(tmp_path, server.url, users={"u1": plugin})
        assert self.headers(server)["authorization"] == "Bearer me-get-token"

    def test_no_token_follows_a_redirect(self, tmp_path: Path) -> None:
        with serve(answer) as other:
            away = HttpResponse(302, b"", {"Location": f"{other.url}/x"})
            with serve(lambda _: away) as server:
                lead_to(tmp_path, server.url)
                assert complete("pin", "") == ([], ":4")
            assert other.requests == []

    @pytest.mark.parametrize("how", ["data", "file", "flag", "none", "insecure", "name"])
    def test_the_certificate_of_the_server(self, tmp_path: Path, how: str) -> None:
        host = "localhost" if how != "name" else "kubernetes.example"
        pem = self_signed(tmp_path, host)
        with serve(answer, certificate=pem) as server:
            url = server.url.replace("127.0.0.1", "localhost")
            lead_to(tmp_path, url)
            file = tmp_path / ".kube" / "config"
            text = file.read_text()
            entry = {
                "data": f"certificate-authority-data: {base64.b64encode(ca(pem)).decode()}",
                "file": "certificate-authority: ca.pem",
                "insecure": "insecure-skip-tls-verify: true",
                "name": "certificate-authority: ca.pem",
            }.get(how)
            (tmp_path / ".kube" / "ca.pem").write_bytes(ca(pem))
            if entry:
                server_line = f"    server: {url}"
                assert server_line in text
                file.write_text(text.replace(server_line, f"{server_line}\n    {entry}"))
            flags = {
                "flag": ["--certificate-authority", str(tmp_path / ".kube" / "ca.pem")],
                "name": ["--tls-server-name", host],
            }.get(how, [])
            candidates = complete("pin", *flags, "")[0]
        assert candidates == ([] if how == "none" else ["llama", "qwen"])


def ca(pem: Path) -> bytes:
    text = pem.read_bytes()
    return text[text.index(b"-----BEGIN CERTIFICATE") :]


def hang(_: HttpRequest) -> HttpResponse:
    threading.Event().wait(2)
    return HttpResponse(500)


def trickle(_: HttpRequest) -> HttpResponse:
    def body() -> Iterator[bytes]:
        for _ in range(20):
            yield b" "
            time.sleep(0.1)

    return HttpResponse(200, body())


SILENT: dict[str, RequestHandler] = {
    "forbidden": lambda _: status(403, "no", "Forbidden"),
    "unauthorized": lambda _: status(401, "no", "Unauthorized"),
    "absent": lambda _: status(404, "no", "NotFound"),
    "ill": lambda _: status(500, "etcd is down"),
    "a web page": lambda _: HttpResponse(200, b"<html>sign in</html>"),
    "a number": lambda _: json_response(3),
    "another shape": lambda _: json_response({"rows": [{"cells": 1}, 2], "columnDefinitions": {}}),
    "binary": lambda _: HttpResponse(200, b"\xff\xfe\x00"),
    "hanging": hang,
    "trickling": trickle,
}


@pytest.mark.parametrize("how", SILENT)
def test_an_unreachable_cluster_completes_nothing_and_prints_nothing(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUIDMODEL_COMPLETION_TIMEOUT", "0.15")
    with serve(SILENT[how]) as server:
        lead_to(tmp_path, server.url)
        begin = time.monotonic()
        for line in ("pin ", "pin a b --component ", "cache x --s3-secret ", "cache x -n "):
            candidates, directive = complete(*line.split(" "))
            assert ([name for name in candidates if name], directive) == ([], ":4")
        # Two questions at most for each line; a server that hangs would take 2 s for each.
        assert time.monotonic() - begin < 4 * 2 * 0.15 + 2


def test_a_cluster_that_is_down(tmp_path: Path) -> None:
    lead_to(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert complete("pin", "") == ([], ":4")
    lead_to(tmp_path, "ftp://127.0.0.1/")
    assert complete("pin", "") == ([], ":4")


@pytest.mark.parametrize(
    "content", ["", "[]", "a: [", "contexts: 3", "contexts: [{name: main, context: 3}]", "\x00"]
)
def test_a_kubeconfig_that_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / ".kube" / "config"
    file.parent.mkdir()
    file.write_text(f"current-context: main\n{content}")
    for line in ("pin ", "pin --context ", "pin --user "):
        candidates, directive = complete(*line.split(" "))
        assert (set(candidates) <= {"main"}, directive) == (True, ":4")


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate", ""),
        ("pin", "--frobnicate", ""),
        ("cache", "--replicas", "x", "--node", ""),
        ("pin", "--as-group", "g", ""),
        ("pin", "--request-timeout", "soon", ""),
    ],
)
def test_invalid_words_before_the_cursor_are_no_error(arguments: tuple[str, ...]) -> None:
    assert complete(*arguments)[1] == ":4"


def test_a_name_cannot_drive_the_terminal(tmp_path: Path) -> None:
    wild = table(["Name", "Phase", "Cached Percentage"], ["a\x1b[31m\nb", "x\ty\nz", ""])
    with serve(lambda _: wild) as server:
        lead_to(tmp_path, server.url)
        assert run("__complete", "pin", "").out == "a\\x1b[31m b\tx y z\n:4\n"


class TestBash:
    """What a person sees at TAB in bash."""

    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            ("unc", ["uncache"]),
            ("cache --med", ["--medium"]),
            ("cache --medium S", ["SSD"]),
            ("cache --medium=S", ["SSD"]),
            ("version -o ", ["json", "yaml"]),
            ("uncache l", ["llama"]),
            ("pin ", ["llama  (Bound, 100.0%)", "qwen"]),
            ("pin --context arn:aws:", ["x/y"]),
            ("pin --context=arn:aws:", ["x/y"]),
            ("cache s3://models/a --node gpu-1", ["gpu-1"]),
            ("pin nothing-like-that", []),
        ],
    )
    def test_tab(self, server: Server, line: str, shown: list[str]) -> None:
        assert press_tab(f"kubectl-fluidmodel {line}") == shown

    def test_a_menu_inserts_names_alone(self, server: Server) -> None:
        assert press_tab("kubectl-fluidmodel pin ", kind=37) == ["llama", "qwen"]

    def test_only_what_is_before_the_cursor_counts(self, server: Server) -> None:
        assert press_tab("kubectl-fluidmodel unc llama", point=22) == ["uncache"]
