"""Archives from elsewhere: read where they are a bundle, one line of error where they are not."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from kubectl_fluidmodel.doctor import support_bundle
from kubectl_fluidmodel.snapshot import archive as snapshot_archive
from kubectl_fluidmodel.snapshot.document import snapshot_to_document
from tests.cli.program import run
from tests.doctor import builders as b

NAME = "fluidmodel-bundle/snapshot.json"


def snapshot() -> bytes:
    redacted = support_bundle.redact_snapshot(b.healthy_snapshot())
    return json.dumps(snapshot_to_document(redacted)).encode()


def archive(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for entry, data in entries:
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def entry(name: str = NAME, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def good() -> bytes:
    return archive((entry(), snapshot()))


def claims_more() -> bytes:
    """A header that says 8 GiB with nothing behind it."""
    head = entry()
    head.size = 8 << 30
    return gzip.compress(head.tobuf(tarfile.GNU_FORMAT))


def nested() -> bytes:
    return b"[" * 200_000


def wide_number() -> bytes:
    return b'{"apiVersion":"fluidmodel.io/v1","kind":"Snapshot","taken":1' + b"0" * 5000 + b"}"


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "Expecting value"),
    "no gzip": (lambda: b"PK\x03\x04" + os.urandom(64), ""),
    "gzip of no archive": (lambda: gzip.compress(b"hello" * 300), ""),
    "cut off": (lambda: good()[: len(good()) // 2], ""),
    "cut off at once": (lambda: good()[:7], ""),
    "a bit is wrong": (lambda: good()[:400] + b"\xff" + good()[401:], ""),
    "nothing in it": (lambda: archive(), "it has no snapshot.json"),
    "something else in it": (lambda: archive((entry("a/report.json"), b"{}")), "no snapshot.json"),
    "a symbolic link": (
        lambda: archive((entry(kind=tarfile.SYMTYPE, link="/etc/passwd"), b"")),
        "it has no snapshot.json",
    ),
    "a hard link": (
        lambda: archive((entry(kind=tarfile.LNKTYPE, link="../../etc/passwd"), b"")),
        "it has no snapshot.json",
    ),
    "a device": (lambda: archive((entry(kind=tarfile.CHRTYPE), b"")), "it has no snapshot.json"),
    "a size that is a lie": (claims_more, ""),
    "no JSON": (lambda: archive((entry(), b"not json")), "Expecting value"),
    "not UTF-8": (lambda: archive((entry(), b'{"kind": "\xff\xfe"}')), ""),
    "JSON of something else": (lambda: archive((entry(), b'{"kind": "List"}')), "not a snapshot"),
    "deep JSON": (lambda: archive((entry(), nested())), "nested deeper"),
    "a number without end": (lambda: archive((entry(), wide_number())), ""),
    "a bare snapshot of nothing": (lambda: b'{"kind": "Snapshot"}', "this is not a snapshot"),
}


@pytest.mark.parametrize("verb", ["doctor", "inspect"])
@pytest.mark.parametrize("case", HOSTILE)
def test_one_line_and_exit_code_1(case: str, verb: str, tmp_path: Path) -> None:
    make, message = HOSTILE[case]
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(make())
    ended = run(verb, "--from-bundle", str(path))
    assert ended.code == 1
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    assert ended.error.startswith(f"cannot read {path}: ")
    assert message in ended.error
    assert [file.name for file in tmp_path.iterdir()] == ["bundle.tar.gz"], "nothing is unpacked"


@pytest.mark.parametrize("verb", ["doctor", "inspect"])
def test_a_file_that_is_not_there_or_no_file(verb: str, tmp_path: Path) -> None:
    assert "there is no such file" in run(verb, "--from-bundle", str(tmp_path / "x")).error
    assert run(verb, "--from-bundle", str(tmp_path)).code != 0


@pytest.mark.parametrize("member", [False, True])
def test_a_compression_bomb_is_refused_at_the_limit(
    member: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the snapshot itself, or before it; 1000 times smaller than the real limits."""
    monkeypatch.setattr(snapshot_archive, "MAX_SNAPSHOT_BYTES", 1 << 20)
    monkeypatch.setattr(snapshot_archive, "_MAX_UNPACKED_BYTES", 2 << 20)
    name = NAME if member else "fluidmodel-bundle/texts/a.txt"
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(archive((entry(name), b" " * (4 << 20)), (entry(), snapshot())))
    assert path.stat().st_size < 64 << 10
    ended = run("doctor", "--from-bundle", str(path))
    assert ended.code == 1
    assert ended.error == f"cannot read {path}: it is larger than any real snapshot"


def test_a_small_archive_does_not_fill_the_memory(tmp_path: Path) -> None:
    """120 MiB of `[],` would take 2.9 GB as lists."""
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(archive((entry(), b'{"x":[' + b"[]," * (40 << 20) + b"[]]}")))
    tracemalloc.start()
    try:
        ended = run("doctor", "--from-bundle", str(path))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ended.code == 1
    assert "it is larger than any real snapshot" in ended.error
    assert most < 512 << 20


@pytest.mark.parametrize("name", [NAME, "../../../tmp/snapshot.json", "/etc/snapshot.json"])
def test_a_path_leads_nowhere(name: str, tmp_path: Path) -> None:
    """Wherever a member claims to lie, it is read and never written."""
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(archive((entry(name), snapshot())))
    ended = run("doctor", "demo", "-n", "models", "--from-bundle", str(path))
    assert ended.code == 0, ended.err
    assert "healthy" in ended.out
    assert [file.name for file in tmp_path.iterdir()] == ["bundle.tar.gz"]


def test_a_bare_snapshot_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(snapshot())
    assert run("inspect", "-A", "--from-bundle", str(path)).code == 0


@pytest.mark.parametrize("flag", ["--wait", "--probe", "--bundle=x.tar.gz"])
def test_what_needs_a_cluster_is_wrong_usage(flag: str, tmp_path: Path) -> None:
    assert run("doctor", "--from-bundle", str(tmp_path / "x"), flag).code == 2
