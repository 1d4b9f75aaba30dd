"""The names of the loaders that `pin --loader` sets. `pin --help` imports nothing else of them."""

from __future__ import annotations

PREFETCH, RUNAI, FASTSAFETENSORS = "prefetch", "runai", "fastsafetensors"
LOADERS = (PREFETCH, RUNAI, FASTSAFETENSORS)
AUTO, DEFAULT = "auto", "default"
CHOICES = (AUTO, DEFAULT, *LOADERS)
