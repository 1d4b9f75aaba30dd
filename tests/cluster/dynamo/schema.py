"""Words to write a structural schema in: OpenAPI v3 as a CustomResourceDefinition takes it."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

#: resource.Quantity as apimachinery parses it.
QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)

BOOL: Schema = {"type": "boolean"}
STRING: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "number"}
INT: Schema = {"type": "integer"}
INT64: Schema = {"type": "integer", "format": "int64"}
COUNT: Schema = {"type": "integer", "format": "int32", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "format": "int32", "minimum": 1}
TIME: Schema = {"type": "string", "format": "date-time"}
INT_OR_STRING: Schema = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
}
QUANTITY: Schema = {**INT_OR_STRING, "pattern": QUANTITY_PATTERN}
#: An object of which nothing is pruned.
ANYTHING: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def obj(properties: dict[str, Schema], required: tuple[str, ...] = (), **more: Any) -> Schema:
    """An object with these fields; every other one is pruned."""
    made: Schema = {"type": "object", **more}
    if properties:
        made["properties"] = properties
    if required:
        made["required"] = list(required)
    return made


def mapping(of: Schema, **more: Any) -> Schema:
    """Names to values of one kind."""
    return {"type": "object", "additionalProperties": of, **more}


def array(of: Schema, **more: Any) -> Schema:
    """A list that has one owner under server-side apply."""
    return {"type": "array", "items": of, **more}


def list_map(of: Schema, *keys: str, **more: Any) -> Schema:
    """A list whose items are told apart by ``keys``, and owned one by one."""
    return array(
        of, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}, **more
    )


def list_set(of: Schema) -> Schema:
    """A list of values that are there once."""
    return array(of, **{"x-kubernetes-list-type": "set"})


def one_of(*values: str, default: str = "") -> Schema:
    """One of these words."""
    made: Schema = {"type": "string", "enum": list(values)}
    return {**made, "default": default} if default else made


def flag(default: bool) -> Schema:
    """A boolean that the API server fills in."""
    return {"type": "boolean", "default": default}


def rules(*each: tuple[str, str]) -> dict[str, Any]:
    """Rules in CEL, each with what is told when it does not hold."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": told} for rule, told in each]}


def crd(
    group: str,
    kind: str,
    short: str,
    versions: list[Schema],
) -> Schema:
    """A namespaced CustomResourceDefinition; conversion strategy None."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
            },
            "conversion": {"strategy": "None"},
            "versions": versions,
        },
    }


def version(
    name: str, spec: Schema, status: Schema, columns: dict[str, str], storage: bool, **more: Any
) -> Schema:
    """One served version, with a status of its own; ``columns``: what ``kubectl get`` prints."""
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": title, "jsonPath": path, "type": "date" if title == "Age" else "string"}
            for title, path in columns.items()
        ],
        "schema": {
            "openAPIV3Schema": obj(
                {
                    "apiVersion": STRING,
                    "kind": STRING,
                    "metadata": {"type": "object"},
                    "spec": spec,
                    "status": status,
                }
            )
        },
        **more,
    }
