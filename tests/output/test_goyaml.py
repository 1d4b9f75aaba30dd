"""YAML is read and written as kubectl does, and both are bounded."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.dynamo.yaml import emitter as emit
from kubectl_fluidmodel.output import goyaml, shell
from kubectl_fluidmodel.output.serialize import to_json, to_yaml
from tests.realkubectl import read_with_kubectl

HEAD = "apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: x\n"

#: What YAML 1.1, YAML 1.2 and Go do not agree on, or what people get wrong.
SPELLINGS = (
    *("y", "Y", "yes", "n", "No", "on", "OFF", "true", "True", "TRUE", "tRUE", "~", "null", "Null"),
    *("1e3", "1E3", "1234e56", "1e-3", "+1e3", ".5", "5.", "-.5", ".5e1", "1.5", "-0", "+0", "0.0"),
    *("0", "07", "010", "09", "0o17", "0O17", "0x1F", "0X1f", "0b11", "0B11", "-0x1F", "-0b11"),
    *("1_000", "1__0", "1_", "_1", "0_7", "0x_1", "+5", "-5", "--5", "+-5", "-", "+", ".", "..."),
    *("22:30:00", "1:30", "190:20:30", "1:30.5", "2024-01-01", "2024-1-1", "2024-13-01"),
    *("2024-01-01T00:00:00Z", "2001-12-14t21:59:43.10-05:00", "2024-01-01 10:00:00"),
    *(".nan", ".NaN", "nan", ".inf", "-.inf", "+.inf", "inf", "Infinity", "1.2.3", "v1.2"),
    *("9223372036854775807", "-9223372036854775808", "1e400x", "0xg", "08x", "12e", "e12", "1e"),
    *(
        "<<",
        "=",
        "null ",
        "ff",
        "0xff",
        "123abc",
        "1.0",
        "1.10",
        "2e5",
        "00",
        "0e0",
        "1e+3",
        "1.e1",
    ),
)
plain = st.one_of(
    st.sampled_from(SPELLINGS),
    st.text(alphabet="0123456789eExXobB+-._:TZynfa~", min_size=1, max_size=12),
)
texts = st.one_of(
    plain,
    st.text(max_size=20),
    st.text(alphabet=" \n\t\r\"'#:-?|>&*!%@`{}[],ab\x7f\x85\u2028\ufeff😀", max_size=12),
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of one kind: 1 is not true, and 1.0 may be 1 as in JSON."""
    number = (int, float)
    if isinstance(one, number) and isinstance(other, number) and not isinstance(one, bool):
        if isinstance(one, float):  # JSON of Go has the shortest digits that are this float
            return one == float(other) and not isinstance(other, bool)
        return one == other and not isinstance(other, bool)
    return type(one) is type(other) and one == other


def numbers_of_json(value: Any) -> bool:
    """Whether JSON can have the value: neither infinite nor beyond what Go's decoder takes."""
    if isinstance(value, float):
        return abs(value) < 1e300
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 63


def is_scalar(text: str) -> bool:
    """Whether YAML takes the text, without quotes, as one scalar and as it is."""
    try:
        events = list(yaml.parse(f"- {text}\n", Loader=goyaml.FastSafeLoader))
    except yaml.YAMLError:
        return False
    scalars = [event for event in events if isinstance(event, yaml.ScalarEvent)]
    return len(scalars) == 1 and len(events) == 7 and scalars[0].value == text


@given(st.lists(plain.filter(is_scalar), min_size=60, max_size=120))
@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
def test_plain_scalars_are_read_as_kubectl_reads_them(drawn: list[str]) -> None:
    listed = [text for text in [*SPELLINGS, *drawn] if is_scalar(text)]
    ours = goyaml.load_yaml("".join(f"- {text}\n" for text in listed))
    pairs = [
        (text, value) for text, value in zip(listed, ours, strict=True) if numbers_of_json(value)
    ]
    lines = "".join(f"- {text}\n" for text, _ in pairs)
    theirs = read_with_kubectl(f"{HEAD}values:\n{lines}")["values"]
    wrong = [
        (text, mine, other)
        for (text, mine), other in zip(pairs, theirs, strict=True)
        if not same(mine, other)
    ]
    assert not wrong


@given(st.lists(texts, min_size=60, max_size=120))
@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
def test_a_string_that_we_write_is_that_string_to_kubectl(drawn: list[str]) -> None:
    strings = [*SPELLINGS, *drawn]
    document = {**yaml.safe_load(HEAD), "values": strings, "keys": dict.fromkeys(strings, 1)}
    read = read_with_kubectl(to_yaml(document))
    assert read["values"] == strings
    assert set(read["keys"]) == set(strings)
    assert read_with_kubectl(to_json(document))["values"] == strings
    written = "\n".join([HEAD + "values:", *emit.sequence_lines(strings, 2, 2), ""])
    assert read_with_kubectl(written)["values"] == strings
    assert read_with_kubectl(f"{HEAD}values: {emit.flow_text(strings)}\n")["values"] == strings


@given(
    st.lists(
        st.one_of(
            st.integers(-(1 << 63), (1 << 63) - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
            st.none(),
        ),
        min_size=20,
    )
)
@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
def test_a_number_that_we_write_keeps_its_value(values: list[Any]) -> None:
    for text in (
        to_yaml({**yaml.safe_load(HEAD), "values": values}),
        "\n".join([HEAD + "values:", *emit.sequence_lines(values, 2, 2), ""]),
    ):
        numbers = read_with_kubectl(text)["values"]
        wrong = [pair for pair in zip(values, numbers, strict=True) if not same(*pair)]
        assert not wrong


def test_a_command_is_text_as_any_other() -> None:
    line = shell.command("kubectl", "get", shell.Operand("y"))
    for write in (to_yaml, to_json):
        assert write({"command": line}) == write({"command": str(line)})


def test_keys_are_text_as_in_json() -> None:
    assert goyaml.load_yaml("1: a\ny: b\n2024-01-01: c\n~: d\n") == {
        "1": "a",
        "y": "b",
        "2024-01-01": "c",
        "~": "d",
    }


def test_tags_are_read_as_go_reads_them() -> None:
    text = "a: !!str 5\nb: !!binary aGk=\nc: !!int '5'\nd: !!timestamp 2024-01-01\n"
    assert goyaml.load_yaml(text) == {"a": "5", "b": "hi", "c": 5, "d": "2024-01-01"}


HOSTILE = {
    "a bomb of aliases": (
        "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)),
        "its aliases expanded",
    ),
    "an alias inside of its own anchor": ("a: &a [1, *a]\n", "contains itself"),
    "a mapping that merges itself": ("a: &a {<<: *a}\n", "contains itself"),
    "deep brackets": ("a: " + "[" * 100_000, "nested deeper"),
    "deep mappings": ("".join(f"{' ' * n}a:\n" for n in range(2000)), "nested deeper"),
    "many values": ("- 1\n" * 1_100_000, "more than 1000000 values"),
    "a large text": ("a: " + "x" * (33 << 20), "larger than 32 MiB"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_too_much_is_refused_before_anything_is_built(name: str) -> None:
    text, message = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(goyaml.YamlLimitError, match=message):
            goyaml.load_yaml(text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 256 << 20


REFUSED = {
    "a key that is a list": "? [a]\n: 1\n",
    "an object of Python": "a: !!python/object/apply:os.system [id]\n",
    "a set": "a: !!set {b}\n",
    "no base64": "a: !!binary '%'\n",
    "no number": "a: !!int x\n",
    "no such anchor": "a: *b\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_json_is_an_error_of_yaml(name: str) -> None:
    with pytest.raises(yaml.YAMLError):
        goyaml.load_yaml(REFUSED[name])


@given(st.recursive(texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
@settings(max_examples=100)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert goyaml.load_yaml(goyaml.dump_yaml(value)) == value
    assert json.loads(to_json(value)) == value
