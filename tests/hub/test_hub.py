"""The stand-in is only worth something if the real client takes it for the Hub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import FakeHub, Repo


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    files = {
        "config.json": b'{"a": 1}',
        "sub/tokenizer.json": b"{}" * 900,
        "model.safetensors": os.urandom(300_000),
    }
    with FakeHub(Repo("acme/tiny", files), page_size=2) as running:
        yield running


def hf(
    hub: FakeHub, home: Path, *arguments: str, token: str = ""
) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if token:
        env["HF_TOKEN"] = token
    command = [str(Path(sys.executable).with_name("hf")), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_hf_download_and_verify(hub: FakeHub, tmp_path: Path) -> None:
    target = tmp_path / "out"
    done = hf(hub, tmp_path, "download", "acme/tiny", "--local-dir", str(target))
    assert done.returncode == 0, done.stderr
    for name, blob in hub.repos["acme/tiny"].files.items():
        assert (target / name).read_bytes() == blob.data
    checked = hf(hub, tmp_path, "cache", "verify", "acme/tiny", "--local-dir", str(target))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_hf_detects_the_gate_and_sends_no_token_to_other_hosts(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.gated["acme/tiny"] = {"accepted"}
    refused = hf(hub, tmp_path, "download", "acme/tiny", token="other")
    assert refused.returncode != 0
    assert "approval" in refused.stderr + refused.stdout
    done = hf(hub, tmp_path, "download", "acme/tiny", token="accepted")
    assert done.returncode == 0, done.stderr
    assert hub.requests_matching(on="cdn") and not any(
        request.token for request in hub.requests_matching(on="cdn")
    )


def test_hf_sees_a_missing_repo_and_revision(hub: FakeHub, tmp_path: Path) -> None:
    missing = hf(hub, tmp_path, "download", "acme/none", token="t")
    assert missing.returncode != 0 and "not found" in (missing.stderr + missing.stdout).lower()
    revision = hf(hub, tmp_path, "download", "acme/tiny", "--revision", "nope")
    assert revision.returncode != 0 and "evision" in revision.stderr + revision.stdout
