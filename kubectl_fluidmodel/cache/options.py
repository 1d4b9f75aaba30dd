"""What the user asked for: the flags of `cache`, checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid.names import derive_dataset_name, validate_name
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.model.sizing import MIB
from kubectl_fluidmodel.model.source import Source, parse_source
from kubectl_fluidmodel.objects import quantity


@dataclass(frozen=True)
class CacheOptions:
    """One `cache` command. Sizes are bytes; None means: decide for me."""

    source: Source
    name: str
    replicas: int = 1
    medium: str = "auto"
    path: str | None = None
    quota: int | None = None
    nodes: tuple[str, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    load: bool = True
    s3_secret: str | None = None
    gcs_secret: str | None = None
    replicas_given: bool = False
    origin: str = ""
    """Where the source came from, if it was staged: `hf://org/model`."""
    commit: str = ""
    """The origin's commit."""
    expected: FileListing | None = None
    """What the source will hold once it is staged."""

    @property
    def is_web_source(self) -> bool:
        return self.source.scheme in ("http", "https")

    @property
    def recorded_uri(self) -> str:
        """The URI that we record, and that another run under the same name must agree with."""
        return self.origin or self.source.uri

    @property
    def placement_given(self) -> bool:
        return bool(self.nodes or self.node_selector)


def parse_options(
    text: str,
    *,
    name: str | None,
    replicas: int | None,
    medium: str,
    path: str | None,
    quota: str,
    nodes: Sequence[str],
    node_selector: str | None,
    runtime: str,
    load: bool,
    s3_secret: str | None,
    gcs_secret: str | None,
) -> CacheOptions:
    """Check the flags against each other.

    Raises:
        UsageError: with the flag at fault and what it takes.
    """
    source = parse_source(text)
    if runtime != "alluxio":
        raise UsageError(f"--runtime {runtime}", "only Alluxio is supported", "--runtime alluxio")
    if nodes and node_selector:
        raise UsageError("--node and --node-selector", "give one of them")
    nodes = tuple(dict.fromkeys(nodes))
    if path is not None and not re.fullmatch(r"/[^\s,:\x00-\x1f]*", path):
        raise UsageError(f"--path '{path}'", "it is one absolute directory")
    if replicas is not None and nodes and len(nodes) != replicas:
        raise UsageError(
            f"--replicas {replicas} with {len(nodes)} --node", "each node holds one whole copy"
        )
    if s3_secret and source.scheme not in ("s3", "hf"):
        raise UsageError("--s3-secret", f"a {source.scheme}:// source has no use for it")
    if gcs_secret and source.scheme != "gs":
        raise UsageError("--gcs-secret", f"a {source.scheme}:// source has no use for it")
    if source.scheme == "local" and not (nodes or node_selector):
        raise UsageError(
            f"{source.uri} lies on a node", "say on which", "--node NODE (kubectl get nodes)"
        )
    return CacheOptions(
        source=source,
        name=validate_name(name) if name else derive_dataset_name(source.model),
        replicas=replicas or len(nodes) or 1,
        medium=medium,
        path=path,
        quota=None if quota == "auto" else parse_size_flag(quota, "--quota"),
        nodes=nodes,
        node_selector=_parse_node_selector(node_selector),
        load=load,
        s3_secret=s3_secret,
        gcs_secret=gcs_secret,
        replicas_given=bool(replicas or nodes),
    )


_LABEL = re.compile(r"([A-Za-z0-9][\w./-]*)=([\w.-]*)", re.ASCII)


def parse_size_flag(text: str, flag: str) -> int:
    """`300Gi`, and `300GiB` and `300GB` as people type them, in bytes, up to a whole MiB.

    Kubernetes rewrites other numbers (`5000000000` to `5G`), which would look like a change.

    Raises:
        UsageError: it is no positive size.
    """
    try:
        found = quantity.parse_quantity(re.sub(r"(?<=[KMGTPk\di])B$", "", text))
    except ValueError:
        found = Decimal(0)
    if found < 1:
        raise UsageError(f"{flag} '{text}' is not a size", "write 300Gi")
    return -(-int(found) // MIB) * MIB


def _parse_node_selector(text: str | None) -> tuple[tuple[str, str], ...]:
    if not text:
        return ()
    pairs = []
    for part in text.split(","):
        match = _LABEL.fullmatch(part.strip())
        if not match:
            raise UsageError(f"--node-selector '{text}'", "write KEY=VALUE,KEY=VALUE")
        pairs.append((match[1], match[2]))
    return tuple(pairs)
