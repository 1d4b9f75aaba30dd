"""The plugin's command lines in prose and scripts, and whether they parse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from kubectl_fluidmodel.cli.main import VERBS, root

_PUNCTUATION = set("();<>|&")


def commands_in_page(text: str) -> Iterator[list[str]]:
    """The words after `kubectl fluidmodel` of every command in a Markdown page's code."""
    fence = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
    for block in fence.findall(text):
        yield from commands_in_script(block)
    for code in re.findall(r"`([^`]+)`", fence.sub("", text)):
        yield from commands_in_script(" ".join(code.split()))


def commands_in_script(text: str) -> Iterator[list[str]]:
    """The same of every command line in a script."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        start = line.find("kubectl fluidmodel")
        if start < 0 or line.lstrip().startswith("#"):
            continue
        lexer = shlex.shlex(line[start:], posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)[2:]
        end = next((i for i, word in enumerate(words) if set(word) <= _PUNCTUATION), len(words))
        yield words[:end]


_PLACEHOLDERS = {"SHELL": "bash"}
"""Words that stand for one of a few, and one of them."""


def parse_command(arguments: list[str]) -> None:
    """Parse a command line as the plugin would, and run nothing.

    `[WORD]` may be left out, and is.

    Raises:
        click.UsageError: it does not parse.
    """
    arguments = [_PLACEHOLDERS.get(word, word) for word in arguments if not word.startswith("[")]
    if not arguments or arguments[0] in ("--help", "-h", "--version", "VERB"):
        return
    context = click.Context(root, info_name="kubectl fluidmodel", **root.context_settings)
    if arguments[0] not in VERBS:
        raise click.UsageError(f"no such verb: {arguments[0]}")
    if len(arguments) == 1:
        return  # the verb itself is what is meant
    command = root.get_command(context, arguments[0])
    assert command is not None
    try:
        command.make_context(arguments[0], list(arguments[1:]), parent=context)
    except click.exceptions.Exit:
        return  # --help
