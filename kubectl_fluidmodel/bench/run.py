"""The workflow of `bench`: finds the cache, reads it on its node, and interprets the result."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import field

import click

from kubectl_fluidmodel.bench.job import MEMORY_LIMIT, MODULE, PURPOSE, build_bench_job
from kubectl_fluidmodel.bench.node_choice import BenchNode, choose_cache_node, choose_other_node
from kubectl_fluidmodel.bench.options import ANY_NODE, BenchOptions
from kubectl_fluidmodel.bench.plan import (
    EVENTS,
    MOUNT_CASES,
    OTHER_NODE_CASES,
    STORE_CASE,
    BenchPlan,
    CaseDone,
    CaseSkipped,
    CaseStarted,
    Measurement,
    PagesMeasured,
    ReadCase,
    ReaderFailed,
    ReaderFinished,
    ReadProgress,
    Source,
    last_text,
)
from kubectl_fluidmodel.bench.result import BenchResult, NodeResult
from kubectl_fluidmodel.cache.hints import doctor
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.fluid.claim_job import ClaimJob
from kubectl_fluidmodel.fluid.fuse import uses_jnr_fuse
from kubectl_fluidmodel.inventory.cache import Cache, build_caches
from kubectl_fluidmodel.inventory.mount_target import MountTarget, mount_targets
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError
from kubectl_fluidmodel.kube.job_run import JobTimeouts, PodStalledError, job_permissions, run_job
from kubectl_fluidmodel.kube.permissions import require_permissions
from kubectl_fluidmodel.objects.access import Object, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.kinds import CSI_NODES, JOBS, NODES, PVCS
from kubectl_fluidmodel.objects.time import format_now
from kubectl_fluidmodel.output.console import print_note, print_warning
from kubectl_fluidmodel.output.live import ProgressView
from kubectl_fluidmodel.output.progress import DONE, RUNNING, WAITING, Step
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot import collector, queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

CASE_SECONDS = 10.0
_SCHEDULE = 30.0
"""Seconds until the pod has its node."""
_START = 120.0
"""Seconds until the pod runs: pulling the image, and starting a FUSE client."""
_STALL = 60.0
"""Seconds without a line from the pod, which prints one per second as long as it reads."""
_HINT = "Ctrl-C stops it and removes the pod"


@dataclass(frozen=True)
class BenchCommand:
    """One command line of `bench`."""

    options: BenchOptions
    connection: ConfigFlags

    def run(self) -> int:
        """Measure, print, and save the result.

        Returns:
            The exit code.

        Raises:
            FluidModelError: the cache cannot be read, or its pod does not run.
        """
        client = Client.connect(self.connection)
        namespace, name = client.namespace, self.options.name
        snapshot = collector.collect(client, namespace, queries.INSPECT_QUERIES)
        cache = find_readable_cache(snapshot, namespace, name)
        nodes = [choose_cache_node(snapshot, cache, self.options.node)]
        if self.options.off_node:
            nodes.append(_find_other_node(client, cache, self.options.off_node))
        store = _readable_store(cache) if self.options.store else None
        jobs = [self._build_job(cache, node, store) for node in nodes]
        if self.options.dry_run != "none":
            self._print_dry_run(client, [job for _, job in jobs])
            return 0
        require_permissions(
            client, job_permissions(namespace), task="read a cache with a pod", docs="docs/rbac.md"
        )
        if self.options.off_node:
            print_note(f"note: {nodes[1].name} does not hold the cache, so reading there is slow")
        readings = [
            _Reading(
                client,
                job,
                self.options,
                len(plan.cases),
                node,
                skipped=list(readable_cases(cache, holds_cache=node.holds_cache)[1]),
            )
            for (plan, job), node in zip(jobs, nodes, strict=True)
        ]
        local, *others = readings
        results = [local.run()]
        failure: FluidModelError | None = None
        for other in others:
            try:
                results.append(other.run())
            except FluidModelError as err:
                failure = err  # what was measured on the cache's own node is still a result
        result = BenchResult(
            namespace, name, format_now(), model_bytes=local.model_bytes, nodes=tuple(results)
        )
        self._print_result(result)
        if self.options.save:
            _save_rates(client, result)
        if failure is not None:
            raise failure
        return 0

    def _build_job(
        self, cache: Cache, node: BenchNode, store: MountTarget | None
    ) -> tuple[BenchPlan, Object]:
        store = store if node.holds_cache else None
        cases, _ = readable_cases(cache, holds_cache=node.holds_cache)
        plan = BenchPlan(
            cases=(*cases, *([STORE_CASE] if store else [])),
            sample_bytes=self.options.sample_bytes,
            case_seconds=CASE_SECONDS if self.options.sample_bytes else self.options.timeout,
            seed=random.randrange(2**32),  # noqa: S311 - an order of reading, no secret
            store=store.to_json() if store else "",
        )
        job = ClaimJob(
            cache.namespace,
            cache.name,
            PURPOSE,
            MODULE,
            node.place,
            self.options.image,
            deadline=self.options.timeout,
            suffix=secrets.token_hex(4),
            network=self.options.network,
            memory_limit=MEMORY_LIMIT,
        )
        return plan, build_bench_job(job, plan, store)

    def _print_dry_run(self, client: Client, jobs: Sequence[Object]) -> None:
        from kubectl_fluidmodel.output.serialize import format_objects

        objects = list(jobs)
        if self.options.dry_run == "server":
            objects = [client.create(JOBS, job, dry_run=True) for job in jobs]
        output = self.options.output if self.options.output in ("json", "yaml") else "yaml"
        click.echo(format_objects(objects, output), nl=False)

    def _print_result(self, result: BenchResult) -> None:
        from kubectl_fluidmodel.bench.view import result_document, result_text
        from kubectl_fluidmodel.output.serialize import format_document

        output = self.options.output
        if output in ("json", "yaml"):
            text = format_document(result_document(result), output)
        else:
            text = result_text(result, markdown=output == "markdown")
        click.echo(text, nl=False)


def _find_other_node(client: Client, cache: Cache, requested: str) -> BenchNode:
    try:
        csi_nodes = client.list_objects(CSI_NODES)
    except ForbiddenError:
        csi_nodes = None  # a node without the plugin is then noticed when its pod does not start
    nodes: list[Object] = client.list_objects(NODES)
    if requested != ANY_NODE:
        nodes = [node for node in nodes if name_of(node) == requested]
    return choose_other_node(nodes, cache, csi_nodes)


def find_readable_cache(snapshot: Snapshot, namespace: str, name: str) -> Cache:
    """Return the cache with this name, if a pod can mount it now.

    Raises:
        FluidModelError: it does not exist, is not bound, or is being deleted.
    """
    caches = {(cache.namespace, cache.name): cache for cache in build_caches(snapshot)}
    cache = caches.get((namespace, name))
    if cache is None or cache.dataset is None:
        failure = snapshot.read_failure(names.DATASETS)
        raise FluidModelError(
            f"there is no cache {name} in namespace {namespace}",
            failure.reason if failure else "no Dataset has this name",
            command("kubectl", "fluidmodel", "inspect", "-n", namespace),
        )
    hint = doctor(name, namespace)
    if is_terminating(cache.dataset):
        raise FluidModelError(f"the cache {name} is being deleted", "it cannot be read", hint)
    phase = status.parse_dataset(cache.dataset).phase or "new"
    if phase != "Bound":
        raise FluidModelError(f"the cache {name} cannot be read", f"it is {phase}", hint)
    claim_phase = get_path(cache.claim, "status", "phase", default="missing")
    if claim_phase != "Bound" and snapshot.was_read(PVCS, namespace):
        reason = f"its PersistentVolumeClaim is {claim_phase}"
        raise FluidModelError(f"the cache {name} cannot be mounted", reason, hint)
    return cache


def readable_cases(
    cache: Cache, *, holds_cache: bool
) -> tuple[tuple[ReadCase, ...], tuple[tuple[str, str], ...]]:
    """Return how the mount of a node is read, and what cannot be measured there, with reasons."""
    if not holds_cache:
        return OTHER_NODE_CASES, ()
    if not uses_jnr_fuse(cache.fuse_runtime):
        return MOUNT_CASES, ()
    cases = tuple(case for case in MOUNT_CASES if case.source is not Source.PAGE_CACHE)
    return cases, (("page cache", "the FUSE client of --high-concurrency keeps none"),)


def _readable_store(cache: Cache) -> MountTarget | None:
    """Return the cache's store, if the pod may read it with a Secret's keys or without keys."""
    targets = mount_targets(cache)
    if len(targets) != 1:
        return None
    target = targets[0]
    readable = target.scheme == "s3" and not target.skip and target.plain is None
    return target if readable else None


@dataclass
class _BenchProgress:
    """The progress view of one pod."""

    node: str
    cases: int
    done_cases: int = 0
    current: str = ""
    waiting_for: str = ""
    done_bytes: int | None = None
    total_bytes: int | None = None
    remaining_after: int = 0
    problems: tuple[str, ...] = ()

    @property
    def is_transferring(self) -> bool:
        return False

    @property
    def steps(self) -> tuple[Step, ...]:
        if not self.current:
            return (
                Step("pod", RUNNING, self.waiting_for or f"starting on {self.node}"),
                Step("read", WAITING),
            )
        detail = f"{self.current} ({self.done_cases + 1} of {self.cases})"
        if self.done_cases >= self.cases:
            return Step("pod", DONE, f"on {self.node}"), Step("read", DONE)
        return Step("pod", DONE, f"on {self.node}"), Step("read", RUNNING, detail)


@dataclass
class _Reading:
    """One pod of `bench`, and its events."""

    client: Client
    job: Object
    options: BenchOptions
    cases: int
    node: BenchNode
    model_bytes: int = 0
    pages: PagesMeasured | None = None
    measurements: list[Measurement] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failure: str = ""
    lines: list[str] = field(default_factory=list)

    def run(self) -> NodeResult:
        """Run the pod to its end.

        Raises:
            FluidModelError: it did not start, failed or hangs; the error names the case.
        """
        timeout, node = self.options.timeout, self.node
        bounds = JobTimeouts(
            schedule=min(_SCHEDULE, timeout / 2),
            start=min(_START, timeout * 2 / 3),
            stall=min(_STALL, timeout / 2),
            total=timeout,
        )
        progress = _BenchProgress(node.name, self.cases)
        with ProgressView(color=self.options.color, hint=_HINT) as view:

            def on_line(line: str) -> None:
                self._handle_line(line, progress)
                view.update(progress)

            def on_wait(reason: str) -> None:
                progress.waiting_for = reason
                view.update(progress)

            try:
                succeeded = run_job(self.client, self.job, bounds, on_line, on_wait)
            except PodStalledError as err:
                raise self._hang_error(progress, err) from err
        if not succeeded:
            reason = self.failure or last_text(self.lines) or "its log is empty"
            hint = doctor(self.options.name, namespace_of(self.job))
            raise FluidModelError(f"the pod on {node.name} failed", reason, hint)
        return NodeResult(
            node.name, node.holds_cache, tuple(self.measurements), tuple(self.skipped), self.pages
        )

    def _handle_line(self, line: str, progress: _BenchProgress) -> None:
        event = EVENTS.from_line(line)
        if event is None:
            self.lines = [*self.lines, line][-20:]
        elif isinstance(event, CaseStarted):
            progress.current = event.label
        elif isinstance(event, ReadProgress):
            progress.done_bytes = event.bytes
        elif isinstance(event, CaseDone):
            self.measurements.append(event.measurement)
            progress.done_cases += 1
        elif isinstance(event, CaseSkipped):
            self.skipped.append((event.label, event.reason))
            progress.done_cases += 1
        elif isinstance(event, ReaderFailed):
            self.failure = event.reason
        elif isinstance(event, PagesMeasured):
            self.pages = event
        elif isinstance(event, ReaderFinished):
            self.model_bytes = event.model_bytes

    def _hang_error(self, progress: _BenchProgress, err: PodStalledError) -> FluidModelError:
        case = progress.current or "the first read"
        hint = doctor(self.options.name, namespace_of(self.job))
        return FluidModelError(f"reading hangs at {case}", err.message, hint)


def _save_rates(client: Client, result: BenchResult) -> None:
    """Save the rates on the Dataset for `inspect`; if that is denied, only warn."""
    body = {
        "metadata": {"annotations": {names.READ_RATES_ANNOTATION: result.rates().to_annotation()}}
    }
    try:
        client.patch(names.DATASETS, result.name, result.namespace, body)
    except KubeError as err:
        print_warning(f"the result is not saved on the Dataset: {err.reason or err.message}")
