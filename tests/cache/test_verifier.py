"""What is said when the master cannot answer: Alluxio's own words, wherever it prints them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kubectl_fluidmodel.cache import verifier
from kubectl_fluidmodel.cache.verifier import Verifier
from kubectl_fluidmodel.cache.watch import CacheTarget
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.exec import ExecResult

TARGET = CacheTarget("models", "demo", None, 1, True)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        # A real Alluxio prints failures to stdout.
        (ExecResult(255, 'Path "/" does not exist.\n', ""), 'Path "/" does not exist.'),
        (
            ExecResult(255, "SignatureDoesNotMatch:The signature does not match\n", ""),
            "the secret key is wrong: SignatureDoesNotMatch:The signature does not match",
        ),
        (ExecResult(1, "", "alluxio: not found\n"), "alluxio: not found"),
    ],
)
def test_a_failed_command_reports_the_reason(
    result: ExecResult, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> ExecResult:
        return result

    monkeypatch.setattr(verifier, "exec_command", run)
    asked = Verifier(None, None, TARGET, time.monotonic())  # type: ignore[arg-type]
    with pytest.raises(FluidModelError) as caught:
        asked.by_file()
    assert "failed in pod demo-master-0" in caught.value.message
    assert caught.value.reason == reason
