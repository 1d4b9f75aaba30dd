"""Options for reading a model from the Hub, which `cache` and `stage` share."""

from __future__ import annotations

from kubectl_fluidmodel.output.shell import flags_with_values
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class HubOptions:
    """The Hub, the token, and the selection of the model's files."""

    endpoint: str | None = None
    """URL; None for HF_ENDPOINT, else the public Hub."""
    secret: str | None = None
    """Secret in the cluster that holds the token."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        """The flags that set these options, for a command that a user runs next."""
        return flags_with_values(
            ("--endpoint-hub", self.endpoint),
            ("--hf-secret", self.secret),
            *(("--include", glob) for glob in self.include),
            *(("--exclude", glob) for glob in self.exclude),
        )
