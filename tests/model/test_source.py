"""SOURCE: every form that we know, and what is said of the others."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.source import SCHEMES, Source, is_same_source, parse_source

GOOD = [
    # text, parsed, canonical text, the model's name
    (
        "meta-llama/Llama-3.3-70B-Instruct",
        Source("hf", "meta-llama/Llama-3.3-70B-Instruct"),
        "hf://meta-llama/Llama-3.3-70B-Instruct",
        "meta-llama/Llama-3.3-70B-Instruct",
    ),
    ("hf://org/model@v1.0", Source("hf", "org/model", "", "v1.0"), "hf://org/model@v1.0", None),
    (
        "org/model@refs/pr/3",
        Source("hf", "org/model", "", "refs/pr/3"),
        "hf://org/model@refs/pr/3",
        None,
    ),
    ("s3://models", Source("s3", "models"), "s3://models", "models"),
    ("s3://models/", Source("s3", "models"), "s3://models", "models"),
    ("s3://models/a/b/", Source("s3", "models", "a/b"), "s3://models/a/b", "b"),
    ("s3://my.bucket-1/a", Source("s3", "my.bucket-1", "a"), "s3://my.bucket-1/a", "a"),
    (
        "s3://models/org/llama/0123456789abcdef0123456789abcdef01234567",
        Source("s3", "models", "org/llama/0123456789abcdef0123456789abcdef01234567"),
        None,
        "llama",
    ),
    ("gs://bucket/llama", Source("gs", "bucket", "llama"), "gs://bucket/llama", "llama"),
    ("https://h/dir", Source("https", "h", "dir"), "https://h/dir/", "dir"),
    ("https://h:8443/a/b/", Source("https", "h:8443", "a/b"), "https://h:8443/a/b/", "b"),
    ("https://h/", Source("https", "h"), "https://h/", "h"),
    ("http://[::1]:80/x/", Source("http", "[::1]:80", "x"), "http://[::1]:80/x/", "x"),
    ("hdfs://nn:8020/m/q", Source("hdfs", "nn:8020", "m/q"), "hdfs://nn:8020/m/q", "q"),
    ("hdfs://nn:8020", Source("hdfs", "nn:8020"), "hdfs://nn:8020", "nn"),
    ("nfs://10.0.0.9/export/m", Source("nfs", "10.0.0.9", "/export/m"), None, "m"),
    ("pvc://claim", Source("pvc", "claim"), "pvc://claim", "claim"),
    ("pvc://claim/a/b", Source("pvc", "claim", "a/b"), "pvc://claim/a/b", "b"),
    ("local:///data/model/", Source("local", "", "/data/model"), "local:///data/model", "model"),
]

BAD = [
    # text, words of the reason
    ("", "empty"),
    (" s3://b/p", "spaces around"),
    ("s3://bucket/a b", "spaces in a path"),
    ("s3://bucket/a\x1b[2J", "spaces in a path"),
    ("model", "org/model"),
    ("a/b/c", "org/model"),
    ("gpt2", "org/model"),
    ("org/model@", "org/model"),
    ("org/../model", "org/model"),
    ("/data/model", "org/model"),
    ("hf://", "org/model"),
    ("hf://org", "org/model"),
    ("ftp://host/dir", "'ftp' is not supported"),
    ("oss://bucket/x", "'oss' is not supported"),
    ("s3://", "there is nothing after"),
    ("s3:///p", "there is nothing after"),
    ("s3://B/prefix", "valid bucket name"),
    ("s3://ab", "valid bucket name"),
    ("s3://bucket-/p", "valid bucket name"),
    ("s3://key:secret@bucket/p", "must not contain credentials"),
    ("https://user:pw@host/dir/", "must not contain credentials"),
    ("s3://bucket/a//b", "empty part"),
    ("s3://bucket/a/../b", "'..'"),
    ("s3://bucket/a/./b", "'.'"),
    ("s3://bucket/a:b", "':'"),
    ("s3://bucket/a?versionId=1", "query or fragment"),
    ("https://host/dir/#x", "query or fragment"),
    ("gs://UPPER/x", "valid bucket name"),
    ("https://host:99999/dir/", "not a host"),
    ("https://host:0/dir/", "not a host"),
    ("https://[::1/dir/", "not a host"),
    ("hdfs://:8020/dir", "not a host"),
    ("nfs://server", "name the export"),
    ("nfs://server/", "name the export"),
    ("nfs://server:2049/export", "port"),
    ("pvc://Claim/dir", "valid claim name"),
    ("pvc://-claim", "valid claim name"),
    ("local://data/model", "use local:///DIR"),
    ("local:///", "requires an absolute directory"),
    ("local:///a/../b", "'..'"),
]


@pytest.mark.parametrize(("text", "source", "uri", "model"), GOOD, ids=[row[0] for row in GOOD])
def test_a_good_source(text: str, source: Source, uri: str | None, model: str | None) -> None:
    parsed = parse_source(text)
    assert parsed == source
    assert parsed.uri == (uri or text)
    assert parsed.model == (model or source.host)


@pytest.mark.parametrize(("text", "why"), BAD, ids=[repr(row[0]) for row in BAD])
def test_an_invalid_source_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert why in caught.value.reason
    assert "kubectl fluidmodel cache --help" in caught.value.hint


MEANT = [
    # what people type or paste, what they mean
    ("https://huggingface.co/org/model", "org/model"),
    ("https://huggingface.co/org/model/", "org/model"),
    ("https://huggingface.co/org/model/tree/main", "org/model"),
    ("https://huggingface.co/org/model/tree/v1.0", "org/model@v1.0"),
    ("https://huggingface.co/org/model/tree/refs%2Fpr%2F3", "org/model@refs/pr/3"),
    ("https://hf.co/org/model/blob/main/config.json?download=true", "org/model"),
    ("https://huggingface.co/api/models/org/model", "org/model"),
    ("https://huggingface.co/org/model?x=$(reboot)", "org/model"),
    ("huggingface.co/org/model", "org/model"),
    ("org/model/tree/main", "org/model"),
    ("org/model/resolve/v2/config.json", "org/model@v2"),
    ("HF://org/model", "hf://org/model"),
    ("hf:org/model", "hf://org/model"),
    ("S3://bucket/prefix", "s3://bucket/prefix"),
    ("s3a://bucket/prefix", "s3://bucket/prefix"),
    ("s3n://bucket/prefix", "s3://bucket/prefix"),
    ("s3:/bucket/prefix", "s3://bucket/prefix"),
    ("s3:bucket/prefix", "s3://bucket/prefix"),
    ("s3:///bucket/prefix", "s3://bucket/prefix"),
    ("arn:aws:s3:::bucket/prefix", "s3://bucket/prefix"),
    ("bucket/some/prefix", "s3://bucket/some/prefix"),
    ("https://bucket.s3.eu-west-1.amazonaws.com/prefix/", "s3://bucket/prefix"),
    ("https://s3.amazonaws.com/bucket/prefix/", "s3://bucket/prefix"),
    (
        "https://s3.console.aws.amazon.com/s3/buckets/bucket?region=x&prefix=a/b/",
        "s3://bucket/a/b",
    ),
    ("https://storage.googleapis.com/bucket/prefix", "gs://bucket/prefix"),
    ("gcs://bucket/prefix", "gs://bucket/prefix"),
    ("HTTPS://host/dir/", "https://host/dir/"),
    ("file:///models", "local:///models"),
    ("file:/models", "local:///models"),
    ("local://data/model", "local:///data/model"),
    ("/data/model", "local:///data/model"),
]


@pytest.mark.parametrize(("text", "source"), MEANT, ids=[row[0] for row in MEANT])
def test_what_was_meant_is_offered_with_the_command(text: str, source: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert f"did you mean {source}?" in caught.value.reason
    assert "s3://bucket/prefix, gs://" not in caught.value.reason, "no list of all forms"
    arguments = shlex.split(caught.value.hint.partition(", or ")[0])
    assert arguments[:3] == ["kubectl", "fluidmodel", "cache"]
    assert parse_source(arguments[3]) == parse_source(source)
    assert ("--to" in arguments) == (parse_source(source).scheme == "hf")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://huggingface.co/datasets/org/set", "a dataset on the Hub, not a model"),
        ("https://huggingface.co/", "a page on the Hub, not a model"),
    ],
)
def test_pages_that_are_no_model(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert why in caught.value.reason and "did you mean" not in caught.value.reason


def test_staging_suggests_only_sources_that_it_supports() -> None:
    with pytest.raises(UsageError) as caught:
        parse_source("https://huggingface.co/org/model", "stage")
    assert caught.value.hint.startswith("kubectl fluidmodel stage org/model --to")
    with pytest.raises(UsageError) as caught:
        parse_source("s3a://bucket/prefix", "stage")
    assert "did you mean" not in caught.value.reason


@pytest.mark.parametrize(
    ("one", "other", "are"),
    [
        ("s3://b/llama@v1", "s3://b/llama@v2", False),
        ("s3://b/llama", "s3://b/llama@v2", False),
        ("nfs://h/export/a@1", "nfs://h/export/a@2", False),
        ("local:///d/m@1", "local:///d/m@2", False),
        ("s3://b/llama@v1", "s3://b/llama@v1", True),
        ("hf://org/model", "hf://org/model@v2", True),
        ("hf://org/model", "hf://other/model", False),
    ],
)
def test_only_a_revision_of_the_hub_does_not_count(one: str, other: str, are: bool) -> None:
    assert is_same_source(one, other) is is_same_source(other, one) is are


@pytest.mark.parametrize("scheme", ["s3://", "s3a://", "S3:/", "s3:", "https://huggingface.co:"])
def test_credentials_in_a_source_are_not_repeated(scheme: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(f"{scheme}AKIAIOSFODNN7:hunter2@bucket/p")
    assert "hunter2" not in str(caught.value)


_PARTS = st.text(alphabet="abcXYZ019.-_@:/?#%[] \x00é", max_size=24)
_ADDRESSES = st.builds(
    lambda scheme, mark, rest: scheme + mark + rest,
    st.sampled_from((*SCHEMES, "", "ftp", "S3", "s3a", "file", "huggingface.co", "org/model")),
    st.sampled_from(("://", ":///", ":/", "", "/", "/tree/", "://huggingface.co/")),
    _PARTS,
)


@given(st.one_of(st.text(), _ADDRESSES))
def test_any_text_is_a_source_or_a_usage_error_and_what_is_recorded_reads_back(text: str) -> None:
    try:
        parsed = parse_source(text)
    except UsageError as err:
        if "did you mean" in err.reason:  # what is offered is one, and the shell takes it as it is
            assert parse_source(shlex.split(err.hint.rpartition(", or ")[0])[3])
        return
    assert parse_source(parsed.uri) == parsed
    assert parsed.model


@given(
    st.sampled_from(("s3", "gs", "pvc", "https", "http", "hdfs")),
    st.from_regex(r"[a-z][a-z0-9]{2,20}", fullmatch=True),
    st.lists(st.from_regex(r"[A-Za-z0-9][\w.-]{0,12}", fullmatch=True), max_size=4),
)
def test_what_is_made_of_legal_parts_is_read(scheme: str, host: str, parts: list[str]) -> None:
    parsed = parse_source(f"{scheme}://{host}/{'/'.join(parts)}")
    assert (parsed.scheme, parsed.host, parsed.path) == (scheme, host, "/".join(parts))
