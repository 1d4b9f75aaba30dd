"""The command line of an inference engine in a container: its words, and edits of them. Pure.

An engine is started by a list of words, or by one shell string. `find_command` recognizes
`dynamo.vllm`, `dynamo.sglang`, `dynamo.trtllm` and `vllm serve`. In a shell string, it uses the
simple command that starts the engine, up to the next operator or line end.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kubectl_fluidmodel.dynamo.component import COMMAND_FIELDS, ENGINE_MODULE
from kubectl_fluidmodel.records import dataclass

_SERVE_PROGRAMS = ("vllm", "vllm-rs")
_SERVE = re.compile(r"(?<![\w.-])(?:vllm|vllm-rs)[ \t]+serve(?![\w.-])")
_BLANK = re.compile(r"(?:[ \t]|\\\n)+")
_WORD = re.compile(r"""(?:\$\(\w+\)|"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\|;&()<>])+""", re.DOTALL)
_VARIABLE = re.compile(r"""["']?\$(?:\{(\w+)\}|\((\w+)\)|(\w+))["']?""")


def variable_name(raw: str) -> str:
    """The name of the variable that a word is (`$NAME`, `${NAME}`, `$(NAME)`), or empty."""
    match = _VARIABLE.fullmatch(raw)
    return next((group for group in match.groups() if group), "") if match else ""


def unquoted(raw: str) -> str:
    """A word without the shell's quotes."""
    try:
        return "".join(shlex.split(raw))
    except ValueError:  # a quote that another word closes
        return raw


@dataclass(frozen=True)
class Word:
    """A word behind the one that names the engine."""

    raw: str
    """As written, with quotes."""
    field: str
    """`command` or `args`."""
    index: int
    """Index of the field's item that is or contains the word."""
    before: int = 0
    """In a shell string: the end of the previous word."""
    start: int = 0
    end: int = 0

    @property
    def text(self) -> str:
        """The word without the shell's quotes."""
        return unquoted(self.raw) if self.end else self.raw


@dataclass(frozen=True)
class FlagValue:
    """A flag of a command with its value."""

    words: tuple[Word, ...]
    """Its words: two, or one with `=`, or one without a value."""
    name: str
    """As the engine's documentation spells it, with dashes."""
    value: str | None
    """None for a flag without a value."""


@dataclass(frozen=True)
class EngineCommand:
    """An engine's command line."""

    engine: str
    """`vllm`, `sglang`, `trtllm`, or `vllm-rs` for the server of that name."""
    is_served: bool
    """Whether it is `serve MODEL`, and not a module of Dynamo's."""
    words: tuple[Word, ...]
    is_shell: bool
    tail: str
    """In a shell string, what follows the command's last word."""
    end: tuple[str, int, int]
    """The field in which the command ends; of a shell string, its item and the offset in it."""
    lists: dict[str, list[Any]]
    """The container's fields as they are."""

    def flags(self, names: Iterable[str]) -> list[FlagValue]:
        """The flags of these names, each with the word that follows as its value."""
        return [flag for flag in self._flags() if flag.name in names]

    def value(self, names: Sequence[str]) -> str:
        """Return the value of the last of these flags; empty if none is set."""
        flags = self.flags(names)
        return (flags[-1].value or "") if flags else ""

    def _flags(self) -> Iterator[FlagValue]:
        for index, word in enumerate(self.words):
            text = word.text
            if not text.startswith("-"):
                continue
            name, equals, value = text.partition("=")
            following = self.words[index + 1] if index + 1 < len(self.words) else None
            # vLLM's parser takes `_` for `-` in the names of flags.
            name = name.replace("_", "-")
            if equals:
                yield FlagValue((word,), name, value)
            elif following is not None and not following.text.startswith("--"):
                yield FlagValue((word, following), name, following.text)
            else:
                yield FlagValue((word,), name, None)

    def replaced(self, word: Word, raw: str) -> dict[str, list[Any]]:
        """The fields with another word in the place of one."""
        if not self.is_shell:
            return self._with_item(word.field, word.index, [raw])
        script = str(self.lists[word.field][word.index])
        script = script[: word.start] + raw + script[word.end :]
        return self._with_item(word.field, word.index, [script])

    def edited(self, removed: Sequence[Word], added: Sequence[str]) -> dict[str, list[Any]]:
        """The fields without some of the words, and with others at the end of the command."""
        field, item, offset = self.end
        if self.is_shell:
            script = str(self.lists[field][item])
            added_text = f" {shlex.join(added)}" if added else ""
            script = script[:offset] + added_text + script[offset:]
            for word in sorted(removed, key=lambda word: -word.start):
                script = script[: word.before] + script[word.end :]
            return self._with_item(field, item, [script])
        removed_positions = {(word.field, word.index) for word in removed}
        changed = {
            name: [
                item for index, item in enumerate(items) if (name, index) not in removed_positions
            ]
            for name, items in self.lists.items()
        }
        changed[field] = [*changed[field], *added]
        return changed

    def _with_item(self, field: str, index: int, items: list[Any]) -> dict[str, list[Any]]:
        items_of_list = self.lists[field]
        return {**self.lists, field: [*items_of_list[:index], *items, *items_of_list[index + 1 :]]}


def find_command(container: Any) -> EngineCommand | None:
    """The engine that a container starts; None if that is not clear, or there are several."""
    if not isinstance(container, dict):
        return None
    lists = {
        field: container[field]
        for field in COMMAND_FIELDS
        if isinstance(container.get(field), list)
    }
    return _find_in_lists(lists) or _find_in_shell(lists)


def _find_in_lists(lists: dict[str, list[Any]]) -> EngineCommand | None:
    words = [
        Word(str(item), field, index)
        for field, items in lists.items()
        for index, item in enumerate(items)
    ]
    for position, word in enumerate(words):
        module = ENGINE_MODULE.fullmatch(word.raw)
        program = words[position - 1].raw.rpartition("/")[2] if position else ""
        is_served = word.raw == "serve" and program in _SERVE_PROGRAMS
        if module or is_served:
            engine = module.group(1) if module else program
            after = tuple(words[position + 1 :])
            end = (list(lists)[-1], 0, 0)
            return EngineCommand(engine, is_served, after, False, "", end, lists)
    return None


def _find_in_shell(lists: dict[str, list[Any]]) -> EngineCommand | None:
    starts = [
        (field, index, str(item), match)
        for field, items in lists.items()
        for index, item in enumerate(items)
        for pattern in (ENGINE_MODULE, _SERVE)
        for match in pattern.finditer(str(item))
    ]
    if len(starts) != 1:
        return None
    field, index, script, match = starts[0]
    is_served = match.re is _SERVE
    words, position = [], match.end()
    while blank := _BLANK.match(script, position):
        word = _WORD.match(script, blank.end())
        if word is None or word[0].startswith("#"):
            break
        if word[0].isdigit() and script[word.end() : word.end() + 1] in ("<", ">"):
            break  # the number of a redirected stream
        words.append(Word(word[0], field, index, position, word.start(), word.end()))
        position = word.end()
    engine = match[0].split()[0] if is_served else match[1]
    return EngineCommand(
        engine, is_served, tuple(words), True, script[position:], (field, index, position), lists
    )
