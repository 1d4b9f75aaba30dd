"""What `kubectl fluidmodel stage` does once its command line is understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kubectl_fluidmodel.cli.flags import HubFlags
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.config import Connection

if TYPE_CHECKING:
    from kubectl_fluidmodel.hub.client import Hub
    from kubectl_fluidmodel.model.plan import Plan
    from kubectl_fluidmodel.model.source import Source
    from kubectl_fluidmodel.objectstore.layout import Destination, Place
    from kubectl_fluidmodel.objectstore.s3 import Store
    from kubectl_fluidmodel.stage.options import Options


class Work:
    """One command line, with what it needs."""

    def __init__(
        self,
        source: Source,
        to: Destination,
        options: Options,
        output: str | None,
        color: str,
        log: str,
    ) -> None:
        self.source, self.to, self.options = source, to, options
        self.output, self.color, self.log = output, color, log
        self._said: set[str] = set()
        self.store: Store
        self.named: list[str] = []
        """The flags that named the store, for the command to run next."""
        self.hub: Hub

    def login(
        self,
        connection: Connection,
        endpoint: str | None,
        region: str | None,
        s3_secret: str | None,
        flags: HubFlags,
        *,
        keys: bool,
    ) -> None:
        """Credentials of the environment, or of the Secrets that are named; `keys`: the store's."""
        from kubectl_fluidmodel.hub.client import Hub
        from kubectl_fluidmodel.stage import credentials

        for flag, value in (
            ("--endpoint", endpoint),
            ("--region", region),
            ("--s3-secret", s3_secret),
        ):
            self.named += [flag, value] if value else []
        client, namespace = None, ""
        if s3_secret or flags.secret:
            from kubectl_fluidmodel.kube.client import Client

            client = Client(connection)
            namespace = client.namespace
        if keys:
            self.store = credentials.store_of(endpoint, region, s3_secret, client, namespace)
        who = credentials.login_of(flags.endpoint, flags.secret, client, namespace)
        self.hub = Hub(
            who,
            stall=self.options.stall,
            patience=self.options.patience,
            connections=self.options.workers + 2,
            on_retry=self._asked_again,
        )

    def _asked_again(self, why: str) -> None:
        """Say once why the plan takes its time."""
        if why not in self._said:
            self._said.add(why)
            click.echo(f"{why}: trying again", err=True)

    def show_plan(self, flags: HubFlags, *, compared: bool) -> int:
        """The plan; `compared` with what the store holds of it."""
        from kubectl_fluidmodel.stage import report
        from kubectl_fluidmodel.stage.status import survey

        plan, place = self._plan(flags)
        standing = survey(self.store, plan, self.to) if compared else None
        self._print(
            place.uri,
            report.plan_document(plan, place, standing),
            report.plan_text(plan, place, standing),
        )
        return 0

    def abort_stale(self, older: float, dry_run: bool) -> int:
        from kubectl_fluidmodel.stage import report, stale_uploads

        found = stale_uploads.abort_stale(
            self.store, self.to, self.source.host, older, dry_run=dry_run
        )
        click.echo(report.stale_text(found, self.source.host, self.to, dry_run), nl=False)
        return 0

    def verify(self, read: bool) -> int:
        from kubectl_fluidmodel.objectstore.layout import Place
        from kubectl_fluidmodel.stage import report
        from kubectl_fluidmodel.stage.verify import verify

        commit = self.hub.commit(self.source.host, self.source.revision)
        place = Place(self.to, self.source.host, commit)
        tree = list(self.hub.tree(self.source.host, commit))
        found = verify(self.store, place, tree, read=read)
        self._print(
            place.uri, report.verify_document(found), report.verify_text(found, read, self.named)
        )
        return 1 if found.problems else 0

    def stage(self, flags: HubFlags) -> int:
        from kubectl_fluidmodel.stage import report
        from kubectl_fluidmodel.stage.engine import stage
        from kubectl_fluidmodel.stage.events import Ended
        from kubectl_fluidmodel.stage.progress_view import JsonLog, StagingView

        plan, place = self._plan(flags)
        view = JsonLog() if self.log == "json" else StagingView(self.color)
        ended: Ended | None = None
        with view:
            view.plan(plan)
            for event in stage(plan, self.store, self.to, self.options, self.hub):
                view.show(event)
                if isinstance(event, Ended):
                    ended = event
        if self.log != "json" and ended is not None:
            self._print(
                place.uri,
                report.staged_document(plan, ended),
                report.staged_text(plan, ended, self.named),
            )
        return 0

    def told(self, err: FluidModelError) -> None:
        """The error as the last line of a JSON log, for who follows it."""
        if self.log == "json":
            from kubectl_fluidmodel.stage.progress_view import error_line

            click.echo(error_line(err))

    def _plan(self, flags: HubFlags) -> tuple[Plan, Place]:
        from kubectl_fluidmodel.objectstore.layout import Place

        plan = self.hub.plan(
            self.source.host, self.source.revision, include=flags.include, exclude=flags.exclude
        )
        return plan, Place(self.to, plan.repo, plan.commit)

    def _print(self, name: str, document: dict[str, Any], text: str) -> None:
        """The same as `-o` wants it: a name, a document, or text for people."""
        from kubectl_fluidmodel.output.serialize import to_json, to_yaml

        if self.output == "name":
            click.echo(name)
        elif self.output is None:
            click.echo(text, nl=False)
        else:
            click.echo(to_json(document) if self.output == "json" else to_yaml(document), nl=False)
