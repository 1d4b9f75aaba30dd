"""Manifests on disk: what changes, and that nothing else does."""

from __future__ import annotations

import difflib

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.dynamo.manifest import documents
from kubectl_fluidmodel.dynamo.pinning import Wish, pin, unpin
from kubectl_fluidmodel.dynamo.yamledit import edit
from kubectl_fluidmodel.dynamo.yamlnodes import load
from kubectl_fluidmodel.errors import FluidModelError
from tests.dynamo import strategies as gen
from tests.dynamo.conftest import FIXTURES

FILES = sorted(FIXTURES.glob("*.yaml"))
WISHES = [
    Wish("llama", "fluid.io/s-ns-llama"),
    Wish("llama", "fluid.io/s-ns-llama", preferred=True, mount_path="/cache"),
    Wish("llama", "fluid.io/s-ns-llama", use_model_path=True, recreate=True),
]


def pinned(text, wish, name="file"):
    found = documents(text, name)
    return "".join(d.changed(lambda obj: pin(obj, wish).object).text for d in found)


def unpinned(text, name="file"):
    found = documents(text, name)
    return "".join(d.changed(lambda obj: unpin(obj, "llama").object).text for d in found)


def test_there_is_a_fixture_of_every_shape():
    assert len(FILES) >= 16


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("wish", WISHES, ids=["required", "preferred", "everything"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_unpin_gives_the_file_back_byte_for_byte(path, wish, newline):
    text = path.read_text().replace("\n", newline)
    after = pinned(text, wish)
    assert after != text
    if newline == "\r\n":
        assert "\n" not in after.replace("\r\n", "")
    if "*" in text:  # an alias that pinning had to spell out stays spelled out
        assert list(yaml.safe_load_all(unpinned(after))) == list(yaml.safe_load_all(text))
    else:
        assert unpinned(after) == text


@pytest.mark.parametrize("wish", WISHES, ids=["required", "preferred", "everything"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_says_what_pin_says_and_pinning_twice_changes_nothing(path, wish):
    text = path.read_text()
    after = pinned(text, wish)
    expected = [
        pin(obj, wish).object if str(obj.get("kind")).startswith("Dynamo") else obj
        for obj in yaml.safe_load_all(text)
        if obj
    ]
    assert [obj for obj in yaml.safe_load_all(after) if obj] == expected
    assert pinned(after, wish) == after


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_lines_are_added_but_where_a_value_had_to_change(path):
    text = path.read_text()
    after = pinned(text, WISHES[0])
    lines = list(difflib.ndiff(text.splitlines(), after.splitlines()))
    removed = [line[2:].strip() for line in lines if line.startswith("- ")]
    for line in removed:
        assert (
            "affinity: {}" in line
            or "containers: [{" in line
            or "&" in line
            or "*" in line
            or ("{" in line)
        ), line
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            assert line in after.splitlines()


def test_documents_that_are_not_ours_are_not_even_read():
    odd = "---\n\tthis: [is no YAML\n--- # x\nkind:   ConfigMap # y\n"
    ours = (FIXTURES / "beta-agg.yaml").read_text()
    text = f"{odd}---\n{ours}...\n---\nlast: 1   \n"
    after = pinned(text, WISHES[0])
    assert after.startswith(odd)
    assert after.endswith("...\n---\nlast: 1   \n")
    assert unpinned(after) == text


def test_a_list_of_objects_is_looked_into():
    graph = yaml.safe_load((FIXTURES / "beta-agg.yaml").read_text())
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [config, graph]})
    after = yaml.safe_load(pinned(text, WISHES[0]))
    assert after["items"][0] == config
    assert after["items"][1] == pin(graph, WISHES[0]).object


def test_an_edited_anchor_does_not_change_its_aliases():
    text = (FIXTURES / "odd-anchors.yaml").read_text()
    after = yaml.safe_load(pinned(text, WISHES[0]))
    one, two, three = after["spec"]["components"]
    assert one["podTemplate"] == two["podTemplate"]
    before = yaml.safe_load(text)["spec"]["components"][2]
    assert three == before


def test_json_is_yaml():
    import json

    graph = yaml.safe_load((FIXTURES / "beta-agg.yaml").read_text())
    text = json.dumps(graph)
    assert yaml.safe_load(pinned(text, WISHES[0])) == pin(graph, WISHES[0]).object


def test_a_helm_template_is_named_as_one():
    text = "kind: DynamoGraphDeployment\nmetadata:\n  name: {{ .Release.Name }}-x\n"
    with pytest.raises(FluidModelError, match=r"graph.yaml line 3: it is a Helm template"):
        pinned(text, WISHES[0], "graph.yaml")


def test_what_is_no_yaml_is_told_with_its_line():
    with pytest.raises(FluidModelError, match="line 2"):
        pinned("kind: DynamoGraphDeployment\n  name: [x\n", WISHES[0])


def _styled(value, indented, flow):
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data):
            return True

        def increase_indent(self, flow=False, indentless=False):
            return super().increase_indent(flow, indentless and not indented)

    return yaml.dump(value, Dumper=Dumper, default_flow_style=flow, sort_keys=False, width=60)


@given(gen.graphs, st.sampled_from(WISHES), st.booleans(), st.sampled_from([False, None, True]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_any_graph_in_any_style_comes_out_right(graph, wish, indented, flow):
    text = _styled(graph, indented, flow)
    try:
        after = pin(graph, wish).object
    except FluidModelError:
        return
    changed = edit(text, graph, after)
    assert load(changed) == after
    if flow is False:
        back = edit(changed, after, graph)
        assert load(back) == graph
