"""5xx: whether the source is still what was staged and cached."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Finding,
    Fix,
    Severity,
    register_check,
)
from kubectl_fluidmodel.doctor.mount_results import (
    cache_again_command,
    completely_listed_contents,
    dataset_reference,
    hub_origin,
    listed_contents,
    listed_results,
    recreate_fix,
    restage_fix,
)
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects.access import annotations_of, get_list, get_path
from kubectl_fluidmodel.output.units import format_bytes, pluralize, summarize


@register_check(
    "FM535", "the staged files are verified", explains=("FM532", "FM533", "FM534", "FM536")
)
def staged_files_are_verified(context: CheckContext) -> Iterator[Finding]:
    """The manifest of the staged model is missing or does not match the files.

    When this plugin stages a model, it writes a manifest last, after it has hashed every byte. If
    the manifest is missing or does not match, staging did not finish, or somebody changed the files
    since. `stage` continues from what is there and writes the manifest.
    """
    repo, commit = hub_origin(context.cache)
    if not repo:
        return
    for mount_result in listed_results(context):
        result = mount_result.result
        if result.manifest not in ("", "valid"):
            reason = "its manifest is absent" if result.manifest == "absent" else result.manifest
            yield Finding(
                dataset_reference(context),
                f"{repo}@{commit[:12]} in {result.mount} is not verified: {reason}",
                (Evidence(f"store {result.mount}", "manifest", result.manifest),),
                restage_fix(context, result),
            )


@register_check("FM536", "the source is what was cached", explains=("FM537", "FM614"))
def source_is_what_was_cached(context: CheckContext) -> Iterator[Finding]:
    """The source has changed since it was cached.

    It has other files or another size than when the cache was created (our annotations) or than
    Fluid counted (`status.ufsTotal`): files were added, replaced or removed. Alluxio keeps what it
    knows, so readers may get a mix of both. Recreate the cache.
    """
    listed = completely_listed_contents(context)
    mounts = get_list(context.cache.dataset, "spec", "mounts")
    if len(listed) != len(mounts) or not listed:
        return
    files = sum(contents.files for _, contents in listed)
    total = sum(contents.bytes for _, contents in listed)
    reference, location, subject, expected = dataset_reference(context), "", "", ""
    recorded = _recorded_size(context.cache)
    if recorded is not None and recorded != (files, total):
        location = f"metadata.annotations {names.BYTES_ANNOTATION}"
        subject = (
            f"{pluralize(recorded[0], 'file')}, {format_bytes(recorded[1])} ({recorded[1]} bytes)"
        )
        expected = "when it was cached"
    elif recorded is None:
        text = get_path(context.cache.dataset, "status", "ufsTotal")
        counted, slack = fluid_status.parse_size(text), fluid_status.size_precision(text)
        if counted is not None and abs(counted - total) > slack:
            location, subject, expected = "status.ufsTotal", str(text), "as Fluid counted"
    if location:
        mount_result = listed[0][0]
        yield Finding(
            reference,
            f"the source has {pluralize(files, 'file')}, {format_bytes(total)} ({total} bytes) "
            f"now, and had {subject} {expected}",
            (
                Evidence(reference, location, subject),
                Evidence(
                    f"store {mount_result.result.mount}", "listing", f"{files} files, {total} bytes"
                ),
            ),
            recreate_fix(context) or Fix(cache_again_command(context, mount_result)),
        )


def _recorded_size(cache: Cache) -> tuple[int, int] | None:
    """Files and bytes of the source when this plugin created the cache; None if unknown."""
    notes = annotations_of(cache.dataset or {})
    try:
        return int(notes[names.FILES_ANNOTATION]), int(notes[names.BYTES_ANNOTATION])
    except (KeyError, ValueError):
        return None


@register_check("FM537", "no file was modified since the load", severity=Severity.WARNING)
def source_is_unchanged_since_load(context: CheckContext) -> Iterator[Finding]:
    """A file of the source was modified after the load.

    Count and size are the same, so the file was replaced, and the cache has the old version. An
    immutable prefix per version, as `stage` uses one per commit, prevents this.
    """
    loaded = _last_load_time(context.cache)
    if not loaded:
        raise CheckSkippedError("no DataLoad has completed")
    for mount_result, contents in listed_contents(context):
        late = tuple(path for path, written in contents.newest if written > loaded)
        if late:
            yield Finding(
                dataset_reference(context),
                f"{summarize(late)} of {mount_result.result.mount} was modified after the load "
                f"of {loaded}",
                tuple(
                    Evidence(
                        f"store {mount_result.result.mount}", f"last modified, {path}", written
                    )
                    for path, written in contents.newest
                    if path in late
                ),
                recreate_fix(context),
            )


def _last_load_time(cache: Cache) -> str:
    """RFC 3339 time at which the last successful load completed; "" if there is none."""
    done = ""
    for load in cache.loads:
        if get_path(load, "status", "phase") != "Complete":
            continue
        for condition in get_list(load, "status", "conditions"):
            if condition.get("type") == "Complete":
                done = max(done, str(condition.get("lastTransitionTime") or ""))
    return done
