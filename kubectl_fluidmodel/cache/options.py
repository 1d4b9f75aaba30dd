"""The options of `cache`: the flags, validated once against each other."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import field, fields

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid.names import derive_dataset_name, validate_name
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.model.source import Source, command_for_source, parse_source
from kubectl_fluidmodel.objects.plugin_pod import (
    PodNetwork,
    build_image_hint,
    parse_network,
    require_image,
)
from kubectl_fluidmodel.objects.quantity import parse_size_flag
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, parse_bucket_prefix
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.options import DEFAULT_WORKERS

DEFAULT_TIMEOUT = 1800.0
_FLAG_BY_FIELD = {"nodes": "--node", "pull_secrets": "--image-pull-secret"}
"""Flags whose names differ from their fields."""
_LABEL = re.compile(r"([A-Za-z0-9][\w./-]*)=([\w.-]*)", re.ASCII)


@dataclass(frozen=True)
class CacheFlags:
    """The flags that define the cache, as on the command line."""

    name: str | None = None
    replicas: int | None = None
    medium: str = "auto"
    path: str | None = None
    quota: str = "auto"
    high_concurrency: bool | None = None
    """None where neither --high-concurrency nor --no-high-concurrency is given."""
    runtime: str = "alluxio"
    load: bool | None = None
    """None where neither --load nor --no-load is given."""
    nodes: tuple[str, ...] = ()
    node_selector: str | None = None
    gcs_secret: str | None = None
    verify: str = "list"
    preheat: str = "auto"


@dataclass(frozen=True)
class StagingFlags:
    """The flags for staging a Hub model, as on the command line."""

    to: str | None = None
    stage_on: str = "cluster"
    image: str | None = None
    pull_secrets: tuple[str, ...] = ()
    stage_proxy: str | None = None
    stage_no_proxy: str | None = None
    stage_ca: str | None = None
    stage_workers: int | None = None
    shards: int = 1


@dataclass(frozen=True)
class StagingOptions:
    """How a Hub model is copied to its bucket."""

    to: BucketPrefix
    on: str = "cluster"
    """`cluster`: a Job transfers; `client`: this process does."""
    image: str = ""
    """The Job's image; empty if there is none."""
    network: PodNetwork = field(default_factory=PodNetwork)
    workers: int = DEFAULT_WORKERS
    shards: int = 1
    hub: HubOptions = field(default_factory=HubOptions)


@dataclass(frozen=True)
class ReaderPod:
    """The pod of `--verify read` and `--preheat`."""

    image: str
    network: PodNetwork = field(default_factory=PodNetwork)


@dataclass(frozen=True)
class CacheOptions:
    """One `cache` command. Sizes are bytes; None leaves the decision to `cache`."""

    source: Source
    name: str
    replicas: int = 1
    medium: str = "auto"
    path: str | None = None
    quota: int | None = None
    high_concurrency: bool | None = None
    """Whether the FUSE client is for many parallel reads; None leaves it as it is."""
    nodes: tuple[str, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    load: bool = True
    store: StoreOptions = field(default_factory=StoreOptions)
    gcs_secret: str | None = None
    replicas_given: bool = False
    wait: bool = True
    timeout: float = DEFAULT_TIMEOUT
    """Seconds for the whole wait, including staging."""
    staging: StagingOptions | None = None
    """How the source is staged; None if it is not a Hub model."""
    origin: str = ""
    """For a staged model, its URI on the Hub: `hf://org/model`. The source is then its bucket."""
    commit: str = ""
    """For a staged model, its commit on the Hub."""
    revision: str = ""
    """For a staged model, the branch or tag that its updates follow; empty for `main`."""
    replaces: str = ""
    """The name of the cache that this one replaces; empty if `update` does not make it."""
    reader: ReaderPod | None = None
    """The pod that reads the cache; None if there is no image for it, or nothing to read."""
    verify_by_reading: bool = False
    """Whether that pod has to read every file in this run."""
    preheat: str = "auto"
    """`auto`: where nothing is in the way; `on`: or fail; `off`."""
    expected: FileListing | None = None
    """For a model that is not staged yet, the files that its bucket will hold."""

    @property
    def is_web_source(self) -> bool:
        return self.source.scheme in ("http", "https")

    @property
    def recorded_uri(self) -> str:
        """The URI that the Dataset records, and that later runs with the same name must have."""
        return self.origin or self.source.uri

    @property
    def must_read(self) -> bool:
        """Whether a cache that cannot be read through its claim is an error."""
        return self.verify_by_reading or self.preheat == "on"

    @property
    def placement_given(self) -> bool:
        return bool(self.nodes or self.node_selector)


def parse_options(
    source: str,
    flags: CacheFlags,
    store: StoreOptions | None = None,
    staging: StagingFlags | None = None,
    hub: HubOptions | None = None,
    waiting: tuple[bool, float] = (True, DEFAULT_TIMEOUT),
) -> CacheOptions:
    """Check the flags against each other and against the source.

    Args:
        source: SOURCE, as on the command line.
        flags: The flags that define the cache.
        store: The flags of the store.
        staging: The flags of staging, for a Hub model.
        hub: The flags of the Hub, for a Hub model.
        waiting: Whether to wait, and for how many seconds at most.

    Raises:
        UsageError: names the invalid flag and its format.
    """
    parsed = parse_source(source)
    store = store or StoreOptions()
    _check_placement(parsed, flags)
    _check_secrets(parsed, store, flags)
    nodes = tuple(dict.fromkeys(flags.nodes))
    if flags.replicas is not None and nodes and len(nodes) != flags.replicas:
        raise UsageError(
            f"--replicas {flags.replicas} with {len(nodes)} --node",
            "each node holds a complete copy, so the two numbers must be equal",
        )
    return CacheOptions(
        source=parsed,
        name=validate_name(flags.name) if flags.name else derive_dataset_name(parsed.model),
        replicas=flags.replicas or len(nodes) or 1,
        medium=flags.medium,
        path=flags.path,
        quota=None if flags.quota == "auto" else parse_size_flag(flags.quota, "--quota"),
        high_concurrency=flags.high_concurrency,
        nodes=nodes,
        node_selector=_parse_node_selector(flags.node_selector),
        load=flags.load is not False,
        store=store,
        gcs_secret=flags.gcs_secret,
        replicas_given=bool(flags.replicas or nodes),
        wait=waiting[0],
        timeout=waiting[1],
        staging=_parse_staging(parsed, staging or StagingFlags(), hub or HubOptions()),
        reader=_parse_reader(flags, staging or StagingFlags(), wait=waiting[0]),
        verify_by_reading=flags.verify == "read",
        preheat=flags.preheat,
    )


def changed_flags(
    flag_group: CacheFlags | StoreOptions | StagingFlags | HubOptions, allowed: Collection[str]
) -> list[str]:
    """Return the flags of a group that are not at their defaults, but for the allowed fields."""
    default = type(flag_group)()
    names = (attribute.name for attribute in fields(flag_group) if attribute.name not in allowed)
    return [
        _FLAG_BY_FIELD.get(name, f"--{name.replace('_', '-')}")
        for name in names
        if getattr(flag_group, name) != getattr(default, name)
    ]


def _check_placement(source: Source, flags: CacheFlags) -> None:
    """Raises: UsageError: the runtime, the directory or the nodes cannot be combined."""
    if flags.runtime != "alluxio":
        raise UsageError(
            f"--runtime {flags.runtime}", "only Alluxio is supported", "--runtime alluxio"
        )
    if flags.nodes and flags.node_selector:
        raise UsageError("--node and --node-selector", "use one of them")
    if flags.path is not None and not re.fullmatch(r"/[^\s,:\x00-\x1f]*", flags.path):
        raise UsageError(f"--path '{flags.path}'", "it must be one absolute directory")
    if source.scheme == "local" and not (flags.nodes or flags.node_selector):
        raise UsageError(
            f"{source.uri} is a directory of a node",
            "its node is required",
            "--node NODE (kubectl get nodes)",
        )


def _check_secrets(source: Source, store: StoreOptions, flags: CacheFlags) -> None:
    """Raises: UsageError: a Secret is given that the source does not use."""
    if store.s3_secret and source.scheme not in ("s3", "hf"):
        raise UsageError("--s3-secret", f"a {source.scheme}:// source does not use it")
    if flags.gcs_secret and source.scheme != "gs":
        raise UsageError("--gcs-secret", f"a {source.scheme}:// source does not use it")


def _parse_staging(source: Source, flags: StagingFlags, hub: HubOptions) -> StagingOptions | None:
    """Return how the source is staged; None if it is not a Hub model.

    Raises:
        UsageError: the bucket is missing or not needed, or a flag of the Job is invalid.
    """
    if source.scheme != "hf":
        if flags.to:
            raise UsageError(f"--to with {source.uri}", "only Hub models are staged")
        return None
    if not flags.to:
        raise _missing_bucket_error(source)
    return StagingOptions(
        to=parse_bucket_prefix(flags.to),
        on=flags.stage_on,
        image=require_image(flags.image) if flags.stage_on == "cluster" else "",
        network=parse_network(
            flags.stage_proxy, flags.stage_no_proxy, flags.stage_ca, flags.pull_secrets
        ),
        workers=flags.stage_workers or DEFAULT_WORKERS,
        shards=flags.shards,
        hub=hub,
    )


def _parse_reader(flags: CacheFlags, pod: StagingFlags, *, wait: bool) -> ReaderPod | None:
    """Return the pod that reads the cache; None if nothing asks for it, or it has no image.

    Raises:
        UsageError: it is required and has no image, or there is nothing to read or nobody waits.
    """
    if flags.high_concurrency and flags.preheat == "on" and flags.verify != "read":
        raise UsageError(
            "--preheat on with --high-concurrency",
            "its FUSE client mounts with direct_io, so no page cache keeps what was read",
            "--verify read, which reads to verify",
        )
    required_by = "--preheat on" if flags.preheat == "on" else ""
    if flags.verify == "read":
        required_by = "--verify read"
    reads = flags.load is not False and wait
    if required_by and not reads:
        flag = "--no-load" if flags.load is False else "--no-wait"
        raise UsageError(f"{required_by} with {flag}", "only a loaded cache can be read")
    if not required_by and (flags.preheat == "off" or not reads):
        return None
    image = require_image(pod.image)
    if required_by and not image:
        raise UsageError(
            f"{required_by} needs an image that has this plugin", "", build_image_hint()
        )
    network = parse_network(None, None, None, pod.pull_secrets)
    return ReaderPod(image, network) if image else None


def _missing_bucket_error(source: Source) -> UsageError:
    """Return the error for a Hub model without --to, which may have been meant as a bucket."""
    hint = command_for_source(source.uri.removeprefix("hf://"))
    with suppress(UsageError):  # not every organization's name is a valid bucket name
        bucket = parse_source(f"s3://{source.host}") if not source.revision else None
        if bucket is not None:
            hint += f", or, if {bucket.host} is a bucket: {command_for_source(bucket.uri)}"
    return UsageError(
        f"{source.uri} has to be staged in a bucket", "Fluid cannot read the Hugging Face Hub", hint
    )


def _parse_node_selector(text: str | None) -> tuple[tuple[str, str], ...]:
    if not text:
        return ()
    pairs = []
    for part in text.split(","):
        match = _LABEL.fullmatch(part.strip())
        if not match:
            raise UsageError(f"--node-selector '{text}'", "the format is KEY=VALUE,KEY=VALUE")
        pairs.append((match[1], match[2]))
    return tuple(pairs)
