"""The story of `cache`, step by step: look, measure, decide, make, wait, prove.

Every step can be interrupted: what was made stays, and the same command goes on from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kubectl_fluidmodel.cache import apply, nodes, preflight, removal
from kubectl_fluidmodel.cache.desired import Cluster, Design, Existing, design
from kubectl_fluidmodel.cache.options import Request
from kubectl_fluidmodel.cache.progress import Progress
from kubectl_fluidmodel.cache.progress_reporter import Teller
from kubectl_fluidmodel.cache.source_info import Measured, measure
from kubectl_fluidmodel.cache.verification import Proof
from kubectl_fluidmodel.cache.waiter import Follower
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import dataload, names, status
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden
from kubectl_fluidmodel.objects.access import Object, name_of, namespace_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.scheduler import by_reason
from kubectl_fluidmodel.output.serialize import reference
from kubectl_fluidmodel.output.text import plural, size

if TYPE_CHECKING:
    from kubectl_fluidmodel.cache.hub_staging import Stager

ATTEMPTS = 3
"""Loads in one run before an incomplete cache is a failure."""
_PATIENCE = 60.0
"""Seconds that an API server may be away in the middle of the work."""
_GONE = 120.0
"""Seconds to wait for Fluid to clean up what is deleted."""


@dataclass(frozen=True)
class Outcome:
    """How a run of `cache` ended."""

    design: Design
    measured: Measured
    proof: Proof | None
    """None where nothing was loaded or waited for."""


@dataclass
class Run:
    """One run of `cache` against a cluster."""

    client: Client
    request: Request
    namespace: str
    teller: Teller
    timeout: float
    """Seconds for the whole wait, staging included."""
    stager: Stager | None = None
    """How the model gets into its bucket first, where it comes from the Hub."""
    findings: preflight.Findings = field(init=False)

    def __post_init__(self) -> None:
        self._noted: set[str] = set()
        self._foreseen: Design | None = None
        self._deadline = time.monotonic() + self.timeout

    def look(self) -> None:
        """The preflight; nothing is written.

        Raises:
            FluidModelError: with what is in the way.
        """
        besides = self.stager.permissions() if self.stager else ()
        self.findings = preflight.check(self.client, self.request, self.namespace, besides)

    def rehearse(self) -> None:
        """Have the API server try what will be made once the model is staged.

        Raises:
            FluidModelError: an admission policy, a schema or another manager is in the way.
        """
        if self.stager is not None:
            first = self.stager.objects()
            try_on_server(self.client, self._foresee(self.stager), lambda _: None, first)

    def stage(self, *, wait: bool) -> bool:
        """Have the model in its bucket; False where its Job is started and nobody waits.

        Raises:
            FluidModelError: also with what would be in the way of the cache itself, before the
                first byte is moved.
        """
        if self.stager is None:
            return True
        self.client.patience = _PATIENCE
        self._foresee(self.stager)
        staged = self.stager.carry_out(self.teller, self._deadline, wait=wait)
        self.request = replace(self.request, expected=None)
        if staged:  # hours may have passed, in which somebody took the name
            found = preflight.existing(self.client, self.request, self.namespace)
            preflight.name_is_free(self.client, self.request, self.namespace, found)
            self.findings.existing = found
        return staged

    def _foresee(self, stager: Stager) -> Design:
        """What the plan alone makes of the cache, with what is in its way."""
        if self._foreseen is None:
            for line in stager.words():
                self.teller.say(line)
            given = stager.staging
            stager.check()
            _, self._foreseen = self.decide(given.endpoint, given.region)
            if self._foreseen.changes:
                self.refuse_readers(self._foreseen)
        return self._foreseen

    def decide(self, endpoint: str | None, region: str | None) -> tuple[Measured, Design]:
        """Measure and decide; nothing is written.

        Raises:
            FluidModelError: with what is in the way.
        """
        measured = measure(
            self.request, self.client, self.namespace, endpoint=endpoint, region=region
        )
        cluster = nodes.survey(self.client, self.request, self.namespace, self.findings.existing)
        planned = plan(self.request, self.namespace, measured, cluster, self.findings.existing)
        for note in (*self.findings.notes, *measured.notes, *planned.notes):
            self._note(f"note: {note}")
        for warning in measured.warnings:
            self._note(f"warning: {warning}")
        return measured, planned

    def _note(self, text: str) -> None:
        """Say it once."""
        if text not in self._noted:
            self._noted.add(text)
            self.teller.say(text)

    def carry_out(self, measured: Measured, planned: Design, *, wait: bool) -> Outcome:
        """Make it, wait for it, load it and prove it."""
        self.client.patience = _PATIENCE
        self._tell(measured, planned)
        if planned.changes:
            self._tear_down(planned)
        for obj in planned.objects:
            what, _ = apply.apply(self.client, obj)
            self.teller.say(f"{reference(obj)} {what}")
        if not wait:
            if planned.load is not None:
                self._start_load(planned.load)
            return Outcome(planned, measured, None)
        with Follower(
            self.client,
            self.namespace,
            self.request.name,
            measured.listing,
            planned.replicas,
            planned.load is not None,
            self._deadline,
            self._show,
            self.findings.may_exec,
            self.findings.may_read_logs,
            tuple(node.hostname for node in planned.choice.nodes) if planned.choice else (),
        ) as follower:
            follower.until_bound()
            proof = None
            if planned.load is not None:
                proof = self._load(follower, planned.load)
                follower.until_counted()
        return Outcome(planned, measured, proof)

    # -- steps -------------------------------------------------------------------------------

    def _show(self, progress: Progress) -> None:
        """Where the cache stands, behind the staging where there was one: one view of all."""
        before = (self.stager.step,) if self.stager else ()
        self.teller.show(replace(progress, steps=(*before, *progress.steps)))

    def _tell(self, measured: Measured, planned: Design) -> None:
        if measured.listing:
            files = plural(len(measured.listing.files), "file")
            self.teller.say(f"{self.request.source.uri}: {files}, {size(measured.listing.bytes)}")
        medium = planned.medium
        self.teller.say(
            f"quota {size(planned.quota)} per worker on {medium.type} at {medium.path} "
            f"({medium.why})"
        )
        choice = planned.choice
        if choice is None:
            self.teller.say("nodes cannot be listed: the scheduler chooses among those allowed")
            return
        self.teller.say(
            f"{plural(len(choice.nodes), 'node')}: {', '.join(choice.names)} ({choice.why})"
        )
        if choice.runners_up:
            others = ", ".join(f"{n.name} ({plural(n.caches, 'cache')})" for n in choice.runners_up)
            self.teller.say(f"runners-up: {others}")
        if choice.rejected:
            self.teller.say(f"not chosen: {by_reason(choice.rejected)}")

    def _tear_down(self, planned: Design) -> None:
        """Fluid cannot change these while the cache runs, so it is made anew.

        Raises:
            FluidModelError: pods read from it.
        """
        name = self.request.name
        for change in planned.changes:
            self.teller.say(f"changes {change}")
        self.refuse_readers(planned)
        self.teller.say("Fluid cannot change that on a running cache: making it anew")
        for line in removal.remove(
            self.client, self.namespace, name, kinds=removal.BUILT, wait=_GONE
        ):
            self.teller.say(line)
        self.findings.existing = Existing()

    def refuse_readers(self, planned: Design) -> None:
        """Raises: FluidModelError: pods read from a cache that has to be made anew."""
        name = self.request.name
        try:
            reading = removal.readers(self.client, self.namespace, name)
        except Forbidden as err:
            raise FluidModelError(
                f"cache {name} has to be made anew for this",
                "whether pods read from it cannot be seen: " + err.why,
                f"kubectl fluidmodel uncache {name} -n {self.namespace}",
            ) from err
        if reading:
            raise FluidModelError(
                f"cache {name} has to be made anew for this ({'; '.join(planned.changes)})",
                f"pods read from it: {', '.join(reading[:5])}",
                f"stop them, or --name {name}-2",
            )

    def _load(self, follower: Follower, load: Object) -> Proof:
        """Load until the proof holds, at most ATTEMPTS times.

        Raises:
            FluidModelError: bytes are still missing after the last; names the files.
        """
        if self.findings.existing.dataset is not None:
            proof = follower.prove()
            if proof.complete:
                self.teller.say(f"the cache is complete already; {_proven(proof)}")
                return proof
        proof = Proof(False, None, None, None)
        for attempt in range(1, ATTEMPTS + 1):
            uid = self._start_load({**load, **_attempt(load, attempt)})
            follower.until_loaded(uid)
            proof = follower.prove()
            if proof.complete:
                self.teller.say(_proven(proof))
                return proof
            lacking = proof.missing or (proof.reason,)
            self.teller.say(
                f"DataLoad says Complete, but {plural(len(lacking), _noun(lacking))} "
                f"{'is' if len(lacking) == 1 else 'are'} not: {lacking[0]}"
                + (f" and {len(lacking) - 1} more" if len(lacking) > 1 else "")
                + ("; loading again" if attempt < ATTEMPTS else "")
            )
        listed = "; ".join(proof.missing[:5]) or proof.reason
        more = f"; and {len(proof.missing) - 5} more" if len(proof.missing) > 5 else ""
        words = follower.store_words()
        raise FluidModelError(
            f"cache {self.request.name} is incomplete after {ATTEMPTS} loads",
            listed + more + (f"; {words}" if words else ""),
            f"kubectl logs -n {self.namespace} {self.request.name}-worker-0 -c alluxio-worker",
        )

    def _start_load(self, load: Object) -> str:
        """See that a DataLoad runs; returns its UID. One that is over makes room for a new one."""
        name = self.request.name
        standing = self.client.find(names.DATA_LOADS, name, self.namespace)
        running = standing is not None and not is_terminating(standing)
        if standing is not None and running and not status.dataload(standing).over:
            self.teller.say(f"{reference(standing)} runs already")
            return names.uid_of(standing)
        if standing is not None:
            self.client.delete(names.DATA_LOADS, name, self.namespace, uid=names.uid_of(standing))
            self._until_gone(names.uid_of(standing))
        what, made = apply.apply(self.client, load)
        self.teller.say(f"{reference(load)} {what}")
        return names.uid_of(made)

    def _until_gone(self, uid: str) -> None:
        deadline = time.monotonic() + _GONE
        while time.monotonic() < deadline:
            found = self.client.find(names.DATA_LOADS, self.request.name, self.namespace)
            if found is None or names.uid_of(found) != uid:
                return
            time.sleep(0.3)
        raise FluidModelError(
            f"the old DataLoad {self.request.name} is still being deleted",
            "",
            f"kubectl describe dataload {self.request.name} -n {self.namespace}",
        )


def _proven(proof: Proof) -> str:
    if proof.files is None:
        return f"proven by Fluid's totals: {proof.cached} of {proof.bytes} bytes, rounded"
    return f"proven: {plural(proof.files, 'file')} and {proof.bytes} bytes compared with the source"


def _noun(lacking: Sequence[str]) -> str:
    """What lacks: files, or workers that are gone with what they held."""
    return "worker" if all(each.startswith("worker ") for each in lacking) else "file"


def _attempt(load: Object, attempt: int) -> Object:
    metadata = dict(load["metadata"])
    metadata["annotations"] = {**metadata.get("annotations", {}), dataload.ATTEMPT: str(attempt)}
    return {"metadata": metadata}


def plan(
    request: Request,
    namespace: str,
    measured: Measured,
    cluster: Cluster | None,
    existing: Existing,
) -> Design:
    """The design from what was measured and found."""
    return design(
        request,
        namespace,
        access=measured.access,
        listing=measured.listing,
        cluster=cluster,
        existing=existing,
        secret=measured.secret,
    )


def plan_offline(
    request: Request, namespace: str, endpoint: str | None, region: str | None
) -> tuple[Measured, Design]:
    """The design without a cluster: nothing stands, and nodes are chosen by label."""
    measured = measure(request, None, namespace, endpoint=endpoint, region=region)
    return measured, plan(request, namespace, measured, None, Existing())


def try_on_server(
    client: Client, planned: Design, said: Callable[[str], None], first: Sequence[Object] = ()
) -> list[Object]:
    """Send every object with dryRun=All; returns them as the server would keep them."""
    found = []
    for obj in (*first, *planned.objects, *([planned.load] if planned.load else [])):
        what, after = apply.apply(client, obj, dry_run=True)
        said(f"{reference(obj)} {what} (server dry run)")
        after.setdefault("kind", obj["kind"])
        (after.get("metadata") or {}).pop("managedFields", None)
        found.append(after)
    return found


def secret_command(secret: Object) -> str:
    """How to make the Secret by hand: its values come from the environment, never from us."""
    name, namespace = name_of(secret), namespace_of(secret)
    literals = " ".join(f'--from-literal={key}="${key}"' for key in secret["data"])
    return f"kubectl create secret generic {name} -n {namespace} {literals}"
