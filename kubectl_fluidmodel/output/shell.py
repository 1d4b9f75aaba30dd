"""Command lines that a person pastes into a shell. Pure.

Names, paths, annotations and Secrets come from the cluster, from a bundle or from a file, and so
from somebody else. Whatever this program prints for pasting is put together here: a POSIX shell
parses it to exactly the words that were meant, and never runs a value.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias


class Command(str):
    """A command line every word of which is quoted; only this module makes them."""

    __slots__ = ("_pieces",)
    _pieces: tuple[_Text | str, ...]

    def mapped(self, change: Callable[[str], str]) -> Command:
        """The command with other values, quoted anew: a change of the line would break quotes."""
        pieces = (_Text(change(p.text)) if isinstance(p, _Text) else p for p in self._pieces)
        return _made(pieces)


@dataclass(frozen=True)
class _Text:
    """A part of a word that is to be quoted; what is no _Text is the shell's own syntax."""

    text: str


def _made(pieces: Iterable[_Text | str]) -> Command:
    kept = tuple(pieces)
    found = Command("".join(quote(p.text) if isinstance(p, _Text) else p for p in kept))
    found._pieces = kept
    return found


def _joined(commands: Iterable[Command], syntax: str) -> Command:
    pieces: list[_Text | str] = []
    for each in commands:
        pieces += [syntax, *each._pieces] if pieces else each._pieces
    return _made(pieces)


@dataclass(frozen=True)
class Operand:
    """A positional value. One that begins with `-` would be taken for a flag: `--all`."""

    text: str


@dataclass(frozen=True)
class Variable:
    """A value of the environment, which the shell fills in: it is never on the screen."""

    name: str


Word: TypeAlias = "str | Operand | tuple[str | Variable, ...]"
"""A flag or its value, an operand, or a word of parts some of which the shell fills in."""


def operands(values: Iterable[object]) -> list[Operand]:
    """Several positional values."""
    return [Operand(str(value)) for value in values]


def quote(text: str) -> str:
    """One word.

    Control characters become `\\n`, `\\x1b`, … in bash's and zsh's `$'…'`, so that the command is
    one line and a terminal interprets nothing in it.
    """
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text):
        return "$'" + "".join(_ansi_c(char) for char in text) + "'"
    # zsh replaces a leading `=ls` by the path of `ls`; shlex does not know.
    return f"'{text}'" if text.startswith("=") and shlex.quote(text) == text else shlex.quote(text)


def _ansi_c(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if 32 <= ord(char) < 127 or ord(char) >= 160:
        return char
    return "".join(f"\\{byte:03o}" for byte in char.encode())


def command(*words: Word) -> Command:
    """One command of its words; operands come last, after `--`, where one could be a flag."""
    apart = any(isinstance(word, Operand) and word.text.startswith("-") for word in words)
    first = [word for word in words if not (apart and isinstance(word, Operand))]
    last = [word for word in words if apart and isinstance(word, Operand)]
    pieces: list[_Text | str] = []
    for word in [*first, *(["--"] if apart else []), *last]:
        pieces += [" ", *_parts(word)] if pieces else _parts(word)
    return _made(pieces)


def _parts(word: Word) -> list[_Text | str]:
    if isinstance(word, tuple):
        return [f'"${p.name}"' if isinstance(p, Variable) else _Text(p) for p in word]
    return [_Text(word.text if isinstance(word, Operand) else word)]


def chain(*commands: Command) -> Command:
    """One after the other, each if those before it went well."""
    return _joined(commands, " && ")


def pipe(*commands: Command) -> Command:
    """The output of each into the next."""
    return _joined(commands, " | ")
