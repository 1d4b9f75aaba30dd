"""What is wrong with a krew manifest. krew itself ignores fields that it does not know.

The rules are krew's (pkg/index, internal/index/validation) and those of its naming guide, with
ours on top: five targets, archives that bear their version and target in their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from krew.names import TARGETS, Target, archive_name

API_VERSION = "krew.googlecontainertools.github.com/v1alpha2"
ZEROS = "0" * 64
_SEMVER = re.compile(
    r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-((0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
_RESERVED = {"con", "prn", "aux", "nul", *(f"{x}{n}" for x in ("com", "lpt") for n in range(1, 10))}
_FIELDS: dict[str, dict[str, type]] = {
    "": {"apiVersion": str, "kind": str, "metadata": dict, "spec": dict},
    "metadata": {"name": str},
    "spec": {
        "version": str,
        "homepage": str,
        "shortDescription": str,
        "description": str,
        "caveats": str,
        "platforms": list,
    },
    "platform": {"selector": dict, "uri": str, "sha256": str, "bin": str},
    "selector": {"matchLabels": dict},
    "matchLabels": {"os": str, "arch": str},
}
"""All of them are wanted, and nothing else."""


class _Loader(yaml.SafeLoader):
    """One that does not take the second of two equal keys in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key) for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.YAMLError(f"'{name}' is there twice")
        return super().construct_mapping(node, deep)


def problems(text: str, *, released: bool = False, partial: bool = False) -> list[str]:
    """What is wrong, a sentence each.

    `released`: every archive's sha256 is known. `partial`: not all targets need be there.
    """
    try:
        manifest = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as err:
        return [" ".join(str(err).split())]
    found = list(_fields("", manifest))
    if found:
        return found
    spec = manifest["spec"]
    found = [*_fields("metadata", manifest["metadata"]), *_fields("spec", spec)]
    if found:
        return found
    return [
        *_head(manifest),
        *_words(spec),
        *_platforms(spec["platforms"], spec["version"].removeprefix("v"), released, partial),
    ]


def _fields(of: str, value: Any, at: str = "") -> Iterator[str]:
    """What is not known, not there or of another type."""
    at = at or of or "the manifest"
    if not isinstance(value, dict):
        yield f"{at} is no mapping"
        return
    wanted = _FIELDS[of]
    for name in value:
        if name not in wanted:
            yield f"{at} has a field '{name}', which krew does not know"
    for name, kind in wanted.items():
        if not isinstance(value.get(name), kind) or not value[name]:
            yield f"{at} has no '{name}', or not as a {kind.__name__}"


def _head(manifest: Any) -> Iterator[str]:
    if manifest["apiVersion"] != API_VERSION:
        yield f"apiVersion is not {API_VERSION}"
    if manifest["kind"] != "Plugin":
        yield "kind is not Plugin"
    name = manifest["metadata"]["name"]
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) or name in _RESERVED:
        yield f"'{name}' is no name for a plugin"
    version = manifest["spec"]["version"]
    if not _SEMVER.fullmatch(version):
        yield f"version '{version}' is no semantic version with a v before it"


def _words(spec: Any) -> Iterator[str]:
    short = spec["shortDescription"]
    if "\n" in short or len(short) > 60 or short.endswith("."):
        yield "shortDescription is not one line of at most 60 characters without a full stop"
    if not spec["homepage"].startswith("https://"):
        yield "homepage does not begin with https://"
    if any(len(line) > 80 for line in (spec["description"] + spec["caveats"]).splitlines()):
        yield "description or caveats have lines of more than 80 characters"


def _platforms(platforms: Any, version: str, released: bool, partial: bool) -> Iterator[str]:
    seen: list[Target] = []
    for index, platform in enumerate(platforms):
        at = f"platforms[{index}]"
        found = [*_fields("platform", platform, at)]
        if not found:
            found += _fields("selector", platform["selector"], f"{at}.selector")
        if not found:
            labels = platform["selector"]["matchLabels"]
            found += _fields("matchLabels", labels, f"{at}.selector.matchLabels")
        if found:
            yield from found
            continue
        target = Target(labels["os"], labels["arch"])
        if target not in TARGETS:
            yield f"{at}: nothing is made for {target}"
        if target in seen:
            yield f"{at}: two platforms are for {target}"
        seen.append(target)
        yield from _archive(at, platform, target, version, released)
    if not partial:
        for target in TARGETS:
            if target not in seen:
                yield f"no platform is for {target}"


def _archive(at: str, platform: Any, target: Target, version: str, released: bool) -> Iterator[str]:
    uri, digest = platform["uri"], platform["sha256"]
    if not re.match(r"https://|http://127\.0\.0\.1:", uri):
        yield f"{at}: the uri does not begin with https://"
    if not uri.endswith(f"/v{version}/{archive_name(version, target)}"):
        yield f"{at}: the uri is not that of v{version} for {target}"
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        yield f"{at}: sha256 is not 64 lowercase hexadecimal digits"
    elif released and digest == ZEROS:
        yield f"{at}: sha256 is not filled in"
    if platform["bin"] != target.program:
        yield f"{at}: bin is not {target.program}"
