"""Loads a cache until it holds every byte of its source."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.cache import apply
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.cache.waiter import CacheWaiter
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import dataload, names, status
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.wait import wait_until_deleted
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.progress import ProgressReporter
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.output.units import pluralize, summarize
from kubectl_fluidmodel.records import dataclass

MAX_ATTEMPTS = 3
"""Maximum loads in a run before an incomplete cache is a failure."""
_DELETE_TIMEOUT = 120.0
"""Timeout in seconds for Fluid to clean up a deleted DataLoad."""


@dataclass
class CacheLoader:
    """Runs the DataLoads of one cache."""

    client: Client
    namespace: str
    name: str
    reporter: ProgressReporter

    def load_and_verify(
        self, waiter: CacheWaiter, load: Object, *, check_first: bool
    ) -> Verification:
        """Load until the cache is complete, at most MAX_ATTEMPTS times.

        Args:
            waiter: Waits for the cache.
            load: The DataLoad.
            check_first: Whether the cache may be complete already.

        Raises:
            FluidModelError: files are still missing after the last load.
        """
        if check_first:
            verification = waiter.verify()
            if verification.complete:
                self.reporter.log(
                    f"the cache is already complete; {_verified_message(verification)}"
                )
                return verification
        for attempt in range(1, MAX_ATTEMPTS + 1):
            waiter.wait_until_loaded(self.ensure_load(_with_attempt(load, attempt)))
            verification = waiter.verify()
            if verification.complete:
                self.reporter.log(_verified_message(verification))
                return verification
            self.reporter.log(_incomplete_message(verification, last=attempt == MAX_ATTEMPTS))
        raise self._incomplete_error(verification, waiter.diagnostics.store_error())

    def ensure_load(self, load: Object) -> str:
        """Start a DataLoad, unless one is running; replace a finished one.

        Returns:
            The UID of the running DataLoad.
        """
        existing = self.client.get_or_none(names.DATA_LOADS, self.name, self.namespace)
        if existing is not None:
            uid = names.uid_of(existing)
            if not is_terminating(existing) and not status.parse_dataload(existing).finished:
                self.reporter.log(f"{kubectl_name(existing)} is already running")
                return uid
            self.client.delete(names.DATA_LOADS, self.name, self.namespace, uid=uid)
            self._wait_until_deleted(uid)
        return names.uid_of(apply.apply_and_log(self.client, load, self.reporter.log))

    def _wait_until_deleted(self, uid: str) -> None:
        if not wait_until_deleted(
            self.client,
            names.DATA_LOADS,
            self.name,
            self.namespace,
            uid=uid,
            timeout=_DELETE_TIMEOUT,
        ):
            describe = ("kubectl", "describe", "dataload", Operand(self.name))
            raise FluidModelError(
                f"the old DataLoad {self.name} is still being deleted",
                "",
                command(*describe, "-n", self.namespace),
            )

    def _incomplete_error(self, verification: Verification, store_error: str) -> FluidModelError:
        missing = verification.missing
        reason = summarize(missing, 5, "; ") or verification.reason
        if store_error:
            reason += f"; {store_error}"
        logs = ("kubectl", "logs", "-n", self.namespace, Operand(f"{self.name}-worker-0"))
        return FluidModelError(
            f"cache {self.name} is incomplete after {MAX_ATTEMPTS} loads",
            reason,
            command(*logs, "-c", "alluxio-worker"),
        )


def _verified_message(verification: Verification) -> str:
    if verification.files is None:
        return (
            f"verified by Fluid's totals: {verification.cached_bytes} of {verification.bytes} "
            "bytes, rounded"
        )
    files = pluralize(verification.files, "file")
    return f"verified: {files} and {verification.bytes} bytes compared with the source"


def _incomplete_message(verification: Verification, *, last: bool) -> str:
    missing = verification.missing or (verification.reason,)
    message = (
        f"DataLoad is Complete, but {pluralize(len(missing), _missing_noun(missing))} "
        f"{'is' if len(missing) == 1 else 'are'} not: {missing[0]}"
    )
    if len(missing) > 1:
        message += f" and {len(missing) - 1} more"
    return message if last else f"{message}; loading again"


def _missing_noun(missing: Sequence[str]) -> str:
    """Return the noun for what is missing: files, or lost workers with what they held."""
    return "worker" if all(text.startswith("worker ") for text in missing) else "file"


def _with_attempt(load: Object, attempt: int) -> Object:
    metadata = dict(load["metadata"])
    annotations = {**metadata.get("annotations", {}), dataload.ATTEMPT_ANNOTATION: str(attempt)}
    return {**load, "metadata": {**metadata, "annotations": annotations}}
