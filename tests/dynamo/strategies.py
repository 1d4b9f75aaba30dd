"""Generated pod specs and graphs, in every shape and with every oddity that the schemas allow."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.dynamo.nodes import VALUES

Drawn = st.SearchStrategy[Any]


def _maybe(options: dict[str, Drawn], required: dict[str, Drawn] | None = None) -> Drawn:
    return st.fixed_dictionaries(required or {}, optional=options)


def _expression(key: str) -> Drawn:
    values = st.lists(
        st.sampled_from([v for v in VALUES[key] if v is not None]), min_size=1, unique=True
    )
    operators = [
        st.fixed_dictionaries(
            {"key": st.just(key), "operator": st.sampled_from(["In", "NotIn"]), "values": values}
        ),
        st.fixed_dictionaries(
            {"key": st.just(key), "operator": st.sampled_from(["Exists", "DoesNotExist"])}
        ),
    ]
    if key == "gpu":
        operators.append(
            st.fixed_dictionaries(
                {
                    "key": st.just(key),
                    "operator": st.sampled_from(["Gt", "Lt"]),
                    "values": st.sampled_from([["4"], ["6"]]),
                }
            )
        )
    return st.one_of(operators)


expressions = st.lists(st.sampled_from(list(VALUES)).flatmap(_expression), max_size=3)
fields = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.just("metadata.name"),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.sampled_from([["n0"], ["n1"]]),
        }
    ),
    max_size=1,
)
terms = _maybe({"matchExpressions": expressions, "matchFields": fields})
node_affinity = _maybe(
    {
        "requiredDuringSchedulingIgnoredDuringExecution": st.one_of(
            st.none(),
            st.fixed_dictionaries({"nodeSelectorTerms": st.lists(terms, max_size=3)}),
        ),
        "preferredDuringSchedulingIgnoredDuringExecution": st.one_of(
            st.none(),
            st.lists(
                st.fixed_dictionaries({"weight": st.integers(1, 100), "preference": terms}),
                max_size=2,
            ),
        ),
    }
)
affinity = st.one_of(
    st.none(),
    _maybe(
        {
            "nodeAffinity": st.one_of(st.none(), node_affinity),
            "podAntiAffinity": st.just({"unknownToUs": [1, {"deep": None}]}),
        }
    ),
)
_names = st.sampled_from(["data", "config", "llama", "scratch"])
_mount = st.fixed_dictionaries(
    {"name": _names, "mountPath": st.sampled_from(["/data", "/etc/engine", "/opt/models"])}
)
mounts = st.one_of(
    st.none(), st.lists(_mount, max_size=2, unique_by=lambda mount: mount["mountPath"])
)
volumes = st.one_of(
    st.none(),
    st.lists(
        st.one_of(
            st.fixed_dictionaries({"name": _names, "emptyDir": st.just({})}),
            st.fixed_dictionaries(
                {
                    "name": _names,
                    "persistentVolumeClaim": st.fixed_dictionaries(
                        {"claimName": st.sampled_from(["llama", "other"])}
                    ),
                }
            ),
        ),
        max_size=3,
        unique_by=lambda volume: volume["name"],
    ),
)
env = st.one_of(
    st.none(),
    st.lists(
        st.one_of(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["MODEL_PATH", "HF_HUB_OFFLINE", "HF_HOME"]),
                    "value": st.sampled_from(["org/model", "0", "/model"]),
                }
            ),
            st.just({"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
        ),
        max_size=3,
        unique_by=lambda entry: entry["name"],
    ),
)
args = st.sampled_from(
    [
        ["--model", "org/model"],
        ["--model=org/model", "--served-model-name", "fast"],
        ["python3 -m dynamo.vllm --model $MODEL_PATH"],
        ["exec python3 -m dynamo.sglang \\\n  --model-path org/model \\\n  --tp 2\n"],
        ["--config", "/etc/engine/config.yaml"],
    ]
)
commands = st.sampled_from([["python3", "-m", "dynamo.vllm"], ["/bin/sh", "-c"]])


def container(name: str | None) -> Drawn:
    fixed: dict[str, Drawn] = {} if name is None else {"name": st.just(name)}
    return _maybe(
        {
            "image": st.just("registry/engine:1"),
            "command": commands,
            "args": args,
            "env": env,
            "volumeMounts": mounts,
            "resources": st.sampled_from([{}, {"limits": {"nvidia.com/gpu": "4"}}]),
            "unknownField": st.just({"kept": True}),
        },
        fixed,
    )


def _pod(extra: dict[str, Drawn]) -> Drawn:
    return _maybe(
        {
            "affinity": affinity,
            "volumes": volumes,
            "nodeSelector": st.just({"disk": "nvme"}),
            "tolerations": st.just([{"key": "nvidia.com/gpu", "operator": "Exists"}]),
            **extra,
        }
    )


_side = container("engine")


def beta_component(name: str) -> Drawn:
    containers = st.one_of(
        st.tuples(container("main")).map(list),
        st.tuples(container("main"), _side).map(list),
        st.tuples(_side, container("main")).map(list),
        st.tuples(_side).map(list),
    )
    init_containers = st.tuples(container("prepare"), container("runtime")).map(list)
    return _maybe(
        {
            "podTemplate": _maybe(
                {"spec": _pod({"containers": containers, "initContainers": init_containers})}
            ),
            "replicas": st.integers(0, 3),
            "frontendSidecar": st.just("engine"),
            "dynamoSidecar": st.just("runtime"),
        },
        {
            "name": st.just(name),
            "type": st.sampled_from(["worker", "prefill", "decode", "frontend", "planner"]),
        },
    )


def alpha_service(legacy: bool) -> Drawn:
    extra = {
        "extraPodSpec": st.one_of(
            st.none(),
            _pod(
                {
                    "mainContainer": st.one_of(st.none(), container(None)),
                    "containers": st.tuples(_side).map(list),
                }
            ),
        ),
        "annotations": st.sampled_from([{}, {"a": "b"}]),
        "envs": env,
        "resources": st.sampled_from([{"limits": {"gpu": "2"}}, {}]),
    }
    if legacy:
        extra["pvc"] = st.sampled_from(
            [None, {"name": "other", "mountPoint": "/x"}, {"name": "llama", "mountPoint": "/m"}]
        )
    else:
        extra["volumeMounts"] = st.one_of(
            st.none(),
            st.lists(st.sampled_from([{"name": "shared", "mountPoint": "/shared"}]), max_size=1),
        )
    return _maybe(
        extra, {"componentType": st.sampled_from(["worker", "frontend", "planner", "worker"])}
    )


def _graph(version: str, spec: Drawn) -> Drawn:
    return st.fixed_dictionaries(
        {
            "apiVersion": st.just(f"nvidia.com/{version}"),
            "kind": st.just("DynamoGraphDeployment"),
            "metadata": _maybe(
                {"annotations": st.sampled_from([{}, {"nvidia.com/private": "{}"}, None])},
                {"name": st.just("chat"), "namespace": st.just("ns")},
            ),
            "spec": spec,
        }
    )


beta_graph = _graph(
    "v1beta1",
    st.tuples(beta_component("A"), beta_component("B")).map(lambda two: {"components": list(two)}),
)
alpha_graph = _graph(
    "v1alpha1",
    _maybe(
        {"pvcs": st.sampled_from([[], [{"name": "shared", "create": False}]])},
        {
            "services": st.fixed_dictionaries(
                {"A": alpha_service(legacy=False), "B": alpha_service(legacy=False)}
            )
        },
    ),
)
legacy_graph = _graph(
    "v1alpha1",
    st.fixed_dictionaries(
        {
            "dynamoGraph": st.just("x"),
            "services": st.fixed_dictionaries(
                {"A": alpha_service(legacy=True), "B": alpha_service(legacy=True)}
            ),
        }
    ),
)
graphs = st.one_of(beta_graph, alpha_graph, legacy_graph)
