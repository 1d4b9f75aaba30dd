"""A container's environment and command line, resolved as a kubelet resolves them."""

from __future__ import annotations

import base64
import fnmatch
import re
from pathlib import Path
from typing import Any

from .. import paths
from ..api import Api, Object
from ..process import read_json
from .volumes import field

#: How a container's image is played, by pattern; ``images.json`` in the state comes first.
IMAGES: dict[str, dict[str, Any]] = {
    "*alluxio*": {"entrypoint": ["/entrypoint.sh"]},
    # An image of the project has its code, and another of Python could have it.
    "*python*": {"env": {"PYTHONPATH": str(paths.REPO)}},
    "*fluidmodel*": {"env": {"PYTHONPATH": str(paths.REPO)}},
}


class NotConfigured(Exception):
    """The container cannot be made; the text is what a kubelet's event says."""


def image(state: Path, name: str) -> dict[str, Any]:
    """What is known of an image: extra ``path`` directories, ``env``, ``entrypoint``."""
    known = {**(read_json(state / "images.json") or {}), **IMAGES}
    merged: dict[str, Any] = {"path": [], "env": {}, "entrypoint": []}
    for pattern, facts in known.items():
        if fnmatch.fnmatch(name, pattern):
            merged["path"] += facts.get("path", [])
            merged["env"] = {**facts.get("env", {}), **merged["env"]}
            merged["entrypoint"] = merged["entrypoint"] or facts.get("entrypoint", [])
    return merged


def resolve(api: Api, pod: Object, container: Object) -> dict[str, str]:
    """``envFrom`` and ``env``, with references followed and $(VARIABLES) put in."""
    namespace = pod["metadata"]["namespace"]
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix", "")
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in source:
                data = _data(api, kind, namespace, source[key])
                found.update({prefix + name: value for name, value in (data or {}).items()})
    for variable in container.get("env") or []:
        source = variable.get("valueFrom")
        if source is None:
            found[variable["name"]] = expand(variable.get("value", ""), found)
            continue
        value = _value(api, pod, container, source)
        if value is not None:
            found[variable["name"]] = value
    return found


def _value(api: Api, pod: Object, container: Object, source: Object) -> str | None:
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        section, _, name = source["resourceFieldRef"]["resource"].partition(".")
        return str(((container.get("resources") or {}).get(section) or {}).get(name, "0"))
    kind, key = (
        ("ConfigMap", "configMapKeyRef")
        if "configMapKeyRef" in source
        else ("Secret", "secretKeyRef")
    )
    reference = source[key]
    data = _data(api, kind, pod["metadata"]["namespace"], reference)
    if data is None or reference["key"] not in data:
        if reference.get("optional"):
            return None
        raise NotConfigured(
            f"couldn't find key {reference['key']} in {kind} "
            f"{pod['metadata']['namespace']}/{reference['name']}"
        )
    return data[reference["key"]]


def _data(api: Api, kind: str, namespace: str, reference: Object) -> dict[str, str] | None:
    found = api.find("v1", kind, reference["name"], namespace)
    if found is None:
        if reference.get("optional"):
            return None
        raise NotConfigured(f'{kind.lower()} "{reference["name"]}" not found')
    data = found.get("data") or {}
    if kind == "Secret":
        return {
            key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()
        }
    return dict(data)


def expand(text: str, variables: dict[str, str]) -> str:
    """Kubernetes' own $(NAME) references; an unknown one stays, ``$$(`` is a literal."""

    def one(found: re.Match[str]) -> str:
        if found.group(0) == "$$":
            return "$"
        return variables.get(found.group(1), found.group(0))

    return re.sub(r"\$\$|\$\(([-._a-zA-Z0-9]+)\)", one, text)


def command(state: Path, container: Object, variables: dict[str, str]) -> list[str]:
    """The command line; empty when only the image would know."""
    facts = image(state, container.get("image", ""))
    words = list(container.get("command") or facts["entrypoint"])
    words += container.get("args") or []
    return [expand(word, variables) for word in words]


def quantity(text: str | int | None) -> int:
    """A Kubernetes quantity of bytes."""
    if text is None:
        return 0
    found = re.fullmatch(r"([0-9.]+)(?:([KMGTPE])(i?)|(m))?", str(text).strip().replace("k", "K"))
    if not found:
        return 0
    number = float(found.group(1))
    if found.group(4):
        return int(number / 1000)
    power = "KMGTPE".index(found.group(2)) + 1 if found.group(2) else 0
    return int(number * (1024 if found.group(3) else 1000) ** power)
