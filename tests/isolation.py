"""Unit tests see nothing of the machine they run on: no kubeconfig, no keys, no proxies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_PREFIXES = ("AWS_", "KUBE", "HF_", "GOOGLE_", "http_", "https_", "no_", "HTTP_", "HTTPS_", "NO_")
_NAMES = ("TERM", "COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "all_proxy", "ALL_PROXY")


def isolate(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Give the test an empty home directory and an environment that says nothing."""
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _NAMES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
