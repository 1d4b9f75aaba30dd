"""Commands that are rewritten, and those that are left alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph, unpin_graph

REQUEST = PinRequest("llama", "fluid.io/s-ns-llama", use_model_path=True)
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


def after(obj, request=REQUEST):
    result = pin_graph(obj, request)
    containers = result.object["spec"]["components"][0]["podTemplate"]["spec"]["containers"]
    assert unpin_graph(result.object, "llama").object == obj
    return containers, result.remarks()


def env_of(container):
    return {entry["name"]: entry.get("value") for entry in container.get("env", [])}


@dataclass(frozen=True)
class Rewritten:
    """A command and its arguments, and the arguments that read the mount."""

    name: str
    command: list[str]
    args: list[str]
    expected: list[str]


REWRITTEN = (
    Rewritten(
        "a list of arguments",
        VLLM,
        ["--model", "a/b"],
        ["--model", "/model", "--served-model-name", "a/b"],
    ),
    Rewritten(
        "a flag with =",
        VLLM,
        ["--model=a/b"],
        ["--model=/model", "--served-model-name", "a/b"],
    ),
    Rewritten(
        "a served name of its own",
        VLLM,
        ["--model", "a/b", "--served-model-name", "fast"],
        ["--model", "/model", "--served-model-name", "fast"],
    ),
    Rewritten(
        "another flag with a similar name",
        ["python3", "-m", "dynamo.sglang"],
        ["--speculative-draft-model-path", "d", "--model-path", "a/b", "--served-model-name=x"],
        ["--speculative-draft-model-path", "d", "--model-path", "/model", "--served-model-name=x"],
    ),
    Rewritten(
        "engine in args",
        ["python3"],
        ["-m", "dynamo.trtllm", "--model-path", "/hub/b"],
        ["-m", "dynamo.trtllm", "--model-path", "/model", "--served-model-name", "/hub/b"],
    ),
    Rewritten(
        "a shell string",
        SHELL,
        ['python3 -m dynamo.vllm --model a/b --x \'{"model": "a/b"}\''],
        ['python3 -m dynamo.vllm --model /model --served-model-name a/b --x \'{"model": "a/b"}\''],
    ),
    Rewritten(
        "a continued line",
        SHELL,
        ["set -e\nexec python3 -m dynamo.vllm \\\n  --model \\\n  a/b \\\n  --tp 2\n"],
        [
            "set -e\nexec python3 -m dynamo.vllm \\\n  --model \\\n  /model --served-model-name a/b"
            " \\\n  --tp 2\n"
        ],
    ),
    Rewritten(
        "a here-document before it",
        SHELL,
        ["cat <<EOF\nmodel: a/b\nEOF\npython3 -m dynamo.sglang --model-path='a/b' --tp 1"],
        [
            "cat <<EOF\nmodel: a/b\nEOF\npython3 -m dynamo.sglang --model-path=/model"
            " --served-model-name a/b --tp 1"
        ],
    ),
)


@pytest.mark.parametrize("row", REWRITTEN, ids=lambda row: row.name)
def test_a_command_that_names_the_model_reads_the_mount(row):
    (main,), remarks = after(graph(row.command, row.args))
    assert main["args"] == row.expected
    assert env_of(main) == {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    assert not remarks


def test_the_complete_command_may_be_in_command():
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


def test_an_engine_in_a_sidecar_container():
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
def test_an_unknown_command_is_unchanged_and_reported(command, args, env):
    obj = graph(command, args, env)
    (main,), remarks = after(obj)
    assert main.get("args") == args
    assert main.get("env") == env
    assert len(remarks) == 1
    assert "make the engine read /model" in remarks[0]


def test_the_model_may_be_below_the_mount():
    request = PinRequest("llama", "k", use_model_path=True, subpath="weights", mount_path="/cache/")
    (main,), _ = after(graph(VLLM, ["--model", "a/b"]), request)
    assert main["args"][1] == "/cache/weights"


def test_hf_home_in_the_read_only_mount_is_reported():
    obj = graph(VLLM, ["--model", "a/b"], [{"name": "HF_HOME", "value": "/model/hub"}])
    (main,), remarks = after(obj)
    assert env_of(main)["HF_HOME"] == "/model/hub"
    assert "HF_HOME=/model/hub, which is in the read-only cache" in remarks[0]


def test_pinning_again_without_the_flag_keeps_the_path():
    once = pin_graph(graph(VLLM, ["--model", "a/b"]), REQUEST).object
    assert not pin_graph(once, PinRequest("llama", "fluid.io/s-ns-llama")).changed
