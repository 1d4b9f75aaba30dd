"""Builds command lines for users to paste into a shell. Pure.

Names, paths, annotations and Secrets come from a cluster, a bundle or a file, so they are
untrusted. Every command that this program prints is built here: a POSIX shell parses it to exactly
the intended words and never executes a value.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import TypeAlias

from kubectl_fluidmodel.records import dataclass


class Command(str):
    """A command line whose words are all quoted; only this module creates them."""

    __slots__ = ("_pieces",)
    _pieces: tuple[_Quoted | str, ...]

    def map_values(self, transform: Callable[[str], str]) -> Command:
        """Return the command with other values, quoted again.

        Replacing values in the line itself would break its quotes.
        """
        return _build_command(
            _Quoted(transform(piece.text)) if isinstance(piece, _Quoted) else piece
            for piece in self._pieces
        )


@dataclass(frozen=True)
class _Quoted:
    """A part of a word that needs quoting; other parts are shell syntax."""

    text: str


def _build_command(pieces: Iterable[_Quoted | str]) -> Command:
    stored = tuple(pieces)
    line = Command(
        "".join(quote(piece.text) if isinstance(piece, _Quoted) else piece for piece in stored)
    )
    line._pieces = stored
    return line


def _join(commands: Iterable[Command], syntax: str) -> Command:
    pieces: list[_Quoted | str] = []
    for line in commands:
        pieces += [syntax, *line._pieces] if pieces else line._pieces
    return _build_command(pieces)


@dataclass(frozen=True)
class Operand:
    """A positional value. One that begins with `-` would be read as a flag: `--all`."""

    text: str


@dataclass(frozen=True)
class EnvVariable:
    """An environment variable that the shell expands, so its value never appears on the screen."""

    name: str


Word: TypeAlias = "str | Operand | tuple[str | EnvVariable, ...]"
"""A flag or its value, an operand, or a word with parts that the shell expands."""


def operands(values: Iterable[object]) -> list[Operand]:
    """Return several positional values."""
    return [Operand(str(value)) for value in values]


def quote(text: str) -> str:
    """Quote one word.

    Unprintable characters become octal escapes in the `$'…'` of bash and zsh. The command then
    stays on one line, a terminal interprets nothing in it, and `escape_control` does not change it.
    """
    if not text.isprintable():
        return "$'" + "".join(_ansi_c(char) for char in text) + "'"
    # zsh replaces a leading `=ls` by the path of `ls`; shlex does not know this
    return f"'{text}'" if text.startswith("=") and shlex.quote(text) == text else shlex.quote(text)


def _ansi_c(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    # Bytes of a command line that are not UTF-8 are surrogates in Python (PEP 383).
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", errors))


def command(*words: Word) -> Command:
    """Build a command from its words; if an operand could be a flag, operands come after `--`."""
    ordered = list(words)
    if any(isinstance(word, Operand) and word.text.startswith("-") for word in words):
        flags = [word for word in words if not isinstance(word, Operand)]
        ordered = [*flags, "--", *(word for word in words if isinstance(word, Operand))]
    pieces: list[_Quoted | str] = []
    for word in ordered:
        pieces += [" ", *_word_pieces(word)] if pieces else _word_pieces(word)
    return _build_command(pieces)


def flags_with_values(*flags: tuple[str, str | None]) -> list[str]:
    """Return the flags that have a value, each followed by it."""
    return [word for flag, value in flags if value for word in (flag, value)]


def kubectl(*words: Word, namespace: str = "") -> Command:
    """A kubectl command, in a namespace where one is given."""
    return command("kubectl", *words, *(("-n", namespace) if namespace else ()))


def _word_pieces(word: Word) -> list[_Quoted | str]:
    if isinstance(word, tuple):
        return [
            f'"${part.name}"' if isinstance(part, EnvVariable) else _Quoted(part) for part in word
        ]
    return [_Quoted(word.text if isinstance(word, Operand) else word)]


def chain(*commands: Command) -> Command:
    """Join commands with `&&`."""
    return _join(commands, " && ")


def pipe(*commands: Command) -> Command:
    """Join commands with pipes."""
    return _join(commands, " | ")
