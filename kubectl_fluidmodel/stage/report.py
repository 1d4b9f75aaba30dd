"""What staging has to say at its end: text for people, documents for programs. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.model.judge import judge
from kubectl_fluidmodel.model.plan import Plan
from kubectl_fluidmodel.model.sample import Sample
from kubectl_fluidmodel.objectstore.layout import Destination, Place
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.output.text import duration, plural, printable, size
from kubectl_fluidmodel.stage.events import Ended
from kubectl_fluidmodel.stage.stale_uploads import Leftover
from kubectl_fluidmodel.stage.status import Standing
from kubectl_fluidmodel.stage.verify import Report

_SHOWN = 40
"""Files that a plan shows before it sums up the rest."""


def skipped_text(plan: Plan) -> str:
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
    return printable(
        f"left out {plural(len(plan.skipped), 'file')}, which saves {size(plan.bytes_skipped)}: "
        f"{reasons}"
    )


def lacking_text(plan: Plan) -> str:
    """Why no engine can load what the plan brings, by the names and sizes of its files; else
    nothing. It is said and not refused: a part of a model may be what somebody wants."""
    wrong = judge(plan.listing().files, Sample()).wrong
    if not wrong:
        return ""
    told = "; ".join(each.text for each in wrong[:3])
    return printable(f"note: no engine can load this alone: {told}")


def plan_text(plan: Plan, place: Place, standing: Standing | None = None) -> str:
    """The plan as a dry run shows it; with what the store holds of it where that was asked."""
    lines = [
        f"{plan.repo}@{plan.revision} is commit {plan.commit}",
        f"to {place.uri}",
        f"{plural(len(plan.files), 'file')}, {size(plan.bytes)}",
        "",
    ]
    largest = sorted(plan.files, key=lambda file: (-file.size, file.path))
    width = max(len(size(file.size)) for file in largest)
    lines += [f"  {size(file.size):>{width}}  {file.path}" for file in largest[:_SHOWN]]
    if len(largest) > _SHOWN:
        rest = largest[_SHOWN:]
        total = size(sum(file.size for file in rest))
        lines.append(f"  {total:>{width}}  in {plural(len(rest), 'more file')}")
    if plan.skipped:
        lines += ["", skipped_text(plan)]
    if lacking := lacking_text(plan):
        lines += ["", lacking]
    if standing is not None:
        lines += ["", _standing_text(standing, place)]
    return printable("\n".join(lines) + "\n")


def _standing_text(standing: Standing, place: Place) -> str:
    if not standing.bucket:
        return f"bucket {place.to.bucket} does not exist: it would be made"
    if standing.manifest and not standing.left:
        return "staged already: the manifest is valid, and every file is as it says"
    text = f"there already: {plural(standing.files, 'file')}, {size(standing.bytes)}"
    if standing.begun:
        text += f", and {size(standing.begun)} of uploads that were begun"
    return f"{text}; {size(standing.left)} to go"


def plan_document(plan: Plan, place: Place, standing: Standing | None = None) -> dict[str, Any]:
    found = {
        "apiVersion": API_VERSION,
        "kind": "StagingPlan",
        "to": place.uri,
        **plan.document(),
    }
    if standing is not None:
        found["store"] = {
            "bucketExists": standing.bucket,
            "files": standing.files,
            "bytes": standing.bytes,
            "bytesBegun": standing.begun,
            "bytesLeft": standing.left,
            "manifest": standing.manifest,
        }
    return found


def staged_text(plan: Plan, ended: Ended, store: Sequence[str] = ()) -> str:
    """How it ended, and the one line to run next; `store` are the flags that named the store."""
    lines = []
    seconds = max(ended.seconds, 0.001)
    moved = f", {size(ended.sent)} sent at {size(ended.sent / seconds)}/s" if ended.sent else ""
    lines.append(
        f"{plan.repo}@{plan.commit[:12]} is staged: {plural(ended.files, 'file')}, "
        f"{size(ended.bytes)}, every hash proven ({duration(ended.seconds)}{moved})"
    )
    if ended.manifest:
        lines.append(
            f"next: {command('kubectl', 'fluidmodel', 'cache', Operand(ended.to), *store)}"
        )
    else:
        lines.append("other shards are still at work; the last one writes the manifest")
    return printable("\n".join(lines) + "\n")


def staged_document(plan: Plan, ended: Ended) -> dict[str, Any]:
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


def verify_text(found: Report, read: bool, store: Sequence[str] = ()) -> str:
    if found.problems:
        lines = [f"{found.place.uri} is not what it should be:"]
        lines += [f"  {problem}" for problem in found.problems]
        model = f"{found.place.repo}@{found.place.commit}"
        words = ("kubectl", "fluidmodel", "stage", Operand(model), "--to", found.place.to.uri)
        lines.append(f"next: {command(*words, *store)}")
    else:
        how = "every byte read back" if read else "sizes, ETags and hashes"
        lines = [
            f"{found.place.uri} is sound: {plural(found.files, 'file')}, {size(found.bytes)}, "
            f"as its manifest and the hub say ({how})"
        ]
    lines += [f"note: {each}" for each in found.notes]
    return printable("\n".join(lines) + "\n")


def verify_document(found: Report) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "StagingCheck",
        "repo": found.place.repo,
        "commit": found.place.commit,
        "uri": found.place.uri,
        "sound": not found.problems,
        "files": found.files,
        "bytes": found.bytes,
        "problems": found.problems,
        "notes": found.notes,
    }


def stale_text(found: Sequence[Leftover], repo: str, to: Destination, dry_run: bool) -> str:
    if not found:
        return f"no leftover uploads of {repo} in {to.uri}\n"
    lines = []
    for each in found:
        what = f"{each.path}@{each.commit[:12]} ({size(each.bytes)}, {duration(each.age)} old)"
        if not each.aborted:
            lines.append(f"kept {what}: it went on lately; --stale-after 0s takes it too")
        else:
            lines.append(f"{'would abort' if dry_run else 'aborted'} {what}")
    return printable("\n".join(lines) + "\n")
