"""Runs `pin` and `unpin`, in a file or in the cluster.

A file needs neither a Kubernetes client nor the preflight, so `workflow` is imported only for a
cluster.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.kube.config import context_namespace
from kubectl_fluidmodel.output.console import print_note, print_warning
from kubectl_fluidmodel.pin.diff import print_diff
from kubectl_fluidmodel.pin.pin_request import PinRequest

if TYPE_CHECKING:
    from kubectl_fluidmodel.pin.manifest_files import ManifestResult
    from kubectl_fluidmodel.pin.options import PinOptions
    from kubectl_fluidmodel.pin.workflow import Watchdog


def run_pin(options: PinOptions, watchdog: Watchdog) -> None:
    """Pin graphs of the cluster, or of a file.

    Raises:
        FluidModelError: the first failure; the other graphs are still pinned.
    """
    request = PinRequest(
        cache=options.cache,
        label="",
        preferred=options.preferred,
        mount_path=options.mount_path,
        use_model_path=options.use_model_path,
        recreate=options.recreate,
        probe_budget=options.probe_budget,
        loader=options.loader or "",
        adopt=options.adopt,
        replaces=options.replaces or "",
        components=options.components,
    )
    if options.filename is not None:
        from kubectl_fluidmodel.pin.manifest_files import pin_file

        namespace = functools.partial(context_namespace, options.connection)
        _print_manifest(pin_file(request, options, namespace), options)
        return
    from kubectl_fluidmodel.pin.workflow import pin_graphs

    pin_graphs(request, options, watchdog)


def run_unpin(options: PinOptions) -> None:
    """Unpin graphs of the cluster, or of a file.

    Raises:
        FluidModelError: the first failure; the other graphs are still unpinned.
    """
    if options.filename is not None:
        from kubectl_fluidmodel.pin.manifest_files import unpin_file

        _print_manifest(unpin_file(options), options)
        return
    from kubectl_fluidmodel.pin.workflow import unpin_graphs

    unpin_graphs(options)


def _print_manifest(result: ManifestResult, options: PinOptions) -> None:
    """Print a file after the change, with its remarks."""
    for text in result.notes:
        print_note(text)
    for text in result.warnings:
        print_warning(text)
    if options.show_diff:
        print_diff(result.diff(), options)
    if options.output is not None or not options.show_diff:
        click.echo(result.render(options.output or "yaml"), nl=False)
