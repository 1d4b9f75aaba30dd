"""5xx: what lies below a mount: is it a model, whole, and still the one that was cached?"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, Skip, check
from kubectl_fluidmodel.doctor.checks.mount_results import (
    Tried,
    contents,
    dataset_of,
    evidence,
    met,
    origin_of,
    rebuild,
    rebuild_from,
    restage,
)
from kubectl_fluidmodel.doctor.mount_probe import result
from kubectl_fluidmodel.doctor.mount_probe.result import Found
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.model.remark import CONFIG, CONTENT, DAMAGED, LINKS, SHARDS, WEIGHTS
from kubectl_fluidmodel.model.rubbish import Rubbish
from kubectl_fluidmodel.objects.access import annotations_of, at, dicts
from kubectl_fluidmodel.output.shell import Command, chain, command
from kubectl_fluidmodel.output.text import plural, size


def _listed(case: Case) -> Iterator[tuple[Tried, Found]]:
    for one in contents(case):
        if one.answer.found is not None:
            yield one, one.answer.found


def _whole(case: Case) -> list[tuple[Tried, Found]]:
    """The mounts that were listed to the end.

    Raises:
        Skip: one was not.
    """
    listed = list(_listed(case))
    for _, found in listed:
        if not found.whole:
            raise Skip(f"there are more than {found.files} files, too many to list")
    return listed


def _shown(paths: tuple[str, ...], limit: int = 3) -> str:
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return ", ".join(paths[:limit]) + more


@check("FM530", "the mount leads to the model", explains=("FM532", "FM533", "FM534"))
def right_prefix(case: Case) -> Iterator[Finding]:
    """Nothing, or nothing that is a model, lies below the mount's prefix, and a prefix of a like
    name does hold one: a letter or its case is wrong, a commit's directory was left out, or a
    directory too many was named. Buckets have no directories that could be missing, so Fluid
    binds such a Dataset and says nothing.
    """
    lost = [one for one in met(case, result.EMPTY) if one.answer.nearest]
    if not lost:
        lost = [
            one
            for one, found in _listed_or_none(case)
            if one.answer.nearest and not found.models and not found.weights
        ]
    for one in lost:
        given = one.answer
        right = given.nearest[0]
        yield Finding(
            dataset_of(case),
            f"{given.mount} holds no model; the likeliest place that does is {right}",
            (
                *evidence(case, one),
                *(Evidence("store", "holds a model", each) for each in given.nearest),
            ),
            rebuild(case, source=right)
            or Fix(
                f"mountPoint: {right}",
                "yaml",
                f"Dataset {case.own.namespace}/{case.own.name} {one.place}",
            ),
        )


def _listed_or_none(case: Case) -> list[tuple[Tried, Found]]:
    try:
        return list(_listed(case))
    except Skip:
        return []


@check("FM531", "files lie below the mount")
def not_empty(case: Case) -> Iterator[Finding]:
    """The prefix, and everything near it, is empty; or it is the name of one object and not of a
    directory; or a web server shows no index of the directory. Fluid binds an empty Dataset and
    loads nothing, and engines find no file.
    """
    for one in met(case, result.EMPTY):
        given = one.answer
        if given.nearest:
            continue
        why = given.message or "there is no object below it, and no model near it"
        yield Finding(
            dataset_of(case),
            f"{given.mount} is empty: {why}",
            evidence(case, one),
            restage(case, given) or Fix(f"put the model's files below {given.mount}", "advice"),
        )


def _wrong(case: Case, kind: str, what: str) -> Iterator[Finding]:
    """A finding for each remark of a kind that is wrong; `what` is to be uploaded again.

    Raises:
        Skip: nothing of the kind is known, and not everything could be read.
    """
    known = False
    unread = ""
    for one, found in _whole(case):
        unread = unread or found.unread
        for each in found.remarks:
            if each.kind != kind or not each.wrong:
                continue
            known = True
            yield Finding(
                dataset_of(case),
                f"{one.answer.mount}: {each.text}",
                tuple(
                    Evidence(f"store {one.answer.mount}", path, each.text)
                    for path in each.paths or (one.answer.mount,)
                ),
                restage(case, one.answer)
                or Fix(f"upload {what} to {one.answer.mount}, then {_again(case, one)}", "advice"),
            )
    if unread and not known:
        raise Skip(unread)


@check("FM532", "every shard of the weights is there", explains=("FM536",))
def shards(case: Case) -> Iterator[Finding]:
    """The index of the weights (`model.safetensors.index.json`) names files that the store does not
    have, or their own numbering has a gap: an upload was cut off, or the index belongs to another
    set of files. The cache is complete as far as Fluid knows, and the engine fails when it opens
    the missing file.
    """
    yield from _wrong(case, SHARDS, "the missing files")


def _again(case: Case, one: Tried) -> Command:
    """The command that makes a cache go on from there."""
    given = one.answer
    return fix_commands.cache(case.own, source=given.mount, endpoint=given.endpoint, standing=True)


@check("FM533", "the files are a model that an engine knows")
def marked(case: Case) -> Iterator[Finding]:
    """No directory below the mount has the file that an engine looks for first: `config.json` (or
    `params.json`, `model_index.json`, `adapter_config.json`, a `.gguf`, `.nemo` or `.onnx`). An
    engine that is given this directory fails, or takes its name for one of the Hub's. Or the file
    is there and is no configuration: empty, a page of HTML, an error that a server gave.
    """
    for one, found in _whole(case):
        if not found.models:
            yield Finding(
                dataset_of(case),
                f"{one.answer.mount} has {plural(found.files, 'file')} and no config.json",
                tuple(Evidence(f"store {one.answer.mount}", "file", each) for each in found.paths),
                restage(case, one.answer)
                or Fix(
                    f"upload config.json to {one.answer.mount}, then {_again(case, one)}", "advice"
                ),
            )
    yield from _wrong(case, CONFIG, "config.json")


@check("FM534", "the weights are there and not empty", explains=("FM533", "FM536"))
def weights(case: Case) -> Iterator[Finding]:
    """The weights are not there, or a weight file has no bytes: a clone without Git LFS, or an
    upload that was cut off.
    """
    yield from _wrong(case, WEIGHTS, "the weights")


@check("FM538", "the files are what their names say", explains=("FM533", "FM534", "FM536"))
def genuine(case: Case) -> Iterator[Finding]:
    """A file of weights is not whole: its own header (safetensors) tells of more bytes, or of
    fewer. Or a file is something else than its name says: a pointer of Git LFS, a page of HTML or
    an error that a download brought, a link that was stored as a text. All of these have bytes that
    can be cached, and no engine can load them.
    """
    yield from _wrong(case, DAMAGED, "the whole files")
    yield from _wrong(case, CONTENT, "the files themselves")


@check(
    "FM539",
    "a cache directory of the Hub's client kept its links",
    explains=("FM530", "FM532", "FM533", "FM534", "FM536", "FM538"),
)
def linked(case: Case) -> Iterator[Finding]:
    """`models--ORG--NAME` of the Hub's client has the bytes in `blobs/`, under the names of their
    hashes, and symbolic links in `snapshots/COMMIT/`. A bucket has no links: a copy that does not
    follow them leaves empty files. Stage the model from the Hub, or copy the snapshot's directory
    with a tool that follows links (`aws s3 sync` does).
    """
    for one, found in _whole(case):
        for each in found.remarks:
            if each.kind == LINKS:
                yield Finding(
                    dataset_of(case),
                    f"{one.answer.mount}: {each.text}",
                    (Evidence(f"store {one.answer.mount}", "listing", each.text),),
                    _from_the_hub(case, one, each.model),
                )


def _from_the_hub(case: Case, one: Tried, model: str) -> Fix:
    """Have a model from the Hub instead of the bucket's directory."""
    bucket = one.answer.mount.partition("://")[2].partition("/")[0]
    if model and one.answer.mount.startswith("s3"):
        made = rebuild_from(case, model, ("--to", f"s3://{bucket}"))
        if made is not None:
            return made
    return Fix(
        f"copy the snapshot's directory to {one.answer.mount} with its links followed "
        "(aws s3 sync does)",
        "advice",
    )


@check("FM541", "engines and Dynamo agree on the model", severity=Severity.WARNING)
def agreed(case: Case) -> Iterator[Finding]:
    """Something about the model is served by some engines and not by others, or is missed by
    Dynamo's frontend: no `eos_token_id` in `generation_config.json` or `config.json`, no tokenizer,
    an adapter without its base, several models in one directory, weights that are there twice, an
    index that does not agree with the headers of its files.
    """
    for one, found in _listed(case):
        if not found.models:
            continue  # FM533
        for each in found.remarks:
            if not each.wrong:
                yield Finding(
                    dataset_of(case),
                    f"{one.answer.mount}: {each.text}",
                    (Evidence(f"store {one.answer.mount}", "files", each.text),),
                )


_RUBBISH = 1 << 20
"""Bytes of rubbish that are worth a word; a desktop's file of 6 KiB is not."""


@check("FM542", "nothing but the model lies there", severity=Severity.WARNING)
def clean(case: Case) -> Iterator[Finding]:
    """Beside the model lie files that are none of it: downloads that were cut off and records of
    the Hub's client (`.cache/huggingface`), Git's own (`.git` with a second copy of all weights).
    Alluxio lists them, a load of `/` caches them, and they take the place of the model.
    """
    for one, found in _listed(case):
        for each in found.rubbish:
            if each.bytes < _RUBBISH:
                continue
            what = f"{plural(each.files, 'file')} of {size(each.bytes)}"
            are = "is" if each.files == 1 else "are"
            yield Finding(
                dataset_of(case),
                f"{what} of {one.answer.mount} {are} {each.owner}, not the model's",
                (Evidence(f"store {one.answer.mount}", each.example, what),),
                _removal(one, each),
            )


def _removal(one: Tried, rubbish: Rubbish) -> Fix:
    """Take rubbish away, and nothing else."""
    mount, endpoint = one.answer.mount.rstrip("/"), one.answer.endpoint
    if not mount.startswith("s3://"):
        return Fix(f"remove {', '.join(rubbish.places)} from {mount}", "advice")
    reach = ["--endpoint-url", endpoint] if endpoint else []
    removals = (
        command(
            *("aws", "s3", "rm", f"{mount}/{place}"),
            *(["--recursive"] if place.endswith("/") else []),
            *reach,
        )
        for place in rubbish.places
    )
    return Fix(chain(*removals))


@check("FM535", "what was staged is proven", explains=("FM532", "FM533", "FM534", "FM536"))
def verified(case: Case) -> Iterator[Finding]:
    """A model that this plugin staged has a manifest beside it, written last and only after every
    byte was hashed. Without it, or where it does not agree with the files, staging did not come to
    its end or somebody wrote there since. `stage` goes on from what is there and writes it.
    """
    repo, commit = origin_of(case.own)
    if not repo:
        return
    for one in contents(case):
        given = one.answer
        if given.manifest not in ("", "valid"):
            yield Finding(
                dataset_of(case),
                f"{repo}@{commit[:12]} in {given.mount} is not proven: its manifest is absent"
                if given.manifest == "absent"
                else f"{repo}@{commit[:12]} in {given.mount} is not proven: {given.manifest}",
                (Evidence(f"store {given.mount}", "manifest", given.manifest),),
                restage(case, given),
            )


@check("FM536", "the source is what was cached", explains=("FM537", "FM614"))
def unchanged(case: Case) -> Iterator[Finding]:
    """The source has other files or bytes than when the cache was made (our annotations) or than
    Fluid counted (`status.ufsTotal`): somebody added, replaced or removed files. Alluxio goes on
    with what it knows, so readers may get a mix of both. Make the cache anew.
    """
    listed = _whole(case)
    mounts = dicts(case.own.dataset, "spec", "mounts")
    if len(listed) != len(mounts) or not listed:
        return
    files = sum(found.files for _, found in listed)
    total = sum(found.bytes for _, found in listed)
    reference, place, about, expected = dataset_of(case), "", "", ""
    noted = _noted(case.own)
    if noted is not None and noted != (files, total):
        place = f"metadata.annotations {names.BYTES_ANNOTATION}"
        about = f"{plural(noted[0], 'file')}, {size(noted[1])} ({noted[1]} bytes)"
        expected = "when it was cached"
    elif noted is None:
        text = at(case.own.dataset, "status", "ufsTotal")
        counted, slack = fluid_status.size(text), fluid_status.rounding(text)
        if counted is not None and abs(counted - total) > slack:
            place, about, expected = "status.ufsTotal", str(text), "as Fluid counts"
    if place:
        one = listed[0][0]
        yield Finding(
            reference,
            f"the source has {plural(files, 'file')}, {size(total)} ({total} bytes) now, and had "
            f"{about} {expected}",
            (
                Evidence(reference, place, about),
                Evidence(f"store {one.answer.mount}", "listing", f"{files} files, {total} bytes"),
            ),
            rebuild(case) or Fix(_again(case, one)),
        )


def _noted(cache: Cached) -> tuple[int, int] | None:
    """Files and bytes of the source as they were when this plugin made the cache."""
    notes = annotations_of(cache.dataset or {})
    try:
        return int(notes[names.FILES_ANNOTATION]), int(notes[names.BYTES_ANNOTATION])
    except (KeyError, ValueError):
        return None


@check("FM537", "no file was written since the load", severity=Severity.WARNING)
def not_written(case: Case) -> Iterator[Finding]:
    """A file of the source is younger than the load that filled the cache, though count and bytes
    are the same: it was replaced. What is cached of it is the old one. An immutable prefix per
    version, such as `stage` makes one per commit, keeps this from happening.
    """
    loaded = _loaded(case.own)
    if not loaded:
        raise Skip("no DataLoad has come to its end")
    for one, found in _listed(case):
        late = tuple(path for path, written in found.newest if written > loaded)
        if late:
            yield Finding(
                dataset_of(case),
                f"{_shown(late)} of {one.answer.mount} was written after the load of {loaded}",
                tuple(
                    Evidence(f"store {one.answer.mount}", f"last write of {path}", written)
                    for path, written in found.newest
                    if path in late
                ),
                rebuild(case),
            )


def _loaded(cache: Cached) -> str:
    """When the last load that completed did so, RFC 3339; empty where none has."""
    done = ""
    for load in cache.loads:
        if at(load, "status", "phase") != "Complete":
            continue
        for condition in dicts(load, "status", "conditions"):
            if condition.get("type") == "Complete":
                done = max(done, str(condition.get("lastTransitionTime") or ""))
    return done
