"""One command line of `cache dataset://NAMESPACE/NAME`: a dry run, or the real run."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from kubectl_fluidmodel.cache.reference.options import ReferenceOptions
from kubectl_fluidmodel.kube.config import ConfigFlags, context_namespace
from kubectl_fluidmodel.output.console import print_note
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.cache.reference.workflow import Reference


@dataclass(frozen=True)
class ReferenceCommand:
    """One command line, with what it needs."""

    options: ReferenceOptions
    connection: ConfigFlags
    output: str | None

    def dry_run_client(self) -> int:
        """Print the Dataset without a cluster.

        Returns:
            The exit code.
        """
        from kubectl_fluidmodel.fluid.dataset import build_reference
        from kubectl_fluidmodel.output.serialize import format_objects

        namespace = context_namespace(self.connection)
        dataset = build_reference(self.options.name, namespace, self.options.source)
        click.echo(format_objects([dataset], self.output or "yaml"), nl=False)
        return 0

    def run(self, *, dry_run: bool) -> int:
        """Create the reference and verify its source, or let the API server check it.

        Returns:
            The exit code.
        """
        from kubectl_fluidmodel.cache.reference import workflow
        from kubectl_fluidmodel.kube.client import Client
        from kubectl_fluidmodel.output.serialize import format_objects

        client = Client.connect(self.connection)
        reference = workflow.plan_reference(client, self.options)
        workflow.create_reference(client, reference, print_note, dry_run=dry_run)
        if dry_run:
            click.echo(format_objects([reference.dataset], self.output or "yaml"), nl=False)
            return 0
        if self.options.wait:
            deadline = time.monotonic() + self.options.timeout
            verification = workflow.wait_and_verify(client, reference, deadline, print_note)
            reference = replace(reference, verification=verification)
        self._print(reference)
        return 0

    def _print(self, reference: Reference) -> None:
        from kubectl_fluidmodel.output.serialize import format_result, kubectl_name

        text, document = summary_text(reference), summary_document(reference)
        name = kubectl_name(reference.dataset)
        click.echo(format_result(self.output, text, name, document), nl=False)


def summary_text(reference: Reference) -> str:
    """Return two lines: the reference with the state of its source, and the next command."""
    from kubectl_fluidmodel.output.shell import Operand, kubectl
    from kubectl_fluidmodel.output.units import format_bytes, pluralize

    name, source = reference.options.name, "/".join(reference.options.source)
    verification = reference.verification
    state = "; run the same command again to wait for it"
    if verification is not None:
        amount = format_bytes(verification.bytes) if verification.bytes else "its source"
        state = f": {amount}, complete by Fluid's totals"
        if verification.files is not None:
            count = pluralize(verification.files, "file")
            state = f": {count}, {amount}, all cached by the list of its master"
    pin = kubectl("fluidmodel", "pin", Operand(name), "GRAPH", namespace=reference.namespace)
    return f"{name} refers to {source}{state}\nnext: {pin}\n"


def summary_document(reference: Reference) -> dict[str, Any]:
    """Return the document of `-o json|yaml`; see `docs/output.md`."""
    from kubectl_fluidmodel.cache.summary import proof_document
    from kubectl_fluidmodel.fluid.reference import reference_uri
    from kubectl_fluidmodel.output.serialize import API_VERSION

    options = reference.options
    return {
        "apiVersion": API_VERSION,
        "kind": "CacheReference",
        "metadata": {"name": options.name, "namespace": reference.namespace},
        "source": reference_uri(*options.source),
        "nodeLabel": reference.source_label,
        "persistentVolumeClaim": options.name,
        "proof": proof_document(reference.verification),
    }
