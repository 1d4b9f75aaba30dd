"""Carries out on a Snapshot what a fix prints, as kubectl and the API server would.

Only what changes fields of objects: what starts pods, asks a store or upgrades a chart is tried
on a control plane. A fix that does more is refused with `NeedsControlPlaneError`.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, name_of, namespace_of
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.pasting import run_commands_in_bash

_CORDON_TAINT = "node.kubernetes.io/unschedulable"
_SHORT_KINDS = {"pvc": "persistentvolumeclaim", "pv": "persistentvolume"}
_FLAGS_WITH_VALUE = {"-n", "-p", "--type", "-o", "-f", "-l", "--patch-file", "--field-selector"}


class NeedsControlPlaneError(Exception):
    """A command that takes a control plane."""


def apply_fix(snapshot: Snapshot, text: str) -> None:
    """Change a Snapshot as a printed command line would.

    Raises:
        NeedsControlPlaneError: it does more than to change fields.
    """
    (result,) = run_commands_in_bash([text], AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    assert result.unexpected == [], text
    calls = result.calls
    if any(call[0] != "kubectl" and call[0] != "printf" for call in calls):
        raise NeedsControlPlaneError(text)
    documents = [json.loads(call[2]) for call in calls if call[0] == "printf"]
    for call in calls:
        if call[0] == "kubectl":
            _KubectlCall(snapshot, call[1:], documents).run()


class _KubectlCall:
    def __init__(self, snapshot: Snapshot, arguments: list[str], documents: list[Object]) -> None:
        self.snapshot, self.documents = snapshot, documents
        self.verb, self.flags, self.names = arguments[0], {}, []
        rest = iter(arguments[1:])
        for word in rest:
            if word in _FLAGS_WITH_VALUE:
                self.flags[word] = next(rest)
            elif word.startswith("-"):
                name, _, value = word.partition("=")
                self.flags[name] = value
                if name == "--from-literal":
                    self.flags[f"literal {value.partition('=')[0]}"] = value.partition("=")[2]
            elif word != "--":
                self.names.append(word)

    def run(self) -> None:
        handlers: dict[str, Callable[[], None]] = {
            "patch": self._patch,
            "delete": self._delete,
            "apply": self._apply,
            "create": self._create,
            "get": lambda: None,
            "replace": lambda: None,
            "label": self._label,
            "uncordon": self._uncordon,
        }
        if self.verb not in handlers or self.flags.keys() & {
            "-l",
            "--field-selector",
            "--force",
        } - ({"--force"} if self.verb == "replace" else set()):
            raise NeedsControlPlaneError(f"{self.verb} {self.names}")
        handlers[self.verb]()

    def _find(self, kind: str, name: str) -> tuple[list[Object], Object]:
        namespace = self.flags.get("-n", "")
        full_kind = _SHORT_KINDS.get(kind, kind)
        for objects in self.snapshot.objects.values():
            for obj in objects:
                named = (str(obj.get("kind", "")).lower(), name_of(obj)) == (full_kind, name)
                if named and namespace_of(obj) in ("", namespace):
                    return objects, obj
        raise AssertionError(f"there is no {kind} {namespace}/{name}")

    def _patch(self) -> None:
        if "--local" in self.flags:
            raise NeedsControlPlaneError("a copy of an object")
        _, obj = self._find(self.names[0], self.names[1])
        if "--patch-file" in self.flags:
            return  # of the Secret that `create` in front of it describes
        change = json.loads(self.flags["-p"])
        if self.flags["--type"] == "merge":
            _apply_merge_patch(obj, change)
        else:
            for operation in change:
                _apply_json_patch_operation(obj, operation)

    def _delete(self) -> None:
        for name in self.names[1:]:
            objects, obj = self._find(self.names[0], name)
            if obj["kind"] not in ("DataLoad", "MutatingWebhookConfiguration"):
                raise NeedsControlPlaneError(f"what makes {obj['kind']} anew")
            objects.remove(obj)

    def _apply(self) -> None:
        for document in self.documents:
            kind = next(
                kind
                for kind in _kinds()
                if kind.name == document["kind"] and kind.api_version == document["apiVersion"]
            )
            self.snapshot.objects.setdefault(kind.resource, []).append(copy.deepcopy(document))

    def _create(self) -> None:
        if self.names[:2] != ["secret", "generic"]:
            raise NeedsControlPlaneError(f"create {self.names}")
        name, namespace = self.names[2], self.flags["-n"]
        data = {
            key.removeprefix("literal "): base64.b64encode(value.encode()).decode()
            for key, value in self.flags.items()
            if key.startswith("literal ")
        }
        there = [o for o in self.snapshot.of_kind(kinds.SECRETS) if name_of(o) == name]
        if there:
            there[0].setdefault("data", {}).update(data)
            return
        metadata = {"name": name, "namespace": namespace}
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        self.snapshot.objects.setdefault(kinds.SECRETS.resource, []).append(made)

    def _label(self) -> None:
        pairs = [word for word in self.names[1:] if "=" in word]
        for name in self.names[1:]:
            if "=" not in name:
                _, obj = self._find(self.names[0], name)
                obj["metadata"].setdefault("labels", {}).update(p.split("=", 1) for p in pairs)

    def _uncordon(self) -> None:
        for name in self.names:
            _, obj = self._find("node", name)
            obj["spec"].pop("unschedulable", None)
            taints = obj["spec"].get("taints", [])
            obj["spec"]["taints"] = [t for t in taints if t.get("key") != _CORDON_TAINT]


def _kinds() -> list[kinds.Kind]:
    return [e for m in (kinds, names) for e in vars(m).values() if isinstance(e, kinds.Kind)]


def _apply_merge_patch(obj: Object, change: Object) -> None:
    """RFC 7386."""
    for key, value in change.items():
        if value is None:
            obj.pop(key, None)
        elif isinstance(value, dict):
            if not isinstance(obj.get(key), dict):
                obj[key] = {}
            _apply_merge_patch(obj[key], value)
        else:
            obj[key] = copy.deepcopy(value)


def _apply_json_patch_operation(obj: Any, operation: Object) -> None:
    """RFC 6902: add, replace and remove."""
    path = [p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:]]
    for step in path[:-1]:
        obj = obj[int(step)] if isinstance(obj, list) else obj[step]
    last: Any = int(path[-1]) if isinstance(obj, list) and path[-1] != "-" else path[-1]
    if operation["op"] == "remove":
        del obj[last]
    elif isinstance(obj, list) and operation["op"] == "add":
        obj.insert(len(obj) if last == "-" else last, operation["value"])
    else:
        obj[last] = operation["value"]
