"""JSON, YAML and names."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.output.serialize import format_objects, kubectl_name, to_json, to_yaml

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(),
        st.sampled_from(
            ("yes", "no", "null", "1e3", "0o7", "2026-01-01", "~", "", " x ", "a: b", "=")
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=4)


@given(DOCUMENTS)
def test_yaml_reads_back(document: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(document)) == document


@given(DOCUMENTS)
def test_json_reads_back(document: dict[str, Any]) -> None:
    assert json.loads(to_json(document)) == document


@given(DOCUMENTS)
def test_no_control_character_reaches_the_terminal(document: dict[str, Any]) -> None:
    for shown in (to_yaml(document), to_json(document)):
        assert not any(char < " " and char not in "\n\t" for char in shown)
        assert "\x9b" not in shown
        assert "\x7f" not in shown


def test_keys_stay_in_order_and_lists_are_indented() -> None:
    assert to_yaml({"b": [1, {"x": "y"}], "a": "1", "t": True}) == (
        "b:\n  - 1\n  - x: 'y'\na: '1'\nt: true\n"
    )


def test_text_of_several_lines_is_a_block() -> None:
    assert to_yaml({"log": "one\ntwo\n"}) == "log: |\n  one\n  two\n"


def test_nothing_is_an_alias() -> None:
    shared = {"a": 1}
    assert "&" not in to_yaml({"x": shared, "y": shared})


def test_plain_words_are_not_escaped() -> None:
    assert "Müller → 東京" in to_yaml({"a": "Müller → 東京"})
    assert "Müller → 東京" in to_json({"a": "Müller → 東京"})


POD: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
DATASET: dict[str, Any] = {
    "apiVersion": "data.fluid.io/v1alpha1",
    "kind": "Dataset",
    "metadata": {"name": "d"},
}


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (POD, "pod/p"),
        (DATASET, "dataset.data.fluid.io/d"),
        ({"kind": "X"}, "x/"),
        ({"kind": "X", "metadata": None}, "x/"),
    ],
)
def test_references_as_kubectl_writes_them(item: dict[str, Any], name: str) -> None:
    assert kubectl_name(item) == name


def test_several_objects() -> None:
    assert format_objects([POD, DATASET], "name") == "pod/p\ndataset.data.fluid.io/d\n"
    assert list(yaml.safe_load_all(format_objects([POD, DATASET], "yaml"))) == [POD, DATASET]
    listed = json.loads(format_objects([POD, DATASET], "json"))
    assert (listed["apiVersion"], listed["kind"], listed["items"]) == ("v1", "List", [POD, DATASET])
    assert format_objects([], "yaml") == format_objects([], "name") == ""
