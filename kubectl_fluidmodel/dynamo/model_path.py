"""Points an engine at the mounted model: `--use-model-path`. Pure.

Three ways to set a model are recognized, in every container that reads it: a list of arguments, one
shell string (`sh -c`), and an environment variable that such a string expands. The engines are
`dynamo.vllm`, `dynamo.sglang`, `dynamo.trtllm` and `vllm(-rs) serve`. For other ways (a file of a
ConfigMap, `valueFrom`, several engines in one script), a remark describes the manual change.

The served name does not change: an engine without `--served-model-name` would use its new path as
the name (lib/llm/src/local_model.rs), so it gets the flag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.dynamo.component import ENGINE_MODULE, Component, env_entries
from kubectl_fluidmodel.dynamo.object_paths import EditLog, Path, value_at

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
SERVED_NAME_FLAG = "--served-model-name"

_FLAGS = {"vllm": ("--model",), "sglang": ("--model-path",), "trtllm": ("--model-path", "--model")}
_VARIABLE = re.compile(r"""["']?\$(?:\{(\w+)\}|\((\w+)\)|(\w+))["']?""")
_WORD = re.compile(r"""(?:\$\(\w+\)|"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\|;&()<>])+""", re.DOTALL)


@dataclass(frozen=True)
class _ModelArgument:
    """A model in a command, and how to replace it."""

    value: str
    """The word in the command: a path, a Hub ID or a `$VARIABLE`."""
    replace: Any
    """Returns the container's args (or command) with another word in its place."""
    has_served_name: bool
    """Whether the command has `--served-model-name`."""


@dataclass(frozen=True)
class EngineModel:
    """The model in an engine's command."""

    container_path: Path
    value: str
    """A path or a Hub ID; the value, if the command has a variable."""
    has_served_name: bool
    """Whether the command has `--served-model-name`."""


def engine_models(component: Component) -> list[EngineModel]:
    """Return the models that a component's engines read, one for each engine.

    Commands that are not recognized, and values from elsewhere (a ConfigMap), are skipped.
    """
    return [
        EngineModel(path, value, found.has_served_name)
        for path, _, found in _engine_arguments(component)
        if (value := _resolve_word(component, found.value))
    ]


def _engine_arguments(component: Component) -> Iterator[tuple[Path, str, _ModelArgument]]:
    """Yield the containers that start an engine: path, field (`args` or `command`), model."""
    for path in component.reader_paths():
        container = value_at(component.spec, path)
        if not isinstance(container, dict):
            continue
        for field in ("args", "command"):
            words = container.get(field)
            if not isinstance(words, list):
                continue
            found = _find_in_list(_command_line(container), words) or _find_in_shell(words)
            if found is not None:
                yield path, field, found
                break


def _resolve_word(component: Component, word: str) -> str:
    """Return the word without quotes, or the value of its variable; empty if unknown."""
    variable = _VARIABLE.fullmatch(word)
    if variable is None:
        return word.strip("\"'")
    name = next(group for group in variable.groups() if group)
    return env_value(component, name)


def env_value(component: Component, name: str, path: Path | None = None) -> str:
    """Return a variable of a container (main without `path`); empty if it is not set."""
    if path is None or path == component.main_path:
        _, entry = component.env_by_name().get(name, ((), None))
    else:
        _, entry = env_entries(component.spec, (*path, "env")).get(name, ((), None))
    if entry is not None:
        return str(entry.get("value") or "")
    return _graph_env(component, name)


def set_model_path(component: Component, log: EditLog, target: str) -> list[str]:
    """Point each engine of a component at a directory.

    Returns:
        Remarks: the required manual changes.
    """
    done = False
    remarks: list[str] = []
    for path, field, found in list(_engine_arguments(component)):
        if _replace_model(component, log, path, field, found, target):
            _set_offline(component, log, path)
            done = True
    if not done:
        remarks.append(
            f"component {component.name}: its command cannot be rewritten automatically; make the "
            f"engine read {target}, keep {SERVED_NAME_FLAG}, and set "
            + " ".join(f"{name}=1" for name in OFFLINE_VARIABLES)
        )
    return remarks


def hf_home_warnings(component: Component, mount_path: str) -> list[str]:
    """Warn about a Hugging Face cache in the read-only mount."""
    value = env_value(component, "HF_HOME")
    inside = value.rstrip("/") == mount_path.rstrip("/") or value.startswith(
        mount_path.rstrip("/") + "/"
    )
    if not inside:
        return []
    return [
        f"component {component.name} sets HF_HOME={value}, which is in the read-only cache: "
        "huggingface_hub cannot write there; set it to another directory"
    ]


def _command_line(container: dict[str, Any]) -> list[str]:
    return [str(word) for part in ("command", "args") for word in container.get(part) or []]


def _find_in_list(command_line: list[str], words: list[Any]) -> _ModelArgument | None:
    """Find a model in a list of arguments."""
    engine = _find_engine(command_line)
    if engine is None:
        return None
    served = any(
        str(w) == SERVED_NAME_FLAG or str(w).startswith(f"{SERVED_NAME_FLAG}=")
        for w in command_line
    )
    if engine == "serve":
        index = next((i for i, w in enumerate(words) if str(w) == "serve"), None)
        if index is None or index + 1 >= len(words) or str(words[index + 1]).startswith("-"):
            return None
        return _ModelArgument(str(words[index + 1]), _replacer(words, index + 1, ""), served)
    for flag in _FLAGS[engine]:
        for index, word in enumerate(words):
            if str(word) == flag and index + 1 < len(words):
                return _ModelArgument(
                    str(words[index + 1]), _replacer(words, index + 1, ""), served
                )
            if str(word).startswith(f"{flag}="):
                value = str(word)[len(flag) + 1 :]
                return _ModelArgument(value, _replacer(words, index, f"{flag}="), served)
    return None


def _find_engine(words: list[str]) -> str | None:
    for index, word in enumerate(words):
        match = ENGINE_MODULE.fullmatch(word)
        if match:
            return match.group(1)
        if word == "serve" and index and words[index - 1].rpartition("/")[2] in ("vllm", "vllm-rs"):
            return "serve"
    return None


def _replacer(words: list[Any], index: int, prefix: str) -> Any:
    def replace(value: str, extra: tuple[str, ...] = ()) -> list[Any]:
        return [*words[:index], prefix + value, *words[index + 1 :], *extra]

    return replace


def _find_in_shell(words: list[Any]) -> _ModelArgument | None:
    """Find a model in a shell string, if it starts exactly one engine."""
    scripts = [index for index, word in enumerate(words) if ENGINE_MODULE.search(str(word))]
    if len(scripts) != 1:
        return None
    index = scripts[0]
    script = str(words[index])
    engines = list(ENGINE_MODULE.finditer(script))
    if len(engines) != 1:
        return None
    flags = _FLAGS[engines[0].group(1)]
    tokens = [match for match in _WORD.finditer(script) if match.start() > engines[0].start()]
    served = any(token.group().startswith(SERVED_NAME_FLAG) for token in tokens)
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

    return _ModelArgument(script[start:end], replace, served)


def _replace_model(
    component: Component, log: EditLog, path: Path, field: str, found: _ModelArgument, target: str
) -> bool:
    """Change the word, or the value of its variable.

    Returns:
        False if the variable's value is not in the graph.
    """
    variable = _VARIABLE.fullmatch(found.value)
    place = (*path, field)
    if variable is None:
        name = found.value.strip("\"'")
        extra = () if found.has_served_name or name == target else (SERVED_NAME_FLAG, name)
        if name != target:
            log.set_value(place, found.replace(target, extra))
        return True
    name = next(group for group in variable.groups() if group)
    where, entry = component.env_by_name().get(name, ((*component.new_env_path, f"[{name}]"), None))
    if entry is not None and "value" not in entry:
        return False
    value = str(entry["value"]) if entry is not None else _graph_env(component, name)
    if not value:
        return False
    if not found.has_served_name and value != target:
        log.set_value(place, found.replace(found.value, (SERVED_NAME_FLAG, value)))
    log.set_value((*where, "value"), target)
    return True


def _set_offline(component: Component, log: EditLog, path: Path) -> None:
    """Keep the engine from contacting the Hub for files that it has."""
    for name in OFFLINE_VARIABLES:
        if path != component.main_path:
            log.set_value((*path, "env", f"[{name}]", "value"), "1")
            continue
        where, _ = component.env_by_name().get(name, ((*component.new_env_path, f"[{name}]"), None))
        log.set_value((*where, "value"), "1")


def _graph_env(component: Component, name: str) -> str:
    """A variable that the graph sets for all its components."""
    for key in ("env", "envs"):
        for entry in component.graph_spec.get(key) or []:
            if isinstance(entry, dict) and entry.get("name") == name:
                return str(entry.get("value", ""))
    return ""
