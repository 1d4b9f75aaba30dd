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
import shlex
from collections.abc import Iterator
from typing import Any

from kubectl_fluidmodel.dynamo.component import Component, command_words, env_entries
from kubectl_fluidmodel.dynamo.engine_command import (
    EngineCommand,
    Word,
    find_command,
    variable_name,
)
from kubectl_fluidmodel.dynamo.object_paths import EditLog, Path, value_at
from kubectl_fluidmodel.model.source import HUB_ID
from kubectl_fluidmodel.records import dataclass

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
SERVED_NAME_FLAG = "--served-model-name"

_HUB_CACHE_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
_FLAGS = {"vllm": ("--model",), "sglang": ("--model-path",), "trtllm": ("--model-path", "--model")}


@dataclass(frozen=True)
class _ModelArgument:
    """A model in a command, and how to replace it."""

    command: EngineCommand
    word: Word
    prefix: str
    """`--model=` where the word has the flag in it, too."""

    @property
    def value(self) -> str:
        """As it is written: a path, a Hub id or a `$VARIABLE`."""
        return self.word.raw[len(self.prefix) :]

    @property
    def has_served_name(self) -> bool:
        return bool(self.command.flags((SERVED_NAME_FLAG,)))

    def replace(self, value: str, served_name: str = "") -> dict[str, list[Any]]:
        """The container's fields with another model, and its served name where one is given."""
        extra = [SERVED_NAME_FLAG, served_name] if served_name else []
        raw = self.prefix + value
        if self.command.is_shell:
            return self.command.replaced(self.word, " ".join([raw, *map(shlex.quote, extra)]))
        lists = self.command.replaced(self.word, raw)
        return {**lists, self.word.field: [*lists[self.word.field], *extra]}


@dataclass(frozen=True)
class EngineModel:
    """The model in an engine's command."""

    container_path: Path
    value: str
    """A path or a Hub ID; the value, if the command has a variable."""
    has_served_name: bool
    """Whether the command has `--served-model-name`."""


def is_within(path: str, mount: str) -> bool:
    """Whether a path is the mount or below it."""
    directory = mount.rstrip("/")
    return path.rstrip("/") == directory or path.startswith(f"{directory}/")


def reads_hub(component: Component, engine: EngineModel, mount: str) -> bool:
    """Whether an engine downloads the model from the Hub, although a mount has it."""
    return (
        bool(HUB_ID.fullmatch(engine.value))
        and not hub_cache_variable(component, engine, mount)
        and not command_mentions(component, engine, mount)
    )


def hub_cache_variable(
    component: Component, engine: EngineModel, mount: str
) -> tuple[str, str] | None:
    """The variable that puts the Hub client's cache into the mount, with its value."""
    for name in _HUB_CACHE_VARIABLES:
        value = env_value(component, name, engine.container_path)
        if value and is_within(value, mount):
            return name, value
    return None


def command_mentions(component: Component, engine: EngineModel, mount: str) -> bool:
    """Whether the command mentions the mount anywhere, such as for a draft model."""
    container = value_at(component.spec, engine.container_path)
    pattern = re.compile(rf"(?<![\w/.-]){re.escape(mount)}(?![\w.-])")
    return any(map(pattern.search, command_words(container)))


def engine_models(component: Component) -> list[EngineModel]:
    """Return the models that a component's engines read, one for each engine.

    Commands that are not recognized, and values from elsewhere (a ConfigMap), are skipped.
    """
    return [
        EngineModel(path, value, argument.has_served_name)
        for path, argument in _engine_arguments(component)
        if (value := _resolve_word(component, argument.value))
    ]


def _engine_arguments(component: Component) -> Iterator[tuple[Path, _ModelArgument]]:
    """The containers that start an engine, each with its model."""
    for path in component.reader_paths():
        command = find_command(value_at(component.spec, path))
        argument = _find_model(command) if command is not None else None
        if argument is not None:
            yield path, argument


def _resolve_word(component: Component, word: str) -> str:
    """The word without quotes, or the value of the variable that it is; empty if unknown."""
    name = variable_name(word)
    return env_value(component, name) if name else word.strip("\"'")


def env_entry(component: Component, name: str, path: Path | None = None) -> Any:
    """Return a container's entry for a variable (main's without `path`); None if it has none."""
    if path is None or path == component.main_path:
        return component.env_by_name().get(name, ((), None))[1]
    return env_entries(component.spec, (*path, "env")).get(name, ((), None))[1]


def env_value(component: Component, name: str, path: Path | None = None) -> str:
    """Return a variable of a container (main without `path`); empty if it is not set."""
    entry = env_entry(component, name, path)
    if entry is not None:
        return str(entry.get("value") or "")
    return _graph_env(component, name)


def set_model_path(component: Component, log: EditLog, target: str) -> list[str]:
    """Point each engine of a component at a directory.

    Returns:
        Remarks: the required manual changes.
    """
    is_set = False
    for path, argument in list(_engine_arguments(component)):
        if _replace_model(component, log, path, argument, target):
            _set_offline(component, log, path)
            is_set = True
    if is_set:
        return []
    return [
        f"component {component.name}: its command cannot be rewritten automatically; make the "
        f"engine read {target}, keep {SERVED_NAME_FLAG}, and set "
        + " ".join(f"{name}=1" for name in OFFLINE_VARIABLES)
    ]


def hf_home_warnings(component: Component, mount_path: str) -> list[str]:
    """Warn about a Hugging Face cache in the read-only mount."""
    value = env_value(component, "HF_HOME")
    if not is_within(value, mount_path):
        return []
    return [
        f"component {component.name} sets HF_HOME={value}, which is in the read-only cache: "
        "huggingface_hub cannot write there; set it to another directory"
    ]


def _find_model(command: EngineCommand) -> _ModelArgument | None:
    """The model that a command names; None if it names none, or a shell string several."""
    if command.is_served:
        first = command.words[0] if command.words else None
        if first is None or first.text.startswith("-"):
            return None
        return _ModelArgument(command, first, "")
    flags = _FLAGS[command.engine]
    model_flags = [flag for flag in command.flags(flags) if flag.value]
    if not model_flags or (command.is_shell and len(model_flags) > 1):
        return None
    model_flag = min(model_flags, key=lambda flag: flags.index(flag.name))
    word = model_flag.words[-1]
    return _ModelArgument(
        command, word, f"{model_flag.name}=" if len(model_flag.words) == 1 else ""
    )


def _replace_model(
    component: Component, log: EditLog, path: Path, argument: _ModelArgument, target: str
) -> bool:
    """Change the word, or the value of its variable.

    Returns:
        False if the variable's value is not in the graph.
    """
    name = variable_name(argument.value)
    if not name:
        model = argument.value.strip("\"'")
        if model != target:
            _set_fields(log, path, argument.replace(target, _name_to_serve(argument, model)))
        return True
    entry_path, entry = component.env_by_name().get(
        name, ((*component.new_env_path, f"[{name}]"), None)
    )
    if entry is not None and "value" not in entry:
        return False
    value = str(entry["value"]) if entry is not None else _graph_env(component, name)
    if not value:
        return False
    served = _name_to_serve(argument, value)
    if served and value != target:
        _set_fields(log, path, argument.replace(argument.value, served))
    log.set_value((*entry_path, "value"), target)
    return True


def _name_to_serve(argument: _ModelArgument, model: str) -> str:
    return "" if argument.has_served_name else model


def _set_fields(log: EditLog, path: Path, lists: dict[str, list[Any]]) -> None:
    """Write the fields of a container that differ."""
    for field, items in lists.items():
        log.set_value((*path, field), items)


def _set_offline(component: Component, log: EditLog, path: Path) -> None:
    """Keep the engine from contacting the Hub for files that it has."""
    for name in OFFLINE_VARIABLES:
        set_env(component, log, path, name, "1")


def set_env(component: Component, log: EditLog, path: Path, name: str, value: str) -> None:
    """Set a variable of one container, where it is set already or else where new ones go."""
    env_path: Path = (*path, "env", f"[{name}]")
    if path == component.main_path:
        env_path, _ = component.env_by_name().get(
            name, ((*component.new_env_path, f"[{name}]"), None)
        )
    log.set_value((*env_path, "value"), value)


def _graph_env(component: Component, name: str) -> str:
    """A variable that the graph sets for all its components."""
    for key in ("env", "envs"):
        for entry in component.graph_spec.get(key) or []:
            if isinstance(entry, dict) and entry.get("name") == name:
                return str(entry.get("value", ""))
    return ""
