"""Programs that the frozen plugin starts use their own libraries, not the bundle's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.kube import certificates, kubeconfig
from tests.loopback import Server, json_response, serve

pytestmark = pytest.mark.krew

# A credential plugin that links libssl: it notes the library that it got, and its environment.
PLUGIN = """\
import hashlib, json, os, ssl, sys
with open("/proc/self/maps") as maps:
    found = sorted({line.split()[-1] for line in maps if "libssl" in line or "libcrypto" in line})
names = ("LD_LIBRARY_PATH", "LD_LIBRARY_PATH_ORIG")
state = {name: os.environ[name] for name in os.environ if name in names or name[:5] == "_PYI_"}
with open(sys.argv[1], "w") as out:
    json.dump({"libraries": found, "environment": state}, out)
kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
print(json.dumps({**kind, "status": {"token": "from-the-plugin"}}))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "tls"
    folder.mkdir()
    certificate = certificates.self_signed(folder, "kubernetes.example")
    with serve(lambda _: json_response({}, 404), certificate=certificate) as found:
        yield found


class Setting:
    """A kubeconfig whose user logs in by the plugin, and what came of it."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.server, self.note = server, folder / "note.json"
        script = folder / "plugin.py"
        script.write_text(PLUGIN)
        body = f"exec {sys.executable} {script} {self.note}"
        users = {"u1": kubeconfig.plugin(kubeconfig.script(folder / "plugin", body))}
        self.file = kubeconfig.write(folder / "config", clusters={"c1": server.url}, users=users)
        content = yaml.safe_load(self.file.read_text())
        content["clusters"][0]["cluster"]["certificate-authority"] = str(folder / "tls/server.pem")
        self.file.write_text(yaml.safe_dump(content))

    def run(self, program: Path, **env: str) -> dict[str, object]:
        command = [str(program), "unpin", "tiny", "chat", f"--kubeconfig={self.file}"]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("LD_")}
        done = subprocess.run(
            command, env={**clean, **env}, capture_output=True, text=True, check=False
        )
        sent = {asked.headers["Authorization"] for asked in self.server.requests}
        assert sent == {"Bearer from-the-plugin"}, done.stderr
        noted: dict[str, object] = json.loads(self.note.read_text())
        return noted


@pytest.fixture
def setting(tmp_path: Path, server: Server) -> Setting:
    return Setting(tmp_path, server)


def test_its_own_library_is_loaded(setting: Setting, program: Path) -> None:
    noted = setting.run(program)
    assert noted["libraries"], "the plugin links no libssl, so this proves nothing"
    assert str(program.parent) not in json.dumps(noted)
    assert noted["environment"] == {}


def test_without_the_fix_it_would_inherit_our_libraries(setting: Setting, program: Path) -> None:
    """What makes the test above one that can fail: the library path that the bootloader sets."""
    setting.note.unlink(missing_ok=True)
    script = setting.note.with_name("plugin.py")
    env = {**os.environ, "LD_LIBRARY_PATH": str(program.parent / "_internal")}
    subprocess.run([sys.executable, str(script), str(setting.note)], env=env, check=True)
    assert str(program.parent) in json.loads(setting.note.read_text())["libraries"][0]


def test_the_users_own_library_path_is_kept(setting: Setting, program: Path) -> None:
    noted = setting.run(program, LD_LIBRARY_PATH="/opt/mine:/opt/other")
    assert noted["environment"] == {"LD_LIBRARY_PATH": "/opt/mine:/opt/other"}


def test_the_machines_trust_is_asked(tmp_path: Path, server: Server, program: Path) -> None:
    """The bundle's OpenSSL knows the paths of the machine that it was built on, if those."""
    command = [str(program), "unpin", "tiny", "chat", f"--server={server.url}", "--token=t"]
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    refused = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert "is not trusted" in refused.stderr
    assert server.requests == []
    env["SSL_CERT_FILE"] = str(tmp_path / "tls" / "server.pem")
    subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert [asked.headers["Authorization"] for asked in server.requests][:1] == ["Bearer t"]
