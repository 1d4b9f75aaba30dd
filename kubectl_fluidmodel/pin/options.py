"""The options of `pin` and `unpin`."""

from __future__ import annotations

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True, kw_only=True)
class PinOptions:
    """The command line of `pin` or `unpin`; validated at creation.

    Raises:
        UsageError: the options cannot be combined.
    """

    cache: str
    graphs: tuple[str, ...]
    filename: str | None
    """File to change instead of the cluster's graphs, `-` for stdin."""
    components: tuple[str, ...]
    show_diff: bool
    dry_run: str
    """`none`, `client` or `server`."""
    output: str | None
    """`json`, `yaml`, `name`, `patch`; None for text and tables."""
    color: str
    connection: ConfigFlags
    # -- of `pin` alone ----------------------------------------------------------------------
    mount_path: str | None = None
    use_model_path: bool = False
    preferred: bool = False
    recreate: bool = False
    probe_budget: bool = False
    loader: str | None = None
    """One of `loader_names.CHOICES`; None leaves loaders as they are."""
    adopt: bool = False
    replaces: str | None = None
    """The cache whose pin is moved to this one."""
    force: bool = False
    wait: bool = False
    timeout: float = 1800.0
    """Seconds to wait for the roll-out in total."""

    def __post_init__(self) -> None:
        path = self.mount_path
        if path is not None and (not path.startswith("/") or ":" in path):
            raise UsageError("--mount-path", f"'{path}' is not an absolute path")
        if self.filename is None and not self.graphs:
            raise UsageError("no graph given", "pass a graph, or a file with -f", "kubectl get dgd")
        if self.filename is not None:
            _refuse_combinations(
                "-f uses only the file",
                {
                    "a server dry run": self.dry_run == "server",
                    "--wait": self.wait,
                    "--probe-budget, which needs the size of the model": self.probe_budget,
                },
            )
        if self.replaces == self.cache:
            raise UsageError(f"--replace {self.cache}", "it is the cache to pin to")
        if self.adopt:
            _refuse_combinations(
                "--adopt only records the existing state",
                {
                    "--mount-path": self.mount_path is not None,
                    "--use-model-path": self.use_model_path,
                    "--preferred": self.preferred,
                    "--recreate": self.recreate,
                    "--probe-budget": self.probe_budget,
                    "--loader": self.loader is not None,
                    "--replace": self.replaces is not None,
                },
            )


def _refuse_combinations(message: str, is_set: dict[str, bool]) -> None:
    """Raise a UsageError for the first flag that is set."""
    for flag in is_set:
        if is_set[flag]:
            raise UsageError(message, f"it cannot be combined with {flag}")
