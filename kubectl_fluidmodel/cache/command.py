"""What one command line of `cache` does: a dry run here, one on the server, or the real thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cache.options import Request
from kubectl_fluidmodel.kube.config import Connection, context_namespace
from kubectl_fluidmodel.output.text import note, warn

if TYPE_CHECKING:
    from kubectl_fluidmodel.cache.hub_staging import Stager, Staging
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.objects.access import Object


@dataclass(frozen=True)
class Work:
    """One command line, with what it needs."""

    request: Request
    staging: Staging | None
    connection: Connection
    endpoint: str | None
    region: str | None
    output: str | None
    color: str

    def stager(self, client: Client | None, namespace: str) -> Stager | None:
        if self.staging is None:
            return None
        from kubectl_fluidmodel.cache.hub_staging import Stager

        return Stager(self.staging, self.request, namespace, client)

    def print_offline(self) -> int:
        """--dry-run=client: no cluster; for a model of the Hub its file list is read."""
        from kubectl_fluidmodel.cache.workflow import plan_offline, secret_command
        from kubectl_fluidmodel.objects.plugin_pod import no_image

        namespace = context_namespace(self.connection)
        stager = self.stager(None, namespace)
        request = stager.on_prefix() if stager else self.request
        for line in stager.words() if stager else []:
            note(line)
        measured, planned = plan_offline(request, namespace, self.endpoint, self.region)
        for text in (*measured.notes, *planned.notes):
            note(f"note: {text}")
        for text in measured.warnings:
            warn(text)
        if stager and stager.lacks_image:
            note(f"note: the staging Job is not printed, as it has no image: {no_image().try_}")
        shown = [obj for obj in planned.objects if obj is not measured.secret]
        if measured.secret is not None:
            note(f"the Secret is not printed; make it with: {secret_command(measured.secret)}")
        first = stager.objects() if stager else []
        self._print([*first, *shown, *([planned.load] if planned.load else [])])
        return 0

    def try_out(self) -> int:
        """--dry-run=server."""
        from kubectl_fluidmodel.cache.workflow import Run, try_on_server
        from kubectl_fluidmodel.kube.client import Client
        from kubectl_fluidmodel.objects.plugin_pod import no_image
        from kubectl_fluidmodel.output.live import Live

        client = Client(self.connection)
        stager = self.stager(client, client.namespace)
        request = stager.on_prefix() if stager else self.request
        run = Run(client, request, client.namespace, Live(color=self.color), 0.0, stager)
        run.look()
        if stager:
            stager.check()
            if stager.lacks_image and not stager.is_staged():
                raise no_image()
        _, planned = run.decide(self.endpoint, self.region)
        for change in planned.changes:
            note(f"note: would be made anew: {change}")
        if planned.changes:
            run.refuse_readers(planned)
        first = stager.objects() if stager else []
        sent = try_on_server(client, planned, note, first)
        self._print([obj for obj in sent if obj["kind"] != "Secret"])
        return 0

    def cache(self, wait: bool, timeout: float) -> int:
        """The real thing."""
        from kubectl_fluidmodel.cache.summary import document, text
        from kubectl_fluidmodel.cache.workflow import Run
        from kubectl_fluidmodel.kube.client import Client
        from kubectl_fluidmodel.output.live import HINT, Live
        from kubectl_fluidmodel.output.serialize import reference, to_json, to_yaml

        client = Client(self.connection)
        namespace = client.namespace
        here = self.staging is not None and self.staging.on == "client"
        hint = "Ctrl-C at any time: the same command goes on" if here else HINT
        with Live(color=self.color, hint=hint) as live:
            stager = self.stager(client, namespace)
            request = stager.on_prefix() if stager else self.request
            run = Run(client, request, namespace, live, timeout, stager)
            run.look()
            run.rehearse()
            if not run.stage(wait=wait):
                live.say("the model is being staged; the same command again goes on from there")
                return 0
            measured, planned = run.decide(self.endpoint, self.region)
            outcome = run.carry_out(measured, planned, wait=wait)
        if self.output is None:
            click.echo(text(run.request, namespace, outcome), nl=False)
        elif self.output == "name":
            click.echo(reference(outcome.design.dataset))
        else:
            found = document(run.request, namespace, outcome)
            click.echo(to_json(found) if self.output == "json" else to_yaml(found), nl=False)
        return 0

    def _print(self, items: list[Object]) -> None:
        from kubectl_fluidmodel.output.serialize import objects

        click.echo(objects(items, self.output or "yaml"), nl=False)
