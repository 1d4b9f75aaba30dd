"""What staging has to say at its end: text for people, documents for programs. Pure."""

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
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize
from kubectl_fluidmodel.stage.events import Ended
from kubectl_fluidmodel.stage.stale_uploads import StaleUpload
from kubectl_fluidmodel.stage.status import StagingStatus
from kubectl_fluidmodel.stage.verify import VerificationReport

_MAX_LISTED_FILES = 40
"""Files that a plan shows before it sums up the rest."""


def format_skipped(plan: StagingPlan) -> str:
    """What is left out and what that saves, on one line; empty where nothing is."""
    if not plan.skipped:
        return ""
    by_why: dict[str, list[str]] = defaultdict(list)
    for each in plan.skipped:
        by_why[each.why].append(each.path)
    reasons = "; ".join(
        f"{', '.join(paths[:2])}{f' and {len(paths) - 2} more' if len(paths) > 2 else ''} ({why})"
        for why, paths in by_why.items()
    )
    return escape_control(
        f"left out {pluralize(len(plan.skipped), 'file')}, which saves "
        f"{format_bytes(plan.bytes_skipped)}: "
        f"{reasons}"
    )


def unloadable_note(plan: StagingPlan) -> str:
    """Why no engine can load what the plan brings, by the names and sizes of its files; else
    nothing. It is said and not refused: a part of a model may be what somebody wants."""
    wrong = assess_model(plan.listing().files, Sample()).errors
    if not wrong:
        return ""
    told = "; ".join(each.text for each in wrong[:3])
    return escape_control(f"note: no engine can load this alone: {told}")


def format_plan(
    plan: StagingPlan, layout: StagingLayout, status: StagingStatus | None = None
) -> str:
    """The plan as a dry run shows it; with what the store holds of it where that was asked."""
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
    if len(largest) > _MAX_LISTED_FILES:
        rest = largest[_MAX_LISTED_FILES:]
        total = format_bytes(sum(file.size for file in rest))
        lines.append(f"  {total:>{width}}  in {pluralize(len(rest), 'more file')}")
    if plan.skipped:
        lines += ["", format_skipped(plan)]
    if lacking := unloadable_note(plan):
        lines += ["", lacking]
    if status is not None:
        lines += ["", _format_status(status, layout)]
    return escape_control("\n".join(lines) + "\n")


def _format_status(status: StagingStatus, layout: StagingLayout) -> str:
    if not status.bucket_exists:
        return f"bucket {layout.destination.bucket} does not exist: it would be made"
    if status.has_manifest and not status.remaining_bytes:
        return "staged already: the manifest is valid, and every file is as it says"
    text = f"there already: {pluralize(status.files, 'file')}, {format_bytes(status.bytes)}"
    if status.resumable_bytes:
        text += f", and {format_bytes(status.resumable_bytes)} of uploads that were begun"
    return f"{text}; {format_bytes(status.remaining_bytes)} to go"


def plan_document(
    plan: StagingPlan, layout: StagingLayout, status: StagingStatus | None = None
) -> dict[str, Any]:
    found = {
        "apiVersion": API_VERSION,
        "kind": "StagingPlan",
        "to": layout.uri,
        **plan.to_document(),
    }
    if status is not None:
        found["store"] = {
            "bucketExists": status.bucket_exists,
            "files": status.files,
            "bytes": status.bytes,
            "bytesBegun": status.resumable_bytes,
            "bytesLeft": status.remaining_bytes,
            "manifest": status.has_manifest,
        }
    return found


def format_result(plan: StagingPlan, ended: Ended, store_flags: Sequence[str] = ()) -> str:
    """How it ended, and the one line to run next; `store` are the flags that named the store."""
    lines = []
    seconds = max(ended.seconds, 0.001)
    moved = (
        f", {format_bytes(ended.sent)} sent at {format_bytes(ended.sent / seconds)}/s"
        if ended.sent
        else ""
    )
    lines.append(
        f"{plan.repo}@{plan.commit[:12]} is staged: {pluralize(ended.files, 'file')}, "
        f"{format_bytes(ended.bytes)}, every hash proven ({format_duration(ended.seconds)}{moved})"
    )
    if ended.manifest:
        lines.append(
            f"next: {command('kubectl', 'fluidmodel', 'cache', Operand(ended.to), *store_flags)}"
        )
    else:
        lines.append("other shards are still at work; the last one writes the manifest")
    return escape_control("\n".join(lines) + "\n")


def result_document(plan: StagingPlan, ended: Ended) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "Staging",
        "repo": plan.repo,
        "revision": plan.revision,
        "commit": plan.commit,
        "to": ended.to,
        "manifest": ended.manifest or None,
        "files": ended.files,
        "bytes": ended.bytes,
        "bytesRead": ended.read,
        "bytesSent": ended.sent,
        "seconds": round(ended.seconds, 3),
    }


def format_verification(
    report: VerificationReport, read: bool, store_flags: Sequence[str] = ()
) -> str:
    if report.problems:
        lines = [f"{report.layout.uri} is not what it should be:"]
        lines += [f"  {problem}" for problem in report.problems]
        model = f"{report.layout.repo}@{report.layout.commit}"
        words = (
            "kubectl",
            "fluidmodel",
            "stage",
            Operand(model),
            "--to",
            report.layout.destination.uri,
        )
        lines.append(f"next: {command(*words, *store_flags)}")
    else:
        how = "every byte read back" if read else "sizes, ETags and hashes"
        lines = [
            f"{report.layout.uri} is sound: {pluralize(report.files, 'file')}, "
            f"{format_bytes(report.bytes)}, "
            f"as its manifest and the hub say ({how})"
        ]
    lines += [f"note: {each}" for each in report.notes]
    return escape_control("\n".join(lines) + "\n")


def verification_document(report: VerificationReport) -> dict[str, Any]:
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
    uploads: Sequence[StaleUpload], repo: str, to: BucketPrefix, dry_run: bool
) -> str:
    if not uploads:
        return f"no leftover uploads of {repo} in {to.uri}\n"
    lines = []
    for each in uploads:
        what = (
            f"{each.path}@{each.commit[:12]} ({format_bytes(each.bytes)}, "
            f"{format_duration(each.age)} "
            "old)"
        )
        if not each.aborted:
            lines.append(f"kept {what}: it went on lately; --stale-after 0s takes it too")
        else:
            lines.append(f"{'would abort' if dry_run else 'aborted'} {what}")
    return escape_control("\n".join(lines) + "\n")
