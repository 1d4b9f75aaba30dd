"""The Job that runs `reader.py` on one node. Pure."""

from __future__ import annotations

from dataclasses import replace

from kubectl_fluidmodel.bench.plan import BenchPlan
from kubectl_fluidmodel.bench.reader import PLAN_VARIABLE
from kubectl_fluidmodel.fluid.claim_job import ClaimJob
from kubectl_fluidmodel.inventory.mount_target import MountTarget
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.plugin_pod import SecretKey
from kubectl_fluidmodel.objectstore.s3_credentials import ACCESS_KEY, SECRET_KEY

PURPOSE = "bench"
MODULE = "kubectl_fluidmodel.bench.reader"
MEMORY_LIMIT = "2Gi"


def build_bench_job(job: ClaimJob, plan: BenchPlan, store: MountTarget | None = None) -> Object:
    """Build the Job that reads a cache according to a plan.

    The pod gets the store's keys like the cache's own pods: by reference to the Secret.

    Args:
        job: Where and how the pod runs.
        plan: What it reads.
        store: The mount whose store it reads directly; None for none.
    """
    env: list[Object] = [{"name": PLAN_VARIABLE, "value": plan.to_json()}]
    network = job.network
    if store is not None:
        network = network.with_default_no_proxy(store.endpoint)
        for variable, ref in ((ACCESS_KEY, store.access), (SECRET_KEY, store.hidden)):
            if ref is not None:
                env.append(SecretKey(ref.secret, ref.key).env_var(variable))
    return replace(job, env=env, network=network).build()
