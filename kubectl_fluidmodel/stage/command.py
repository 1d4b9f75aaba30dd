"""What `kubectl fluidmodel stage` does once its command line is understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.config import ConfigFlags

if TYPE_CHECKING:
    from kubectl_fluidmodel.hub.client import HubClient
    from kubectl_fluidmodel.model.plan import StagingPlan
    from kubectl_fluidmodel.model.source import Source
    from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
    from kubectl_fluidmodel.objectstore.s3 import S3Store
    from kubectl_fluidmodel.stage.options import TransferOptions


class StageCommand:
    """One command line, with what it needs."""

    def __init__(
        self,
        source: Source,
        to: BucketPrefix,
        options: TransferOptions,
        output: str | None,
        color: str,
        log: str,
    ) -> None:
        self.source, self.destination, self.options = source, to, options
        self.output, self.color, self.log = output, color, log
        self._logged_retries: set[str] = set()
        self.store: S3Store
        self.store_flags: list[str] = []
        """The flags that named the store, for the command to run next."""
        self.hub: HubClient

    def resolve_credentials(
        self,
        connection: ConfigFlags,
        endpoint: str | None,
        region: str | None,
        s3_secret: str | None,
        flags: HubOptions,
        *,
        keys: bool,
    ) -> None:
        """Credentials of the environment, or of the Secrets that are named; `keys`: the store's."""
        from kubectl_fluidmodel.hub.client import HubClient
        from kubectl_fluidmodel.stage import credentials

        for flag, value in (
            ("--endpoint", endpoint),
            ("--region", region),
            ("--s3-secret", s3_secret),
        ):
            self.store_flags += [flag, value] if value else []
        client, namespace = None, ""
        if s3_secret or flags.secret:
            from kubectl_fluidmodel.kube.client import Client

            client = Client(connection)
            namespace = client.namespace
        if keys:
            self.store = credentials.resolve_store(endpoint, region, s3_secret, client, namespace)
        who = credentials.resolve_hub_credentials(flags.endpoint, flags.secret, client, namespace)
        self.hub = HubClient(
            who,
            stall_timeout=self.options.stall,
            retry_timeout=self.options.patience,
            connections=self.options.workers + 2,
            on_retry=self._log_retry,
        )

    def _log_retry(self, reason: str) -> None:
        """Say once why the plan takes its time."""
        if reason not in self._logged_retries:
            self._logged_retries.add(reason)
            click.echo(f"{reason}: trying again", err=True)

    def show_plan(self, flags: HubOptions, *, compared: bool) -> int:
        """The plan; `compared` with what the store holds of it."""
        from kubectl_fluidmodel.stage import report
        from kubectl_fluidmodel.stage.status import read_status

        plan, place = self._plan(flags)
        standing = read_status(self.store, plan, self.destination) if compared else None
        self._print(
            place.uri,
            report.plan_document(plan, place, standing),
            report.format_plan(plan, place, standing),
        )
        return 0

    def abort_stale(self, older: float, dry_run: bool) -> int:
        from kubectl_fluidmodel.stage import report, stale_uploads

        found = stale_uploads.abort_stale_uploads(
            self.store, self.destination, self.source.host, older, dry_run=dry_run
        )
        click.echo(
            report.format_stale_uploads(found, self.source.host, self.destination, dry_run),
            nl=False,
        )
        return 0

    def verify(self, read: bool) -> int:
        from kubectl_fluidmodel.objectstore.layout import StagingLayout
        from kubectl_fluidmodel.stage import report
        from kubectl_fluidmodel.stage.verify import verify_staged_model

        commit = self.hub.resolve_commit(self.source.host, self.source.revision)
        place = StagingLayout(self.destination, self.source.host, commit)
        tree = list(self.hub.list_tree(self.source.host, commit))
        found = verify_staged_model(self.store, place, tree, read_content=read)
        self._print(
            place.uri,
            report.verification_document(found),
            report.format_verification(found, read, self.store_flags),
        )
        return 1 if found.problems else 0

    def stage(self, flags: HubOptions) -> int:
        from kubectl_fluidmodel.stage import report
        from kubectl_fluidmodel.stage.engine import stage_plan
        from kubectl_fluidmodel.stage.events import Ended
        from kubectl_fluidmodel.stage.progress_view import JsonEventLog, StagingProgressView

        plan, place = self._plan(flags)
        view = JsonEventLog() if self.log == "json" else StagingProgressView(self.color)
        ended: Ended | None = None
        with view:
            view.show_plan(plan)
            for event in stage_plan(plan, self.store, self.destination, self.options, self.hub):
                view.handle(event)
                if isinstance(event, Ended):
                    ended = event
        if self.log != "json" and ended is not None:
            self._print(
                place.uri,
                report.result_document(plan, ended),
                report.format_result(plan, ended, self.store_flags),
            )
        return 0

    def log_error(self, err: FluidModelError) -> None:
        """The error as the last line of a JSON log, for who follows it."""
        if self.log == "json":
            from kubectl_fluidmodel.stage.progress_view import error_log_line

            click.echo(error_log_line(err))

    def _plan(self, flags: HubOptions) -> tuple[StagingPlan, StagingLayout]:
        from kubectl_fluidmodel.objectstore.layout import StagingLayout

        plan = self.hub.plan(
            self.source.host, self.source.revision, include=flags.include, exclude=flags.exclude
        )
        return plan, StagingLayout(self.destination, plan.repo, plan.commit)

    def _print(self, name: str, document: dict[str, Any], text: str) -> None:
        """The same as `-o` wants it: a name, a document, or text for people."""
        from kubectl_fluidmodel.output.serialize import to_json, to_yaml

        if self.output == "name":
            click.echo(name)
        elif self.output is None:
            click.echo(text, nl=False)
        else:
            click.echo(to_json(document) if self.output == "json" else to_yaml(document), nl=False)
