"""What a machine needs for real nodes, and what is said where it is missing."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import cgroups
from tests.cluster.__main__ import main
from tests.cluster.api import Object
from tests.cluster.real import alluxio, containers, csi, machine
from tests.cluster.real.doors import Names

NOT_HERE = {"PATH": "/nonexistent"}


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine that has all that a real node needs."""
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine.os, "getuid", lambda: 0)
    monkeypatch.setattr(machine.shutil, "which", lambda name, **_: f"/usr/bin/{name}")
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [memory])
    monkeypatch.setattr(containers, "obstacle", lambda: None)
    monkeypatch.setattr(machine, "no_fuse", lambda: None)
    monkeypatch.setattr(alluxio, "obstacle", lambda: None)


@dataclass(frozen=True)
class Lack:
    """Something that a machine does not have, what replaces it here, and the line about it."""

    name: str
    what: str
    value: object
    why: str
    #: Whether only nodes with a data plane want it.
    data_plane: bool = False


def without(program: str) -> object:
    return lambda name, **_: None if name == program else f"/usr/bin/{name}"


LACKS = (
    Lack("Linux", "machine.sys.platform", "darwin", "it needs Linux, and this is darwin"),
    Lack("root", "machine.os.getuid", lambda: 1000, "it needs root, for containers"),
    Lack("iproute2", "machine.shutil.which", without("ip"), "there is no ip on PATH"),
    Lack(
        "cgroups",
        "machine.cgroups.hierarchies",
        list,
        "no cgroup hierarchy with a memory controller is mounted",
    ),
    Lack("containerd", "containers.obstacle", lambda: "no containerd", "no containerd"),
    Lack("FUSE", "machine.no_fuse", lambda: "no FUSE", "no FUSE", data_plane=True),
    Lack("Alluxio", "alluxio.obstacle", lambda: "no Maven", "no Maven", data_plane=True),
)


@pytest.mark.parametrize("lack", LACKS, ids=lambda lack: lack.name)
@pytest.mark.usefixtures("able")
def test_a_machine_that_cannot_is_told_why(
    lack: Lack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(f"tests.cluster.real.{lack.what}", lack.value)
    monkeypatch.setenv("FLUIDMODEL_STATE_DIR", str(tmp_path / "clusters"))
    for words in (["--real-nodes", "2"], *([] if lack.data_plane else [["--real-node"]])):
        assert main(["up", *words, "--name", "never"]) == 1
        assert capsys.readouterr().err == f"error: no real node on this machine: {lack.why}\n"
    assert not (tmp_path / "clusters").exists()


@pytest.mark.usefixtures("able")
def test_state_must_not_be_where_the_node_has_its_own() -> None:
    assert machine.obstacle(Path("/home/x")) is None
    assert "/var/lib" in (machine.obstacle(Path("/var/lib/x")) or "")


def test_a_missing_fuse_device_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "FUSE", tmp_path / "fuse")
    assert machine.no_fuse() == f"there is no {tmp_path / 'fuse'}; try: modprobe fuse"
    (tmp_path / "fuse").touch()
    assert machine.no_fuse() == f"{tmp_path / 'fuse'} is no character device"


def test_alluxio_needs_maven_and_java_until_the_cache_has_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLUIDMODEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "try: apt-get install maven" in (alluxio.obstacle() or "")
    with pytest.raises(machine.MachineLacks, match=r"^no image of Alluxio: .* no mvn on PATH"):
        alluxio.archive()
    alluxio._jars_folder().mkdir(parents=True)
    assert "there is no JDK 17" in (alluxio.obstacle() or "")
    alluxio._runtime_folder().mkdir()
    assert alluxio.obstacle() is None


def test_a_failing_maven_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no such artifact'\necho '[ERROR] more'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("FLUIDMODEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "cache").mkdir()
    with pytest.raises(machine.MachineLacks) as told:
        alluxio.jars()
    assert str(told.value) == "no image of Alluxio: Maven failed: no such artifact"
    assert not alluxio._jars_folder().exists()
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["alluxio.lock"]


def test_jars_are_held_to_their_checksums(tmp_path: Path) -> None:
    for name in ("good", "changed", "added"):
        (tmp_path / name).write_text(name)
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("good", "missing")}
    pinned = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    pinned += f"{'0' * 64}  changed\n"
    assert alluxio.differing(tmp_path, pinned) == ["added", "changed", "missing"]


def test_every_jar_is_pinned_once() -> None:
    names = [line.split()[1] for line in (alluxio.SOURCES / "jars.sha256").read_text().splitlines()]
    assert len(names) == len(set(names)) > 200
    assert not [name for name in names if name.startswith(tuple(alluxio.WITHOUT.split(",")))]
    assert f"alluxio-core-common-{alluxio.VERSION}.jar" in names


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("pause", "docker.io/library/pause"),
        ("fluidcloudnative/fluid-csi:v1", "docker.io/fluidcloudnative/fluid-csi:v1"),
        ("example.test/fluid:v1", "example.test/fluid:v1"),
        ("localhost:5000/fluid", "localhost:5000/fluid"),
    ],
)
def test_images_have_their_whole_name(name: str, whole: str) -> None:
    assert csi.qualified(name) == whole


class Services:
    """An API server with EndpointSlices, as far as the DNS asks."""

    def list(self, version: str, kind: str) -> list[Object]:
        assert (version, kind) == ("discovery.k8s.io/v1", "EndpointSlice")
        return [
            {
                "metadata": {
                    "namespace": "models",
                    "labels": {"kubernetes.io/service-name": "demo-master-0"},
                },
                "endpoints": [
                    {"addresses": ["203.0.113.2"], "conditions": {"ready": True}},
                    {"addresses": ["203.0.113.3"], "conditions": {"ready": False}},
                ],
            }
        ]


def query(name: str, kind: int = 1) -> bytes:
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return (
        struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question + b"\0" + struct.pack("!2H", kind, 1)
    )


@pytest.mark.parametrize(
    ("name", "kind", "code", "addresses"),
    [
        ("demo-master-0.models.svc.cluster.local", 1, 0, [b"\xcb\x00\x71\x02"]),
        ("DEMO-master-0.models.svc.cluster.local", 1, 0, [b"\xcb\x00\x71\x02"]),
        ("demo-master-0.models.svc.cluster.local", 28, 0, []),
        ("demo-master-0.other.svc.cluster.local", 1, 3, []),
        ("example.com", 1, 3, []),
    ],
    ids=["a service", "in capitals", "its IPv6 address", "another namespace", "the world"],
)
def test_dns_knows_services_with_ready_endpoints(
    name: str, kind: int, code: int, addresses: list[bytes]
) -> None:
    names = Names(Services())  # type: ignore[arg-type]
    names._addresses = names._read()
    asked = query(name, kind)
    answer = names.answer(asked)
    ident, flags, questions, records, *_ = struct.unpack("!6H", answer[:12])
    assert (ident, flags & 15, questions, records) == (7, code, 1, len(addresses))
    assert answer[12:].startswith(asked[12:])
    assert [answer[-4:]] * bool(addresses) == addresses


def test_packages_are_unpacked_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PATH with an apt-get that has nothing to give: one line says so."""
    for name in ("apt-get", "dpkg-deb"):
        fake = tmp_path / name
        fake.write_text("#!/bin/sh\necho 'E: Unable to locate package containerd' >&2\nexit 100\n")
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FLUIDMODEL_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(machine.MachineLacks, match="Unable to locate package containerd"):
        containers.ensure()
    assert not (tmp_path / "cache" / "containers").exists()
