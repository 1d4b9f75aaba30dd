"""Who we are: what a user's entry says, and what ends is got anew."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.kube import credentials, exec_plugin, plugin_messages
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.kube.kubeconfig import ServerInfo
from tests.kube import kubeconfig
from tests.kube.conformance import pki

SERVER = ServerInfo("https://k8s:6443", b"PEM", name="k8s.example")


def login(user: dict[str, Any]) -> str:
    return credentials.from_kubeconfig_user(user, SERVER).auth_headers().authorization


def jwt(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.sig"


def oidc(token: str) -> dict[str, Any]:
    config = {"idp-issuer-url": "https://issuer", "client-id": "c", "id-token": token}
    return {"auth-provider": {"name": "oidc", "config": config}}


class TestOrder:
    def test_basic(self) -> None:
        assert login({"username": "me", "password": "pass"}) == "Basic bWU6cGFzcw=="

    def test_a_token_takes_precedence_over_other_credentials(self, tmp_path: Path) -> None:
        rest = {**oidc("x"), "exec": {}}
        assert login({"token": "t", "tokenFile": "/nope", **rest}) == "Bearer t"

    def test_nobody(self) -> None:
        assert login({}) == ""


class TestTokenFile:
    def test_it_is_read_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "token"
        file.write_text("one\n")
        user = credentials.from_kubeconfig_user({"tokenFile": str(file)}, SERVER)
        assert user.auth_headers().authorization == "Bearer one"
        file.write_text("two\n")
        assert user.auth_headers().authorization == "Bearer one"
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 61)
        assert user.auth_headers().authorization == "Bearer two"

    @pytest.mark.parametrize("content", [None, b"", b"\xff"])
    def test_no_token_in_it(self, tmp_path: Path, content: bytes | None) -> None:
        file = tmp_path / "token"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ClusterUnreachableError, match="cannot read the token"):
            login({"tokenFile": str(file)})


class TestOidc:
    def test_a_token_that_is_valid(self) -> None:
        token = jwt(exp=time.time() + 3600)
        assert login(oidc(token)) == f"Bearer {token}"

    def test_one_without_an_end(self) -> None:
        assert login(oidc(jwt())) == f"Bearer {jwt()}"

    def test_an_expired_token_has_to_be_renewed_with_kubectl(self) -> None:
        with pytest.raises(ClusterUnreachableError, match="kubectl get ns"):
            login(oidc(jwt(exp=1)))

    def test_a_provider_that_is_gone(self) -> None:
        with pytest.raises(ClusterUnreachableError, match="gcp"):
            login({"auth-provider": {"name": "gcp"}})


class TestPlugin:
    def entry(self, tmp_path: Path, body: str, **fields: Any) -> dict[str, Any]:
        plugin = kubeconfig.plugin(kubeconfig.script(tmp_path / "plugin", body))
        return {"exec": {**plugin["exec"], **fields}}

    def answer(self, **status: Any) -> str:
        kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
        return f"echo '{json.dumps({**kind, 'status': status})}'"

    def test_it_runs_again_when_its_token_ends(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs = tmp_path / "runs"
        body = f"echo run >> {runs}\n"
        body += self.answer(token="t", expirationTimestamp="2001-01-01T00:00:00.123456789Z")
        user = credentials.from_kubeconfig_user(self.entry(tmp_path, body), SERVER)
        user.auth_headers()
        user.auth_headers()
        assert runs.read_text() == "run\n"  # it came like that: a clock may be wrong
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 6)
        user.auth_headers()
        assert runs.read_text() == "run\nrun\n"

    def test_it_runs_once_for_a_valid_token(self, tmp_path: Path) -> None:
        runs = tmp_path / "runs"
        end = "2101-01-01T00:00:00+02:00"
        body = f"echo run >> {runs}\n" + self.answer(token="t", expirationTimestamp=end)
        user = credentials.from_kubeconfig_user(self.entry(tmp_path, body), SERVER)
        assert [user.auth_headers().authorization for _ in range(3)] == ["Bearer t"] * 3
        assert runs.read_text() == "run\n"

    def test_it_receives_the_clusters_information(self, tmp_path: Path) -> None:
        told = tmp_path / "told"
        body = f'echo "$KUBERNETES_EXEC_INFO" > {told}\n' + self.answer(token="t")
        extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}
        server = ServerInfo(
            "https://k8s:6443", b"PEM", name="n", proxy="p", extensions=(extension,)
        )
        entry = self.entry(tmp_path, body, provideClusterInfo=True)
        credentials.from_kubeconfig_user(entry, server).auth_headers()
        assert json.loads(told.read_text()) == {
            "kind": "ExecCredential",
            "apiVersion": "client.authentication.k8s.io/v1",
            "spec": {
                "interactive": False,
                "cluster": {
                    "server": "https://k8s:6443",
                    "tls-server-name": "n",
                    "certificate-authority-data": "UEVN",
                    "proxy-url": "p",
                    "config": {"audience": "a"},
                },
            },
        }
        login(self.entry(tmp_path, body))
        assert "cluster" not in json.loads(told.read_text())["spec"]

    def test_a_hint_for_one_that_is_missing(self, tmp_path: Path) -> None:
        entry = self.entry(tmp_path, "")
        entry["exec"] |= {"command": "no-such-plugin", "installHint": "install it\nfrom there"}
        with pytest.raises(ClusterUnreachableError) as caught:
            login(entry)
        assert "no-such-plugin is not on PATH" in caught.value.reason
        assert caught.value.hint == "install it from there"

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "v1alpha1"),
            ({"interactiveMode": "Always"}, "is not a terminal"),
            ({"apiVersion": "client.authentication.k8s.io/v1beta1"}, "v1beta1"),
        ],
    )
    def test_entries_that_cannot_work(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        fields: dict[str, Any],
        message: str,
    ) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(ClusterUnreachableError) as caught:
            login(self.entry(tmp_path, self.answer(token="t"), **fields))
        assert message in caught.value.reason

    def test_half_a_certificate(self, tmp_path: Path) -> None:
        with pytest.raises(ClusterUnreachableError, match="half"):
            login(self.entry(tmp_path, self.answer(clientCertificateData="x")))

    def test_on_a_terminal_it_may_ask(self, tmp_path: Path) -> None:
        """Its questions reach the terminal and its user's answer reaches it."""
        import pty

        body = f"read word; echo asked >&2\n{self.answer(token='T')} | sed s/T/$word/"
        entry = self.entry(tmp_path, body, interactiveMode="IfAvailable")["exec"]
        script = (
            "import json, sys\n"
            "from kubectl_fluidmodel.kube import exec_plugin, kubeconfig\n"
            f"plugin = exec_plugin.parse_exec_plugin(json.loads({json.dumps(json.dumps(entry))}),\n"
            "    kubeconfig.ServerInfo('https://k8s'))\n"
            "print('token', plugin.run().token)\n"
        )
        pid, terminal = pty.fork()
        if pid == 0:  # pragma: no cover - the child
            os.execv(sys.executable, [sys.executable, "-c", script])  # noqa: S606
        os.write(terminal, b"hello\n")
        printed = b""
        with contextlib.suppress(OSError):  # the terminal's end on Linux
            while data := os.read(terminal, 9999):
                printed += data
        assert os.waitpid(pid, 0)[1] == 0, printed
        assert b"asked" in printed
        assert b"token hello" in printed


def test_nothing_secret_is_in_a_repr() -> None:
    entry = {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "env": [
        {"name": "PASSWORD", "value": "secret"}]}  # fmt: skip
    shown = repr(exec_plugin.parse_exec_plugin(entry, SERVER)) + repr(
        credentials.AuthHeaders("secret", b"secret")
    )
    shown += repr(exec_plugin.ExecCredential("secret", "secret", "secret")) + repr(SERVER)
    assert "secret" not in shown
    assert "PEM" not in shown


class TestRenewal:
    """What the server does not take is got anew once, however many threads were refused."""

    def test_it_is_got_once(self) -> None:
        got: list[int] = []

        def source() -> credentials.AuthHeaders:
            got.append(1)
            return credentials.AuthHeaders(f"Bearer {len(got)}")

        renewable = credentials.Credentials(source, renewable=True)
        first = renewable.auth_headers()
        assert renewable.renew(first)
        assert renewable.renew(first)  # another thread, with the same refusal
        assert renewable.auth_headers().authorization == "Bearer 2"
        assert len(got) == 2

    def test_a_token_of_the_kubeconfig_is_not_renewed(self) -> None:
        user = credentials.from_kubeconfig_user({"token": "t"}, SERVER)
        assert not user.renew(user.auth_headers())


class TestEnd:
    """When a login ended, for the error that it caused."""

    def test_a_token_contains_its_expiry(self) -> None:
        assert credentials.expiry_note(credentials.AuthHeaders(f"Bearer {jwt(exp=0)}")) == (
            "1970-01-01 00:00 UTC"
        )

    @pytest.mark.parametrize("token", ["", "Bearer x", "Bearer a.b.c", f"Bearer {jwt()}"])
    def test_others_do_not(self, token: str) -> None:
        assert credentials.expiry_note(credentials.AuthHeaders(token)) == ""

    @pytest.mark.parametrize("year", [1999, 2020, 2049, 2050, 2101])
    def test_of_a_certificate(self, year: int) -> None:
        """What kubeadm makes ends after a year; the server says no more than 401."""
        pair = pki.issue("me", None, until=datetime(year, 6, 1, 12, 30, tzinfo=timezone.utc))
        shown = credentials.expiry_note(
            credentials.AuthHeaders(certificate=pair.pem + pair.key_pem)
        )
        assert shown == (f"{year}-06-01 12:30 UTC" if year < 2040 else "")

    @pytest.mark.parametrize("pem", [b"", b"junk", b"-----BEGIN CERTIFICATE-----A-----END"])
    def test_of_what_is_none(self, pem: bytes) -> None:
        assert credentials.expiry_note(credentials.AuthHeaders(certificate=pem)) == ""

    def test_one_that_is_valid(self) -> None:
        login = credentials.AuthHeaders(
            f"Bearer {jwt(exp=time.time() + 99)}", expires_at=time.time() + 99
        )
        assert credentials.expiry_note(login) == ""


class TestWords:
    """What a plugin says on stderr."""

    def entry(self, tmp_path: Path, body: str) -> dict[str, Any]:
        return kubeconfig.plugin(kubeconfig.script(tmp_path / "plugin", body))

    TOKEN = (
        'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
        ' "status": {"token": "t"}}\''
    )

    def test_of_one_that_waits_for_its_user_they_come_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A code that is to be typed into a browser, for example."""
        monkeypatch.setattr(plugin_messages, "_LIVE", 0.1)
        go = tmp_path / "go"
        body = f"echo 'enter CODE' >&2\nwhile [ ! -e {go} ]; do sleep 0.05; done\n{self.TOKEN}"
        user = credentials.from_kubeconfig_user(self.entry(tmp_path, body), SERVER)
        thread = threading.Thread(target=user.auth_headers)
        thread.start()
        printed = ""
        deadline = time.monotonic() + 10
        while "CODE" not in printed and time.monotonic() < deadline:
            printed += capsys.readouterr().err
            time.sleep(0.02)
        assert thread.is_alive()
        go.touch()
        thread.join(10)
        assert printed == "enter CODE\n"
        assert user.auth_headers().authorization == "Bearer t"

    def test_completion_does_not_pass_them_on(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        entry = self.entry(tmp_path, f"echo words >&2\n{self.TOKEN}")
        credentials.from_kubeconfig_user(entry, SERVER, interactive=False).auth_headers()
        assert capsys.readouterr().err == ""

    def test_a_child_that_keeps_stderr_does_not_keep_us(self, tmp_path: Path) -> None:
        entry = self.entry(tmp_path, f"sleep 30 >/dev/null &\n{self.TOKEN}")
        began = time.monotonic()
        credentials.from_kubeconfig_user(entry, SERVER).auth_headers()
        assert time.monotonic() - began < 10

    def test_one_that_waits_ends_with_us(self, tmp_path: Path) -> None:
        """Ctrl-C reaches a terminal's programs; a signal to us alone has to end it, too."""
        entry = self.entry(tmp_path, f"echo $$ > {tmp_path}/pid.new\n"
                           f"mv {tmp_path}/pid.new {tmp_path}/pid\nexec sleep 60")  # fmt: skip
        script = (
            "import json, signal\n"
            "from kubectl_fluidmodel.kube import exec_plugin, kubeconfig\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "plugin = exec_plugin.parse_exec_plugin(json.loads("
            f"{json.dumps(json.dumps(entry['exec']))}),\n"
            "    kubeconfig.ServerInfo('https://k8s'))\n"
            "plugin.run()\n"
        )
        with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as ours:
            deadline = time.monotonic() + 20
            while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            ours.send_signal(signal.SIGINT)
            assert ours.wait(20) != 0
        pid = int((tmp_path / "pid").read_text())
        deadline = time.monotonic() + 20
        with pytest.raises(ProcessLookupError):
            while time.monotonic() < deadline:  # the system reaps an orphan in its own time
                os.kill(pid, 0)
                time.sleep(0.02)
