"""`python -m kubectl_fluidmodel` is the plugin without its console script."""

from kubectl_fluidmodel.cli.main import run

if __name__ == "__main__":
    run()
