"""A cluster worth looking at: caches in every state, for golden views."""

from __future__ import annotations

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory import master_report
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.inventory import samples

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
LLAMA = "llama-3-3-70b-instruct"
_SHARD = 4_900_000_000


def llama() -> list[Object]:
    """Staged from the Hub, whole on one node, read from there and from elsewhere."""
    repo = "meta-llama/Llama-3.3-70B-Instruct"
    notes = {
        names.SOURCE_ANNOTATION: f"hf://{repo}",
        names.COMMIT_ANNOTATION: COMMIT,
        names.BYTES_ANNOTATION: str(30 * _SHARD),
        names.FILES_ANNOTATION: "32",
    }
    cache = samples.cache(
        LLAMA,
        source=f"s3://hf-models/{repo}/{COMMIT}",
        total="136.90GiB",
        cached="136.90GiB",
        annotations=notes,
        labels={names.MANAGED_BY_LABEL: names.MANAGER, names.MODEL_LABEL: LLAMA},
        states={"cacheHitRatio": "98.7%", "localHitRatio": "98.7%", "remoteHitRatio": "0.0%"},
    )
    load = samples.make_object(
        "DataLoad",
        LLAMA,
        spec={"dataset": {"name": LLAMA, "namespace": "default"}, "target": [{"path": "/"}]},
        status={"phase": "Complete", "duration": "4m12s"},
    )
    readers = [
        samples.reader("chat-vllmworker-6f7d-x2x4q", "gpu-0", LLAMA),
        samples.reader("chat-vllmworker-6f7d-9kz7m", "gpu-1", LLAMA),
        samples.reader("chat-vllmworker-6f7d-pppqq", "", LLAMA),
    ]
    for reader in readers:
        reader["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "4"}}
    stuck = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/5 nodes are available: 5 Insufficient nvidia.com/gpu.",
    }
    readers[2]["status"]["conditions"].append(stuck)
    return [*cache, load, *readers]


def mixed_states() -> list[Object]:
    """One cache in each state that a table shows."""
    broken = {"type": "NotReady", "status": "True", "message": "no pod fits on any node"}
    return [
        *llama(),
        samples.dataset("counting", total="[Calculating]", cached="3.00GiB"),
        samples.runtime("JuiceFSRuntime", "counting"),
        *samples.workloads("JuiceFSRuntime", "counting", nodes=["gpu-2"]),
        samples.dataset("spread", total="40.00GiB", cached="31.20GiB", source="s3://models/spread"),
        samples.runtime(name="spread", replicas=4, copies=1),
        *samples.workloads(name="spread", nodes=["gpu-0", "gpu-1", "gpu-2", "gpu-3"]),
        samples.reader("batch-0", "gpu-3", "spread"),
        samples.dataset("stuck", phase="NotBound", total=None, cached=None,
                      status={"conditions": [broken]}),
        samples.runtime(name="stuck"),
        *samples.workloads(name="stuck", nodes=[]),
        samples.dataset("thin", total=None, cached=None),
        samples.runtime("ThinRuntime", "thin"),
        *samples.workloads("ThinRuntime", "thin", nodes=[], fuse=["gpu-1"]),
        samples.runtime("CacheRuntime", "orphan"),
        *samples.cache("twice", nodes=["gpu-0", "gpu-1"], cached="20.00GiB"),
    ]  # fmt: skip


def with_files(*objects: Object) -> Snapshot:
    """The llama's master has answered."""
    lines = [
        f"-rw-r--r--  r  r  {_SHARD}  PERSISTED 03-02-2026 10:00:00:000  {share}% "
        f"/model-{i + 1:05d}-of-00030.safetensors"
        for i, share in enumerate([100] * 29 + [85])
    ]
    lines += [
        "-rw-r--r--  r  r  855  PERSISTED 03-02-2026 10:00:00:000  100% /config.json",
        "-rw-r--r--  r  r  0  PERSISTED 03-02-2026 10:00:00:000  0% /.gitkeep",
    ]
    texts = {
        master_report.command_key("default", LLAMA, master_report.LIST_COMMAND): "\n".join(lines)
    }
    return samples.snapshot(*objects, command_outputs=texts)


def many_caches(count: int) -> Snapshot:
    """That many caches on as many nodes, each with two readers."""
    objects = []
    for i in range(count):
        name = f"model-{i:03d}"
        objects += samples.cache(name, nodes=[f"gpu-{i}"], source=f"s3://models/org/{name}")
        objects += [samples.reader(f"{name}-{n}", f"gpu-{i + n}", name) for n in range(2)]
    return samples.snapshot(*objects)
