"""Every check, one module per area; importing this package registers them all."""

from kubectl_fluidmodel.doctor.checks import cluster

__all__ = ["cluster"]
