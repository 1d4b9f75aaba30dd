"""Golden files: whole objects as YAML, to be read in a review.

`GOLDEN=write pytest …` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.output.serialize import format_objects

DIRECTORY = Path(__file__).parent.parent / "fixtures" / "cache"


def require_golden(name: str, made: list[Object]) -> None:
    """The objects are what the golden file says."""
    text = format_objects(made, "yaml")
    file = DIRECTORY / f"{name}.yaml"
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()
