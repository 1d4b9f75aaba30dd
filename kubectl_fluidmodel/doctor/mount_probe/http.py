"""Probe a web directory as Alluxio's WebUFS reads it: index pages, and sizes by HEAD."""

from __future__ import annotations

import time

from kubectl_fluidmodel.doctor.mount_probe import endpoint as mount_probe_endpoint
from kubectl_fluidmodel.doctor.mount_probe import model_files
from kubectl_fluidmodel.doctor.mount_probe.model_files import ListedFile
from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.inventory.mount_target import MountTarget
from kubectl_fluidmodel.snapshot.probe_result import ProbeOrigin, ProbeResult, ProbeState


def probe_http(target: MountTarget, origin: ProbeOrigin = ProbeOrigin.CLIENT) -> ProbeResult:
    """Probe a mount over HTTP; the caller limits the time."""
    from kubectl_fluidmodel.objectstore.http_index import list_directory, range_reader

    started = time.monotonic()

    def result(state: ProbeState, message: str = "", code: str = "") -> ProbeResult:
        return ProbeResult(
            mount=target.mount,
            state=state,
            endpoint=target.endpoint,
            origin=origin,
            code=code,
            message=message,
            action="GET",
            seconds=round(time.monotonic() - started, 2),
        )

    try:
        mount_probe_endpoint.check_endpoint(target.endpoint)
        listing = list_directory(target.mount)
    except mount_probe_endpoint.EndpointError as err:
        return result(err.state, err.message, err.code)
    except UnreachableError as err:
        return result(ProbeState.REFUSED, err.reason or err.message)
    except FluidModelError as err:
        status = err.reason.removeprefix("HTTP ")
        if status in ("401", "403"):
            return result(ProbeState.DENIED, err.reason, status)
        if status in ("404", "410"):
            return result(ProbeState.NO_BUCKET, err.reason, status)
        no_index = status == err.reason  # not an HTTP status: the page is not an index of files
        return result(
            ProbeState.EMPTY if no_index else ProbeState.ERROR,
            err.reason or err.message,
            status,
        )
    entries = [ListedFile(file.path, file.size) for file in listing.files]
    contents = model_files.examine_files(entries, True, range_reader(target.mount), target.path)
    return ProbeResult(
        mount=target.mount,
        state=ProbeState.OK,
        endpoint=target.endpoint,
        origin=origin,
        contents=contents,
        seconds=round(time.monotonic() - started, 2),
    )
