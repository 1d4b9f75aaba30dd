"""The command `stage`: its options, and the order of its steps."""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Any

from kubectl_fluidmodel.errors import CommandInterruptedError, FluidModelError, UsageError
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.options import TransferOptions

if TYPE_CHECKING:
    from kubectl_fluidmodel.hub.client import HubClient
    from kubectl_fluidmodel.kube.config import ConfigFlags
    from kubectl_fluidmodel.model.plan import StagingPlan
    from kubectl_fluidmodel.model.source import Source
    from kubectl_fluidmodel.objectstore.s3 import S3Store


class Action(Enum):
    """What the command does."""

    STAGE = "stage"
    VERIFY = "verify"
    ABORT_STALE = "abort-stale"


@dataclass(frozen=True)
class StageOptions:
    """The validated flags of `stage`."""

    source: Source
    destination: BucketPrefix
    store: StoreOptions
    hub: HubOptions
    transfer: TransferOptions
    action: Action = Action.STAGE
    dry_run: str = "none"
    """`none`, `client` or `server`."""
    read_content: bool = False
    """With Action.VERIFY: read every byte."""
    stale_after: float = 600.0
    """With Action.ABORT_STALE: seconds."""
    output: str | None = None
    """`json`, `yaml` or `name`; None for text."""
    color: str = "auto"
    log: str = "text"
    """`text` or `json`."""

    def __post_init__(self) -> None:
        """Check the options against each other.

        Raises:
            UsageError: the source is not a Hub model, or options cannot be combined.
        """
        if self.source.scheme != "hf":
            raise UsageError(
                f"cannot stage '{self.source.uri}'", "it is not a Hub model", "org/model"
            )
        if self.read_content and self.action is not Action.VERIFY:
            raise UsageError("--read requires --verify", "", "--verify --read")


class StageCommand:
    """One invocation of `stage`."""

    def __init__(self, options: StageOptions, connection: ConfigFlags) -> None:
        self.options, self.connection = options, connection
        self._logged_retries: set[str] = set()

    def run(self) -> int:
        """Run the selected action.

        Returns:
            The exit code.

        Raises:
            FluidModelError: it failed; a JSON log then has the error as its last line.
        """
        try:
            return self._run_action()
        except KeyboardInterrupt as err:
            interrupted = CommandInterruptedError(
                "interrupted", "the data in the store is kept", "the same command again; it resumes"
            )
            self._log_error(interrupted)
            raise interrupted from err
        except FluidModelError as err:
            self._log_error(err)
            raise

    def _run_action(self) -> int:
        options = self.options
        if options.action is Action.ABORT_STALE:
            return self._abort_stale()
        if options.action is Action.VERIFY:
            return self._verify()
        if options.dry_run != "none":
            return self._show_plan()
        return self._stage()

    # -- actions -----------------------------------------------------------------------------

    def _stage(self) -> int:
        from kubectl_fluidmodel.stage import report
        from kubectl_fluidmodel.stage.engine import stage_plan
        from kubectl_fluidmodel.stage.events import Completed
        from kubectl_fluidmodel.stage.progress_view import JsonEventLog, StagingProgressView

        options = self.options
        store, hub = self._resolve_store(), self._connect_hub()
        plan = self._plan(hub)
        is_json_log = options.log == "json"
        result: Completed | None = None
        with JsonEventLog() if is_json_log else StagingProgressView(options.color) as view:
            view.show_plan(plan)
            for event in stage_plan(plan, store, options.destination, options.transfer, hub):
                view.handle(event)
                if isinstance(event, Completed):
                    result = event
        if result is not None and not is_json_log:
            self._print(
                result.destination,
                report.result_document(plan, result),
                report.format_result(plan, result, options.store.flags),
            )
        return 0

    def _show_plan(self) -> int:
        """Print the plan, with what is in the store if the dry run may read it."""
        from kubectl_fluidmodel.stage import report
        from kubectl_fluidmodel.stage.status import read_status

        options = self.options
        store = self._resolve_store() if options.dry_run == "server" else None
        plan = self._plan(self._connect_hub())
        layout = StagingLayout(options.destination, plan.repo, plan.commit)
        status = read_status(store, plan, options.destination) if store is not None else None
        self._print(
            layout.uri,
            report.plan_document(plan, layout, status),
            report.format_plan(plan, layout, status),
        )
        return 0

    def _verify(self) -> int:
        from kubectl_fluidmodel.stage import report
        from kubectl_fluidmodel.stage.verify import verify_staged_model

        options = self.options
        store, hub, repo = self._resolve_store(), self._connect_hub(), options.source.host
        commit = hub.resolve_commit(repo, options.source.revision)
        layout = StagingLayout(options.destination, repo, commit)
        tree = list(hub.list_tree(repo, commit))
        result = verify_staged_model(store, layout, tree, read_content=options.read_content)
        self._print(
            layout.uri,
            report.verification_document(result),
            report.format_verification(result, options.read_content, options.store.flags),
        )
        return 1 if result.problems else 0

    def _abort_stale(self) -> int:
        from kubectl_fluidmodel.stage.report import format_stale_uploads
        from kubectl_fluidmodel.stage.stale_uploads import abort_stale_uploads

        options = self.options
        repo, destination = options.source.host, options.destination
        dry_run = options.dry_run != "none"
        uploads = abort_stale_uploads(
            self._resolve_store(), destination, repo, options.stale_after, dry_run=dry_run
        )
        sys.stdout.write(format_stale_uploads(uploads, repo, destination, dry_run))
        return 0

    # -- what they share ---------------------------------------------------------------------

    def _resolve_store(self) -> S3Store:
        """The store with the credentials of the environment, or of the Secret that is named."""
        from kubectl_fluidmodel.stage.credentials import resolve_store

        store = self.options.store
        return resolve_store(store, *self._cluster(store.s3_secret))

    def _connect_hub(self) -> HubClient:
        from kubectl_fluidmodel.hub.client import HubClient
        from kubectl_fluidmodel.stage.credentials import resolve_hub_credentials

        hub, transfer = self.options.hub, self.options.transfer
        return HubClient(
            resolve_hub_credentials(hub, *self._cluster(hub.secret)),
            stall_timeout=transfer.stall_timeout,
            retry_timeout=transfer.retry_timeout,
            connections=transfer.workers + 2,
            on_retry=self._log_retry,
        )

    def _cluster(self, secret: str | None) -> tuple[Any, str]:
        """The cluster's client and namespace if a Secret has to be read; else None."""
        if not secret:
            return None, ""
        from kubectl_fluidmodel.kube.client import Client

        client = Client.connect(self.connection)
        return client, client.namespace

    def _plan(self, hub: HubClient) -> StagingPlan:
        source, flags = self.options.source, self.options.hub
        return hub.plan(source.host, source.revision, include=flags.include, exclude=flags.exclude)

    def _log_retry(self, reason: str) -> None:
        """Report once why the plan takes longer."""
        if reason not in self._logged_retries:
            self._logged_retries.add(reason)
            sys.stderr.write(f"{reason}: retrying\n")

    def _log_error(self, err: FluidModelError) -> None:
        """Write the error as the last line of a JSON log."""
        if self.options.log == "json":
            from kubectl_fluidmodel.stage.progress_view import error_log_line

            sys.stdout.write(error_log_line(err) + "\n")

    def _print(self, name: str, document: dict[str, Any], text: str) -> None:
        """Print the result in the format of `-o`: a name, a document, or text."""
        from kubectl_fluidmodel.output.serialize import format_result

        sys.stdout.write(format_result(self.options.output, text, name, document))
