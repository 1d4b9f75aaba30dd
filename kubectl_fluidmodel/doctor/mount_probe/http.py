"""A mount of a web directory tried as Alluxio's WebUFS reads it: index pages, and sizes by HEAD."""

from __future__ import annotations

import time

from kubectl_fluidmodel.doctor.mount_probe import endpoint as mount_probe_endpoint
from kubectl_fluidmodel.doctor.mount_probe import model_files, probe_result
from kubectl_fluidmodel.doctor.mount_probe.model_files import ListedFile
from kubectl_fluidmodel.doctor.mount_probe.probe_result import ProbeResult
from kubectl_fluidmodel.doctor.mount_probe.target import MountTarget
from kubectl_fluidmodel.errors import FluidModelError, UnreachableError


def probe_http(target: MountTarget, origin: str = probe_result.HERE) -> ProbeResult:
    """How it went; the caller bounds the time."""
    from kubectl_fluidmodel.objectstore.http_index import list_directory, range_reader

    started = time.monotonic()

    def said(state: str, message: str = "", code: str = "") -> ProbeResult:
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
        return said(err.state, err.message, err.code)
    except UnreachableError as err:
        return said(probe_result.REFUSED, err.reason or err.message)
    except FluidModelError as err:
        status = err.reason.removeprefix("HTTP ")
        if status in ("401", "403"):
            return said(probe_result.DENIED, err.reason, status)
        if status in ("404", "410"):
            return said(probe_result.NO_BUCKET, err.reason, status)
        no_index = status == err.reason  # anything but an HTTP status: it is no index of files
        return said(
            probe_result.EMPTY if no_index else probe_result.ERROR,
            err.reason or err.message,
            status,
        )
    entries = [ListedFile(file.path, file.size) for file in listing.files]
    found = model_files.examine_files(entries, True, range_reader(target.mount), target.path)
    return ProbeResult(
        mount=target.mount,
        state=probe_result.OK,
        endpoint=target.endpoint,
        origin=origin,
        found=found,
        seconds=round(time.monotonic() - started, 2),
    )
