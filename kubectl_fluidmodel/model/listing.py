"""The files of a source: what a cache of it must hold."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".ckpt", ".onnx", ".engine", ".msgpack")


@dataclass(frozen=True, order=True)
class File:
    """One file: its path below the source and its bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class Listing:
    """Every file of a source at one moment, ordered by path."""

    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def largest(self) -> int:
        """Bytes of the largest file; 0 for none."""
        return max((file.size for file in self.files), default=0)

    def doubts(self) -> list[str]:
        """Why this may not be a model that an engine can load, one line each."""
        names = [file.path for file in self.files]
        found = []
        if not any(name.endswith(WEIGHTS) for name in names):
            found.append("no weights (*.safetensors, *.gguf, *.bin …)")
        if not any(name.endswith(".gguf") for name in names) and "config.json" not in names:
            deeper = next((name for name in names if name.endswith("/config.json")), None)
            where = (
                f" (there is one at {deeper}: is that the directory you mean?)" if deeper else ""
            )
            found.append(f"no config.json at its root{where}")
        empty = [file.path for file in self.files if file.size == 0 and file.path.endswith(WEIGHTS)]
        if empty:
            found.append(f"empty weight files: {', '.join(empty[:3])}")
        return found
