"""What stores answer: a whole model, and each way to say no."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.doctor.mount_probe import result
from kubectl_fluidmodel.doctor.mount_probe.result import Answer, Answers, Found
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor.fluid import MODEL_BYTES, NAME, NS

MOUNT = f"s3://hf-models/{NAME}"


def found(**changes: Any) -> Found:
    """The listing of the healthy cache's model."""
    whole: dict[str, Any] = {
        "files": 36,
        "bytes": MODEL_BYTES,
        "models": ("",),
        "weights": 30,
        "paths": ("config.json", "model-00001-of-00030.safetensors", "tokenizer.json"),
        "newest": (("config.json", "2026-09-20T08:00:00Z"),),
    }
    return Found(**{**whole, **changes})


def well(**changes: Any) -> Answer:
    """The answer of a store in which nothing is wrong."""
    usual: dict[str, Any] = {
        "mount": MOUNT,
        "state": result.OK,
        "endpoint": "http://minio:9000",
        "origin": result.FORWARD,
        "holder": f"{NAME}-store",
        "entry": "AWS_ACCESS_KEY_ID",
        "found": found(),
    }
    return Answer(**{**usual, **changes})


def says(snapshot: Snapshot, state: str, **changes: Any) -> None:
    """Let the healthy cache's store answer something else."""
    changes = {"found": None, **changes}
    given = well(state=state, **changes)
    result.put(snapshot, NS, NAME, Answers((given,)))


def holds(snapshot: Snapshot, *, nearest: tuple[str, ...] = (), **changes: Any) -> None:
    """Let something else lie in the healthy cache's store."""
    given = well(found=found(**changes), nearest=nearest)
    result.put(snapshot, NS, NAME, Answers((given,)))
