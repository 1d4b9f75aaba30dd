"""`kubectl fluidmodel version`."""

from __future__ import annotations

import sys

import click

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.cli.flags import output_flag
from kubectl_fluidmodel.cli.verb_command import VerbCommand
from kubectl_fluidmodel.output.serialize import API_VERSION, format_document

EXAMPLES = """
# The version in the form of a tag
kubectl fluidmodel version

# For programs, with the Python version and the platform
kubectl fluidmodel version -o json
kubectl fluidmodel version -o yaml
"""


@click.command("version", cls=VerbCommand, examples=EXAMPLES)
@output_flag("json", "yaml")
def command(output: str | None) -> None:
    """Print the version of the plugin, for bug reports and scripts."""
    if output is None:
        click.echo(f"v{__version__}")
        return
    document = {
        "apiVersion": API_VERSION,
        "kind": "Version",
        "version": f"v{__version__}",
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "platform": sys.platform,
    }
    click.echo(format_document(document, output), nl=False)
