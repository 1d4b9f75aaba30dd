"""One command line of `cache`: a dry run on the client, one on the server, or the real run."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.kube.config import ConfigFlags, context_namespace
from kubectl_fluidmodel.output.console import print_note, print_warning
from kubectl_fluidmodel.output.shell import Command, EnvVariable, Operand, command
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.cache.desired import DesiredCache
    from kubectl_fluidmodel.cache.source_info import SourceInfo
    from kubectl_fluidmodel.cache.workflow import CacheResult
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.objects.access import Object


@dataclass(frozen=True)
class CacheCommand:
    """One command line, with what it needs."""

    options: CacheOptions
    connection: ConfigFlags
    output: str | None
    color: str
    price_per_gib: float | None = None
    """For the estimate of a dry run."""

    def dry_run_client(self) -> int:
        """--dry-run=client: needs no cluster; for a Hub model, reads the list of files.

        Returns:
            The exit code.
        """
        from kubectl_fluidmodel.cache.hub_staging import HubStaging
        from kubectl_fluidmodel.cache.plan import plan_offline
        from kubectl_fluidmodel.objects.plugin_pod import no_image_error

        namespace = context_namespace(self.connection)
        staging = HubStaging.plan(self.options, namespace, None) if self.options.staging else None
        options = staging.staged_options() if staging else self.options
        for line in staging.summary_lines() if staging else []:
            print_note(line)
        source, desired = plan_offline(options, namespace)
        for text in (*source.notes, *desired.notes):
            print_note(f"note: {text}")
        self._print_estimate(source, desired, None)
        for text in source.warnings:
            print_warning(text)
        if staging and staging.job.lacks_image:
            hint = no_image_error().hint
            print_note(f"note: the staging Job is not printed, because it has no image: {hint}")
        if source.secret is not None:
            create = create_secret_command(source.secret)
            print_note(f"the Secret is not printed; create it with: {create}")
        staged = staging.job.objects() if staging else []
        printed = [obj for obj in desired.objects_and_load if obj is not source.secret]
        self._print_objects([*staged, *printed])
        return 0

    def dry_run_server(self) -> int:
        """--dry-run=server: the API server validates every object and persists none.

        Returns:
            The exit code.
        """
        from kubectl_fluidmodel.cache import recreation
        from kubectl_fluidmodel.cache.apply import dry_run_on_server
        from kubectl_fluidmodel.cache.workflow import CacheWorkflow
        from kubectl_fluidmodel.kube.client import Client
        from kubectl_fluidmodel.objects.plugin_pod import no_image_error
        from kubectl_fluidmodel.output.live import ProgressView

        client = Client.connect(self.connection)
        workflow = CacheWorkflow.open(client, self.options, ProgressView(color=self.color))
        checked, staging = workflow.preflight(), workflow.staging
        if staging:
            staging.job.require_references()
            if staging.job.lacks_image and not staging.is_staged():
                raise no_image_error()
        plan = workflow.plan(checked)
        desired = plan.desired
        self._print_estimate(plan.source, desired, checked.existing.dataset)
        for change in desired.immutable_changes:
            print_note(f"note: would be recreated: {change}")
        if desired.immutable_changes:
            recreation.require_no_readers(client, client.namespace, desired)
        workflow.prepare_resize(desired, checked.existing)
        staged = staging.job.objects() if staging else []
        stored = dry_run_on_server(client, [*staged, *desired.objects_and_load], print_note)
        self._print_objects([obj for obj in stored if obj["kind"] != "Secret"])
        return 0

    def run(self, hopeless_check: Callable[[Client, str], Callable[[], None]]) -> int:
        """Build the cache, and print the result.

        Args:
            hopeless_check: Creates, for the cluster and the cache's name, the check that ends a
                wait that cannot succeed.

        Returns:
            The exit code.
        """
        from kubectl_fluidmodel.cache import workflow
        from kubectl_fluidmodel.kube.client import Client
        from kubectl_fluidmodel.output.live import KEEPS_RUNNING_HINT, ProgressView

        client = Client.connect(self.connection)
        staging = self.options.staging
        on_client = staging is not None and staging.on == "client"
        hint = "Ctrl-C at any time: the same command resumes" if on_client else KEEPS_RUNNING_HINT
        with ProgressView(color=self.color, hint=hint) as view:
            check = hopeless_check(client, self.options.name)
            result = workflow.run(client, self.options, view, check)
            if result is None:
                view.log("the model is being staged; run the same command again to continue")
        if result is not None:
            self._print_result(result)
        return 0

    def _print_estimate(
        self, source: SourceInfo, desired: DesiredCache, dataset: Object | None
    ) -> None:
        """Print what the cache will take; nothing where the source was not listed."""
        from kubectl_fluidmodel.cache import cost_estimate
        from kubectl_fluidmodel.inventory.read_rates import read_rates

        listing, width = source.listing, 80
        estimate = listing and cost_estimate.estimate_cost(
            listing.bytes,
            len(listing.files),
            copies=desired.replicas,
            from_hub=self.options.staging is not None,
            room=cost_estimate.room_of_runtime(desired.runtime),
            rates=read_rates(dataset),
        )
        if estimate:
            for label, text in cost_estimate.estimate_rows(estimate, self.price_per_gib):
                lines = textwrap.wrap(f"estimate: {label}: {text}", width, subsequent_indent="  ")
                print_note("\n".join(lines))

    def _print_result(self, result: CacheResult) -> None:
        from kubectl_fluidmodel.cache.summary import summary_document, summary_text
        from kubectl_fluidmodel.output.serialize import format_result, kubectl_name

        text, document = summary_text(result), summary_document(result)
        name = kubectl_name(result.desired.dataset)
        click.echo(format_result(self.output, text, name, document), nl=False)

    def _print_objects(self, items: list[Object]) -> None:
        from kubectl_fluidmodel.output.serialize import format_objects

        click.echo(format_objects(items, self.output or "yaml"), nl=False)


def create_secret_command(secret: Object) -> Command:
    """Return the command that creates a Secret; its values come from the environment."""
    metadata = secret["metadata"]
    literals = [(f"--from-literal={key}=", EnvVariable(key)) for key in secret["data"]]
    return command(
        *("kubectl", "create", "secret", "generic", Operand(metadata["name"])),
        *("-n", metadata["namespace"]),
        *literals,
    )
