"""Files with several YAML documents: changes the graphs, and keeps every other byte."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from kubectl_fluidmodel.dynamo.object_paths import deep_copy
from kubectl_fluidmodel.dynamo.resources import GROUP
from kubectl_fluidmodel.dynamo.yaml.editor import edit_document
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.output.goyaml import YamlLimitError, load_yaml
from kubectl_fluidmodel.records import dataclass

_BOUNDARY = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_DYNAMO_KIND = re.compile(r"Dynamo\w+|LPXGraph")


@dataclass
class Document:
    """One document: its text, and its value if it may contain a Dynamo object."""

    text: str
    value: Any = None

    def objects(self) -> Iterator[Object]:
        """The Dynamo objects in it, alone or as items of a List."""
        items = [self.value]
        if isinstance(self.value, dict) and str(self.value.get("kind", "")).endswith("List"):
            items = self.value.get("items") or []
        for item in items:
            if isinstance(item, dict) and str(item.get("apiVersion")).startswith(f"{GROUP}/"):
                yield item

    def with_changes(self, change: Callable[[Object], Object]) -> Document:
        """Return the document with each of its objects replaced by the result of `change`."""
        before = self.value
        after = deep_copy(before)
        holder = Document("", after)
        for item, new in zip(holder.objects(), map(change, self.objects()), strict=True):
            if new != item:
                item.clear()
                item.update(new)
        return self if after == before else Document(edit_document(self.text, before, after), after)


def split_documents(text: str, name: str) -> list[Document]:
    """Split a file at its document markers; the texts joined together are the file.

    Raises:
        FluidModelError: a document with a Dynamo object is not YAML.
    """
    cuts = [0, *(match.start() for match in _BOUNDARY.finditer(text)), len(text)]
    documents = []
    for start, end in itertools.pairwise(cuts):
        part = text[start:end]
        value = (
            _load_document(part, name, text.count("\n", 0, start))
            if _DYNAMO_KIND.search(part)
            else None
        )
        documents.append(Document(part, value))
    return documents


def _load_document(text: str, name: str, line: int) -> Any:
    try:
        return load_yaml(text)
    except YamlLimitError as err:
        raise FluidModelError(f"cannot read {name}", err.reason) from err
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        position = f" line {line + mark.line + 1}" if mark else ""
        problem = str(getattr(err, "problem", "") or "it is not YAML")
        if "{{" in text:
            raise FluidModelError(
                f"cannot read {name}{position}",
                "it is a Helm template",
                "helm template … | kubectl fluidmodel pin MODEL -f - > FILE",
            ) from err
        raise FluidModelError(f"cannot read {name}{position}", problem) from err
