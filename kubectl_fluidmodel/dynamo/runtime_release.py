"""Which release of Dynamo's runtime a container runs, as far as its graph says. Pure.

The release decides which flags the engine knows. Dynamo's wheels pin the engines (`Requires-Dist`
of ai-dynamo on PyPI): 1.0 has vLLM 0.16.0 and SGLang 0.5.9, 1.1 has 0.19.0 and 0.5.10, 1.2 has
0.20.1 and 0.5.11, 1.3 has 0.23.0 and 0.5.14, 1.6 has 0.31.0 and 0.5.21.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.records import dataclass

_RUNTIME_IMAGES = ("vllm-runtime", "sglang-runtime", "tensorrtllm-runtime")
_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.\d+")


@dataclass(frozen=True)
class RuntimeRelease:
    """The runtime of a container."""

    image: str
    is_dynamo: bool
    """Whether the image has the name of one of Dynamo's."""
    version: tuple[int, int] | None
    """Major and minor number; None where the graph does not say."""

    def has(self, version: tuple[int, int]) -> bool | None:
        """Whether it is this release or a later one; None if that is not known."""
        return None if self.version is None else self.version >= version

    def __str__(self) -> str:
        if self.version is None:
            return f"its image {self.image or '(none)'} names no release"
        return f"Dynamo {format_version(self.version)}"


def runtime_release(component: Mapping[str, Any], container: Mapping[str, Any]) -> RuntimeRelease:
    """The release of a container, by `runtimeVersionOverride` of its component or by its tag.

    Tags of other images number something else, so they say nothing.
    """
    image = str(container.get("image") or "")
    name, _, tag = image.rpartition("/")[2].partition("@")[0].partition(":")
    is_dynamo = name in _RUNTIME_IMAGES
    override = str(component.get("runtimeVersionOverride") or "")
    match = _RELEASE.match(override) or (_RELEASE.match(tag) if is_dynamo else None)
    version = (int(match[1]), int(match[2])) if match else None
    return RuntimeRelease(image, is_dynamo, version)


def format_version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
