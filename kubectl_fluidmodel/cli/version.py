"""`kubectl fluidmodel version`."""

from __future__ import annotations

import sys

import click

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.cli.flags import VerbCommand, output_flag
from kubectl_fluidmodel.ui.document import API_VERSION, to_json, to_yaml


@click.command("version", cls=VerbCommand, examples="kubectl fluidmodel version -o json")
@output_flag("json", "yaml")
def command(output: str | None) -> None:
    """Print the version of the plugin."""
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
    click.echo(to_json(document) if output == "json" else to_yaml(document), nl=False)
