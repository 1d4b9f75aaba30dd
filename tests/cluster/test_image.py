"""The images of the real node, and the refusals: what can be tried without one."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.cluster import binaries, cgroups, image, realnode, runtime
from tests.cluster.__main__ import main


def test_an_archive_has_what_it_says(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"#!/bin/sh\n")
    program.chmod(0o700)
    files: image.Files = {
        "/opt/deep/program": program,
        "/etc/words": b"some",
        "/bin/other": image.Link("/opt/deep/program"),
    }
    archive = image.write(tmp_path / "a.tar", "test/it:1", files, {"User": "5:5"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "program"]
    with tarfile.open(archive) as tar:
        read = {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]

    def blob(described: dict[str, object]) -> bytes:
        digest = str(described["digest"])
        content = read[f"blobs/{digest.replace(':', '/')}"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
        assert described["size"] == len(content)
        return content

    [entry] = json.loads(read["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "test/it:1"
    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    [layer] = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert config["config"] == {"Env": [f"PATH={image.PATH}"], "User": "5:5"}
    with tarfile.open(fileobj=io.BytesIO(blob(layer))) as tar:
        members = {each.name: each for each in tar}
        assert list(members)[:4] == ["bin", "etc", "opt", "opt/deep"]
        # Root's, and for everyone to read and run: the container's user is nobody in particular.
        assert members["opt/deep/program"].mode == 0o755
        assert {(each.uid, each.gid) for each in members.values()} == {(0, 0)}
        assert members["tmp"].mode == 0o1777
        assert members["bin/other"].linkname == "/opt/deep/program"
        words = tar.extractfile("etc/words")
        assert words is not None and words.read() == b"some"


def test_it_is_as_the_dockerfile_says() -> None:
    text = """\
FROM python:3.12-slim AS build
ENV LOST=1
FROM python:3.12-slim
ENV A=1 B="two words"
USER 7:8
ENTRYPOINT ["program"]
CMD ["--help"]
"""
    assert image._dockerfile(text) == {
        "Env": [f"PATH={image.PATH}", "A=1", "B=two words"],
        "User": "7:8",
        "Entrypoint": ["program"],
        "Cmd": ["--help"],
    }


def test_run_time_requirements_only() -> None:
    found = image.required(image.DISTRIBUTION)
    assert {"boto3", "botocore", "huggingface-hub", "msgspec"} <= set(found)
    assert not {"pytest", "mypy", "kubernetes", "cryptography"} & set(found)
    assert len(found) == len(set(found))


def test_the_kubelet_is_of_the_same_kubernetes() -> None:
    module = "k8s.io/kubernetes"
    assert binaries.pinned("kubelet", module) == binaries.pinned("kubernetes", module)
    # the stack of the control plane has more programs, and so more versions to set
    assert binaries.ldflags("kubernetes").startswith(binaries.ldflags("kubelet"))


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine that has all that a real node needs."""
    monkeypatch.setattr(realnode.sys, "platform", "linux")
    monkeypatch.setattr(realnode.os, "getuid", lambda: 0)
    monkeypatch.setattr(realnode.shutil, "which", lambda name: f"/usr/bin/{name}")
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [memory])
    monkeypatch.setattr(runtime, "obstacle", lambda: None)


@pytest.mark.parametrize(
    ("what", "value", "why"),
    [
        ("sys.platform", "darwin", "it needs Linux, and this is darwin"),
        ("os.getuid", lambda: 1000, "it needs root, for containers"),
        ("shutil.which", lambda name: None if name == "ip" else name, "there is no ip on PATH"),
        ("cgroups.hierarchies", list, "no cgroup hierarchy with a memory controller is mounted"),
        ("runtime.obstacle", lambda: "no containerd", "no containerd"),
    ],
)
@pytest.mark.usefixtures("able")
def test_a_machine_that_cannot_is_told_why(
    what: str,
    value: object,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert realnode.obstacle(tmp_path) is None
    monkeypatch.setattr(f"tests.cluster.realnode.{what}", value)
    assert realnode.obstacle(tmp_path) == why
    monkeypatch.setenv("FLUIDMODEL_STATE_DIR", str(tmp_path / "clusters"))
    assert main(["up", "--real-node", "--name", "never"]) == 1
    assert capsys.readouterr().err == f"error: no real node on this machine: {why}\n"
    assert not (tmp_path / "clusters").exists()


@pytest.mark.usefixtures("able")
def test_state_must_not_be_where_the_node_has_its_own() -> None:
    assert "/var/lib" in (realnode.obstacle(Path("/var/lib/x")) or "")


def test_mounts_of_both_versions(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
        "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
        "proc /proc proc rw 0 0\n"
    )
    found = [str(each) for each in cgroups.hierarchies(mounts)]
    assert found == ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"]


def test_packages_are_unpacked_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PATH with an apt-get that has nothing to give: one line says so."""
    fake = tmp_path / "apt-get"
    fake.write_text("#!/bin/sh\necho 'E: Unable to locate package containerd' >&2\nexit 100\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FLUIDMODEL_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(runtime.NoContainers, match="Unable to locate package containerd"):
        runtime.ensure()
    assert not (tmp_path / "cache" / "containers").exists()
