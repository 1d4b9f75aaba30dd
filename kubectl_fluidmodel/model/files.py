"""The files of a source: the content that a complete cache has."""

from __future__ import annotations

from kubectl_fluidmodel.records import dataclass

WEIGHT_SUFFIXES = (
    *(".safetensors", ".bin", ".gguf", ".pt", ".pth", ".ckpt", ".onnx", ".engine", ".msgpack"),
    *(".nemo", ".llamafile", ".h5", ".plan", ".distcp", ".tensors", ".onnx_data", ".npz"),
)
"""Extensions of weight files of any engine."""
_TRAINING_PREFIXES = (
    "training_args",
    "optimizer",
    "scheduler",
    "scaler",
    "rng_state",
    "random_states",
)
"""Prefixes of files that training leaves beside a model in the same formats."""


def is_weights(path: str) -> bool:
    """Return whether a file contains weights of a model, by its name."""
    name = path.rpartition("/")[2]
    return name.endswith(WEIGHT_SUFFIXES) and not name.startswith(_TRAINING_PREFIXES)


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file: its path below the source, and its size in bytes."""

    path: str
    size: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def directory(self) -> str:
        """The path of its directory; empty for the source's root."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True)
class FileListing:
    """All files of a source at one time, ordered by path."""

    files: tuple[SourceFile, ...]
    """The files of the model."""
    junk: tuple[SourceFile, ...] = ()
    """Files beside the model that are not part of it; see `model/junk.py`."""

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)
