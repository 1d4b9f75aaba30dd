"""What stores answer: a whole model, and each way to say no."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.snapshot.probe_result import (
    MountContents,
    ProbeOrigin,
    ProbeResult,
    ProbeState,
)
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor.fluid import MODEL_BYTES, NAME, NS

MOUNT = f"s3://hf-models/{NAME}"


def listing(**changes: Any) -> MountContents:
    """The listing of the healthy cache's model."""
    complete: dict[str, Any] = {
        "files": 36,
        "bytes": MODEL_BYTES,
        "models": ("",),
        "weights": 30,
        "paths": ("config.json", "model-00001-of-00030.safetensors", "tokenizer.json"),
        "newest": (("config.json", "2026-09-20T08:00:00Z"),),
    }
    return MountContents(**{**complete, **changes})


def ok_result(**changes: Any) -> ProbeResult:
    """The answer of a store in which nothing is wrong."""
    usual: dict[str, Any] = {
        "mount": MOUNT,
        "state": ProbeState.OK,
        "endpoint": "http://minio:9000",
        "origin": ProbeOrigin.PORT_FORWARD,
        "secret_name": f"{NAME}-store",
        "secret_key": "AWS_ACCESS_KEY_ID",
        "contents": listing(),
    }
    return ProbeResult(**{**usual, **changes})


def set_store_result(snapshot: Snapshot, state: str, **changes: Any) -> None:
    """Let the healthy cache's store answer something else."""
    changes = {"contents": None, **changes}
    result = ok_result(state=state, **changes)
    snapshot.probe_results[(NS, NAME)] = (result,)


def set_store_listing(snapshot: Snapshot, *, nearest: tuple[str, ...] = (), **changes: Any) -> None:
    """Let something else lie in the healthy cache's store."""
    result = ok_result(contents=listing(**changes), nearest=nearest)
    snapshot.probe_results[(NS, NAME)] = (result,)
