"""Names and label keys, by Fluid's rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid import names

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
UID = "2f6d4a1e-6f0b-4c3a-9d1c-0a7c5a5f9e11"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3-3-70b-instruct"),
        ("Qwen/Qwen2.5-7B", "qwen2-5-7b"),
        ("deepseek-ai/DeepSeek-R1@abc", "deepseek-r1"),
        ("org/01-ai_Yi", "m-01-ai-yi"),
        ("models/llama/", "llama"),
        ("__x__", "x"),
        # 45 characters stay; of 46 and more the last word goes where it is short
        ("a" * 45, "a" * 45),
        ("a" * 60, "a" * 45),
        ("a" * 40 + "-bcdefgh", "a" * 40),
        ("a" * 45 + "-b", "a" * 45),
        ("a" * 20 + "-" + "b" * 40, "a" * 20 + "-" + "b" * 24),
    ],
)
def test_the_name_of_a_model(model: str, name: str) -> None:
    assert names.derive_dataset_name(model) == name


@given(st.one_of(st.text(), st.text(alphabet="aZ0.-_/@", min_size=1, max_size=120)))
def test_every_derived_name_is_legal_or_refused(model: str) -> None:
    try:
        name = names.derive_dataset_name(model)
    except UsageError as err:
        assert err.hint == "--name NAME"
        return
    assert DNS_1035.match(name)
    assert len(name) <= names.MAX_NAME_LENGTH
    assert names.validate_name(name) == name
    assert names.derive_dataset_name(name) == name


@pytest.mark.parametrize("name", ["a", "a1", "llama-3-3-70b-instruct", "x" * 45])
def test_legal_names(name: str) -> None:
    assert names.validate_name(name) == name


@pytest.mark.parametrize(
    "name", ["Llama", "3b", "qwen2.5", "a-", "-a", "a_b", "", "a\n", "ü", "x" * 46, "---"]
)
def test_illegal_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        names.validate_name(name)
    assert caught.value.hint.startswith("--name ")


def test_an_illegal_name_comes_with_a_legal_one() -> None:
    with pytest.raises(UsageError) as caught:
        names.validate_name("Qwen2.5-7B")
    assert caught.value.hint == "--name qwen2-5-7b"


# A key may have 62 characters with its prefix; one of 63 is replaced by the UID.
@pytest.mark.parametrize(
    ("prefix", "longest", "key"),
    [
        ("fluid.io/s-", 51, lambda ns, name, uid: names.cache_label(ns, name, uid)),
        ("fluid.io/f-", 51, lambda ns, name, uid: names.fuse_label(ns, name, uid)),
        (
            "fluid.io/s-alluxio-",
            43,
            lambda ns, name, uid: names.runtime_label(ns, name, "alluxio", uid),
        ),
    ],
)
def test_label_keys_turn_into_the_uid_at_63_characters(prefix, longest, key):  # type: ignore[no-untyped-def]
    namespace = "n" * (longest - 1 - 20)
    fits, too_long = "d" * 20, "d" * 21
    assert key(namespace, fits, UID) == f"{prefix}{namespace}-{fits}"
    assert len(key(namespace, fits, UID)) == 62
    assert key(namespace, too_long, UID) == prefix + UID
    with pytest.raises(names.UidRequiredError) as caught:
        key(namespace, too_long, "")
    assert too_long in caught.value.hint


def test_each_key_falls_back_by_itself() -> None:
    namespace, name = "n" * 23, "d" * 20  # 44 with the dash: common fits, runtime does not
    assert names.cache_label(namespace, name, UID) == f"fluid.io/s-{namespace}-{name}"
    assert names.runtime_label(namespace, name, "alluxio", UID) == f"fluid.io/s-alluxio-{UID}"
    assert names.fuse_label(namespace, name, UID) == f"fluid.io/f-{namespace}-{name}"


@given(
    st.from_regex(r"[a-z][-a-z0-9]{0,61}[a-z0-9]", fullmatch=True),
    st.from_regex(r"[a-z][-a-z0-9]{0,43}[a-z0-9]", fullmatch=True),
)
def test_label_keys_always_fit(namespace: str, name: str) -> None:
    for key in (
        names.cache_label(namespace, name, UID),
        names.runtime_label(namespace, name, "alluxio", UID),
        names.fuse_label(namespace, name, UID),
    ):
        assert len(key.split("/", 1)[1]) <= 63
        assert len(key) < 63


def test_two_datasets_can_collide_on_volume_and_label() -> None:
    assert names.volume_name("a-b", "c") == names.volume_name("a", "b-c")
    assert names.cache_label("a-b", "c") == names.cache_label("a", "b-c")


@pytest.mark.parametrize(
    ("labels", "key"),
    [
        ({"fluid.io/s-ns-demo": "true", "fluid.io/dataset-id": "ns-demo"}, "fluid.io/s-ns-demo"),
        ({f"fluid.io/s-{UID}": "true"}, f"fluid.io/s-{UID}"),
        ({"fluid.io/s-ns-demo": "false"}, None),
        ({"fluid.io/f-ns-demo": "true"}, None),
        (None, None),
    ],
)
def test_the_label_on_a_pvc(labels: dict[str, str] | None, key: str | None) -> None:
    assert names.cache_label_of_pvc({"metadata": {"labels": labels}}) == key


def test_ours() -> None:
    ours = {"metadata": {"labels": names.managed_labels("demo")}}
    assert names.is_managed(ours)
    assert not names.is_managed({"metadata": {"labels": {names.MANAGED_BY_LABEL: "Helm"}}})
    assert not names.is_managed({})


def test_the_source_of_a_dataset() -> None:
    mounts = {"mounts": [{"mountPoint": "s3://b/p"}]}
    annotated = {
        "metadata": {"annotations": {names.SOURCE_ANNOTATION: "nfs://s/e"}},
        "spec": mounts,
    }
    assert names.source_uri(annotated) == "nfs://s/e"
    assert names.source_uri({"spec": mounts}) == "s3://b/p"
    assert names.source_uri({}) == ""
