"""`cache --preheat`: on each node of the cache, a pod reads the model once through the claim.

Fluid runs one FUSE client per node and cache, and mounts it with `kernel_cache`: what one pod has
read, later pods of that node read from the page cache, until the kernel needs the memory. So the
first worker neither waits for the FUSE client to start nor reads through it.

`--verify read` is the same, but reads again what was read before. Start at `read_cache`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import field

from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.read_verification import (
    ClaimReads,
    ExpectedFile,
    NodeReading,
    ReadVerification,
    WrongContentError,
)
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import fuse, names
from kubectl_fluidmodel.fluid.claim_job import ClaimNode
from kubectl_fluidmodel.fluid.placement import build_candidate
from kubectl_fluidmodel.inventory.preheat_record import (
    PreheatRecord,
    format_records,
    fuse_clients,
    preheat_records,
)
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import KubeError
from kubectl_fluidmodel.kube.job_run import job_permissions
from kubectl_fluidmodel.kube.permissions import denied
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import NODES, PODS
from kubectl_fluidmodel.objects.time import format_now
from kubectl_fluidmodel.output.progress import ProgressReporter
from kubectl_fluidmodel.output.shell import Command, Operand, kubectl
from kubectl_fluidmodel.output.units import format_bytes
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class PreheatedNode:
    """A node that has read the model, now or in an earlier run."""

    name: str
    bytes: int
    seconds: float
    before: bool = False
    """Whether an earlier run did."""
    resident_bytes: int | None = None
    """How much of it was in the page cache then; None if not measured."""


@dataclass(frozen=True)
class Preheating:
    """What was read through the claim."""

    nodes: tuple[PreheatedNode, ...] = ()
    verification: ReadVerification | None = None
    """None if not every node was read in this run."""


def read_cache(
    client: Client,
    namespace: str,
    options: CacheOptions,
    runtime: Object,
    expected: Mapping[str, ExpectedFile],
    reporter: ProgressReporter,
    deadline: float,
) -> Preheating:
    """Read a cache on each of its nodes: to preheat it, to verify it, or both.

    Args:
        client: The cluster.
        namespace: The cache's namespace.
        options: The cache, and the pod that reads it.
        runtime: Its runtime.
        expected: The model's files by path; empty if they could not be listed.
        reporter: Gets messages and progress.
        deadline: The time.monotonic() at which the last wait ends.

    Raises:
        WrongContentError: a pod reads something else than the source has.
        FluidModelError: a cache that was to be read cannot be read.
    """
    has_page_cache = not fuse.uses_jnr_fuse(runtime)
    if not has_page_cache and not options.must_read:
        return Preheating()  # a note of the plan says why
    if options.reader is None:
        reporter.log(skipped_note("there is no image for its pod", options, namespace))
        return Preheating()
    image, network = options.reader.image, options.reader.network
    reads = ClaimReads(client, namespace, options.name, image, network, reporter, deadline)
    return Preheater(client, namespace, options, reads, reporter, has_page_cache).run(expected)


@dataclass(frozen=True)
class Preheater:
    """Reads a cache on each of its nodes, and records it on the Dataset."""

    client: Client
    namespace: str
    options: CacheOptions
    reads: ClaimReads
    reporter: ProgressReporter
    has_page_cache: bool = True
    """Whether the kernel keeps what was read; without it, only `--verify read` reads."""
    _records: dict[str, PreheatRecord] = field(default_factory=dict)

    def run(self, expected: Mapping[str, ExpectedFile]) -> Preheating:
        """Read the cache on each node, unless this content was read there already.

        What is merely faster with it never fails: without `--preheat on` or `--verify read`, an
        obstacle is a note.

        Args:
            expected: The model's files by path; empty if they could not be listed.

        Raises:
            WrongContentError: a pod reads something else than the source has.
            FluidModelError: a cache that was to be read cannot be read.
        """
        try:
            if not (self.has_page_cache or self.options.verify_by_reading):
                raise FluidModelError(
                    "the cache cannot be preheated",
                    "with --high-concurrency, no page cache keeps what was read",
                    "--preheat off",
                )
            nodes = self.reads.worker_nodes()
            obstacle = "" if self.options.must_read else self._obstacle(nodes, expected)
            if not obstacle:
                return self._read(nodes, expected)
        except WrongContentError:
            raise
        except FluidModelError as err:
            if self.options.must_read:
                raise
            obstacle = f"{err.message}: {err.reason}" if err.reason else err.message
        self.reporter.log(skipped_note(obstacle, self.options, self.namespace))
        return Preheating()

    def _obstacle(self, nodes: Sequence[ClaimNode], expected: Mapping[str, ExpectedFile]) -> str:
        """Return why `--preheat auto` does not read; empty if it does."""
        missing = denied(self.client, job_permissions(self.namespace))
        if missing:
            return f"missing permission to {missing[0]}"
        size = sum(file.size for file in expected.values())
        for node in nodes:
            free = self._free_memory(node.name)
            if free is None:
                return f"the free memory of {node.name} is not known"
            if free < size:
                return (
                    f"{node.name} has {format_bytes(max(0, free))} of memory that no pod requests, "
                    f"for a model of {format_bytes(size)}"
                )
        return ""

    def _free_memory(self, node: str) -> int | None:
        """Return the bytes of a node that no pod requests: pages stay there longest."""
        try:
            pods = self.client.list_objects(PODS, fields=f"spec.nodeName={node}")
            return build_candidate(self.client.get(NODES, node), pods).capacity.memory
        except KubeError:
            return None

    def _read(self, nodes: Sequence[ClaimNode], expected: Mapping[str, ExpectedFile]) -> Preheating:
        if not self.has_page_cache:
            readings = [self.reads.read_on(node, expected) for node in nodes]
            return Preheating(verification=_verification(readings, expected))
        content = content_id(self.options.recorded_uri, expected)
        before = self._valid_records(content)
        self._records.update(before)
        preheated, readings = [], []
        for node in nodes:
            record = None if self.options.verify_by_reading else before.get(node.name)
            is_old = record is not None
            if record is not None:
                self.reporter.log(f"{node.name} has read this model already")
            else:
                reading = self.reads.read_on(node, expected)
                readings.append(reading)
                record = self._record(node.name, content, reading)
            preheated.append(
                PreheatedNode(
                    node.name, record.bytes, record.seconds, is_old, record.resident_bytes
                )
            )
        is_complete = len(readings) == len(nodes)
        return Preheating(
            tuple(preheated), _verification(readings, expected) if is_complete else None
        )

    def _valid_records(self, content: str) -> dict[str, PreheatRecord]:
        dataset = self.client.get(names.DATASETS, self.options.name, self.namespace)
        clients = self._clients()
        return {
            node: record
            for node, record in preheat_records(dataset).items()
            if (record.content, record.client) == (content, clients.get(node))
        }

    def _record(self, node: str, content: str, reading: NodeReading) -> PreheatRecord:
        """Record a node at once: an interrupted run continues with the next one."""
        record = PreheatRecord(
            content,
            self._clients().get(node, ""),
            reading.bytes,
            reading.seconds,
            reading.pages.bytes if reading.pages else None,
            format_now(),
        )
        self._records[node] = record
        value = {names.PREHEATED_ANNOTATION: format_records(self._records)}
        body = {"metadata": {"annotations": value}}
        self.client.patch(names.DATASETS, self.options.name, self.namespace, body)
        return record

    def _clients(self) -> dict[str, str]:
        labels = f"release={self.options.name},role=alluxio-fuse"
        return fuse_clients(self.client.list_objects(PODS, self.namespace, labels=labels))


def content_id(source: str, expected: Mapping[str, ExpectedFile]) -> str:
    """Return an identifier of a model's content: of its files, or of its source if unknown."""
    files = sorted((path, file.size, file.digest) for path, file in expected.items())
    return hashlib.sha256(json.dumps([source, files]).encode()).hexdigest()[:16]


def _verification(
    readings: Sequence[NodeReading], expected: Mapping[str, ExpectedFile]
) -> ReadVerification:
    return ReadVerification(
        nodes=tuple(reading.node for reading in readings),
        files=len(expected) or min(len(reading.read) for reading in readings),
        bytes=max(reading.bytes for reading in readings),
        hashed=sum(bool(file.digest) for file in expected.values()),
    )


def skipped_note(reason: str, options: CacheOptions, namespace: str) -> str:
    """Return the line that says why the cache is not preheated, and how to do it."""
    return f"note: not preheated: {reason}; try: {_command(options, namespace)}"


def _command(options: CacheOptions, namespace: str) -> Command:
    """Return the command for the same content: later commits would be another cache's."""
    source = options.recorded_uri.removeprefix("hf://")
    flags: list[str] = []
    staging = options.staging
    if staging is not None:
        source += f"@{options.commit}" if options.commit else ""
        flags += ["--to", staging.to.uri, *staging.hub.flags]
    flags += [*options.store.flags, "--name", options.name, "--preheat", "on"]
    flags += ["--image", options.reader.image if options.reader else "IMAGE"]
    return kubectl("fluidmodel", "cache", Operand(source), *flags, namespace=namespace)
