"""Commands that are rewritten, and those that are left alone."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.pin.pinning import PinRequest, pin_graph, unpin_graph

WISH = PinRequest("llama", "fluid.io/s-ns-llama", use_model_path=True)
SHELL = ["/bin/sh", "-c"]
VLLM = ["python3", "-m", "dynamo.vllm"]


def graph(command=None, args=None, env=None, graph_env=None, beside=None):
    main = {"name": "main", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    for key, value in (("command", command), ("args", args), ("env", env)):
        if value is not None:
            main[key] = value
    spec = {
        "components": [
            {
                "name": "w",
                "type": "worker",
                "podTemplate": {"spec": {"containers": [main, *(beside or [])]}},
            }
        ]
    }
    if graph_env:
        spec["env"] = graph_env
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "g"},
        "spec": spec,
    }


def after(obj, wish=WISH):
    outcome = pin_graph(obj, wish)
    containers = outcome.object["spec"]["components"][0]["podTemplate"]["spec"]["containers"]
    assert unpin_graph(outcome.object, "llama").object == obj
    return containers, outcome.remarks()


def env_of(container):
    return {entry["name"]: entry.get("value") for entry in container.get("env", [])}


REWRITTEN = [
    (VLLM, ["--model", "a/b"], ["--model", "/model", "--served-model-name", "a/b"]),
    (VLLM, ["--model=a/b"], ["--model=/model", "--served-model-name", "a/b"]),
    (
        VLLM,
        ["--model", "a/b", "--served-model-name", "fast"],
        ["--model", "/model", "--served-model-name", "fast"],
    ),
    (
        ["python3", "-m", "dynamo.sglang"],
        ["--speculative-draft-model-path", "d", "--model-path", "a/b", "--served-model-name=x"],
        ["--speculative-draft-model-path", "d", "--model-path", "/model", "--served-model-name=x"],
    ),
    (
        ["python3"],
        ["-m", "dynamo.trtllm", "--model-path", "/hub/b"],
        ["-m", "dynamo.trtllm", "--model-path", "/model", "--served-model-name", "/hub/b"],
    ),
    (
        SHELL,
        ['python3 -m dynamo.vllm --model a/b --x \'{"model": "a/b"}\''],
        ['python3 -m dynamo.vllm --model /model --served-model-name a/b --x \'{"model": "a/b"}\''],
    ),
    (
        SHELL,
        ["set -e\nexec python3 -m dynamo.vllm \\\n  --model \\\n  a/b \\\n  --tp 2\n"],
        [
            "set -e\nexec python3 -m dynamo.vllm \\\n  --model \\\n  /model --served-model-name a/b"
            " \\\n  --tp 2\n"
        ],
    ),
    (
        SHELL,
        ["cat <<EOF\nmodel: a/b\nEOF\npython3 -m dynamo.sglang --model-path='a/b' --tp 1"],
        [
            "cat <<EOF\nmodel: a/b\nEOF\npython3 -m dynamo.sglang --model-path=/model"
            " --served-model-name a/b --tp 1"
        ],
    ),
]


@pytest.mark.parametrize(("command", "args", "expected"), REWRITTEN)
def test_a_command_that_names_the_model(command, args, expected):
    (main,), remarks = after(graph(command, args))
    assert main["args"] == expected
    assert env_of(main) == {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    assert not remarks


def test_the_whole_command_may_be_in_command():
    (main,), _ = after(graph([*VLLM, "--model", "a/b"]))
    assert main["command"] == [*VLLM, "--model", "/model", "--served-model-name", "a/b"]


@pytest.mark.parametrize("word", ["$MODEL_PATH", "${MODEL_PATH}", '"$MODEL_PATH"', "$(MODEL_PATH)"])
def test_a_variable_is_changed_where_it_is_set(word):
    env = [{"name": "MODEL_PATH", "value": "a/b"}, {"name": "HF_HUB_OFFLINE", "value": "0"}]
    args = [f"python3 -m dynamo.vllm --model {word} --served-model-name x"]
    (main,), _ = after(graph(SHELL, args, env))
    assert main["args"] == args
    assert env_of(main) == {
        "MODEL_PATH": "/model",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }


def test_a_variable_of_the_graph_is_overridden_in_the_component():
    obj = graph(
        SHELL,
        ["python3 -m dynamo.vllm --model $MODEL_PATH"],
        graph_env=[{"name": "MODEL_PATH", "value": "a/b"}],
    )
    (main,), _ = after(obj)
    assert env_of(main)["MODEL_PATH"] == "/model"
    assert main["args"] == ["python3 -m dynamo.vllm --model $MODEL_PATH --served-model-name a/b"]


def test_an_engine_in_a_container_beside_main():
    beside = {
        "name": "engine",
        "command": ["vllm-rs", "serve", "a/b", "--grpc-port", "1"],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    (main, engine), remarks = after(graph(["bridge"], beside=[beside]))
    assert engine["command"][:3] == ["vllm-rs", "serve", "/model"]
    assert engine["command"][-2:] == ["--served-model-name", "a/b"]
    assert env_of(engine)["HF_HUB_OFFLINE"] == "1"
    assert "env" not in main
    assert {mount["mountPath"] for c in (main, engine) for mount in c["volumeMounts"]} == {"/model"}
    assert not remarks


@pytest.mark.parametrize(
    ("command", "args", "env"),
    [
        (VLLM, ["--config", "/etc/x.yaml"], None),
        (["my-engine"], ["--model", "a/b"], None),
        (SHELL, ["python3 -m dynamo.vllm --model a & python3 -m dynamo.vllm --model b"], None),
        (SHELL, ["python3 -m dynamo.vllm --model a --model b"], None),
        (SHELL, ["M=a/b; python3 -m dynamo.vllm --model $M"], None),
        (
            SHELL,
            ["python3 -m dynamo.vllm --model $M"],
            [{"name": "M", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
        ),
        (None, None, None),
    ],
)
def test_what_is_not_recognised_is_left_and_told(command, args, env):
    obj = graph(command, args, env)
    (main,), remarks = after(obj)
    assert main.get("args") == args
    assert main.get("env") == env
    assert len(remarks) == 1
    assert "by hand, let the engine read /model" in remarks[0]


def test_the_model_may_be_below_the_mount():
    wish = PinRequest("llama", "k", use_model_path=True, subpath="weights", mount_path="/cache/")
    (main,), _ = after(graph(VLLM, ["--model", "a/b"]), wish)
    assert main["args"][1] == "/cache/weights"


def test_a_hub_cache_in_the_read_only_mount_is_warned_about_and_never_made():
    obj = graph(VLLM, ["--model", "a/b"], [{"name": "HF_HOME", "value": "/model/hub"}])
    (main,), remarks = after(obj)
    assert env_of(main)["HF_HOME"] == "/model/hub"
    assert "HF_HOME=/model/hub, which is the read-only cache" in remarks[0]


def test_pinning_again_without_the_flag_keeps_the_path():
    once = pin_graph(graph(VLLM, ["--model", "a/b"]), WISH).object
    assert not pin_graph(once, PinRequest("llama", "fluid.io/s-ns-llama")).changed
