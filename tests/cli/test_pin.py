"""The command lines of `pin` and `unpin` that need no cluster."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import yaml

from kubectl_fluidmodel.cli.main import main

FIXTURES = Path(__file__).parents[1] / "fixtures" / "dgd"
AGG = str(FIXTURES / "beta-agg.yaml")
MIXED = str(FIXTURES / "alpha-mixed-multinode.yaml")


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = main(list(arguments))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return call


def test_a_file_is_pinned_and_unpinned_to_the_original(run, tmp_path):
    code, out, err = run("pin", "llama", "-f", MIXED, "-n", "prod")
    assert code == 0
    assert "cache label of prod/llama: fluid.io/s-prod-llama" in err
    assert "fluid.io/s-prod-llama" in out
    file = tmp_path / "pinned.yaml"
    file.write_text(out)
    code, out, _ = run("unpin", "llama", "-f", str(file))
    assert code == 0
    assert out == Path(MIXED).read_text()


def test_a_pin_in_a_file_moves_to_another_cache_and_back(run, tmp_path):
    file, moved = tmp_path / "pinned.yaml", tmp_path / "moved.yaml"
    _, out, _ = run("pin", "llama", "-f", MIXED, "-n", "prod", "--mount-path", "/weights")
    file.write_text(out)
    code, out, _ = run("pin", "newer", "-f", str(file), "-n", "prod", "--replace", "llama")
    assert code == 0 and "/weights" in out
    assert "fluid.io/s-prod-newer" in out and "fluid.io/s-prod-llama" not in out
    moved.write_text(out)
    code, out, _ = run("pin", "llama", "-f", str(moved), "-n", "prod", "--replace", "newer")
    assert code == 0 and out == file.read_text()
    code, out, err = run("pin", "newer", "-f", MIXED, "-n", "prod", "--replace", "llama")
    assert code == 1 and "it is not pinned to llama" in err and not out


def test_dash_reads_stdin(run, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(Path(AGG).read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin())
    code, out, _ = run("pin", "llama", "-f", "-", "-n", "prod", "-o", "json")
    assert code == 0
    assert json.loads(out)["items"][0]["metadata"]["name"] == "beta-agg"


def test_the_namespace_of_the_object_counts_then_the_flag_then_the_context(
    run, tmp_path, monkeypatch
):
    file = tmp_path / "g.yaml"
    file.write_text(
        Path(AGG).read_text().replace("  name: beta-agg", "  name: g\n  namespace: own")
    )
    for flags in ((), ("-n", "own")):
        _, out, err = run("pin", "llama", "-f", str(file), *flags)
        assert "fluid.io/s-own-llama" in out
        assert "cache label of" not in err
    _, out, _ = run("pin", "llama", "-f", AGG, "-n", "flag")
    assert "fluid.io/s-flag-llama" in out
    _, out, _ = run("pin", "llama", "-f", AGG)
    assert "fluid.io/s-default-llama" in out
    config = {
        "contexts": [{"name": "c", "context": {"namespace": "ctx"}}],
        "current-context": "c",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    _, out, _ = run("pin", "llama", "-f", AGG)
    assert "fluid.io/s-ctx-llama" in out


@pytest.mark.parametrize("verb", ["pin", "unpin"])
def test_a_namespace_that_contradicts_the_file_is_refused_as_kubectl_does(run, tmp_path, verb):
    file = tmp_path / "g.yaml"
    file.write_text(Path(AGG).read_text().replace("  name: beta", "  namespace: own\n  name: beta"))
    code, out, err = run(verb, "llama", "-f", str(file), "-n", "other")
    assert (code, out) == (2, "")
    assert "the namespace of beta-agg is 'own', and -n says 'other'; try: -n own" in err


@pytest.mark.parametrize(
    "name", ["<your-namespace>", "${NAMESPACE}", "My_Team", "a.b", "-a", "a" * 64, "NAMESPACE"]
)
def test_an_illegal_namespace_is_refused(run, tmp_path, name):
    file = tmp_path / "g.yaml"
    file.write_text(
        Path(AGG).read_text().replace("  name: beta", f"  namespace: '{name}'\n  name: beta")
    )
    code, out, err = run("pin", "llama", "-f", str(file))
    assert (code, out) == (2, "")
    assert f"{file}: beta-agg: '{name}' is not a namespace" in err
    assert f"-n: '{name}' is not a namespace" in run("pin", "llama", "-f", AGG, "-n", name)[2]


@pytest.mark.parametrize("name", ["<name>", "Llama", "a b", "1a", ""])
def test_an_illegal_cache_name_is_refused(run, name):
    code, out, err = run("pin", name, "-f", AGG, "-n", "prod")
    assert (code, out) == (2, "")
    assert f"'{name}' is not the name of a cache" in err


def _without_worker(name: str) -> str:
    return (
        f"apiVersion: nvidia.com/v1beta1\nkind: DynamoGraphDeployment\nmetadata: {{name: {name}}}\n"
        "spec: {components: [{name: Planner, type: planner}]}\n"
    )


def test_of_several_graphs_those_without_workers_are_left_alone_and_named(run, tmp_path):
    file = tmp_path / "g.yaml"
    file.write_text(f"{_without_worker('idle')}---\n{Path(AGG).read_text()}")
    code, out, err = run("pin", "llama", "-f", str(file), "-n", "prod")
    assert code == 0
    assert out.startswith(_without_worker("idle"))
    assert "fluid.io/s-prod-llama" in out
    assert "not changed: dgd/idle has no component that is known to be a worker" in err
    code, out, err = run("pin", "llama", "-f", str(file), "-n", "prod", "idle")
    assert (code, out) == (1, "")
    assert "error: dgd/idle has no component that is known to be a worker" in err


def test_a_file_of_graphs_without_workers_fails(run, tmp_path):
    file = tmp_path / "g.yaml"
    file.write_text(f"{_without_worker('one')}---\n{_without_worker('two')}")
    code, out, err = run("pin", "llama", "-f", str(file), "-n", "prod")
    assert (code, out) == (1, "")
    assert "dgd/one has no component" in err


PART_OF_A_CLAIM = """
        volumes: [{name: model, persistentVolumeClaim: {claimName: llama}}]
        containers:
        - name: main
          image: example.com/vllm:1
          command: [python3, -m, dynamo.vllm]
          args: [--model, org/m]
          volumeMounts: [{name: model, mountPath: /data, subPath: logs}]
          resources: {limits: {nvidia.com/gpu: "1"}}
"""


def test_a_subpath_mount_does_not_replace_the_root_mount(run, tmp_path):
    file = tmp_path / "g.yaml"
    file.write_text(
        "apiVersion: nvidia.com/v1beta1\nkind: DynamoGraphDeployment\nmetadata: {name: g}\n"
        "spec:\n  components:\n  - name: W\n    type: worker\n    podTemplate:\n      spec:"
        + PART_OF_A_CLAIM
    )
    code, out, _ = run("pin", "llama", "-f", str(file), "-n", "prod", "--use-model-path")
    assert code == 0
    spec = yaml.safe_load(out)["spec"]["components"][0]["podTemplate"]["spec"]
    main = spec["containers"][0]
    assert [mount["mountPath"] for mount in main["volumeMounts"]] == ["/data", "/model"]
    assert {mount["name"] for mount in main["volumeMounts"]} == {"model"}
    assert main["args"][:2] == ["--model", "/model"]
    assert len(spec["volumes"]) == 1


def test_a_file_beyond_the_bounds_is_one_error_line(run, tmp_path):
    file = tmp_path / "bomb.yaml"
    bomb = "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    file.write_text(f"kind: DynamoGraphDeployment\na0: &a0 [x]\n{bomb}")
    code, out, err = run("pin", "llama", "-f", str(file), "-n", "prod")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: cannot read {file}: it has more than 1000000 values")
    assert err.count("\n") == 1
    file.write_bytes(b" " * (33 << 20))
    assert "it is larger than 32 MiB" in run("pin", "llama", "-f", str(file), "-n", "prod")[2]


BY_HAND = """\
apiVersion: nvidia.com/v1beta1
kind: DynamoGraphDeployment
metadata: {name: g, namespace: prod}
spec:
  components:
  - name: W
    type: worker
    podTemplate:
      spec:
        nodeSelector: {fluid.io/s-prod-llama: "true"}
        volumes: [{name: m, persistentVolumeClaim: {claimName: llama}}]
        containers:
        - name: main  # the engine
          image: example.com/vllm:1
          args: [--model, org/m]
          volumeMounts:
          - {name: m, mountPath: /model}
"""


def test_a_pin_made_by_hand_is_adopted_and_taken_back(run, tmp_path):
    file = tmp_path / "g.yaml"
    file.write_text(BY_HAND)
    code, adopted, _ = run("pin", "llama", "-f", str(file), "--adopt")
    assert code == 0
    assert "fluidmodel.io/pins" in adopted
    assert yaml.safe_load(adopted)["spec"] == yaml.safe_load(BY_HAND)["spec"]
    file.write_text(adopted)
    assert run("pin", "llama", "-f", str(file))[1] == adopted
    code, out, _ = run("unpin", "llama", "-f", str(file))
    assert code == 0
    assert "main  # the engine" in out
    spec = yaml.safe_load(out)["spec"]["components"][0]["podTemplate"]["spec"]
    assert spec == {
        "containers": [
            {"name": "main", "image": "example.com/vllm:1", "args": ["--model", "org/m"]}
        ]
    }


def test_a_patch_for_kustomize(run):
    code, out, _ = run("pin", "llama", "-f", AGG, "-n", "prod", "-o", "patch")
    assert code == 0
    [entry] = yaml.safe_load(out)["patches"]
    assert entry["target"] == {
        "group": "nvidia.com",
        "version": "v1beta1",
        "kind": "DynamoGraphDeployment",
        "name": "beta-agg",
    }
    operations = yaml.safe_load(entry["patch"])
    assert {"op": "test", "path": "/spec/components/1/name", "value": "Worker"} in operations
    assert {"op": "test", "path": "/spec/components/1/podTemplate/spec/containers/0/name",
            "value": "main"} in operations  # fmt: skip


def test_output_name_and_diff(run):
    _, out, _ = run("pin", "llama", "-f", MIXED, "-n", "prod", "-o", "name")
    assert out == "dynamographdeployment.nvidia.com/alpha-mixed\n"
    _, out, _ = run("pin", "llama", "-f", AGG, "-n", "prod", "--diff")
    assert out.startswith(f"--- {AGG}\n+++ {AGG} (pinned)\n")
    _, out, err = run("pin", "llama", "-f", AGG, "-n", "prod", "--diff", "-o", "yaml")
    assert out.startswith("# One worker")
    assert "+++" in err
    _, out, _ = run("pin", "llama", "-f", AGG, "-n", "prod", "--diff", "--color", "always")
    assert "\x1b[32m+" in out


def test_a_request_in_a_file_is_unchanged_and_explained(run, tmp_path):
    file = tmp_path / "both.yaml"
    request = (
        "apiVersion: nvidia.com/v1beta1\nkind: DynamoGraphDeploymentRequest\n"
        "metadata: {name: ask}\nspec: {model: x}\n---\n"
    )
    file.write_text(request + Path(AGG).read_text())
    code, out, err = run("pin", "llama", "-f", str(file), "-n", "prod")
    assert code == 0
    assert out.startswith(request)
    assert "DynamoGraphDeploymentRequest ask is not changed" in err
    assert "pvcName: llama" in err


def test_long_names_need_the_cluster(run):
    code, out, err = run("pin", "llama", "-f", AGG, "-n", "n" * 50)
    assert code == 1
    assert out == ""
    assert "Fluid uses the Dataset's UID instead" in err
    assert f"try: kubectl fluidmodel pin llama beta-agg -n {'n' * 50} --dry-run=server" in err


USAGE = [
    (["pin", "a", "g", "--replace", "a"], "it is the cache to pin to"),
    (["pin", "llama"], "no graph given"),
    (["unpin", "llama"], "no graph given"),
    (["pin"], "missing argument 'NAME'"),
    (["pin", "llama", "-f", AGG, "--wait"], "-f uses only the file"),
    (["pin", "llama", "-f", AGG, "--probe-budget"], "-f uses only the file"),
    (["pin", "llama", "x", "--adopt", "--recreate"], "--adopt only records the existing state"),
    (["pin", "llama", "-f", AGG, "--dry-run=server"], "-f uses only the file"),
    (["unpin", "llama", "-f", AGG, "--dry-run=server"], "-f uses only the file"),
    (["pin", "llama", "-f", AGG, "other"], f"{AGG} has no graph other: it has beta-agg"),
    (["pin", "llama", "x", "--mount-path", "model"], "'model' is not an absolute path"),
    (["pin", "llama", "-f", AGG, "--component", "Nope"], "has no component 'Nope'"),
    (["pin", "llama", "-f", AGG, "pod/beta-agg"], "'pod/beta-agg' is not a graph"),
    (["pin", "llama", "x", "-o", "wide"], "'wide' is not one of"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_wrong_usage(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("error: ") == 1


def test_files_that_cannot_be_read(run, tmp_path):
    code, _, err = run("pin", "llama", "-f", str(tmp_path / "none.yaml"))
    assert (code, err.count("No such file or directory")) == (1, 1)
    (tmp_path / "latin").write_bytes(b"kind: Dynamo\xe9")
    assert run("pin", "llama", "-f", str(tmp_path / "latin"))[0] == 1
    (tmp_path / "cm.yaml").write_text("kind: ConfigMap\n")
    code, _, err = run("pin", "llama", "-f", str(tmp_path / "cm.yaml"))
    assert code == 1
    assert "has no DynamoGraphDeployment" in err


def test_no_cluster_is_exit_code_3(run, tmp_path):
    code, _, err = run("pin", "llama", "chat", "--kubeconfig", str(tmp_path / "none"))
    assert code == 3
    assert err.startswith("error: no cluster to talk to")


def test_unpinning_a_file_that_is_not_pinned_gives_it_back(run):
    code, out, _ = run("unpin", "llama", "-f", AGG)
    assert (code, out) == (0, Path(AGG).read_text())
