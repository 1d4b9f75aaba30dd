"""Manifests on disk: what changes, and that nothing else does."""

from __future__ import annotations

import difflib
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.dynamo.yaml.editor import edit_document
from kubectl_fluidmodel.dynamo.yaml_stream import split_documents
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.output.goyaml import GoLoader, load_yaml
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph, unpin_graph
from kubectl_fluidmodel.pin.replacement import replace_pin
from tests.dynamo import strategies as gen
from tests.dynamo.conftest import FIXTURES

ODD = FIXTURES.parent / "yaml" / "odd-spelled-out.yaml"
"""A graph for readers of YAML alone: the API server would refuse numbers as environment."""
FILES = [*sorted(FIXTURES.glob("*.yaml")), ODD]
REQUESTS = [
    PinRequest("llama", "fluid.io/s-ns-llama"),
    PinRequest("llama", "fluid.io/s-ns-llama", preferred=True, mount_path="/cache"),
    PinRequest("llama", "fluid.io/s-ns-llama", use_model_path=True, recreate=True),
    PinRequest("llama", "fluid.io/s-ns-llama", use_model_path=True, loader="auto",
               probe_budget=True, model_bytes=100 << 30),
]  # fmt: skip
IDS = ["required", "preferred", "everything", "loader"]


def pinned(text, pin_request, name="file"):
    documents = split_documents(text, name)
    return "".join(
        d.with_changes(lambda obj: pin_graph(obj, pin_request).object).text for d in documents
    )


def unpinned(text, name="file"):
    documents = split_documents(text, name)
    return "".join(
        d.with_changes(lambda obj: unpin_graph(obj, "llama").object).text for d in documents
    )


def test_there_is_a_fixture_of_every_shape():
    assert len(FILES) >= 18


def all_of(text):
    return yaml.load_all(text, Loader=GoLoader)


ENDS = {
    "as it is": lambda text: text,
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "no line feed at the end": lambda text: text.rstrip("\n"),
    "more lines at the end": lambda text: text.rstrip("\n") + "\n\n# end\n",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("pin_request", REQUESTS, ids=IDS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_unpin_gives_the_file_back_byte_for_byte(path, pin_request, end):
    text = ENDS[end](path.read_text())
    after = pinned(text, pin_request)
    assert after != text
    if end == "crlf":
        assert "\n" not in after.replace("\r\n", "")
    assert unpinned(after) == text


@pytest.mark.parametrize("pin_request", REQUESTS, ids=IDS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_matches_pin_and_pinning_twice_changes_nothing(path, pin_request):
    text = path.read_text()
    after = pinned(text, pin_request)
    expected = [
        pin_graph(obj, pin_request).object if str(obj.get("kind")).startswith("Dynamo") else obj
        for obj in all_of(text)
        if obj
    ]
    assert [obj for obj in all_of(after) if obj] == expected
    assert pinned(after, pin_request) == after


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_lines_are_added_but_where_a_value_had_to_change(path):
    text = path.read_text()
    after = pinned(text, REQUESTS[0])
    lines = list(difflib.ndiff(text.splitlines(), after.splitlines()))
    removed = [line[2:].strip() for line in lines if line.startswith("- ")]
    for line in removed:
        assert (
            "affinity: {}" in line
            or "containers: [{" in line
            or "&" in line
            or "*" in line
            or "{" in line
            or line.endswith((" null", " [ ]", " []"))
        ), line
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            assert line in after.splitlines()


def test_other_documents_are_not_parsed():
    odd = "---\n\tthis: [is no YAML\n--- # x\nkind:   ConfigMap # y\n"
    ours = (FIXTURES / "beta-agg.yaml").read_text()
    text = f"{odd}---\n{ours}...\n---\nlast: 1   \n"
    after = pinned(text, REQUESTS[0])
    assert after.startswith(odd)
    assert after.endswith("...\n---\nlast: 1   \n")
    assert unpinned(after) == text


def test_graphs_in_a_list_are_pinned():
    graph = load_yaml((FIXTURES / "beta-agg.yaml").read_text())
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [config, graph]})
    after = load_yaml(pinned(text, REQUESTS[0]))
    assert after["items"][0] == config
    assert after["items"][1] == pin_graph(graph, REQUESTS[0]).object


def test_an_edited_anchor_does_not_change_its_aliases():
    text = (FIXTURES / "odd-anchors.yaml").read_text()
    after = load_yaml(pinned(text, REQUESTS[0]))
    one, two, three = after["spec"]["components"]
    assert one["podTemplate"] == two["podTemplate"]
    before = load_yaml(text)["spec"]["components"][2]
    assert three == before


LAYOUTS = {
    "kubectl's": {"indent": 4},
    "two spaces": {"indent": 2},
    "one line": {},
    "no spaces": {"separators": (",", ":")},
    "ascii": {"indent": 2, "ensure_ascii": True},
}


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_json_stays_json_in_its_layout(layout, end):
    graph = load_yaml((FIXTURES / "beta-agg.yaml").read_text())
    graph["metadata"]["labels"] = {"where": "größer"}
    style = {"ensure_ascii": False, **LAYOUTS[layout]}
    text = json.dumps(graph, **style) + end
    after = pinned(text, REQUESTS[0])
    assert json.loads(after) == pin_graph(graph, REQUESTS[0]).object
    assert after == json.dumps(json.loads(after), **style) + end
    assert unpinned(after) == text


def test_json_in_a_layout_of_its_own_is_edited_where_it_changes():
    graph = load_yaml((FIXTURES / "beta-agg.yaml").read_text())
    text = json.dumps(graph, indent=2).replace('"kind"', '   "kind"')
    after = pinned(text, REQUESTS[0])
    assert json.loads(after) == pin_graph(graph, REQUESTS[0]).object
    assert '   "kind"' in after
    assert json.loads(unpinned(after)) == graph


def test_a_note_keeps_the_old_spelling():
    text = ODD.read_text()
    after = pinned(text, REQUESTS[0])
    notes = [line.partition("# ")[2] for line in after.splitlines() if "pinned apart" in line]
    assert notes == [
        "pinned apart from *pt   # the same",
        "pinned apart from null",
        "pinned apart from [ ]",
        "pinned apart from { }",
    ]


def test_a_value_changed_after_the_note_stays():
    text = ODD.read_text()
    before, note, after = pinned(text, REQUESTS[0]).partition("# pinned apart from *pt")
    edited = before + note + after.replace("image: x", "image: other", 1)
    second = load_yaml(unpinned(edited))["spec"]["components"][1]["podTemplate"]["spec"][
        "containers"
    ][0]
    assert second["image"] == "other"
    assert second["env"] == [{"name": "WINDOW", "value": "22:30:00"}, {"name": "TZ", "value": 1000}]


@pytest.mark.parametrize("end", ["", "\n", "\n\n# end\n"])
@pytest.mark.parametrize("after", [{"z": {"b": [1]}}, {"a": 1, "z": 2}, {"y": {"c": 1}, "z": 2}])
def test_the_last_keys_of_a_mapping_are_replaced(after, end):
    for last in ("d:\n      e: 1", "d: 1  # why", "d: |\n      x\n      y"):
        text = f"top:\n  one:\n    a: 1\n    {last}\n  two: 2{end}"
        before = load_yaml(text)
        expected = {"top": {"one": after, "two": 2}}
        changed = edit_document(text, before, expected)
        assert load_yaml(changed) == expected
        assert changed.endswith(f"  two: 2{end}")
        alone = text.replace(f"  two: 2{end}", "").removesuffix("\n") + end
        only = {"top": {"one": after}}
        assert load_yaml(edit_document(alone, load_yaml(alone), only)) == only


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pin_is_moved_with_few_changes(path):
    text = path.read_text()
    moved = PinRequest("other", "fluid.io/s-ns-other", replaces="llama")
    after = "".join(
        document.with_changes(lambda obj: replace_pin(obj, moved).object).text
        for document in split_documents(pinned(text, REQUESTS[0]), "file")
    )
    direct = pinned(text, PinRequest("other", "fluid.io/s-ns-other"))
    assert list(all_of(after)) == list(all_of(direct))


def test_a_helm_template_is_refused():
    text = "kind: DynamoGraphDeployment\nmetadata:\n  name: {{ .Release.Name }}-x\n"
    with pytest.raises(FluidModelError, match=r"graph.yaml line 3: it is a Helm template"):
        pinned(text, REQUESTS[0], "graph.yaml")


def test_invalid_yaml_is_refused_with_its_line():
    with pytest.raises(FluidModelError, match="line 2"):
        pinned("kind: DynamoGraphDeployment\n  name: [x\n", REQUESTS[0])


def _styled(value, indented, flow):
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data):
            return True

        def increase_indent(self, flow=False, indentless=False):
            return super().increase_indent(flow, indentless and not indented)

    return yaml.dump(value, Dumper=Dumper, default_flow_style=flow, sort_keys=False, width=60)


@given(gen.graphs, st.sampled_from(REQUESTS), st.booleans(), st.sampled_from([False, None, True]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_any_graph_in_any_style_is_edited_correctly(graph, pin_request, indented, flow):
    text = _styled(graph, indented, flow)
    try:
        after = pin_graph(graph, pin_request).object
    except FluidModelError:
        return
    changed = edit_document(text, graph, after)
    assert load_yaml(changed) == after
    if flow is False:
        back = edit_document(changed, after, graph)
        assert load_yaml(back) == graph
