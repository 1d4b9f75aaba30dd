"""Area 7 on Snapshots: a healthy pinned graph, and one row for each thing that can be wrong."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from kubectl_fluidmodel.doctor.check import Severity
from kubectl_fluidmodel.dynamo import resources
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.pin import pinning
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import fluid, platform, pods, stores
from tests.doctor.applying import apply_fix
from tests.doctor.fault_cases import Fault, GraphCase
from tests.doctor.fluid import LABEL, NAME, NS
from tests.dynamo.conftest import FIXTURES

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def codes(snapshot: Snapshot) -> list[str]:
    return b.found_codes(snapshot, "7")


def graph(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, queries.GRAPHS, "chat")


def decode(snapshot: Snapshot) -> Object:
    component: Object = graph(snapshot)["spec"]["components"][0]
    return component


def spec(snapshot: Snapshot) -> Object:
    pod_spec: Object = decode(snapshot)["podTemplate"]["spec"]
    return pod_spec


def main(snapshot: Snapshot) -> Object:
    container: Object = spec(snapshot)["containers"][0]
    return container


def terms(snapshot: Snapshot) -> list[Object]:
    node_terms: list[Object] = spec(snapshot)["affinity"]["nodeAffinity"][REQUIRED][
        "nodeSelectorTerms"
    ]
    return node_terms


def reader(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, kinds.PODS, "chat-decode-0")


def add(snapshot: Snapshot, name: str, kind: str = "worker", **more: Any) -> Object:
    """Another component, like `decode` unless told otherwise."""
    made = {**copy.deepcopy(decode(snapshot)), "name": name, "type": kind, **more}
    graph(snapshot)["spec"]["components"].append(made)
    return made


def bare(made: Object) -> Object:
    """A component without the cache."""
    pod = made["podTemplate"]["spec"]
    pod.pop("affinity", None)
    pod["volumes"] = []
    pod["containers"][0]["volumeMounts"] = []
    return made


def pin(snapshot: Snapshot) -> None:
    """As `kubectl fluidmodel pin demo chat` leaves a graph that had nothing of it."""
    bare(decode(snapshot))
    made = pinning.pin_graph(graph(snapshot), PinRequest(NAME, LABEL)).object
    snapshot.objects[queries.GRAPHS.resource] = [made]
    pod = reader(snapshot)["spec"]
    pod["affinity"] = spec(snapshot)["affinity"]


def elsewhere(snapshot: Snapshot) -> None:
    reader(snapshot)["spec"]["nodeName"] = "gpu-1"


def loosen(snapshot: Snapshot) -> None:
    spec(snapshot).pop("affinity")


def prefer(snapshot: Snapshot) -> None:
    term = terms(snapshot)[0]
    preferences = [{"weight": 100, "preference": term}]
    spec(snapshot)["affinity"] = {"nodeAffinity": {PREFERRED: preferences}}


def alternative(snapshot: Snapshot) -> None:
    expression = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-a"]}
    terms(snapshot).append({"matchExpressions": [expression]})


def another_key(snapshot: Snapshot) -> None:
    terms(snapshot)[0]["matchExpressions"][0]["key"] = "fluid.io/s-models-demo-of-old"


def args(*arguments: str) -> Fault:
    def edit(snapshot: Snapshot) -> None:
        main(snapshot)["args"] = list(arguments)

    return edit


def env(**values: str) -> Fault:
    def edit(snapshot: Snapshot) -> None:
        main(snapshot)["env"] = [{"name": n, "value": v} for n, v in values.items()]

    return edit


def both(*edits: Fault) -> Fault:
    def edit(snapshot: Snapshot) -> None:
        for fault in edits:
            fault(snapshot)

    return edit


def pending(message: str) -> Fault:
    return lambda snapshot: b.make_unschedulable(reader(snapshot), message)


def surging(snapshot: Snapshot) -> None:
    """A new pod that waits for the GPUs of the old one."""
    old = reader(snapshot)
    new = copy.deepcopy(old)
    old["metadata"]["labels"]["pod-template-hash"] = "old"
    new["metadata"]["labels"]["pod-template-hash"] = "new"
    new["metadata"].update(name="chat-decode-1", uid="uid-new")
    b.make_unschedulable(
        new, "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) didn't"
    )
    b.add_objects(snapshot, kinds.PODS, new)


def recreate(snapshot: Snapshot) -> None:
    template = decode(snapshot)["podTemplate"]
    template["metadata"] = {"annotations": {resources.STRATEGY_ANNOTATION: "Recreate"}}


def old_pod(snapshot: Snapshot) -> None:
    reader(snapshot)["spec"]["volumes"] = []


def by_argo(snapshot: Snapshot) -> None:
    graph(snapshot)["metadata"]["labels"] = {"argocd.argoproj.io/instance": "apps"}


def frontend(path: str = "") -> Fault:
    def edit(snapshot: Snapshot) -> None:
        made = add(snapshot, "Front", "frontend")
        made["podTemplate"]["spec"].pop("affinity")
        main_ = made["podTemplate"]["spec"]["containers"][0]
        main_.pop("resources")
        main_.update(command=["python3", "-m", "dynamo.frontend"], args=[])
        if not path:
            bare(made)
        else:
            main_["volumeMounts"][0]["mountPath"] = path

    return edit


def alpha(**service: Any) -> Fault:
    """The same graph in v1alpha1."""

    def edit(snapshot: Snapshot) -> None:
        pod = copy.deepcopy(spec(snapshot))
        pod["mainContainer"] = pod.pop("containers")[0]
        decode_service = {"componentType": "worker", "extraPodSpec": pod, **service}
        made = graph(snapshot)
        made["apiVersion"] = "nvidia.com/v1alpha1"
        made["spec"] = {"services": {"decode": decode_service}}

    return edit


def mixed(snapshot: Snapshot) -> None:
    alpha(volumeMounts=[{"name": NAME, "mountPoint": "/model"}])(snapshot)
    pod = graph(snapshot)["spec"]["services"]["decode"]["extraPodSpec"]
    pod["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    pod["mainContainer"]["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]


def creating(snapshot: Snapshot) -> None:
    alpha()(snapshot)
    graph(snapshot)["spec"]["pvcs"] = [{"name": NAME, "create": True, "size": "1Ti"}]


def typo(snapshot: Snapshot) -> None:
    spec(snapshot)["volumes"][0]["persistentVolumeClaim"]["claimName"] = "demmo"
    reader(snapshot)["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "demmo"
    message = '0/3 nodes are available: persistentvolumeclaim "demmo" not found.'
    b.make_unschedulable(reader(snapshot), message)


def other_namespace(snapshot: Snapshot) -> None:
    moved = copy.deepcopy(graph(snapshot))
    moved["metadata"].update(name="far", namespace="apps", uid="uid-far")
    b.add_objects(snapshot, queries.GRAPHS, moved)


def test_fix_for_another_namespace_keeps_endpoint_and_region() -> None:
    """With its endpoint and region; a Secret of its own namespace it cannot have."""
    snapshot = b.healthy_snapshot()
    other_namespace(snapshot)
    [finding] = b.findings_of(snapshot, "FM705")
    assert finding.fix is not None and finding.fix.text == (
        "kubectl fluidmodel cache s3://hf-models/demo --name demo --endpoint http://minio:9000 "
        "--region us-east-1 -n apps"
    )


def owned(snapshot: Snapshot) -> None:
    component = copy.deepcopy(decode(snapshot))
    bare(decode(snapshot))
    b.remove_object(snapshot, kinds.PODS, "chat-decode-0")
    made = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": resources.COMPONENT,
        "metadata": fluid.meta(
            "chat-decode", ownerReferences=[{"kind": resources.GRAPH, "name": "chat", "uid": "u"}]
        ),
        "spec": component,
    }
    b.add_objects(snapshot, queries.COMPONENTS, made)


def taint(snapshot: Snapshot) -> None:
    taints = b.get_object(snapshot, kinds.NODES, "gpu-0", "")["spec"]["taints"]
    taints.append({"key": "maintenance", "value": "soon", "effect": "NoSchedule"})


def cordon(snapshot: Snapshot) -> None:
    node = b.get_object(snapshot, kinds.NODES, "gpu-0", "")["spec"]
    node["unschedulable"] = True
    node["taints"].append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})


def selector(snapshot: Snapshot) -> None:
    spec(snapshot)["nodeSelector"] = {"disk": "fast"}


def multinode(count: int) -> Fault:
    return lambda snapshot: decode(snapshot).update(multinode={"nodeCount": count})


def gpus(count: int, replicas: int = 1) -> Fault:
    def edit(snapshot: Snapshot) -> None:
        main(snapshot)["resources"] = {"limits": {"nvidia.com/gpu": str(count)}}
        decode(snapshot)["replicas"] = replicas

    return edit


def reading(*flags: str) -> Fault:
    """An engine that reads the mount, with loader flags."""
    return args("--model", "/model", "--served-model-name", "d", *flags)


def runtime(engine: str, release: str) -> Fault:
    """One of Dynamo's own images, started as its templates do."""

    def edit(snapshot: Snapshot) -> None:
        module = {"tensorrtllm": "trtllm"}.get(engine, engine)
        flag = "--model" if engine == "vllm" else "--model-path"
        main(snapshot).update(
            image=f"nvcr.io/nvidia/ai-dynamo/{engine}-runtime:{release}",
            command=["python3", "-m", f"dynamo.{module}"],
            args=[flag, "/model", "--served-model-name", "d"],
        )
        if engine == "tensorrtllm":
            main(snapshot)["args"] += ["--tensor-parallel-size", "8"]

    return edit


def prefetching_in_sglang(enabled: bool) -> Fault:
    flags = ["--weight-loader-prefetch-checkpoints"] if enabled else []
    return lambda snapshot: main(snapshot)["args"].extend(["--tp", "4", *flags])


def twice_on_a_node(snapshot: Snapshot) -> None:
    decode(snapshot)["replicas"] = 2
    second = copy.deepcopy(reader(snapshot))
    second["metadata"].update(name="chat-decode-1", uid="u-second")
    b.add_objects(snapshot, kinds.PODS, second)


def files(count: int) -> Fault:
    """So many files in the model, as Fluid counts them."""

    def edit(snapshot: Snapshot) -> None:
        dataset = b.get_object(snapshot, names.DATASETS, NAME)
        dataset["metadata"]["annotations"][names.FILES_ANNOTATION] = str(count)

    return edit


def sized(total: str) -> Fault:
    def edit(snapshot: Snapshot) -> None:
        dataset = b.get_object(snapshot, names.DATASETS, NAME)
        dataset["status"]["ufsTotal"] = dataset["status"]["cacheStates"]["cached"] = total
        for name in (names.BYTES_ANNOTATION, names.FILES_ANNOTATION):
            dataset["metadata"]["annotations"].pop(name, None)

    return edit


def autoscaled(maximum: int, *, adapter: bool = True) -> Fault:
    """A HorizontalPodAutoscaler of the decode workers."""

    def edit(snapshot: Snapshot) -> None:
        component = decode(snapshot)
        if adapter:
            component["scalingAdapter"] = {}
        target = {
            "apiVersion": "nvidia.com/v1beta1",
            "kind": "DynamoGraphDeploymentScalingAdapter",
            "name": f"chat-{component['name'].lower()}",
        }
        b.add_objects(
            snapshot,
            kinds.AUTOSCALERS,
            {
                "metadata": {"name": "by-load", "namespace": NS},
                "spec": {"scaleTargetRef": target, "maxReplicas": maximum},
            },
        )

    return edit


def planned(*arguments: str) -> Fault:
    """A planner in the graph."""

    def edit(snapshot: Snapshot) -> None:
        container = add(snapshot, "Planner", "planner")["podTemplate"]["spec"]
        container.pop("affinity", None)
        container["containers"][0] = {"name": "main", "image": "p", "args": list(arguments)}

    return edit


def measured(mapped: float, parallel: dict[int, float]) -> Fault:
    """Rates that `bench` saved, in bytes per second."""
    rates = ReadRates("2026-11-29T08:00:00Z", "gpu-0", mapped=mapped, parallel=parallel)

    def edit(snapshot: Snapshot) -> None:
        annotations = b.get_object(snapshot, names.DATASETS, NAME)["metadata"]["annotations"]
        annotations[names.READ_RATES_ANNOTATION] = rates.to_annotation()

    return edit


def without_jni_fuse(snapshot: Snapshot) -> None:
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, NAME)
    runtime["spec"]["properties"] = {"alluxio.fuse.jnifuse.enabled": "false"}


def probed(**probes: Object) -> Fault:
    """Probes of the worker; the model's 100 GiB take 826 s at the assumed rate."""
    return lambda snapshot: main(snapshot).update(probes)


def bypassing(source: str) -> Fault:
    """Another graph whose worker mounts the source of the cache directly."""

    def edit(snapshot: Snapshot) -> None:
        dataset = b.get_object(snapshot, names.DATASETS, NAME)
        dataset["spec"]["mounts"][0]["mountPoint"] = source
        made = copy.deepcopy(graph(snapshot))
        made["metadata"].update(name="bypass", uid="bypass")
        pod = made["spec"]["components"][0]["podTemplate"]["spec"]
        pod.pop("affinity")
        scheme, _, path = source.partition("://")
        volume = (
            {"persistentVolumeClaim": {"claimName": path}}
            if scheme == "pvc"
            else {"hostPath": {"path": path}}
        )
        pod["volumes"] = [{"name": pod["volumes"][0]["name"], **volume}]
        claim = copy.deepcopy(b.get_object(snapshot, kinds.PVCS, NAME))
        claim["metadata"].update(name="weights", uid="weights", labels={}, annotations={})
        b.add_objects(snapshot, kinds.PVCS, claim)
        b.add_objects(snapshot, queries.GRAPHS, made)

    return edit


def below_name(snapshot: Snapshot) -> None:
    b.get_object(snapshot, names.DATASETS, NAME)["spec"]["mounts"][0].pop("path")


CASES: dict[str, GraphCase] = {
    "pinned": GraphCase(
        fault=pin,
        codes=[],
    ),
    "pinned, affinity gone": GraphCase(
        fault=both(pin, loosen),
        codes=["FM701", "FM721"],
    ),
    "pinned, mount gone": GraphCase(
        fault=both(pin, lambda s: bare(decode(s))),
        codes=["FM701"],
    ),
    "pinned, Argo took it": GraphCase(
        fault=both(pin, loosen, by_argo),
        codes=["FM702", "FM721"],
    ),
    "a worker without": GraphCase(
        fault=lambda s: bare(add(s, "prefill", "prefill")),
        codes=["FM703"],
    ),
    "a worker with another model": GraphCase(
        fault=lambda s: bare(add(s, "embed"))["podTemplate"]["spec"].update(
            volumes=[{"name": "m", "persistentVolumeClaim": {"claimName": "other"}}]
        ),
        codes=[],
    ),
    "a claim of a wrong name": GraphCase(
        fault=typo,
        codes=["FM704"],
    ),
    "a claim of another namespace": GraphCase(
        fault=other_namespace,
        codes=["FM705"],
    ),
    "makes the claim itself": GraphCase(
        fault=creating,
        codes=["FM706"],
    ),
    "the mount is in what it owns": GraphCase(
        fault=owned,
        codes=["FM707"],
    ),
    "writable": GraphCase(
        fault=lambda s: main(s)["volumeMounts"][0].pop("readOnly"),
        codes=["FM708"],
    ),
    "two styles": GraphCase(
        fault=mixed,
        codes=["FM709"],
    ),
    "v1alpha1": GraphCase(
        fault=alpha(),
        codes=[],
    ),
    "a second template": GraphCase(
        fault=lambda s: decode(s).update(
            experimental={"checkpoint": {"job": {"podTemplate": {"a": 1}}}}
        ),
        codes=["FM710"],
    ),
    "astray though required": GraphCase(
        fault=elsewhere,
        codes=["FM720"],
    ),
    "not bound": GraphCase(
        fault=loosen,
        codes=["FM721"],
    ),
    "not bound, and astray": GraphCase(
        fault=both(loosen, elsewhere),
        codes=["FM720", "FM721"],
    ),
    "not bound, but by its host name": GraphCase(
        fault=lambda s: terms(s)[0].update(
            matchExpressions=[
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["gpu-0"]}
            ]
        ),
        codes=[],
    ),
    "preferred": GraphCase(
        fault=prefer,
        codes=["FM722"],
    ),
    "preferred, and astray": GraphCase(
        fault=both(prefer, elsewhere),
        codes=["FM720", "FM722"],
    ),
    "a stale key": GraphCase(
        fault=another_key,
        codes=["FM723"],
    ),
    "by the runtime's own key": GraphCase(
        fault=lambda s: terms(s)[0]["matchExpressions"][0].update(
            key=f"fluid.io/s-alluxio-{NS}-{NAME}"
        ),
        codes=[],
    ),
    "in one term only": GraphCase(
        fault=alternative,
        codes=["FM724"],
    ),
    "a selector against it": GraphCase(
        fault=selector,
        codes=["FM725"],
    ),
    "cordoned": GraphCase(
        fault=cordon,
        codes=["FM725"],
    ),
    "a taint": GraphCase(
        fault=taint,
        codes=["FM726"],
    ),
    "too many nodes": GraphCase(
        fault=multinode(2),
        codes=["FM727"],
    ),
    "too many GPUs": GraphCase(
        fault=gpus(16),
        codes=["FM727"],
    ),
    "too many replicas": GraphCase(
        fault=gpus(8, replicas=2),
        codes=["FM727"],
    ),
    "just enough": GraphCase(
        fault=gpus(4, replicas=2),
        codes=[],
    ),
    "an autoscaler that the cache's nodes are enough for": GraphCase(
        fault=autoscaled(2),
        codes=[],
    ),
    "an autoscaler with more replicas than the cache's nodes hold": GraphCase(
        fault=autoscaled(50),
        codes=["FM729"],
    ),
    "an autoscaler of a component without an adapter": GraphCase(
        fault=autoscaled(50, adapter=False),
        codes=[],
    ),
    "a planner with more GPUs than the cache's nodes have": GraphCase(
        fault=planned("--config", '{"mode": "disagg", "max_gpu_budget": 32}'),
        codes=["FM729"],
    ),
    "a planner bound": GraphCase(
        fault=lambda s: add(s, "Planner", "planner")["podTemplate"]["spec"]["containers"][0].update(
            command=[], args=[]
        ),
        codes=["FM728"],
    ),
    "no GPU free": GraphCase(
        fault=pending("0/3 nodes: 1 Insufficient nvidia.com/gpu."),
        codes=["FM730"],
    ),
    "no node at all": GraphCase(
        fault=pending("0/3 nodes are available: 3 node(s) were unhappy."),
        codes=["FM730"],
    ),
    "a deadlock": GraphCase(
        fault=surging,
        codes=["FM730", "FM731"],
    ),
    "no deadlock with Recreate": GraphCase(
        fault=both(recreate, surging),
        codes=["FM730"],
    ),
    "an old pod": GraphCase(
        fault=old_pod,
        codes=["FM733"],
    ),
    "Grove that does not roll": GraphCase(
        fault=both(
            old_pod,
            lambda s: graph(s)["metadata"].update(
                annotations={resources.GROVE_STRATEGY_ANNOTATION: "OnDelete"}
            ),
        ),
        codes=["FM732", "FM733"],
    ),
    "a model of the Hub": GraphCase(
        fault=args("--model", "org/demo"),
        codes=["FM740"],
    ),
    "a path elsewhere": GraphCase(
        fault=args("--model", "/models/demo", "--served-model-name", "d"),
        codes=["FM741"],
    ),
    "a doubled path": GraphCase(
        fault=args("--model", "/model/model", "--served-model-name", "d"),
        codes=["FM742"],
    ),
    "a draft model in the mount": GraphCase(
        fault=args("--model", "org/big", "--speculative-config", '{"model": "/model"}'),
        codes=[],
    ),
    "a path that is missing the name": GraphCase(
        fault=both(below_name, lambda s: stores.set_store_listing(s)),
        codes=["FM742"],
    ),
    "a path with the name": GraphCase(
        fault=both(below_name, args("--model", f"/model/{NAME}", "--served-model-name", "d")),
        codes=[],
    ),
    "HF_HOME in the mount": GraphCase(
        fault=env(HF_HOME="/model/hf", HF_HUB_OFFLINE="1"),
        codes=["FM743"],
    ),
    "HF_HOME in the mount, by name": GraphCase(
        fault=both(env(HF_HOME="/model"), args("--model", "org/demo")),
        codes=["FM743"],
    ),
    "HF_HOME in a cache of the Hub's layout": GraphCase(
        fault=both(
            env(HF_HOME="/model"),
            args("--model", "org/demo"),
            lambda s: stores.set_store_listing(s, models=("hub/models--org--demo/snapshots/abc",)),
        ),
        codes=[],
    ),
    "no served name": GraphCase(
        fault=args("--model", "/model"),
        codes=["FM744"],
    ),
    "online": GraphCase(
        fault=env(),
        codes=["FM745"],
    ),
    "a streamer with its default threads on one GPU": GraphCase(
        fault=reading("--load-format", "runai_streamer"),
        codes=[],
    ),
    "a streamer with its default threads on 8 GPUs": GraphCase(
        fault=both(gpus(8), reading("--load-format=runai_streamer", "-tp", "8")),
        codes=["FM748"],
    ),
    "a streamer with few threads on 8 GPUs": GraphCase(
        fault=both(
            gpus(8),
            reading("--load-format", "runai_streamer", "-tp", "8"),
            env(RUNAI_STREAMER_CONCURRENCY="3", HF_HUB_OFFLINE="1"),
        ),
        codes=[],
    ),
    "a loader with many threads": GraphCase(
        fault=reading(
            "--model-loader-extra-config", '{"enable_multithread_load": true, "num_threads": 64}'
        ),
        codes=["FM748"],
    ),
    "a streamer without JNI-FUSE": GraphCase(
        fault=both(
            gpus(8), reading("--load-format", "runai_streamer", "-tp", "8"), without_jni_fuse
        ),
        codes=[],
    ),
    "prefetching with its default threads on 8 GPUs": GraphCase(
        fault=both(gpus(8), reading("--safetensors-load-strategy", "prefetch", "-tp", "8")),
        codes=["FM748"],
    ),
    "prefetching with few threads on 8 GPUs": GraphCase(
        fault=both(
            gpus(8),
            reading(
                *("--safetensors-load-strategy", "prefetch", "-tp", "8"),
                *("--safetensors-prefetch-num-threads", "2"),
            ),
        ),
        codes=[],
    ),
    "a streamer in two pods of a node": GraphCase(
        fault=both(reading("--load-format", "runai_streamer"), twice_on_a_node), codes=["FM748"]
    ),
    "SGLang's own threads on 4 GPUs": GraphCase(
        fault=both(gpus(4), runtime("sglang", "1.6.0"), prefetching_in_sglang(False)),
        codes=["FM748", "FM749"],
    ),
    "SGLang's prefetching on 4 GPUs": GraphCase(
        fault=both(gpus(4), runtime("sglang", "1.6.0"), prefetching_in_sglang(True)), codes=[]
    ),
    "TensorRT-LLM on 8 GPUs": GraphCase(
        fault=both(gpus(8), runtime("tensorrtllm", "1.6.0"), files(64)), codes=["FM748"]
    ),
    "TensorRT-LLM with few files": GraphCase(
        fault=both(gpus(8), runtime("tensorrtllm", "1.6.0"), files(12)), codes=[]
    ),
    "a default loader for a large model": GraphCase(
        fault=runtime("vllm", "1.4.1"), codes=["FM749"]
    ),
    "a default loader in an image without a release": GraphCase(
        fault=runtime("vllm", "my-tag"), codes=["FM749"]
    ),
    "a default loader for a small model": GraphCase(
        fault=both(runtime("vllm", "1.4.1"), sized("30.00GiB")), codes=[]
    ),
    "a default loader that bench found as fast as others": GraphCase(
        fault=both(runtime("vllm", "1.4.1"), measured(mapped=2**27, parallel={1: 2**27, 4: 2**27})),
        codes=[],
    ),
    "a default loader that bench found slow": GraphCase(
        fault=both(runtime("vllm", "1.4.1"), measured(mapped=2**27, parallel={1: 2**27, 4: 2**29})),
        codes=["FM749"],
    ),
    "a fast loader for a large model": GraphCase(
        fault=both(runtime("vllm", "1.4.1"), reading("--safetensors-load-strategy", "prefetch")),
        codes=[],
    ),
    "a startup probe that ends before the load": GraphCase(
        fault=probed(startupProbe={"periodSeconds": 10, "failureThreshold": 60}), codes=["FM747"]
    ),
    "a startup probe that allows the load": GraphCase(
        fault=probed(startupProbe={"periodSeconds": 10, "failureThreshold": 120}), codes=[]
    ),
    "a startup probe that allows the load, and a short liveness probe": GraphCase(
        fault=probed(
            startupProbe={"periodSeconds": 10, "failureThreshold": 120},
            livenessProbe={"periodSeconds": 5},
        ),
        codes=[],
    ),
    "a worker that bypasses a cache of its claim": GraphCase(
        fault=bypassing("pvc://weights"),
        codes=["FM703"],
    ),
    "a worker that bypasses a cache of its directory": GraphCase(
        fault=bypassing("local:///mnt/llm"),
        codes=["FM703"],
    ),
    "a frontend with the files": GraphCase(
        fault=frontend("/model"),
        codes=[],
    ),
    "a frontend without": GraphCase(
        fault=frontend(),
        codes=["FM746"],
    ),
    "a frontend with them elsewhere": GraphCase(
        fault=frontend("/files"),
        codes=["FM746"],
    ),
    "a frontend that is given them": GraphCase(
        fault=both(frontend(), env(HF_HUB_OFFLINE="1", DYN_SELF_HOST_METADATA="1")),
        codes=[],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_graph_has_exactly_the_expected_findings(name: str) -> None:
    row = CASES[name]
    snapshot = b.healthy_snapshot()
    row.fault(snapshot)
    assert codes(snapshot) == row.codes
    for outcome in b.run_checks(snapshot, "7").results:
        for problem in outcome.problems:
            finding = problem.finding
            assert finding.evidence and finding.fix and finding.cause
            assert finding.about.split()[0].islower()


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("pvc://weights", "component decode mounts weights, which cache demo caches"),
        ("local:///mnt/llm", "component decode mounts /mnt/llm, which cache demo caches"),
    ],
)
def test_worker_that_bypasses_the_cache_is_reported_with_the_pin_command(
    source: str, cause: str
) -> None:
    snapshot = b.healthy_snapshot()
    bypassing(source)(snapshot)
    (finding,) = b.findings_of(snapshot, "FM703")
    assert finding.about == "dynamographdeployment models/bypass"
    assert cause in finding.cause and "mount claim demo" in finding.cause
    assert [evidence.text for evidence in finding.evidence][1] == source
    assert finding.fix is not None and finding.fix.how == "command"
    if source.startswith("pvc:"):
        apply_fix(snapshot, str(finding.fix.text))
        assert b.findings_of(snapshot, "FM703") == []


def test_probe_shortfall_names_both_times_and_the_flag_of_pin() -> None:
    snapshot = b.healthy_snapshot()
    probed(startupProbe={"periodSeconds": 10, "failureThreshold": 60})(snapshot)
    (finding,) = b.findings_of(snapshot, "FM747")
    assert "60 x 10 s = 10m" in finding.cause and "takes about 13m46s" in finding.cause
    assert finding.fix is not None and "pin demo" in finding.fix.text
    assert "--probe-budget" in finding.fix.text


def test_probes_are_not_checked_without_the_size_of_the_model() -> None:
    snapshot = b.healthy_snapshot()
    probed(startupProbe={"periodSeconds": 1, "failureThreshold": 1})(snapshot)
    dataset = b.get_object(snapshot, names.DATASETS, NAME)
    dataset["status"].pop("ufsTotal")
    dataset["metadata"]["annotations"] = {}
    assert b.findings_of(snapshot, "FM747") == []


def test_parallel_reads_are_limited_for_each_process() -> None:
    snapshot = b.healthy_snapshot()
    both(gpus(8), reading("--load-format", "runai_streamer", "-tp", "8"))(snapshot)
    (finding,) = b.findings_of(snapshot, "FM748")
    assert "128 threads (16 for each of 8 ranks)" in finding.cause
    assert finding.fix is not None
    apply_fix(snapshot, str(finding.fix.text))
    assert main(snapshot)["args"][-2:] == ["--model-loader-extra-config", '{"concurrency": 3}']
    assert b.findings_of(snapshot, "FM748") == []


def test_threads_that_no_flag_sets_need_another_fuse_client() -> None:
    snapshot = b.healthy_snapshot()
    both(gpus(8), reading("--load-format", "fastsafetensors", "-tp", "8"))(snapshot)
    (finding,) = b.findings_of(snapshot, "FM748")
    assert finding.fix is not None and finding.fix.how != "advice"
    assert "cache s3://" in str(finding.fix.text)
    assert "--high-concurrency" in str(finding.fix.text)
    without_jni_fuse(snapshot)
    assert b.findings_of(snapshot, "FM748") == []


def test_a_reference_is_read_through_the_fuse_client_of_its_source() -> None:
    snapshot = b.healthy_snapshot()
    both(gpus(8), reading("--load-format", "fastsafetensors", "-tp", "8"))(snapshot)
    runtime = b.refer_to_source(snapshot)
    (finding,) = b.findings_of(snapshot, "FM748")
    assert finding.fix is not None
    assert "--name source " in str(finding.fix.text) and "--high-concurrency" in str(
        finding.fix.text
    )
    runtime["spec"]["properties"] = {"alluxio.fuse.jnifuse.enabled": "false"}
    assert b.findings_of(snapshot, "FM748") == []


def test_parallel_reads_of_a_shell_string_are_limited_in_it() -> None:
    snapshot = b.healthy_snapshot()
    script = "exec python3 -m dynamo.vllm --model /model --load-format runai_streamer -tp 8"
    main(snapshot).update(command=["sh", "-c"], args=[script])
    gpus(8)(snapshot)
    (finding,) = b.findings_of(snapshot, "FM748")
    assert finding.fix is not None
    apply_fix(snapshot, str(finding.fix.text))
    limited = f"{script} --model-loader-extra-config '{{\"concurrency\": 3}}'"
    assert main(snapshot)["args"] == [limited]
    assert b.findings_of(snapshot, "FM748") == []


def test_prefetching_threads_are_limited_by_their_flag() -> None:
    snapshot = b.healthy_snapshot()
    both(gpus(8), reading("--safetensors-load-strategy", "prefetch", "-tp", "8"))(snapshot)
    (finding,) = b.findings_of(snapshot, "FM748")
    assert "72 threads (9 for each of 8 ranks)" in finding.cause
    assert finding.fix is not None
    apply_fix(snapshot, str(finding.fix.text))
    assert main(snapshot)["args"][-2:] == ["--safetensors-prefetch-num-threads", "2"]
    assert b.findings_of(snapshot, "FM748") == []


def test_a_slow_load_is_reported_with_its_time_and_a_faster_loader() -> None:
    snapshot = b.healthy_snapshot()
    runtime("vllm", "1.4.1")(snapshot)
    (finding,) = b.findings_of(snapshot, "FM749")
    assert "loads 100.0 GiB with the default loader of vLLM" in finding.cause
    assert "about 13m46s at the 124.0 MiB/s" in finding.cause
    assert finding.fix is not None and finding.fix.how == "command"
    assert "pin demo" in finding.fix.text and "--loader auto" in finding.fix.text


def test_model_path_in_a_shell_variable_is_resolved() -> None:
    snapshot = b.healthy_snapshot()
    main(snapshot)["command"] = ["/bin/sh", "-c"]
    main(snapshot)["args"] = ["exec python3 -m dynamo.vllm --model $MODEL --served-model-name x"]
    env(MODEL="org/demo")(snapshot)
    assert codes(snapshot) == ["FM740"]
    env(MODEL="/model", HF_HUB_OFFLINE="1")(snapshot)
    assert codes(snapshot) == []
    main(snapshot)["env"][0] = {"name": "MODEL", "valueFrom": {"configMapKeyRef": {}}}
    assert codes(snapshot) == []


@pytest.mark.parametrize("edit", [loosen, prefer, alternative])
def test_unbound_worker_is_an_error_once_it_runs_elsewhere(edit: Fault) -> None:
    snapshot = b.healthy_snapshot()
    edit(snapshot)
    assert not b.run_checks(snapshot, "7").failed
    elsewhere(snapshot)
    diagnosis = b.run_checks(snapshot, "7")
    (root,) = diagnosis.roots
    assert root.severity is Severity.ERROR
    assert [problem.check.code for problem in root.consequences] == ["FM720"]
    assert "~18 min" in root.consequences[0].finding.cause


def test_fix_patches_every_use_of_a_wrong_claim() -> None:
    snapshot = b.healthy_snapshot()
    typo(snapshot)
    (finding,) = b.findings_of(snapshot, "FM704")
    assert finding.fix and finding.fix.how == "command"
    text = finding.fix.text
    patch = json.loads(text[text.index("'") + 1 : -1])
    assert patch == [
        {
            "op": "replace",
            "path": "/spec/components/0/podTemplate/spec/volumes/0/persistentVolumeClaim/claimName",
            "value": NAME,
        }
    ]


def test_pin_reverted_by_a_tool_is_found_once() -> None:
    snapshot = b.healthy_snapshot()
    both(pin, loosen)(snapshot)
    notes = graph(snapshot)["metadata"]["annotations"]
    notes["argocd.argoproj.io/tracking-id"] = "apps:nvidia.com/graph"
    diagnosis = b.run_checks(snapshot, "7")
    (root,) = diagnosis.roots
    assert root.check.code == "FM702"
    assert root.finding.fix and "-f FILE" in root.finding.fix.text


def test_placement_checks_are_skipped_without_access_to_nodes() -> None:
    snapshot = b.healthy_snapshot()
    loosen(snapshot)
    b.forbid_listing(snapshot, kinds.NODES)
    (outcome,) = b.run_checks(snapshot, "FM721").results
    assert outcome.skip_reason == "no permission to list nodes"


def test_graphs_without_access_are_skipped() -> None:
    snapshot = b.healthy_snapshot()
    graph(snapshot)["metadata"]["annotations"] = {resources.PINS_ANNOTATION: '{"v": 99}'}
    decode(snapshot)["roles"] = [{"podTemplate": {}}]
    assert codes(snapshot) == []


@pytest.mark.parametrize(
    "odd",
    [
        {"spec": None},
        {"spec": {"components": [None, "x", {"name": None}]}},
        {"spec": {"components": [{"name": "a", "podTemplate": {"spec": {"volumes": [1]}}}]}},
        {"spec": {"services": {"a": None, "b": []}}},
        {"spec": {"components": {}}, "status": {"conditions": [None]}},
    ],
)
def test_malformed_graph_does_not_crash_a_check(odd: Object) -> None:
    snapshot = b.healthy_snapshot()
    made = {**platform.graph("odd"), **odd}
    made["metadata"]["annotations"] = {
        resources.PINS_ANNOTATION: json.dumps({"v": 1, "components": {}})
    }
    b.add_objects(snapshot, queries.GRAPHS, made)
    diagnosis = b.run_checks(snapshot, "7")
    assert [result.skip_reason for result in diagnosis.results if result.skip_reason] == []


# -- no false alarms: every graph that people wrote, pinned ------------------------------------


def fixtures() -> list[str]:
    return sorted(path.name for path in FIXTURES.glob("*.yaml"))


def two_cache_nodes() -> Snapshot:
    """Two nodes with the cache, for replicas over two, in a rack, which one graph asks for."""
    snapshot = b.healthy_snapshot()
    snapshot.objects[queries.GRAPHS.resource] = []
    b.remove_object(snapshot, kinds.PODS, "chat-decode-0")
    b.remove_object(snapshot, kinds.NODES, "gpu-1", "")
    b.add_objects(snapshot, kinds.NODES, platform.node("gpu-1", caches=[f"{NS}-{NAME}"]))
    b.add_objects(snapshot, kinds.PODS, pods.worker_pod(1, node="gpu-1"))
    for node in snapshot.objects["nodes"]:
        node["metadata"]["labels"]["rack"] = "r1"
        node["spec"]["taints"] = []
    return snapshot


FLAGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "preferred": {"preferred": True},
    "mount-path": {"mount_path": "/models/demo"},
    "recreate": {"recreate": True},
}
SAID_BY_PIN = {"FM740", "FM741"}
"""That the engine still reads the Hub, which `pin` without --use-model-path says."""


@pytest.mark.parametrize("model_path", [True, False])
@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("file", fixtures())
def test_graph_pinned_by_pin_is_healthy(file: str, flags: dict[str, Any], model_path: bool) -> None:
    snapshot = two_cache_nodes()
    for obj in yaml.safe_load_all((FIXTURES / file).read_text()):
        if obj and obj.get("kind") in (resources.GRAPH, resources.COMPONENT):
            obj["metadata"]["namespace"] = NS
            made = pinning.pin_graph(
                obj, PinRequest(NAME, LABEL, use_model_path=model_path, **flags)
            ).object
            kind = queries.GRAPHS if obj["kind"] == resources.GRAPH else queries.COMPONENTS
            b.add_objects(snapshot, kind, made)
    diagnosis = b.run_checks(snapshot, "7")
    causes = {
        problem.check.code: problem.finding.cause
        for o in diagnosis.results
        for problem in o.problems
    }
    expected = set() if model_path else SAID_BY_PIN
    expected = expected | ({"FM722"} if flags.get("preferred") else set())
    assert set(causes) <= expected, causes


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_pin_mounts_frontend_where_workers_have_the_cache(flags: dict[str, Any]) -> None:
    snapshot = two_cache_nodes()
    text = (FIXTURES / "beta-disagg.yaml").read_text()
    (obj,) = [document for document in yaml.safe_load_all(text) if document]
    obj["metadata"]["namespace"] = NS
    there = "/home/dynamo/.cache/huggingface"
    for component in obj["spec"]["components"]:
        if component["type"] == "frontend":
            continue
        pod = component["podTemplate"]["spec"]
        claim = {"name": "model-cache", "persistentVolumeClaim": {"claimName": NAME}}
        pod.setdefault("volumes", []).append(claim)
        mount = {"name": "model-cache", "mountPath": there, "readOnly": True}
        pod["containers"][0].setdefault("volumeMounts", []).append(mount)
    made = pinning.pin_graph(obj, PinRequest(NAME, LABEL, use_model_path=True, **flags)).object
    b.add_objects(snapshot, queries.GRAPHS, made)
    assert "FM746" not in codes(snapshot)
    assert (
        pinning.pin_graph(made, PinRequest(NAME, LABEL, use_model_path=True, **flags)).changed
        is False
    )
