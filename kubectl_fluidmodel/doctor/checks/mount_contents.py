"""5xx: whether the files below a mount are a complete model, the one that was cached."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands
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
    MountResult,
    change_mount_fix,
    dataset_reference,
    hub_origin,
    listed_results,
    recreate_fix,
    recreate_from_hub_fix,
    restage_fix,
    result_evidence,
    results_in_state,
)
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.model.issue import CONFIG, CONTENT, DAMAGED, LINKS, SHARDS, WEIGHTS
from kubectl_fluidmodel.model.junk import JunkFiles
from kubectl_fluidmodel.objects.access import annotations_of, get_list, get_path
from kubectl_fluidmodel.output.shell import Command, chain, command
from kubectl_fluidmodel.output.units import format_bytes, pluralize
from kubectl_fluidmodel.snapshot.probe_result import MountContents, ProbeState


def _listed_mounts(context: CheckContext) -> Iterator[tuple[MountResult, MountContents]]:
    for mount_result in listed_results(context):
        if mount_result.result.contents is not None:
            yield mount_result, mount_result.result.contents


def _completely_listed_mounts(context: CheckContext) -> list[tuple[MountResult, MountContents]]:
    """The mounts whose files were all listed.

    Raises:
        CheckSkippedError: one was not.
    """
    listed = list(_listed_mounts(context))
    for _, found in listed:
        if not found.complete:
            raise CheckSkippedError(f"there are more than {found.files} files, too many to list")
    return listed


def _join_paths(paths: tuple[str, ...], limit: int = 3) -> str:
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return ", ".join(paths[:limit]) + more


@register_check("FM530", "the mount leads to the model", explains=("FM532", "FM533", "FM534"))
def mount_leads_to_the_model(context: CheckContext) -> Iterator[Finding]:
    """The mount's prefix holds no model, but a similar prefix does.

    There is a typo in the prefix, its case differs, the directory of the commit is missing from it,
    or it has one directory too many. Buckets have no directories that could be missing, so Fluid
    binds such a Dataset without an error.
    """
    lost = [one for one in results_in_state(context, ProbeState.EMPTY) if one.result.nearest]
    if not lost:
        lost = [
            one
            for one, found in _listed_mounts_or_none(context)
            if one.result.nearest and not found.models and not found.weights
        ]
    for mount_result in lost:
        result = mount_result.result
        right = result.nearest[0]
        yield Finding(
            dataset_reference(context),
            f"{result.mount} holds no model; the most likely place with one is {right}",
            (
                *result_evidence(context, mount_result),
                *(Evidence("store", "holds a model", each) for each in result.nearest),
            ),
            recreate_fix(context, source=right)
            or change_mount_fix(context, mount_result.index, mount_point=right),
        )


def _listed_mounts_or_none(context: CheckContext) -> list[tuple[MountResult, MountContents]]:
    try:
        return list(_listed_mounts(context))
    except CheckSkippedError:
        return []


@register_check("FM531", "there are files below the mount")
def mount_is_not_empty(context: CheckContext) -> Iterator[Finding]:
    """There are no files below the mount.

    The prefix and everything similar is empty, or the prefix is the name of an object and not of a
    directory, or a web server shows no index of the directory. Fluid binds an empty Dataset and
    loads nothing, and engines find no files.
    """
    for mount_result in results_in_state(context, ProbeState.EMPTY):
        result = mount_result.result
        if result.nearest:
            continue
        reason = result.message or "there is no object below it, and no model in similar places"
        yield Finding(
            dataset_reference(context),
            f"{result.mount} is empty: {reason}",
            result_evidence(context, mount_result),
            restage_fix(context, result)
            or Fix(f"put the model's files below {result.mount}", "advice"),
        )


def _damage_findings(context: CheckContext, kind: str, files: str) -> Iterator[Finding]:
    """Yield a finding for each fault of a kind; `files` describes what to upload.

    Raises:
        CheckSkippedError: nothing of the kind is known, and not everything could be read.
    """
    known = False
    unread = ""
    for mount_result, found in _completely_listed_mounts(context):
        unread = unread or found.unread
        for each in found.remarks:
            if each.kind != kind or not each.fatal:
                continue
            known = True
            yield Finding(
                dataset_reference(context),
                f"{mount_result.result.mount}: {each.text}",
                tuple(
                    Evidence(f"store {mount_result.result.mount}", path, each.text)
                    for path in each.paths or (mount_result.result.mount,)
                ),
                restage_fix(context, mount_result.result)
                or Fix(
                    f"upload {files} to {mount_result.result.mount}, then "
                    f"{_cache_again_command(context, mount_result)}",
                    "advice",
                ),
            )
    if unread and not known:
        raise CheckSkippedError(unread)


@register_check("FM532", "all shards of the weights exist", explains=("FM536",))
def weight_shards_are_complete(context: CheckContext) -> Iterator[Finding]:
    """Some shards of the weights are missing.

    The index of the weights (`model.safetensors.index.json`) lists files that the store does not
    have, or the numbering of the files has a gap. An upload was interrupted, or the index belongs
    to other files. To Fluid the cache is complete; the engine fails when it opens the missing file.
    """
    yield from _damage_findings(context, SHARDS, "the missing files")


def _cache_again_command(context: CheckContext, mount_result: MountResult) -> Command:
    """The command that continues with the cache once the files are fixed."""
    result = mount_result.result
    return fix_commands.cache_command(
        context.cache, source=result.mount, endpoint=result.endpoint, in_place=True
    )


@register_check("FM533", "the files are a model in a format that engines know")
def model_has_configuration(context: CheckContext) -> Iterator[Finding]:
    """No directory below the mount has the configuration file that engines need.

    That is `config.json` (or `params.json`, `model_index.json`, `adapter_config.json`, a `.gguf`,
    `.nemo` or `.onnx` file). An engine that gets such a directory fails, or takes its name for a
    model on the Hub. Or the file exists but is no configuration: empty, an HTML page, or an error
    message that was saved in its place.
    """
    for mount_result, found in _completely_listed_mounts(context):
        if not found.models:
            yield Finding(
                dataset_reference(context),
                f"{mount_result.result.mount} has {pluralize(found.files, 'file')} and no "
                "config.json",
                tuple(
                    Evidence(f"store {mount_result.result.mount}", "file", each)
                    for each in found.paths
                ),
                restage_fix(context, mount_result.result)
                or Fix(
                    f"upload config.json to {mount_result.result.mount}, then "
                    f"{_cache_again_command(context, mount_result)}",
                    "advice",
                ),
            )
    yield from _damage_findings(context, CONFIG, "config.json")


@register_check("FM534", "the weights exist and are not empty", explains=("FM533", "FM536"))
def weights_exist_and_are_not_empty(context: CheckContext) -> Iterator[Finding]:
    """The weights are missing, or a weight file is empty.

    Typical reasons are a clone without Git LFS and an interrupted upload.
    """
    yield from _damage_findings(context, WEIGHTS, "the weights")


@register_check("FM538", "the files are what their names say", explains=("FM533", "FM534", "FM536"))
def files_are_what_their_names_say(context: CheckContext) -> Iterator[Finding]:
    """A file is truncated or is not what its name says.

    The header of a safetensors file describes more or fewer bytes than the file has. Or the file is
    something else: a Git LFS pointer, an HTML page or error message that was saved as a download, a
    symbolic link that was stored as text. All of these can be cached, and no engine can load them.
    """
    yield from _damage_findings(context, DAMAGED, "the complete files")
    yield from _damage_findings(context, CONTENT, "the files themselves")


@register_check(
    "FM539",
    "a copied Hub cache has kept its links",
    explains=("FM530", "FM532", "FM533", "FM534", "FM536", "FM538"),
)
def hub_cache_kept_its_links(context: CheckContext) -> Iterator[Finding]:
    """A cache directory of the Hub's client was copied without its symbolic links.

    `models--ORG--NAME` keeps the data in `blobs/`, named by hash, with symbolic links to it in
    `snapshots/COMMIT/`. Buckets have no links, so a copy that does not follow them leaves empty
    files. Stage the model from the Hub, or copy the snapshot directory with a tool that follows
    links (`aws s3 sync` does).
    """
    for mount_result, found in _completely_listed_mounts(context):
        for each in found.remarks:
            if each.kind == LINKS:
                yield Finding(
                    dataset_reference(context),
                    f"{mount_result.result.mount}: {each.text}",
                    (Evidence(f"store {mount_result.result.mount}", "listing", each.text),),
                    _stage_from_hub_fix(context, mount_result, each.hub_model),
                )


def _stage_from_hub_fix(context: CheckContext, mount_result: MountResult, model: str) -> Fix:
    """Stage the model from the Hub, in place of the directory in the bucket."""
    bucket = mount_result.result.mount.partition("://")[2].partition("/")[0]
    if model and mount_result.result.mount.startswith("s3"):
        made = recreate_from_hub_fix(context, model, ("--to", f"s3://{bucket}"))
        if made is not None:
            return made
    return Fix(
        f"copy the snapshot's directory to {mount_result.result.mount} with its links followed "
        "(aws s3 sync does)",
        "advice",
    )


@register_check("FM541", "all engines and Dynamo can serve the model", severity=Severity.WARNING)
def engines_agree_on_the_model(context: CheckContext) -> Iterator[Finding]:
    """Some engines, or Dynamo's frontend, cannot serve this model as it is.

    For example: there is no `eos_token_id` in `generation_config.json` or `config.json`, no
    tokenizer, an adapter without its base model, several models in one directory, weights in two
    formats, or an index that disagrees with the headers of its files.
    """
    for mount_result, found in _listed_mounts(context):
        if not found.models:
            continue  # FM533
        for each in found.remarks:
            if not each.fatal:
                yield Finding(
                    dataset_reference(context),
                    f"{mount_result.result.mount}: {each.text}",
                    (Evidence(f"store {mount_result.result.mount}", "files", each.text),),
                )


_MIN_REPORTED_RUBBISH = 1 << 20
"""Bytes of unrelated files from which on they are reported; a `.DS_Store` has 6 KiB."""


@register_check("FM542", "there are no unrelated files", severity=Severity.WARNING)
def mount_holds_only_the_model(context: CheckContext) -> Iterator[Finding]:
    """There are large files next to the model that do not belong to it.

    For example: interrupted downloads and metadata of the Hub's client (`.cache/huggingface`), or a
    Git directory (`.git`, with a second copy of all weights). Alluxio lists them, a load of `/`
    caches them, and they take space from the model.
    """
    for mount_result, found in _listed_mounts(context):
        for each in found.rubbish:
            if each.bytes < _MIN_REPORTED_RUBBISH:
                continue
            description = f"{pluralize(each.files, 'file')} of {format_bytes(each.bytes)}"
            are = "is" if each.files == 1 else "are"
            yield Finding(
                dataset_reference(context),
                f"{description} of {mount_result.result.mount} {are} {each.owner}, not the model's",
                (Evidence(f"store {mount_result.result.mount}", each.example, description),),
                _remove_rubbish_fix(mount_result, each),
            )


def _remove_rubbish_fix(mount_result: MountResult, rubbish: JunkFiles) -> Fix:
    """Remove the unrelated files, and nothing else."""
    mount, endpoint = mount_result.result.mount.rstrip("/"), mount_result.result.endpoint
    if not mount.startswith("s3://"):
        return Fix(f"remove {', '.join(rubbish.paths)} from {mount}", "advice")
    reach = ["--endpoint-url", endpoint] if endpoint else []
    removals = (
        command(
            *("aws", "s3", "rm", f"{mount}/{place}"),
            *(["--recursive"] if place.endswith("/") else []),
            *reach,
        )
        for place in rubbish.paths
    )
    return Fix(chain(*removals))


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
            yield Finding(
                dataset_reference(context),
                f"{repo}@{commit[:12]} in {result.mount} is not verified: its manifest is absent"
                if result.manifest == "absent"
                else f"{repo}@{commit[:12]} in {result.mount} is not verified: {result.manifest}",
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
    listed = _completely_listed_mounts(context)
    mounts = get_list(context.cache.dataset, "spec", "mounts")
    if len(listed) != len(mounts) or not listed:
        return
    files = sum(found.files for _, found in listed)
    total = sum(found.bytes for _, found in listed)
    reference, place, about, expected = dataset_reference(context), "", "", ""
    noted = _recorded_size(context.cache)
    if noted is not None and noted != (files, total):
        place = f"metadata.annotations {names.BYTES_ANNOTATION}"
        about = f"{pluralize(noted[0], 'file')}, {format_bytes(noted[1])} ({noted[1]} bytes)"
        expected = "when it was cached"
    elif noted is None:
        text = get_path(context.cache.dataset, "status", "ufsTotal")
        counted, slack = fluid_status.parse_size(text), fluid_status.size_precision(text)
        if counted is not None and abs(counted - total) > slack:
            place, about, expected = "status.ufsTotal", str(text), "as Fluid counted"
    if place:
        mount_result = listed[0][0]
        yield Finding(
            reference,
            f"the source has {pluralize(files, 'file')}, {format_bytes(total)} ({total} bytes) "
            "now, and had "
            f"{about} {expected}",
            (
                Evidence(reference, place, about),
                Evidence(
                    f"store {mount_result.result.mount}", "listing", f"{files} files, {total} bytes"
                ),
            ),
            recreate_fix(context) or Fix(_cache_again_command(context, mount_result)),
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
    for mount_result, found in _listed_mounts(context):
        late = tuple(path for path, written in found.newest if written > loaded)
        if late:
            yield Finding(
                dataset_reference(context),
                f"{_join_paths(late)} of {mount_result.result.mount} was modified after the load "
                f"of {loaded}",
                tuple(
                    Evidence(
                        f"store {mount_result.result.mount}", f"last modified, {path}", written
                    )
                    for path, written in found.newest
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
