"""Label selectors with the syntax of kubectl's -l, evaluated locally, so they also work on files.

Grammar: k8s.io/apimachinery/pkg/labels (`a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`,
`!a`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kubectl_fluidmodel.errors import UsageError

_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_EQUAL = re.compile(rf"({_KEY})\s*(=|==|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")

Matches = Callable[[Mapping[str, str]], bool]


def parse_selector(text: str) -> Matches:
    """Parse a selector to a predicate for an object's labels.

    Raises:
        UsageError: it is not a selector.
    """
    requirements = [_requirement(part.strip(), text) for part in re.split(r",(?![^(]*\))", text)]
    return lambda labels: all(is_met(labels) for is_met in requirements)


def _requirement(part: str, text: str) -> Matches:
    equal, listed, exists = (form.fullmatch(part) for form in (_EQUAL, _SET, _EXISTS))
    if equal:
        key, sign, value = equal.groups()
        if sign == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if listed:
        name, operator = listed[1], listed[2]
        values = {item.strip() for item in listed[3].split(",")}
        if operator == "notin":
            return lambda labels: labels.get(name) not in values
        return lambda labels: labels.get(name) in values
    if exists:
        negated, plain_key = bool(exists[1]), exists[2]
        return lambda labels: (plain_key in labels) is not negated
    raise UsageError(f"-l '{text}' is not a label selector", "", "-l key=value,other!=value")
