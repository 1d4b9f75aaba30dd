"""What one command line of `cache` does: a dry run here, one on the server, or the real thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.kube.config import ConfigFlags, context_namespace
from kubectl_fluidmodel.output.text import print_note, print_warning

if TYPE_CHECKING:
    from kubectl_fluidmodel.cache.hub_staging import HubStaging, StagingOptions
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.objects.access import Object


@dataclass(frozen=True)
class CacheCommand:
    """One command line, with what it needs."""

    options: CacheOptions
    staging: StagingOptions | None
    connection: ConfigFlags
    endpoint: str | None
    region: str | None
    output: str | None
    color: str

    def hub_staging(self, client: Client | None, namespace: str) -> HubStaging | None:
        if self.staging is None:
            return None
        from kubectl_fluidmodel.cache.hub_staging import HubStaging

        return HubStaging(self.staging, self.options, namespace, client)

    def dry_run_client(self) -> int:
        """--dry-run=client: no cluster; for a model of the Hub its file list is read."""
        from kubectl_fluidmodel.cache.workflow import create_secret_command, plan_offline
        from kubectl_fluidmodel.objects.plugin_pod import no_image_error

        namespace = context_namespace(self.connection)
        stager = self.hub_staging(None, namespace)
        request = stager.staged_options() if stager else self.options
        for line in stager.summary_lines() if stager else []:
            print_note(line)
        measured, planned = plan_offline(request, namespace, self.endpoint, self.region)
        for text in (*measured.notes, *planned.notes):
            print_note(f"note: {text}")
        for text in measured.warnings:
            print_warning(text)
        if stager and stager.lacks_image:
            print_note(
                f"note: the staging Job is not printed, as it has no image: {no_image_error().hint}"
            )
        shown = [obj for obj in planned.objects if obj is not measured.secret]
        if measured.secret is not None:
            print_note(
                f"the Secret is not printed; make it with: {create_secret_command(measured.secret)}"
            )
        first = stager.job_objects() if stager else []
        self._print_objects([*first, *shown, *([planned.load] if planned.load else [])])
        return 0

    def dry_run_server(self) -> int:
        """--dry-run=server."""
        from kubectl_fluidmodel.cache.workflow import CacheWorkflow, dry_run_on_server
        from kubectl_fluidmodel.kube.client import Client
        from kubectl_fluidmodel.objects.plugin_pod import no_image_error
        from kubectl_fluidmodel.output.live import ProgressView

        client = Client(self.connection)
        stager = self.hub_staging(client, client.namespace)
        request = stager.staged_options() if stager else self.options
        run = CacheWorkflow(
            client, request, client.namespace, ProgressView(color=self.color), 0.0, stager
        )
        run.preflight()
        if stager:
            stager.require_references()
            if stager.lacks_image and not stager.is_staged():
                raise no_image_error()
        _, planned = run.plan(self.endpoint, self.region)
        for change in planned.immutable_changes:
            print_note(f"note: would be made anew: {change}")
        if planned.immutable_changes:
            run.require_no_readers(planned)
        first = stager.job_objects() if stager else []
        sent = dry_run_on_server(client, planned, print_note, first)
        self._print_objects([obj for obj in sent if obj["kind"] != "Secret"])
        return 0

    def run(self, wait: bool, timeout: float) -> int:
        """The real thing."""
        from kubectl_fluidmodel.cache.summary import summary_document, summary_text
        from kubectl_fluidmodel.cache.workflow import CacheWorkflow
        from kubectl_fluidmodel.kube.client import Client
        from kubectl_fluidmodel.output.live import KEEPS_RUNNING_HINT, ProgressView
        from kubectl_fluidmodel.output.serialize import kubectl_name, to_json, to_yaml

        client = Client(self.connection)
        namespace = client.namespace
        here = self.staging is not None and self.staging.on == "client"
        hint = "Ctrl-C at any time: the same command goes on" if here else KEEPS_RUNNING_HINT
        with ProgressView(color=self.color, hint=hint) as live:
            stager = self.hub_staging(client, namespace)
            request = stager.staged_options() if stager else self.options
            run = CacheWorkflow(client, request, namespace, live, timeout, stager)
            run.preflight()
            run.dry_run_staging()
            if not run.stage(wait=wait):
                live.log("the model is being staged; the same command again goes on from there")
                return 0
            measured, planned = run.plan(self.endpoint, self.region)
            outcome = run.execute(measured, planned, wait=wait)
        if self.output is None:
            click.echo(summary_text(run.options, namespace, outcome), nl=False)
        elif self.output == "name":
            click.echo(kubectl_name(outcome.desired.dataset))
        else:
            found = summary_document(run.options, namespace, outcome)
            click.echo(to_json(found) if self.output == "json" else to_yaml(found), nl=False)
        return 0

    def _print_objects(self, items: list[Object]) -> None:
        from kubectl_fluidmodel.output.serialize import format_objects

        click.echo(format_objects(items, self.output or "yaml"), nl=False)
