"""Runs the plugin with `python -m kubectl_fluidmodel`, without its console script."""

from kubectl_fluidmodel.cli.main import run

if __name__ == "__main__":
    run()
