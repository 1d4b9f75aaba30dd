"""`kubectl fluidmodel doctor [NAME]`."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kubectl_fluidmodel.cli.flags import VerbCommand, option, view_flags
from kubectl_fluidmodel.errors import (
    CommandInterruptedError,
    FluidModelError,
    UsageError,
    WaitTimeoutError,
)
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout
from kubectl_fluidmodel.output.console import print_note, wants_color
from kubectl_fluidmodel.output.units import pluralize

if TYPE_CHECKING:
    from kubectl_fluidmodel.doctor.check import Check
    from kubectl_fluidmodel.doctor.diagnosis import Diagnosis
    from kubectl_fluidmodel.snapshot.snapshot import Snapshot

EXAMPLES = """
# What is wrong with one cache, why, and what mends it
kubectl fluidmodel doctor llama-3-3-70b-instruct

# All caches of all namespaces, problems only, those with the same cause together
kubectl fluidmodel doctor -A -o short

# In a pipeline: wait until it is healthy, or fail with what is not
kubectl fluidmodel doctor llama-3-3-70b-instruct --wait --timeout 10m -o junit > doctor.xml

# A file for somebody without access to the cluster, and what they do with it
kubectl fluidmodel doctor --bundle bundle.tar.gz
kubectl fluidmodel doctor --from-bundle bundle.tar.gz
"""

POLL_INTERVAL = 2.0
"""Seconds between two looks of --wait."""


@dataclass(frozen=True)
class DoctorRun:
    """One look at the cluster."""

    snapshot: Snapshot
    diagnosis: Diagnosis
    seconds: float


@click.command("doctor", cls=VerbCommand, examples=EXAMPLES)
@click.argument("name", required=False)
@view_flags("Doctor", "short", "wide", "json", "yaml", "junit")
@option(
    "--only",
    group="Doctor",
    metavar="C,…",
    multiple=True,
    help="Only these checks: codes (FM201) or areas (2xx).",
)
@option("--skip", group="Doctor", metavar="C,…", multiple=True, help="All but these.")
@option(
    "--probe",
    group="Doctor",
    is_flag=True,
    help="Also ask inside the cluster: a short-lived pod of FLUIDMODEL_IMAGE tries the store.",
)
@option(
    "--wait/--no-wait", group="Doctor", default=False, help="Look again until nothing has failed."
)
@option(
    "--timeout",
    group="Doctor",
    metavar="DURATION",
    default="5m",
    show_default=True,
    help="How long to wait.",
)
@option(
    "--bundle",
    group="Doctor",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write all that was read, redacted, to FILE.tar.gz.",
)
def command(
    name: str | None,
    everywhere: bool,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    probe: bool,
    wait: bool,
    timeout: str,
    bundle: str | None,
    from_bundle: str | None,
    output: str | None,
    color: str,
    connection: ConfigFlags,
) -> int:
    """Find what is broken with caches, say why, and how to mend it.

    Without NAME all caches of the namespace are looked at. Only reads; exits with 1 where a
    check failed or nothing that matters could be read, else with 0.
    """
    if name and everywhere:
        raise UsageError("NAME and --all-namespaces do not go together", "", "one of the two")
    if from_bundle and (wait or probe or bundle):
        raise UsageError("a bundle is read as it is", "--wait, --probe and --bundle need a cluster")
    checks = _select_checks(only, skip)
    if from_bundle:
        run = _run_offline(from_bundle, name, everywhere, connection.namespace, checks)
    else:
        run = _run_live(name, everywhere, probe, wait, timeout, bundle, connection, checks)
    print_report(run, output, color)
    if bundle:
        _write_bundle(Path(bundle), run)
    if run.diagnosis.failed and wait:
        raise WaitTimeoutError(
            f"not healthy after {timeout}",
            f"{pluralize(len(run.diagnosis.roots), 'problem')}, see above",
            "--timeout with more time, or the fixes",
        )
    return 1 if run.diagnosis.failed else 0


def _select_checks(only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    import kubectl_fluidmodel.doctor.checks  # noqa: F401 - registers them
    from kubectl_fluidmodel.doctor.check import select_checks

    return select_checks(_split_codes(only), _split_codes(skip))


def _split_codes(given: Sequence[str]) -> list[str]:
    return [word for text in given for word in text.replace(",", " ").split()]


# -- looking -------------------------------------------------------------------------------------


def _run_live(
    name: str | None,
    everywhere: bool,
    probe: bool,
    wait: bool,
    timeout: str,
    bundle: str | None,
    connection: ConfigFlags,
    checks: Sequence[Check],
) -> DoctorRun:
    from kubectl_fluidmodel.doctor.collect.collector import collect_snapshot
    from kubectl_fluidmodel.kube.client import Client

    client = Client(connection)
    namespace = None if everywhere else client.namespace
    # What a store says is asked for by area 5 only; --only 1xx need not wait for one.
    stores = bool(bundle) or any(check.code[2] == "5" for check in checks)

    def look() -> DoctorRun:
        began = time.monotonic()
        snapshot = collect_snapshot(
            client,
            namespace,
            name or "",
            probe_stores=stores,
            probe_in_cluster=probe,
            all_logs=bool(bundle),
        )
        if bundle:
            from kubectl_fluidmodel.doctor.support_bundle import redact_snapshot

            snapshot = redact_snapshot(snapshot)
        return _diagnose(snapshot, name, checks, began)

    if not wait:
        return look()
    return _run_until_healthy(look, parse_timeout(timeout) or 0.0)


def _run_until_healthy(run_once: Callable[[], DoctorRun], seconds: float) -> DoctorRun:
    """Look until nothing fails, or time is up: the last look."""
    from kubectl_fluidmodel.doctor.report_view import group_problems

    deadline = time.monotonic() + seconds
    reported: set[str] = set()
    try:
        while True:
            run = run_once()
            if not run.diagnosis.failed or time.monotonic() + POLL_INTERVAL > deadline:
                return run
            failing = [group[0] for group in group_problems(run.diagnosis)]
            lines = {
                f"{one.check.code} {one.finding.about}: {one.finding.cause}" for one in failing
            }
            for line in sorted(lines - reported):
                print_note(f"waiting: {line}")
            reported = lines
            time.sleep(POLL_INTERVAL)
    except KeyboardInterrupt as err:
        raise CommandInterruptedError("interrupted", "nothing was changed") from err


def _run_offline(
    source: str,
    name: str | None,
    everywhere: bool,
    namespace: str | None,
    checks: Sequence[Check],
) -> DoctorRun:
    from kubectl_fluidmodel.snapshot.archive import load_snapshot

    began = time.monotonic()
    snapshot = load_snapshot(source)
    if namespace and snapshot.namespace not in (None, namespace):
        raise FluidModelError(
            f"{source} has nothing of namespace {namespace}",
            f"it was taken of namespace {snapshot.namespace}",
        )
    if everywhere and snapshot.namespace is not None:
        print_note(f"note: the bundle was taken of namespace {snapshot.namespace} only")
    return _diagnose(snapshot, name, checks, began, namespace)


def _diagnose(
    snapshot: Snapshot,
    name: str | None,
    checks: Sequence[Check],
    started: float,
    namespace: str | None = None,
) -> DoctorRun:
    from kubectl_fluidmodel.doctor.diagnosis import diagnose

    namespace = namespace or snapshot.namespace
    _require_namespace(snapshot, namespace)
    diagnosis = diagnose(snapshot, checks, namespace=namespace, name=name or "")
    if name and not diagnosis.caches:
        _require_cache(snapshot, name)
    return DoctorRun(snapshot, diagnosis, time.monotonic() - started)


def _require_namespace(snapshot: Snapshot, namespace: str | None) -> None:
    """Raises: FluidModelError: there is surely no such namespace."""
    from kubectl_fluidmodel.objects import kinds

    if namespace is None or not snapshot.was_read(kinds.NAMESPACES):
        return
    if snapshot.get(kinds.NAMESPACES, namespace) is None:
        raise FluidModelError(
            f'namespaces "{namespace}" not found', "nothing was checked", "kubectl get namespaces"
        )


def _require_cache(snapshot: Snapshot, name: str) -> None:
    """Raises: FluidModelError: there is surely no cache of that name."""
    from kubectl_fluidmodel.fluid import names

    where = snapshot.namespace or ""
    if snapshot.is_served(names.DATASETS) and snapshot.was_read(names.DATASETS, where):
        raise FluidModelError(
            f"there is no cache {name}" + (f" in namespace {where}" if where else ""),
            "neither a Dataset nor a runtime has that name",
            f"kubectl get datasets -n {where}" if where else "kubectl get datasets -A",
        )


# -- telling -------------------------------------------------------------------------------------


def print_report(run: DoctorRun, output: str | None, color: str) -> None:
    """The report on stdout, in the format of -o."""
    text = render_report(run, output, color)
    if not _supports_unicode(sys.stdout):
        instead = "xmlcharrefreplace" if output == "junit" else "backslashreplace"
        text = text.encode("ascii", instead).decode()
    click.echo(text, nl=False, color=True)


def render_report(run: DoctorRun, output: str | None, color: str) -> str:
    from kubectl_fluidmodel.doctor import junit, report
    from kubectl_fluidmodel.doctor.report_view import ReportStyle, render_diagnosis
    from kubectl_fluidmodel.output.serialize import to_json, to_yaml

    if output == "junit":
        return junit.to_junit(run.diagnosis, run.seconds)
    if output in ("json", "yaml"):
        document = report.diagnosis_document(run.diagnosis, run.snapshot)
        return to_json(document) if output == "json" else to_yaml(document)
    style = ReportStyle(
        mode=output or "default",
        color=wants_color(sys.stdout, color),
        ascii=not _supports_unicode(sys.stdout),
        width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None,
    )
    return render_diagnosis(run.diagnosis, style, run.seconds)


def _supports_unicode(stream: Any) -> bool:
    """Whether the terminal, or the file, can hold the marks."""
    try:
        "✓✗\u2013…".encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def _write_bundle(path: Path, run: DoctorRun) -> None:
    from kubectl_fluidmodel.doctor import report, support_bundle
    from kubectl_fluidmodel.doctor.report_view import ReportStyle, render_diagnosis

    text = render_diagnosis(run.diagnosis, ReportStyle(mode="wide"), run.seconds)
    support_bundle.write_bundle(
        path, run.snapshot, report.diagnosis_document(run.diagnosis, run.snapshot), text
    )
    print_note(f"wrote {path}: redacted, but look before you pass it on")
