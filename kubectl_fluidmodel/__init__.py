"""kubectl-fluidmodel: cache large models on the node that serves them, with Fluid."""

__version__ = "0.1.0"
