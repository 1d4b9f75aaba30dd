"""5xx: whether the files below a mount are a complete model."""

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
    MountResult,
    cache_again_command,
    change_mount_fix,
    completely_listed_contents,
    dataset_reference,
    listed_contents,
    recreate_fix,
    restage_fix,
    result_evidence,
    results_in_state,
)
from kubectl_fluidmodel.model.issue import CONFIG, CONTENT, DAMAGED, LINKS, SHARDS, WEIGHTS
from kubectl_fluidmodel.model.junk import JunkFiles
from kubectl_fluidmodel.output.shell import chain, command
from kubectl_fluidmodel.output.units import format_bytes, pluralize
from kubectl_fluidmodel.snapshot.probe_result import MountContents, ProbeState


@register_check("FM530", "the mount leads to the model", explains=("FM532", "FM533", "FM534"))
def mount_leads_to_the_model(context: CheckContext) -> Iterator[Finding]:
    """The mount's prefix holds no model, but a similar prefix does.

    There is a typo in the prefix, its case differs, the directory of the commit is missing from it,
    or it has one directory too many. Buckets have no directories that could be missing, so Fluid
    binds such a Dataset without an error.
    """
    empty = [
        empty_result
        for empty_result in results_in_state(context, ProbeState.EMPTY)
        if empty_result.result.nearest
    ]
    if not empty:
        empty = [
            empty_result
            for empty_result, contents in _listed_contents_or_none(context)
            if empty_result.result.nearest and not contents.models and not contents.weights
        ]
    for mount_result in empty:
        result = mount_result.result
        right = result.nearest[0]
        yield Finding(
            dataset_reference(context),
            f"{result.mount} holds no model; the most likely place with one is {right}",
            (
                *result_evidence(context, mount_result),
                *(Evidence("store", "holds a model", place) for place in result.nearest),
            ),
            recreate_fix(context, source=right)
            or change_mount_fix(context, mount_result.index, mount_point=right),
        )


def _listed_contents_or_none(context: CheckContext) -> list[tuple[MountResult, MountContents]]:
    try:
        return list(listed_contents(context))
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
    reported = False
    unread = ""
    for mount_result, contents in completely_listed_contents(context):
        unread = unread or contents.unread
        for remark in contents.remarks:
            if remark.kind != kind or not remark.fatal:
                continue
            reported = True
            yield Finding(
                dataset_reference(context),
                f"{mount_result.result.mount}: {remark.text}",
                tuple(
                    Evidence(f"store {mount_result.result.mount}", path, remark.text)
                    for path in remark.paths or (mount_result.result.mount,)
                ),
                _upload_fix(context, mount_result, files),
            )
    if unread and not reported:
        raise CheckSkippedError(unread)


def _upload_fix(context: CheckContext, mount_result: MountResult, files: str) -> Fix:
    """Stage the model again if this plugin staged it, else upload what is missing."""
    return restage_fix(context, mount_result.result) or Fix(
        f"upload {files} to {mount_result.result.mount}, then "
        f"{cache_again_command(context, mount_result)}",
        "advice",
    )


@register_check("FM532", "all shards of the weights exist", explains=("FM536",))
def weight_shards_are_complete(context: CheckContext) -> Iterator[Finding]:
    """Some shards of the weights are missing.

    The index of the weights (`model.safetensors.index.json`) lists files that the store does not
    have, or the numbering of the files has a gap. An upload was interrupted, or the index belongs
    to other files. To Fluid the cache is complete; the engine fails when it opens the missing file.
    """
    yield from _damage_findings(context, SHARDS, "the missing files")


@register_check("FM533", "the files are a model in a format that engines know")
def model_has_configuration(context: CheckContext) -> Iterator[Finding]:
    """No directory below the mount has the configuration file that engines need.

    That is `config.json` (or `params.json`, `model_index.json`, `adapter_config.json`, a `.gguf`,
    `.nemo` or `.onnx` file). An engine that gets such a directory fails, or takes its name for a
    model on the Hub. Or the file exists but is no configuration: empty, an HTML page, or an error
    message that was saved in its place.
    """
    for mount_result, contents in completely_listed_contents(context):
        if not contents.models:
            yield Finding(
                dataset_reference(context),
                f"{mount_result.result.mount} has {pluralize(contents.files, 'file')} and no "
                "config.json",
                tuple(
                    Evidence(f"store {mount_result.result.mount}", "file", path)
                    for path in contents.paths
                ),
                _upload_fix(context, mount_result, "config.json"),
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
    for mount_result, contents in completely_listed_contents(context):
        for remark in contents.remarks:
            if remark.kind == LINKS:
                yield Finding(
                    dataset_reference(context),
                    f"{mount_result.result.mount}: {remark.text}",
                    (Evidence(f"store {mount_result.result.mount}", "listing", remark.text),),
                    _stage_from_hub_fix(context, mount_result, remark.hub_model),
                )


def _stage_from_hub_fix(context: CheckContext, mount_result: MountResult, model: str) -> Fix:
    """Stage the model from the Hub, in place of the directory in the bucket."""
    bucket = mount_result.result.mount.partition("://")[2].partition("/")[0]
    if model and mount_result.result.mount.startswith("s3"):
        fix = recreate_fix(context, source=model, flags=("--to", f"s3://{bucket}"))
        if fix is not None:
            return fix
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
    for mount_result, contents in listed_contents(context):
        if not contents.models:
            continue  # FM533
        for remark in contents.remarks:
            if not remark.fatal:
                yield Finding(
                    dataset_reference(context),
                    f"{mount_result.result.mount}: {remark.text}",
                    (Evidence(f"store {mount_result.result.mount}", "files", remark.text),),
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
    for mount_result, contents in listed_contents(context):
        for junk in contents.rubbish:
            if junk.bytes < _MIN_REPORTED_RUBBISH:
                continue
            description = f"{pluralize(junk.files, 'file')} of {format_bytes(junk.bytes)}"
            are = "is" if junk.files == 1 else "are"
            yield Finding(
                dataset_reference(context),
                f"{description} of {mount_result.result.mount} {are} {junk.owner}, not the model's",
                (Evidence(f"store {mount_result.result.mount}", junk.example, description),),
                _remove_rubbish_fix(mount_result, junk),
            )


def _remove_rubbish_fix(mount_result: MountResult, rubbish: JunkFiles) -> Fix:
    """Remove the unrelated files, and nothing else."""
    mount, endpoint = mount_result.result.mount.rstrip("/"), mount_result.result.endpoint
    if not mount.startswith("s3://"):
        return Fix(f"remove {', '.join(rubbish.paths)} from {mount}", "advice")
    reach = ["--endpoint-url", endpoint] if endpoint else []
    removals = (
        command(
            *("aws", "s3", "rm", f"{mount}/{path}"),
            *(["--recursive"] if path.endswith("/") else []),
            *reach,
        )
        for path in rubbish.paths
    )
    return Fix(chain(*removals))
