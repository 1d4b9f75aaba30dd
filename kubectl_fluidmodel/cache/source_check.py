"""Checks the source as a model before anything is built, and refuses one that cannot be loaded."""

from __future__ import annotations

from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model import assessment, sample
from kubectl_fluidmodel.model.assessment import ModelAssessment
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.model.issue import LINKS
from kubectl_fluidmodel.model.junk import group_junk
from kubectl_fluidmodel.model.sample import RangeReader
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.output.units import format_bytes, pluralize, summarize
from kubectl_fluidmodel.records import dataclass

_MAX_ERRORS = 3
_MAX_WARNINGS = 8
"""Maximum number of warnings to print individually."""


@dataclass(frozen=True)
class CacheLocation:
    """Where the cache will be, for the commands that fix its source."""

    namespace: str
    endpoint: str = ""


def check_source(
    options: CacheOptions, listing: FileListing, fetch: RangeReader, location: CacheLocation
) -> list[str]:
    """Check the content of the source and return its warnings.

    Raises:
        FluidModelError: no engine can load it; has the command that fixes it.
    """
    uri = options.source.uri
    if not listing.files:
        junk = group_junk((file.path, file.size) for file in listing.junk)[0]
        raise FluidModelError(
            f"{uri} does not contain a model",
            f"its {pluralize(len(listing.junk), 'file')} are {junk.owner} ({junk.example})",
            "kubectl fluidmodel cache --help",
        )
    sampled = sample.read_sample(listing.files, fetch)
    assessed = assessment.assess_model(listing.files, sampled, options.source.path)
    if assessed.errors:
        texts = [error.text for error in assessed.errors]
        raise FluidModelError(
            f"{uri} is not a model that an engine can load",
            summarize(texts, _MAX_ERRORS, "; "),
            _fix_command(options, assessed, location),
        )
    notes = [f"{uri}: {warning.text}" for warning in assessed.warnings[:_MAX_WARNINGS]]
    if len(assessed.warnings) > _MAX_WARNINGS:
        notes.append(f"{uri}: and {len(assessed.warnings) - _MAX_WARNINGS} more of these")
    if sampled.incomplete_reason:
        notes.append(f"{uri} was only partially checked: {sampled.incomplete_reason}")
    return notes


def _fix_command(options: CacheOptions, assessed: ModelAssessment, location: CacheLocation) -> str:
    """Return the command that fixes the source."""
    source, worst = options.source, assessed.errors[0]
    endpoint = ("--endpoint", location.endpoint) if location.endpoint else ()
    aws_endpoint = ("--endpoint-url", location.endpoint) if location.endpoint else ()
    namespace = ("-n", location.namespace) if location.namespace not in ("", "default") else ()
    if worst.kind == LINKS and source.scheme == "s3":
        if worst.hub_model:
            to = ("--to", f"s3://{source.host}", "--name", options.name)
            model = Operand(worst.hub_model)
            return command("kubectl", "fluidmodel", "cache", model, *to, *endpoint, *namespace)
        copy = command("aws", "s3", "sync", "SNAPSHOT", source.uri, *aws_endpoint)
        return f"{copy} for the snapshot directory on the original machine; it follows links"
    if options.origin:
        model = Operand(f"{options.origin.removeprefix('hf://')}@{options.commit}")
        bucket = source.uri.removesuffix(f"/{model.text.replace('@', '/')}")
        return command("kubectl", "fluidmodel", "stage", model, "--to", bucket, *endpoint)
    first = next((error.paths[0] for error in assessed.errors if error.paths), "")
    if source.scheme == "s3" and first:
        copy = command("aws", "s3", "cp", first, f"{source.uri}/{first}", *aws_endpoint)
        return f"{copy}, and the same command again"
    return "upload the model's own files, and run the same command again"


def skipped_file_notes(listing: FileListing, loaded: bool) -> list[str]:
    """Return notes on junk, which may be loaded anyway."""
    notes = []
    handling = "loaded with the model" if loaded else "neither loaded nor counted"
    for group in group_junk((file.path, file.size) for file in listing.junk):
        are = "is" if group.files == 1 else "are"
        description = (
            f"{pluralize(group.files, 'file')} of {format_bytes(group.bytes)} {are} {group.owner}"
        )
        notes.append(f"{description} ({group.example}): {handling}")
    return notes
