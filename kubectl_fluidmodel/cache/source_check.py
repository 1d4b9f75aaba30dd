"""The source judged as a model before anything is built: what is wrong is refused, here."""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.cache.options import Request
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model import judge, sample
from kubectl_fluidmodel.model.files import Listing
from kubectl_fluidmodel.model.judge import Verdict
from kubectl_fluidmodel.model.remark import LINKS
from kubectl_fluidmodel.model.rubbish import sort_out
from kubectl_fluidmodel.model.sample import Fetch
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.output.text import plural, size

_SHOWN = 3
_DOUBTS = 8
"""Doubts that are said one by one."""


@dataclass(frozen=True)
class Place:
    """Where the cache is to be, for the commands that mend."""

    namespace: str
    endpoint: str = ""


def judged(request: Request, listing: Listing, fetch: Fetch, place: Place) -> list[str]:
    """Judge what lies in the source; returns what there is to say of it.

    Raises:
        FluidModelError: no engine can load it, with the command that mends it.
    """
    uri = request.source.uri
    if not listing.files:
        found = sort_out((file.path, file.size) for file in listing.rubbish)
        raise FluidModelError(
            f"{uri} holds no model",
            f"its {plural(len(listing.rubbish), 'file')} are {found[0].owner} ({found[0].example})",
            "kubectl fluidmodel cache --help",
        )
    read = sample.take(listing.files, fetch)
    verdict = judge.judge(listing.files, read, request.source.path)
    if verdict.wrong:
        texts = [each.text for each in verdict.wrong]
        more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
        raise FluidModelError(
            f"{uri} is no model that an engine can load",
            "; ".join(texts[:_SHOWN]) + more,
            _mend(request, verdict, place),
        )
    notes = [f"{uri}: {each.text}" for each in verdict.doubts[:_DOUBTS]]
    if len(verdict.doubts) > _DOUBTS:
        notes.append(f"{uri}: and {len(verdict.doubts) - _DOUBTS} more such")
    if read.unread:
        notes.append(f"{uri} was not judged whole: {read.unread}")
    return notes


def _mend(request: Request, verdict: Verdict, place: Place) -> str:
    """The command that mends what is wrong."""
    source, worst = request.source, verdict.wrong[0]
    endpoint = ("--endpoint", place.endpoint) if place.endpoint else ()
    reach = ("--endpoint-url", place.endpoint) if place.endpoint else ()
    space = ("-n", place.namespace) if place.namespace not in ("", "default") else ()
    if worst.kind == LINKS and source.scheme == "s3":
        if worst.model:
            to = ("--to", f"s3://{source.host}", "--name", request.name)
            model = Operand(worst.model)
            return command("kubectl", "fluidmodel", "cache", model, *to, *endpoint, *space)
        copy = command("aws", "s3", "sync", "SNAPSHOT", source.uri, *reach)
        return f"{copy} with the snapshot's directory of the machine that has it: it follows links"
    if request.origin:
        model = Operand(f"{request.origin.removeprefix('hf://')}@{request.commit}")
        bucket = source.uri.removesuffix(f"/{model.text.replace('@', '/')}")
        return command("kubectl", "fluidmodel", "stage", model, "--to", bucket, *endpoint)
    first = next((each.paths[0] for each in verdict.wrong if each.paths), "")
    if source.scheme == "s3" and first:
        copy = command("aws", "s3", "cp", first, f"{source.uri}/{first}", *reach)
        return f"{copy}, and the same command again"
    return "put the model's own files there, and run the same command again"


def left_out(listing: Listing, loaded: bool) -> list[str]:
    """What there is to say of rubbish, which may be loaded all the same."""
    notes = []
    how = "loaded with the model" if loaded else "neither loaded nor counted"
    for each in sort_out((file.path, file.size) for file in listing.rubbish):
        are = "is" if each.files == 1 else "are"
        what = f"{plural(each.files, 'file')} of {size(each.bytes)} {are} {each.owner}"
        notes.append(f"{what} ({each.example}): {how}")
    return notes
