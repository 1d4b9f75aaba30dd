"""The files of a source: what a cache of it must hold."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT_SUFFIXES = (
    *(".safetensors", ".bin", ".gguf", ".pt", ".pth", ".ckpt", ".onnx", ".engine", ".msgpack"),
    *(".nemo", ".llamafile", ".h5", ".plan", ".distcp", ".tensors", ".onnx_data", ".npz"),
)
"""Endings of files that hold weights, whatever engine reads them."""
_TRAINING_PREFIXES = (
    "training_args",
    "optimizer",
    "scheduler",
    "scaler",
    "rng_state",
    "random_states",
)
"""Beginnings of what training leaves beside a model, in the same formats."""


def is_weights(path: str) -> bool:
    """Whether a file holds weights of a model, by its name."""
    name = path.rpartition("/")[2]
    return name.endswith(WEIGHT_SUFFIXES) and not name.startswith(_TRAINING_PREFIXES)


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file: its path below the source and its bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class FileListing:
    """Every file of a source at one moment, ordered by path."""

    files: tuple[SourceFile, ...]
    """The model's own."""
    junk: tuple[SourceFile, ...] = ()
    """What lies beside it and is none of it, see `model/rubbish.py`."""

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def largest(self) -> int:
        """Bytes of the largest file; 0 for none."""
        return max((file.size for file in self.files), default=0)
