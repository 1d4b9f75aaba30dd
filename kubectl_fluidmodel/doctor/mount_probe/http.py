"""A mount of a web directory tried as Alluxio's WebUFS reads it: index pages, and sizes by HEAD."""

from __future__ import annotations

import time

from kubectl_fluidmodel.doctor.mount_probe import endpoint as mount_probe_endpoint
from kubectl_fluidmodel.doctor.mount_probe import model_files, result
from kubectl_fluidmodel.doctor.mount_probe.model_files import Entry
from kubectl_fluidmodel.doctor.mount_probe.result import Answer
from kubectl_fluidmodel.doctor.mount_probe.target import Question
from kubectl_fluidmodel.errors import FluidModelError, Unreachable


def attempt(question: Question, origin: str = result.HERE) -> Answer:
    """How it went; the caller bounds the time."""
    from kubectl_fluidmodel.objectstore.http_index import list_directory, reader

    started = time.monotonic()

    def said(state: str, message: str = "", code: str = "") -> Answer:
        return Answer(
            mount=question.mount,
            state=state,
            endpoint=question.endpoint,
            origin=origin,
            code=code,
            message=message,
            action="GET",
            seconds=round(time.monotonic() - started, 2),
        )

    try:
        mount_probe_endpoint.check(question.endpoint)
        listing = list_directory(question.mount)
    except mount_probe_endpoint.Blocked as err:
        return said(err.state, err.message, err.code)
    except Unreachable as err:
        return said(result.REFUSED, err.why or err.what)
    except FluidModelError as err:
        status = err.why.removeprefix("HTTP ")
        if status in ("401", "403"):
            return said(result.DENIED, err.why, status)
        if status in ("404", "410"):
            return said(result.NO_BUCKET, err.why, status)
        no_index = status == err.why  # anything but an HTTP status: it is no index of files
        return said(result.EMPTY if no_index else result.ERROR, err.why or err.what, status)
    entries = [Entry(file.path, file.size) for file in listing.files]
    found = model_files.examine(entries, True, reader(question.mount), question.path)
    return Answer(
        mount=question.mount,
        state=result.OK,
        endpoint=question.endpoint,
        origin=origin,
        found=found,
        seconds=round(time.monotonic() - started, 2),
    )
