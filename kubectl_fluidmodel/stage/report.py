"""Results of the command `stage`: text for people, documents for programs. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.model.assessment import assess_model
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.model.sample import Sample
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize, summarize
from kubectl_fluidmodel.stage.events import Completed
from kubectl_fluidmodel.stage.stale_uploads import StaleUpload
from kubectl_fluidmodel.stage.status import StagingStatus
from kubectl_fluidmodel.stage.verify import VerificationReport

_MAX_LISTED_FILES = 40
"""Files that a plan lists; the rest is summarized."""


def summary_lines(plan: StagingPlan) -> list[str]:
    """The commit, its number of files and its size, what is left out, and a note if any."""
    files = f"{pluralize(len(plan.files), 'file')}, {format_bytes(plan.bytes)}"
    is_commit = plan.revision == plan.commit
    revision = "" if is_commit else f"@{plan.revision}"
    first = f"{plan.repo}{revision} is commit {plan.commit[:12]}: {files}"
    lines = (escape_control(first), format_skipped(plan), unloadable_note(plan))
    return [line for line in lines if line]


def format_skipped(plan: StagingPlan) -> str:
    """What is left out, in one line; empty if nothing is."""
    if not plan.skipped:
        return ""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for skipped in plan.skipped:
        by_reason[skipped.reason].append(skipped.path)
    reasons = "; ".join(f"{summarize(paths, 2)} ({reason})" for reason, paths in by_reason.items())
    count = pluralize(len(plan.skipped), "file")
    saved = format_bytes(plan.bytes_skipped)
    return escape_control(f"left out {count}, which saves {saved}: {reasons}")


def unloadable_note(plan: StagingPlan) -> str:
    """Return why no engine can load the planned files, by their names and sizes; else empty.

    This is a note and not an error, because the user may want only a part of a model.
    """
    errors = assess_model(plan.listing().files, Sample()).errors
    if not errors:
        return ""
    reasons = "; ".join(error.text for error in errors[:3])
    return escape_control(f"note: no engine can load these files alone: {reasons}")


def format_plan(
    plan: StagingPlan, layout: StagingLayout, status: StagingStatus | None = None
) -> str:
    """The plan as a dry run prints it, with what the store has of it if that was read."""
    lines = [
        f"{plan.repo}@{plan.revision} is commit {plan.commit}",
        f"to {layout.uri}",
        f"{pluralize(len(plan.files), 'file')}, {format_bytes(plan.bytes)}",
        "",
    ]
    largest = sorted(plan.files, key=lambda file: (-file.size, file.path))
    width = max(len(format_bytes(file.size)) for file in largest)
    lines += [
        f"  {format_bytes(file.size):>{width}}  {file.path}" for file in largest[:_MAX_LISTED_FILES]
    ]
    unlisted = largest[_MAX_LISTED_FILES:]
    if unlisted:
        total = format_bytes(sum(file.size for file in unlisted))
        lines.append(f"  {total:>{width}}  in {pluralize(len(unlisted), 'more file')}")
    status_text = _format_status(status, layout) if status is not None else ""
    for paragraph in (format_skipped(plan), unloadable_note(plan), status_text):
        lines += ["", paragraph] if paragraph else []
    return escape_control("\n".join(lines) + "\n")


def _format_status(status: StagingStatus, layout: StagingLayout) -> str:
    if not status.bucket_exists:
        return f"bucket {layout.destination.bucket} does not exist: it would be created"
    if status.has_manifest and not status.remaining_bytes:
        return "already staged: the manifest is valid, and every file matches it"
    files = f"{pluralize(status.files, 'file')}, {format_bytes(status.bytes)}"
    text = f"already in the store: {files}"
    if status.resumable_bytes:
        text += f", and {format_bytes(status.resumable_bytes)} of unfinished uploads"
    if status.copied_bytes:
        text += f"; {format_bytes(status.copied_bytes)} to copy from other commits in the bucket"
    return f"{text}; {format_bytes(status.remaining_bytes)} to stage from the Hub"


def plan_document(
    plan: StagingPlan, layout: StagingLayout, status: StagingStatus | None = None
) -> dict[str, Any]:
    """The plan as a document of kind StagingPlan."""
    document = {
        "apiVersion": API_VERSION,
        "kind": "StagingPlan",
        "to": layout.uri,
        **plan.to_document(),
    }
    if status is not None:
        document["store"] = {
            "bucketExists": status.bucket_exists,
            "files": status.files,
            "bytes": status.bytes,
            "bytesBegun": status.resumable_bytes,
            "bytesToCopy": status.copied_bytes,
            "bytesLeft": status.remaining_bytes,
            "manifest": status.has_manifest,
        }
    return document


def format_result(plan: StagingPlan, result: Completed, store_flags: Sequence[str] = ()) -> str:
    """The result, and the command to run next.

    Args:
        plan: what was staged.
        result: the transfer's last event.
        store_flags: the flags that named the store.
    """
    rate = format_bytes(result.sent / max(result.seconds, 0.001))
    sent = f", {format_bytes(result.sent)} sent at {rate}/s" if result.sent else ""
    files = f"{pluralize(result.files, 'file')}, {format_bytes(result.bytes)}"
    time = f"{format_duration(result.seconds)}{sent}"
    text = f"{plan.repo}@{plan.commit[:12]} is staged: {files}, every hash verified ({time})\n"
    if result.manifest:
        next_command = ("kubectl", "fluidmodel", "cache", Operand(result.destination))
        text += f"next: {command(*next_command, *store_flags)}\n"
    else:
        text += "other shards are still running; the last one writes the manifest\n"
    return escape_control(text)


def result_document(plan: StagingPlan, result: Completed) -> dict[str, Any]:
    """The result as a document of kind Staging."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Staging",
        "repo": plan.repo,
        "revision": plan.revision,
        "commit": plan.commit,
        "to": result.destination,
        "manifest": result.manifest or None,
        "files": result.files,
        "bytes": result.bytes,
        "bytesRead": result.read,
        "bytesSent": result.sent,
        "seconds": round(result.seconds, 3),
    }


def format_verification(
    report: VerificationReport, read_content: bool, store_flags: Sequence[str] = ()
) -> str:
    """The result of `--verify`, and the command that fixes problems."""
    layout = report.layout
    if report.problems:
        lines = [f"{layout.uri} does not match its manifest and the Hub:"]
        lines += [f"  {problem}" for problem in report.problems]
        model = Operand(f"{layout.repo}@{layout.commit}")
        arguments = ("kubectl", "fluidmodel", "stage", model, "--to", layout.destination.uri)
        lines.append(f"next: {command(*arguments, *store_flags)}")
    else:
        checked = "every byte read back" if read_content else "sizes, ETags and hashes"
        files = f"{pluralize(report.files, 'file')}, {format_bytes(report.bytes)}"
        lines = [f"{layout.uri} is intact: {files}, as in its manifest and on the Hub ({checked})"]
    lines += [f"note: {note}" for note in report.notes]
    return escape_control("\n".join(lines) + "\n")


def verification_document(report: VerificationReport) -> dict[str, Any]:
    """The result of `--verify` as a document of kind StagingCheck."""
    return {
        "apiVersion": API_VERSION,
        "kind": "StagingCheck",
        "repo": report.layout.repo,
        "commit": report.layout.commit,
        "uri": report.layout.uri,
        "sound": not report.problems,
        "files": report.files,
        "bytes": report.bytes,
        "problems": report.problems,
        "notes": report.notes,
    }


def format_stale_uploads(
    uploads: Sequence[StaleUpload], repo: str, destination: BucketPrefix, dry_run: bool
) -> str:
    """The result of `--abort-stale`."""
    if not uploads:
        return escape_control(f"no stale uploads of {repo} in {destination.uri}\n")
    lines = []
    for stale in uploads:
        size, age = format_bytes(stale.bytes), format_duration(stale.age)
        upload = f"{stale.path}@{stale.commit[:12]} ({size}, {age} old)"
        if not stale.aborted:
            lines.append(f"kept {upload}: it is recent; --stale-after 0s aborts it, too")
        else:
            lines.append(f"{'would abort' if dry_run else 'aborted'} {upload}")
    return escape_control("\n".join(lines) + "\n")
