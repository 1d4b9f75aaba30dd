"""The release of Dynamo's runtime, as a graph tells it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kubectl_fluidmodel.dynamo.runtime_release import runtime_release


@dataclass(frozen=True)
class Image:
    """An image, what overrides it, and the release that follows."""

    image: str
    override: str
    version: tuple[int, int] | None
    is_dynamo: bool


IMAGES = (
    Image("nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.4.1", "", (1, 4), True),
    Image("mirror.example.com:5000/sglang-runtime:v1.6.0-cuda13", "", (1, 6), True),
    Image("tensorrtllm-runtime:1.0.2@sha256:0123", "", (1, 0), True),
    Image("registry/vllm-runtime:my-tag", "", None, True),
    Image("registry/vllm-runtime:my-tag", "1.5.1", (1, 5), True),
    Image("registry/vllm-runtime", "", None, True),
    Image("vllm/vllm-openai:v0.23.0", "", None, False),
    Image("example.com/vllm:1.4.1", "", None, False),
    Image("example.com/own:7", "1.2.0", (1, 2), False),
    Image("", "", None, False),
)


@pytest.mark.parametrize("row", IMAGES, ids=lambda row: f"{row.image} {row.override}")
def test_the_release_is_in_the_tag_of_dynamos_images_or_in_the_override(row: Image) -> None:
    component = {"runtimeVersionOverride": row.override} if row.override else {}
    release = runtime_release(component, {"image": row.image})
    assert (release.version, release.is_dynamo) == (row.version, row.is_dynamo)


def test_an_unknown_release_has_nothing_for_certain() -> None:
    unknown = runtime_release({}, {"image": "vllm-runtime:my-tag"})
    release = runtime_release({}, {"image": "vllm-runtime:1.2.1"})
    assert unknown.has((1, 2)) is None
    assert release.has((1, 2)) is True
    assert release.has((1, 3)) is False
    assert str(unknown) == "its image vllm-runtime:my-tag names no release"
