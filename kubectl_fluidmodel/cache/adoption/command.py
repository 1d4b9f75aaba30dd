"""One command line of `cache --adopt`: a dry run, or the real run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cache.adoption.options import AdoptOptions
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.output.console import print_note
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.cache.adoption.workflow import Adoption
    from kubectl_fluidmodel.kube.client import Client


@dataclass(frozen=True)
class AdoptCommand:
    """One command line, with what it needs."""

    options: AdoptOptions
    connection: ConfigFlags
    output: str | None
    color: str

    def dry_run(self, *, on_server: bool) -> int:
        """Show what differs and what would be labeled; the API server may check the labels.

        Returns:
            The exit code.
        """
        from kubectl_fluidmodel.cache.adoption import report, workflow
        from kubectl_fluidmodel.kube.client import Client
        from kubectl_fluidmodel.output.serialize import kubectl_name

        client = Client.connect(self.connection)
        adoption = workflow.plan_adoption(client, self.options, print_note, write=on_server)
        if on_server:
            workflow.write_labels(client, adoption, print_note, dry_run=True)
        else:
            for obj in adoption.objects:
                print_note(f"{kubectl_name(obj)} would be labeled")
        self._print_differences(adoption)
        self._print_result(
            adoption, report.dry_run_text(adoption), adopted=adoption.cache.is_adopted
        )
        return 0

    def run(self, hopeless_check: Callable[[Client, str], Callable[[], None]]) -> int:
        """Adopt the cache, verify it, and print the result.

        Args:
            hopeless_check: Creates, for the cluster and the cache's name, the check that ends a
                wait that cannot succeed.

        Returns:
            The exit code.
        """
        from kubectl_fluidmodel.cache.adoption import report, workflow
        from kubectl_fluidmodel.kube.client import Client
        from kubectl_fluidmodel.output.live import ProgressView

        client = Client.connect(self.connection)
        adoption = workflow.plan_adoption(client, self.options, print_note, write=True)
        self._print_differences(adoption)
        with ProgressView(color=self.color, hint="Ctrl-C does not change the cache") as view:
            workflow.write_labels(client, adoption, view.log)
            if self.options.wait:
                check = hopeless_check(client, adoption.cache.name)
                verification = workflow.verify(client, adoption, self.options, view, check)
                adoption = replace(adoption, verification=verification)
        self._print_result(adoption, report.summary_text(adoption), adopted=True)
        return 0

    def _print_differences(self, adoption: Adoption) -> None:
        """Print the table before anything is written; documents include it."""
        import sys

        from kubectl_fluidmodel.cache.adoption import report
        from kubectl_fluidmodel.output.console import wants_color

        if self.output is None:
            color = wants_color(sys.stdout, self.color)
            click.echo(report.differences_text(adoption, color=color))

    def _print_result(self, adoption: Adoption, conclusion: str, *, adopted: bool) -> None:
        from kubectl_fluidmodel.cache.adoption import report
        from kubectl_fluidmodel.output.serialize import format_result, kubectl_name

        document = report.adoption_document(adoption, adopted=adopted)
        name = kubectl_name(adoption.cache.dataset)
        click.echo(format_result(self.output, conclusion, name, document), nl=False)
