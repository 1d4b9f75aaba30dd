"""Point an engine at the mounted model: `--use-model-path`.

Three ways to name a model are recognised, in every container that reads it: a list of
arguments, one shell string (`sh -c`), and an environment variable that such a string expands.
The engines are `dynamo.vllm`, `dynamo.sglang`, `dynamo.trtllm` and `vllm(-rs) serve`. What is
written otherwise (a file of a ConfigMap, `valueFrom`, several engines in one script) stays as
it is, and the user is told what to change.

The name under which the model is served stays: an engine that has no `--served-model-name`
would take its new path for the name (lib/llm/src/local_model.rs), so it gets the old one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.dynamo.component import ENGINE, Component, env_at
from kubectl_fluidmodel.dynamo.object_paths import Journal, Path, find

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
SERVED = "--served-model-name"

_FLAGS = {"vllm": ("--model",), "sglang": ("--model-path",), "trtllm": ("--model-path", "--model")}
_VARIABLE = re.compile(r"""["']?\$(?:\{(\w+)\}|\((\w+)\)|(\w+))["']?""")
_WORD = re.compile(r"""(?:\$\(\w+\)|"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\|;&()<>])+""", re.DOTALL)


@dataclass(frozen=True)
class _Found:
    """A model named in a command: where, as what, and how to change it."""

    value: str
    """The word as written: a path, a hub id or a `$VARIABLE`."""
    replace: Any
    """The container's args (or command) with another word in its place: f(word) -> list."""
    served: bool
    """Whether the command names the served model itself."""


@dataclass(frozen=True)
class Named:
    """A model as an engine's command names it."""

    container: Path
    value: str
    """A path or a hub id; what a variable holds, where it is one."""
    served: bool
    """Whether the command gives the served model a name of its own."""


def named(component: Component) -> list[Named]:
    """The models that a component's engines are told to read, one for each engine.

    What is written in a way that is not recognised, or comes from elsewhere (a ConfigMap), is
    not among them.
    """
    return [
        Named(path, value, found.served)
        for path, _, found in _engines(component)
        if (value := _resolved(component, found.value))
    ]


def _engines(component: Component) -> Iterator[tuple[Path, str, _Found]]:
    """The containers that start an engine: path, field of the command, and the model in it."""
    for path in component.readers():
        container = find(component.spec, path)
        if not isinstance(container, dict):
            continue
        for field in ("args", "command"):
            words = container.get(field)
            if not isinstance(words, list):
                continue
            found = _in_list(_flat(container), words) or _in_shell(words)
            if found is not None:
                yield path, field, found
                break


def _resolved(component: Component, word: str) -> str:
    """The word itself, or the value of the variable that it is; empty where nobody knows it."""
    variable = _VARIABLE.fullmatch(word)
    if variable is None:
        return word.strip("\"'")
    name = next(group for group in variable.groups() if group)
    return setting(component, name)


def setting(component: Component, name: str, path: Path | None = None) -> str:
    """A variable as a container (the main one) will have it; empty where it is not set outright."""
    if path is None or path == component.main:
        _, entry = component.env().get(name, ((), None))
    else:
        _, entry = env_at(component.spec, (*path, "env")).get(name, ((), None))
    if entry is not None:
        return str(entry.get("value") or "")
    return _graph_env(component, name)


def rewrite(component: Component, journal: Journal, target: str) -> list[str]:
    """Point each engine of a component at a directory; returns what is left to do by hand."""
    done = False
    remarks: list[str] = []
    for path, field, found in list(_engines(component)):
        if _apply(component, journal, path, field, found, target):
            _offline(component, journal, path)
            done = True
    if not done:
        remarks.append(
            f"component {component.name}: its command is not one that can be rewritten; by hand, "
            f"let the engine read {target}, keep {SERVED}, and set "
            + " ".join(f"{name}=1" for name in OFFLINE)
        )
    return remarks


def warnings(component: Component, mount_path: str) -> list[str]:
    """What would break with a read-only mount: a Hugging Face cache that lies inside it."""
    value = setting(component, "HF_HOME")
    inside = value.rstrip("/") == mount_path.rstrip("/") or value.startswith(
        mount_path.rstrip("/") + "/"
    )
    if not inside:
        return []
    return [
        f"component {component.name} sets HF_HOME={value}, which is the read-only cache: "
        "the hub's library cannot write there; set it to a directory of the container"
    ]


def _flat(container: dict[str, Any]) -> list[str]:
    return [str(word) for part in ("command", "args") for word in container.get(part) or []]


def _in_list(everything: list[str], words: list[Any]) -> _Found | None:
    """A model in a list of arguments."""
    engine = _engine_of_list(everything)
    if engine is None:
        return None
    served = any(str(w) == SERVED or str(w).startswith(f"{SERVED}=") for w in everything)
    if engine == "serve":
        index = next((i for i, w in enumerate(words) if str(w) == "serve"), None)
        if index is None or index + 1 >= len(words) or str(words[index + 1]).startswith("-"):
            return None
        return _Found(str(words[index + 1]), _replacer(words, index + 1, ""), served)
    for flag in _FLAGS[engine]:
        for index, word in enumerate(words):
            if str(word) == flag and index + 1 < len(words):
                return _Found(str(words[index + 1]), _replacer(words, index + 1, ""), served)
            if str(word).startswith(f"{flag}="):
                value = str(word)[len(flag) + 1 :]
                return _Found(value, _replacer(words, index, f"{flag}="), served)
    return None


def _engine_of_list(words: list[str]) -> str | None:
    for index, word in enumerate(words):
        match = ENGINE.fullmatch(word)
        if match:
            return match.group(1)
        if word == "serve" and index and words[index - 1].rpartition("/")[2] in ("vllm", "vllm-rs"):
            return "serve"
    return None


def _replacer(words: list[Any], index: int, prefix: str) -> Any:
    def replace(value: str, extra: tuple[str, ...] = ()) -> list[Any]:
        return [*words[:index], prefix + value, *words[index + 1 :], *extra]

    return replace


def _in_shell(words: list[Any]) -> _Found | None:
    """A model in the one string that a shell runs, if exactly one engine is started in it."""
    scripts = [index for index, word in enumerate(words) if ENGINE.search(str(word))]
    if len(scripts) != 1:
        return None
    index = scripts[0]
    script = str(words[index])
    engines = list(ENGINE.finditer(script))
    if len(engines) != 1:
        return None
    flags = _FLAGS[engines[0].group(1)]
    tokens = [match for match in _WORD.finditer(script) if match.start() > engines[0].start()]
    served = any(token.group().startswith(SERVED) for token in tokens)
    spans: list[tuple[int, int]] = []
    for place, token in enumerate(tokens):
        text = token.group()
        if text in flags:
            later = [t for t in tokens[place + 1 :] if t.group() != "\\\n"]
            if later:
                spans.append(later[0].span())
        elif any(text.startswith(f"{flag}=") for flag in flags):
            spans.append((token.start() + text.index("=") + 1, token.end()))
    if len(spans) != 1:
        return None
    start, end = spans[0]

    def replace(value: str, extra: tuple[str, ...] = ()) -> list[Any]:
        tail = "".join(f" {word}" for word in extra)
        changed = script[:start] + value + tail + script[end:]
        return [*words[:index], changed, *words[index + 1 :]]

    return _Found(script[start:end], replace, served)


def _apply(
    component: Component, journal: Journal, path: Path, field: str, found: _Found, target: str
) -> bool:
    """Change the word, or the variable that it is; False where the variable cannot be changed."""
    variable = _VARIABLE.fullmatch(found.value)
    place = (*path, field)
    if variable is None:
        name = found.value.strip("\"'")
        extra = () if found.served or name == target else (SERVED, name)
        if name != target:
            journal.put(place, found.replace(target, extra))
        return True
    name = next(group for group in variable.groups() if group)
    where, entry = component.env().get(name, ((*component.new_env, f"[{name}]"), None))
    if entry is not None and "value" not in entry:
        return False
    value = str(entry["value"]) if entry is not None else _graph_env(component, name)
    if not value:
        return False
    if not found.served and value != target:
        journal.put(place, found.replace(found.value, (SERVED, value)))
    journal.put((*where, "value"), target)
    return True


def _offline(component: Component, journal: Journal, path: Path) -> None:
    """Keep the engine from asking the hub for what it has on disk."""
    for name in OFFLINE:
        if path != component.main:
            journal.put((*path, "env", f"[{name}]", "value"), "1")
            continue
        where, _ = component.env().get(name, ((*component.new_env, f"[{name}]"), None))
        journal.put((*where, "value"), "1")


def _graph_env(component: Component, name: str) -> str:
    """A variable that the graph sets for all its components."""
    for key in ("env", "envs"):
        for entry in component.graph_spec.get(key) or []:
            if isinstance(entry, dict) and entry.get("name") == name:
                return str(entry.get("value", ""))
    return ""
