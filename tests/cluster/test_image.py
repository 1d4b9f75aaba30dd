"""The images of the real node, and the refusals: what can be tried without one."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from tests.cluster import binaries, cgroups, image


def test_an_archive_has_the_listed_files(tmp_path: Path) -> None:
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


def test_it_matches_the_dockerfile() -> None:
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
